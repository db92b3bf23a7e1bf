#!/usr/bin/env python3
"""test_footprint.py XFC XF_RUN [--memory] - what a model's weights take: in the .so, and while it is compiled.

A decoder whose word table is its output projection too, transposed by a node or stored twice by the exporter, keeps
one copy, computes what the interpreter does, and the same bits as without the pass. With --memory (not under a
sanitizer, which needs memory of its own): peak memory of xfc on models of some 150 MB is at most 1.5 times the model
and 200 MB, whether weights are in the model's file or beside it.
"""
import sys
import tempfile
from pathlib import Path

from common import SKIP, cpu_isas, run

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))
try:
    import footprint
except ImportError:
    print("SKIP: NumPy or onnx is not installed")
    sys.exit(SKIP)

VOCAB, WIDTH, CODE_BYTES = 2003, 384, 1 << 19
TABLE_BYTES = VOCAB * WIDTH * 4


def must(done):
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_tied(xfc, xf_run, folder, copy):
    model = folder / "tied.onnx"
    size = footprint.write_apart(
        lambda: footprint.build(footprint.gpt, 1, copy=copy, width=WIDTH, vocab=VOCAB), model)
    once = size - TABLE_BYTES if copy else size
    so, logits = folder / "tied.so", folder / "logits.npy"

    def compile_with(*options):
        must(run(xfc, model, "-q", "-march=" + cpu_isas()[-1], "-o", so, *options))
        return so.stat().st_size

    ids = f"--input=input_ids=2x4xi64=0 47 48 1999 2002 -1 -{VOCAB} 1000"
    apart = compile_with("--pre-rmsnorm=off", "--disable-pass=share")
    must(run(xf_run, so, ids, f"--output=logits=@{logits}"))
    for options in (["--pre-rmsnorm=off"], []):
        together = compile_with(*options)
        assert together < 1.03 * once + CODE_BYTES, f"copy {copy}, {options}: {together} bytes of {once}"
        assert apart > together + TABLE_BYTES / 2, "the pass makes no difference"
        must(run(xf_run, so, ids, f"--compare={model}"))
        must(run(xf_run, so, ids, f"--expected=logits=@{logits}", *(["--ulp=0"] if options else ["--atol=1e-5"])))
    beyond = run(xf_run, so, f"--input=input_ids=1x1xi64={VOCAB}")
    assert beyond.returncode == 1 and "Gather" in beyond.stderr, beyond.stdout + beyond.stderr


def check_memory(xfc, folder, external):
    model = folder / "large.onnx"
    size = footprint.write_apart(lambda: footprint.build(footprint.gpt, 2, vocab=30000), model, external)
    peak, _ = footprint.measured([xfc, str(model), "-q", "-march=" + cpu_isas()[-1], "-o", str(folder / "large.so")])
    where = "beside" if external else "inside"
    print(f"weights {where} the file: {size / 1e6:.0f} MB, peak {peak / 1e6:.0f} MB")
    assert peak < 1.5 * size + 200e6, f"xfc took {peak} bytes for a model of {size}, weights {where} the file"


def main():
    xfc, xf_run = sys.argv[1:3]
    for copy in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            check_tied(xfc, xf_run, Path(folder), copy)
    for external in (False, True) if "--memory" in sys.argv else ():
        with tempfile.TemporaryDirectory() as folder:
            check_memory(xfc, Path(folder), external)
    print("ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
