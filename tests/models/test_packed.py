#!/usr/bin/env python3
"""test_packed.py XFC XF_RUN XF_PY MODEL_DIR - the packed entry of a committed model, from Python and by xf-run.

The model is compiled with --packed-entry. xf.py's run_packed gets random sequences one behind another; its results,
with their padding again, must be what `xf-run --packed` and the padded entry give for the same sequences, bit for bit.
"""
import os
import sys
import tempfile

from common import SKIP, cpu_isas, load_xf, run

try:
    import numpy as np
except ImportError:
    print("SKIP: NumPy is not installed")
    sys.exit(SKIP)

LENGTHS = ([7], [1, 20, 7, 19, 2], [3] * 9)


def pad(rows, starts, width):
    """[tokens, ...] as [batch, width, ...], 0 behind each sequence."""
    out = np.zeros((len(starts) - 1, width, *rows.shape[1:]), rows.dtype)
    for i, (a, b) in enumerate(zip(starts, starts[1:])):
        out[i, :b - a] = rows[a:b]
    return out


def make_inputs(session, tokens, rng):
    def values(node):
        assert len(node.shape) == 1 and node.type in ("tensor(int64)", "tensor(int32)"), node
        most = 2 if "type" in node.name else 30
        return rng.integers(0, most, tokens).astype(node.dtype)

    return {node.name: values(node) for node in session.get_packed_inputs()}


def check(session, so, xf_run, folder, lengths):
    starts = np.cumsum([0, *lengths])
    packed = make_inputs(session, int(starts[-1]), np.random.default_rng(len(lengths)))
    width = max(lengths) + 1
    names = [node.name for node in session.get_outputs()]
    outputs = dict(zip(names, session.run_packed(None, packed, starts)))
    ranks = {node.name: len(node.shape) for node in session.get_outputs()}
    want = {name: pad(out, starts, width) if out.ndim < ranks[name] else out for name, out in outputs.items()}
    padded = {name: pad(array, starts, width) for name, array in packed.items()}
    mask, = (node for node in session.get_inputs() if node.name not in packed)
    padded[mask.name] = pad(np.ones(starts[-1], mask.dtype), starts, width)
    for name, out in zip(names, session.run(None, padded)):
        assert out.tobytes() == want[name].tobytes(), f"{name} of the padded entry differs, lengths {lengths}"
    files = []
    for option, arrays in (("--input", padded), ("--expected", want)):
        for i, (name, array) in enumerate(arrays.items()):
            path = os.path.join(folder, f"{option.strip('-')}{i}.npy")
            np.save(path, array)
            files.append(f"{option}={name}=@{path}")
    done = run(xf_run, so, "--packed", "--threads=2", "--ulp=0", "--strict-padding", *files)
    assert done.returncode == 0 and done.stdout.count(": ok") == len(want), done.stdout + done.stderr
    most = session.workspace_size(padded)
    assert session.packed_workspace_size(packed, starts) < most, "a packed run needs less than a padded one"


def main():
    xfc, xf_run, xf_py, model = map(os.path.abspath, sys.argv[1:5])
    with tempfile.TemporaryDirectory(prefix="xfc-test-") as folder:
        so = os.path.join(folder, "model.so")
        done = run(xfc, "-q", os.path.join(model, "model.onnx"), "-o", so, "-march=" + cpu_isas()[-1], "--packed-entry")
        assert done.returncode == 0, done.stderr
        session = load_xf(xf_py).InferenceSession(so, threads=1)
        for lengths in LENGTHS:
            check(session, so, xf_run, folder, lengths)
            print(f"lengths {lengths}: run_packed, xf-run --packed and the padded entry agree")
    return 0


if __name__ == "__main__":
    sys.exit(main())
