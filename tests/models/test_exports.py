#!/usr/bin/env python3
"""test_exports.py EVAL_ONNX XFC XF_RUN EXPORTS [NAME...] - the committed exports: every test set of each model, in the interpreter
and compiled for this CPU; and, where the first dim of all inputs and outputs is that of the samples, the first set with each sample
twice, a size of which no set need be.

Tolerances are those of the exports' README: for fp32 rtol 1e-3, atol 1e-4; for the rest a share of the largest value of the output
that has the smallest. Exit code 0, 1, or 77 without the onnx package.
"""
import os
import re
import sys
import tempfile

from common import ONE_ISA, SKIP, run

try:
    import numpy as np
    import onnx
    from onnx import numpy_helper
except ImportError:
    print("SKIP: the onnx package is not installed")
    sys.exit(SKIP)
sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "frontend"))
from cases import write_set  # noqa: E402

QUANTISED = re.compile("int8|uint8|qdq|qop|_w[248]|int4|ortoptq|nncf|nbits|bnb4|gatherblockq|qattention|dynqmatmul|qmoe")


def arrays(folder, kind):
    found = []
    while os.path.exists(path := os.path.join(folder, f"{kind}_{len(found)}.pb")):
        found.append(numpy_helper.to_array(onnx.load_tensor(path)))
    return found


def limits(name, outputs):
    if not QUANTISED.search(name) and "fp16" not in name:
        return "1e-3", "1e-4"
    largest = min(np.abs(o[np.isfinite(o)].astype(float)).max(initial=0) for o in outputs if o.dtype.kind == "f")
    return "0", repr((0.05 if QUANTISED.search(name) else 0.02) * float(largest))


def batched(model, of_sets):
    """Is the first dim of everything that of the samples? One name for all inputs says so, and outputs that follow it."""
    fixed = {t.name for t in model.graph.initializer}
    shapes = [value.type.tensor_type.shape.dim for value in model.graph.input if value.name not in fixed]
    names = {dim[0].dim_param if dim else "" for dim in shapes}
    if len(names) != 1 or not names.pop():
        return False
    counts = [{a.shape[0] if a.ndim else -1 for a in arrays_of} for arrays_of in of_sets]
    return all(len(count) == 1 for count in counts) and len(set.union(*counts)) > 1


def check(tools, folder):
    """What is wrong with a model."""
    eval_onnx, xfc, xf_run = tools
    name, path = os.path.basename(folder), os.path.join(folder, "model.onnx")
    sets = sorted(os.path.join(folder, d) for d in os.listdir(folder) if d.startswith("test_data_set_"))
    with tempfile.TemporaryDirectory(prefix="xfc-test-") as made:
        so = os.path.join(made, "model.so")
        done = run(xfc, "-q", ONE_ISA, path, "-o", so)
        if done.returncode:
            return [f"xfc: {done.stderr.strip()}"]
        of_sets, wrong = [(arrays(d, "input"), arrays(d, "output")) for d in sets], []
        more = batched(onnx.load(path, load_external_data=False), [inputs + outputs for inputs, outputs in of_sets])
        if more:
            twice = ([np.concatenate([a, a]) for a in part] for part in of_sets[0])
            sets.append(write_set(made, "twice", *twice))
        for data in sets:
            rtol, atol = limits(name, arrays(data, "output"))
            for done in (run(eval_onnx, "--verify", "--rtol", rtol, "--atol", atol, path, data),
                         run(xf_run, so, f"--test-data={data}", f"--rtol={rtol}", f"--atol={atol}", "--threads=1")):
                if done.returncode:
                    wrong.append(f"{os.path.basename(data)}: {(done.stderr + done.stdout).strip()}")
    print(f"{name}: {len(of_sets)} sets{' and one twice' if more else ''}, {len(wrong)} wrong", flush=True)
    return wrong


def main():
    *tools, exports = map(os.path.abspath, sys.argv[1:5])
    names = sys.argv[5:] or sorted(n for n in os.listdir(exports) if os.path.exists(os.path.join(exports, n, "model.onnx")))
    failed = {name: wrong for name in names if (wrong := check(tools, os.path.join(exports, name)))}
    for name, wrong in failed.items():
        print(f"FAIL {name}", *wrong, sep="\n    ")
    return bool(failed) or not names


if __name__ == "__main__":
    sys.exit(main())
