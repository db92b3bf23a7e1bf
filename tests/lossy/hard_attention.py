#!/usr/bin/env python3
"""hard_attention.py XFC XF.py - attention of which only the largest scores count, against NumPy.

One attention with a mask of padding, of any batch and length: what counts is right at every length and for equal scores; what a
row gives does not depend on how long it is padded; a row that is no longer than what counts is as it was.
"""
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "models"))
from common import ONE_ISA, SKIP, load_xf, run  # noqa: E402

try:
    import numpy as np
    from onnx import TensorProto, helper, save_model
except ImportError as e:
    print(f"SKIP: {e}")
    sys.exit(SKIP)

HEADS, WIDTH, KEEP = 2, 8, 5


def model(path):
    """softmax(q k^T / 4 + mask) v; mask [b, 1, 1, s] is 0, or -10000 where there is padding."""
    shape = ["b", HEADS, "s", WIDTH]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "qkv"]
    inputs.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["b", 1, 1, "s"]))
    nodes = [helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 1, 3, 2]), helper.make_node("MatMul", ["q", "kt"], ["qk"]),
             helper.make_node("Mul", ["qk", "scale"], ["scaled"]), helper.make_node("Add", ["scaled", "mask"], ["scores"]),
             helper.make_node("Softmax", ["scores"], ["p"], axis=-1), helper.make_node("MatMul", ["p", "v"], ["y"])]
    graph = helper.make_graph(nodes, "attention", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
                              [helper.make_tensor("scale", TensorProto.FLOAT, [], [0.25])])
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def reference(q, k, v, mask, keep):
    scores = q.astype(np.float64) @ k.transpose(0, 1, 3, 2).astype(np.float64) / 4 + mask
    if keep < scores.shape[-1]:
        least = np.sort(scores, -1)[..., -keep, None]
        scores = np.where(scores < least, -np.inf, scores)
    p = np.exp(scores - scores.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True) @ v


def feed(rng, lengths, padded, whole):
    """Of whole numbers scores are exact, and many are equal."""
    def draw():
        x = rng.integers(-2, 3, (len(lengths), HEADS, padded, WIDTH)) if whole else rng.normal(size=(len(lengths), HEADS, padded, WIDTH))
        return x.astype(np.float32)
    mask = np.where(np.arange(padded) < np.array(lengths)[:, None], 0, -10000).astype(np.float32)
    return {"q": draw(), "k": draw(), "v": draw(), "mask": mask[:, None, None]}


def main():
    xfc, xf = sys.argv[1], load_xf(sys.argv[2])
    rng = np.random.default_rng(5)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        model(path)
        session = {}
        for keep in (KEEP, 0.25, 1000):
            so = Path(folder) / f"{keep}.so"
            done = run(xfc, "-q", ONE_ISA, path, f"--lossy=hard-attention:keep={keep}", "-o", so)
            assert done.returncode == 0, done.stderr
            session[keep] = xf.InferenceSession(str(so), threads=2)
        for lengths, padded in (([1], 1), ([4, 2], 5), ([6], 6), ([9, 30, 1], 33), ([100, 7], 130)):
            for whole in (False, True):
                inputs = feed(rng, lengths, padded, whole)
                for keep, number in ((KEEP, KEEP), (0.25, 32), (1000, 1000)):  # of the 128 that are usual
                    got, want = session[keep].run(None, inputs)[0], reference(**inputs, keep=number)
                    for i, n in enumerate(lengths):  # what padding asks is nobody's business
                        np.testing.assert_allclose(got[i, :, :n], want[i, :, :n], rtol=2e-5, atol=2e-5, err_msg=f"{lengths} {keep}")
                longer = {name: np.pad(x, [(0, 0), (0, 0), (0, 17 if name != "mask" else 0), (0, 17 if name == "mask" else 0)],
                                       constant_values=-10000 if name == "mask" else 1) for name, x in inputs.items()}
                short, long = (session[KEEP].run(None, x)[0] for x in (inputs, longer))
                for i, n in enumerate(lengths):
                    np.testing.assert_allclose(short[i, :, :n], long[i, :, :n], rtol=2e-5, atol=2e-5)
    print("hard attention: as NumPy has it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
