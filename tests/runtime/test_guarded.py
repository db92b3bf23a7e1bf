#!/usr/bin/env python3
"""Compiled models on a device whose memory the host cannot touch (guarded.c): the bits of the CPU, and no process that ends.

test_guarded.py XF_PY XFC GUARDED_ARCHIVE; exit code 77 without NumPy and the onnx package."""
import importlib.util
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    from onnx import TensorProto as T
    from onnx import helper as h
    from onnx import numpy_helper
except ImportError:
    print("SKIP: NumPy and the onnx package are not installed")
    sys.exit(77)

spec = importlib.util.spec_from_file_location("xf", sys.argv[1])
xf = importlib.util.module_from_spec(spec)
spec.loader.exec_module(xf)
XFC, ARCHIVE = sys.argv[2:4]
RNG = np.random.default_rng(3)
NODE = h.make_node


def weights(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def model(nodes, inputs, outputs, constants):
    info = lambda name, t, dims: h.make_tensor_value_info(name, t, dims)
    graph = h.make_graph(nodes, "g", [info(*i) for i in inputs], [info(*o) for o in outputs],
                         [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()])
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 21)], ir_version=9)


def encoder():
    """Table, padding by a mask, products, rows: kernels with weights and scratch, and sizes from the mask."""
    ids, mask = RNG.integers(0, 50, (3, 9)), np.int64([[1] * 9, [1] * 4 + [0] * 5, [1] + [0] * 8])
    nodes = [NODE("Gather", ["table", "ids"], ["e"]), NODE("MatMul", ["e", "w"], ["q"]), NODE("Transpose", ["e"], ["t"], perm=[0, 2, 1]),
             NODE("MatMul", ["q", "t"], ["s"]), NODE("Cast", ["mask"], ["m"], to=T.FLOAT), NODE("Sub", ["one", "m"], ["no"]),
             NODE("Mul", ["no", "least"], ["far"]), NODE("Unsqueeze", ["far", "axis"], ["bias"]), NODE("Add", ["s", "bias"], ["b"]),
             NODE("Softmax", ["b"], ["p"], axis=-1), NODE("MatMul", ["p", "e"], ["c"]),
             NODE("LayerNormalization", ["c", "g", "g"], ["y"], axis=-1)]
    return model(nodes, [("ids", T.INT64, ["b", "s"]), ("mask", T.INT64, ["b", "s"])], [("y", T.FLOAT, None)],
                 {"table": weights(50, 32), "w": weights(32, 32), "g": weights(32), "one": np.float32(1), "least": np.float32(-3e38),
                  "axis": np.int64([1])}), [{"ids": ids, "mask": mask}, {"ids": ids[:1], "mask": mask[:1]}, {"ids": ids, "mask": mask}]


def chosen():
    """The k best of a row, k being an input, and what a branch makes of them."""
    branch = lambda op: h.make_graph([NODE(op, ["v"], [op])], op, [], [h.make_tensor_value_info(op, T.FLOAT, None)])
    nodes = [NODE("TopK", ["x", "k"], ["v", "i"]), NODE("ReduceSum", ["v", "axis"], ["y"], keepdims=0),
             NODE("If", ["c"], ["w"], then_branch=branch("Neg"), else_branch=branch("Exp")), NODE("ReduceMax", ["w", "axis"], ["z"], keepdims=0)]
    x = weights(5, 300)
    return model(nodes, [("x", T.FLOAT, ["b", "n"]), ("k", T.INT64, [1]), ("c", T.BOOL, [])], [("y", T.FLOAT, None), ("z", T.FLOAT, None), ("v", T.FLOAT, None)],
                 {"axis": np.int64([1])}), [{"x": x, "k": np.int64([k]), "c": np.array(c)} for k, c in ((3, True), (300, False), (1, False), (40, True))]


def compiled(folder, name, m, *options):
    path, so = os.path.join(folder, "m.onnx"), os.path.join(folder, name)
    with open(path, "wb") as f:
        f.write(m.SerializeToString())
    subprocess.run([XFC, path, "-o", so, *options], check=True)
    return xf.InferenceSession(so, threads=2)


def main():
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        linker = os.path.join(folder, "linker")
        with open(linker, "w", encoding="utf-8") as f:  # links the guarded runtime for the one that xfc brings
            f.write("#!/bin/sh\nfor a; do shift; case $a in *libxf_runtime.a) : > $0.used; a=" + f"'{ARCHIVE}'" + ';; esac; set -- "$@" "$a"; done\nexec cc "$@"\n')
        os.chmod(linker, 0o755)
        for make in (encoder, chosen):
            m, feeds = make()
            cpu = compiled(folder, make.__name__ + ".so", m)
            guarded = compiled(folder, make.__name__ + "-guarded.so", m, "--linker=" + linker)
            for feed in feeds:
                same = all(a.tobytes() == b.tobytes() for a, b in zip(cpu.run(None, feed), guarded.run(None, feed)))
                if not same:
                    print(f"FAIL {make.__name__}: the results differ")
                failed += not same
            try:
                guarded.run(None, {n: a + 1000 if n in ("ids", "k") else a for n, a in feeds[0].items()})
                failed += 1
                print(f"FAIL {make.__name__}: no error")
            except xf.Error as e:
                if not any(word in str(e) for word in ("'ids' is 10", "k is 1003")):
                    failed += 1
                    print(f"FAIL {make.__name__}: {e}")
        failed += not os.path.exists(linker + ".used")
    print(f"{failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
