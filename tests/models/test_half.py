#!/usr/bin/env python3
"""test_half.py XFC XF_RUN - a text encoder in f16, as onnxruntime's converter writes it.

On every variant that runs here its results are those of the same model in f32, as far as f16 goes, with padding and
without; its weights take half the bytes; and its products are tiles, not plain loops.
"""
import json
import sys
import tempfile
from pathlib import Path

from common import SKIP, cpu_isas, run

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))
try:
    import make_bert
    import numpy as np
    import onnx
    from onnxruntime.transformers import float16  # noqa: F401
except ImportError:
    print("SKIP: onnx or onnxruntime is not installed")
    sys.exit(SKIP)

SIZES = {"layers": 2, "width": 96, "heads": 4, "vocab": 512, "positions": 64}
ARGS = ("--shape=input_ids=3x21", "--lengths=uniform:0.3", "--max-id=500")


def must(done):
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def main():
    xfc, xf_run = sys.argv[1:3]
    with tempfile.TemporaryDirectory() as folder:
        folder, bytes_of = Path(folder), {}
        for kind in ("f32", "f16"):
            model = make_bert.narrowed(make_bert.make(make_bert.options(["-"], **SIZES)), kind)
            onnx.save(model, folder / f"{kind}.onnx")
            must(run(xfc, "-q", folder / f"{kind}.onnx", "--weights=sidecar", "-o", folder / f"{kind}.so"))
            bytes_of[kind] = (folder / f"{kind}.so.weights").stat().st_size
        assert bytes_of["f16"] < 0.6 * bytes_of["f32"], bytes_of
        outputs = ("last_hidden_state", "pooled")
        for isa in cpu_isas():
            for kind in ("f32", "f16"):
                saved = [f"--output={name}=@{folder / f'{name}-{kind}.npy'}" for name in outputs]
                must(run(xf_run, folder / f"{kind}.so", f"--isa={isa}", *ARGS, *saved))
            for name in outputs:
                want, got = (np.load(folder / f"{name}-{kind}.npy").astype(np.float64) for kind in ("f32", "f16"))
                worst = np.abs(got - want).max() / np.abs(want).max()
                print(f"{isa} {name}: {worst:.2e} of the largest value")
                assert worst < 2e-2, (isa, name, worst)
        profile = folder / "profile.json"
        must(run(xf_run, folder / "f16.so", *ARGS, "--bench", "--iters=2", f"--profile={profile}"))
        forms = [step["form"] for step in json.loads(profile.read_text())["steps"]]
        assert forms.count("contract") >= 2 * 4 and forms.count("attention") >= 2, forms
    return 0


if __name__ == "__main__":
    sys.exit(main())
