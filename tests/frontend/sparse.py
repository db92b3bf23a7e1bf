#!/usr/bin/env python3
"""Models that were factorised or pruned in training: sparse weights, weights in factors, sparse initializers, against numpy's
dense products: interpreter, and compiled code, which must do them by their nonzeros.

sparse.py EVAL_ONNX [XFC XF_RUN]; exit code 77 without the onnx package."""
import os
import subprocess
import sys
import tempfile

import numpy as np

try:
    import onnx
    from onnx import TensorProto as T
    from onnx import helper as h
    from onnx import numpy_helper
except ImportError:
    print("SKIP: the onnx package is not installed")
    sys.exit(77)
from cases import run_calls

RNG = np.random.default_rng(11)
FAILED = []
DENSE = RNG.standard_normal((48, 40)).astype(np.float32) / 7


def sparse(rows, columns, entries):
    w = np.zeros((rows, columns), np.float32)
    at = np.argsort(RNG.random((rows, columns)), axis=0)[:entries]
    np.put_along_axis(w, at, RNG.standard_normal((entries, columns)).astype(np.float32), 0)
    return w


def by_nonzeros(w, linear):
    """As a sparse initializer."""
    at = np.argwhere(w)
    indices = at @ np.int64([w.shape[1], 1]) if linear else at.astype(np.int64)
    values = numpy_helper.from_array(w[tuple(at.T)], "s")
    return h.make_sparse_tensor(values, numpy_helper.from_array(indices, "s_at"), w.shape)


def model(nodes, weights, shape, sparse_weights=()):
    graph = h.make_graph(nodes, "g", [h.make_tensor_value_info("x", T.FLOAT, shape)], [h.make_tensor_value_info("y", T.FLOAT, None)],
                         [numpy_helper.from_array(w, name) for name, w in weights], sparse_initializer=list(sparse_weights))
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)


def product(a, b, y):
    return h.make_node("MatMul", [a, b], [y], name=y)


def run(name, m, calls, kernels):
    """kernels: how many of the compiled model are products by nonzeros."""
    with tempfile.TemporaryDirectory() as folder:
        problems = run_calls(sys.argv[1:], folder, m, calls)
        so = os.path.join(folder, "model.so")
        if len(sys.argv) > 2 and os.path.exists(so):
            ir = subprocess.run([sys.argv[2], "-q", "--emit=ir", os.path.join(folder, "model.onnx"), "-o", "-"], capture_output=True)
            found = ir.stdout.count(b'kernel "sparse"')
            problems += [f"{found} sparse kernels, not {kernels}"] if found != kernels else []
    if problems:
        FAILED.append(name)
        print(f"FAIL {name}: {'; '.join(problems)}")


def calls(f, *batches, depth=48):
    return [((x,), [f(x)]) for x in (RNG.standard_normal((*b, depth)).astype(np.float32) for b in batches)]


def recognised():
    s = sparse(40, 130, 9)
    pair = [product("x", "d", "t"), product("t", "s", "y")]
    want = lambda x: x @ DENSE @ s
    for shape, batches, kernels in (([1, 48], [(1,)], 0), (["n", 48], [(1,), (3,), (16,), (17,), (70,)], 1), (["b", "n", 48], [(2, 5), (1, 1)], 1)):
        run(f"a pair of {shape}", model(pair, [("d", DENSE), ("s", s)], shape), calls(want, *batches), kernels)  # of one token dense is faster
    bias = RNG.standard_normal(130).astype(np.float32)
    m = model([pair[0], h.make_node("Gemm", ["t", "st", "b"], ["z"], transB=1), h.make_node("Relu", ["z"], ["y"])],
              [("d", DENSE), ("st", s.T.copy()), ("b", bias)], ["n", 48])
    run("turned, with a bias", m, calls(lambda x: np.maximum(want(x) + bias, 0), (5,), (40,)), 1)
    for linear in (True, False):
        m = model(pair, [("d", DENSE)], ["n", 48], [by_nonzeros(s, linear)])
        run(f"a sparse initializer, linear={linear}", m, calls(want, (4,)), 1)
    half = sparse(40, 130, 25)
    run("half of it: dense is faster", model(pair, [("d", DENSE), ("s", half)], ["n", 48]), calls(lambda x: x @ DENSE @ half, (4,)), 0)
    wide = sparse(700, 64, 9)
    run("rows of two bytes", model([product("x", "w", "y")], [("w", wide)], ["n", 700]), calls(lambda x: x @ wide, (33,), depth=700), 1)


def kept_apart():
    """Weights that the graph makes of factors: the product as it is, or turned."""
    d, s = DENSE[:, :12].copy(), sparse(12, 130, 3)
    m = model([product("d", "s", "w"), product("x", "w", "y")], [("d", d), ("s", s)], ["n", 48])
    run("a product of weights", m, calls(lambda x: x @ (d @ s), (7,), (20,)), 1)
    m = model([product("st", "dt", "wt"), h.make_node("Transpose", ["wt"], ["w"], perm=[1, 0]), product("x", "w", "y")],
              [("st", s.T.copy()), ("dt", d.T.copy())], ["n", 48])
    run("one that is turned", m, calls(lambda x: x @ (d @ s), (7,)), 1)
    parts = [h.make_node("Split", ["x", "sizes"], ["x0", "x1"], axis=1)]
    weights, sums = [("sizes", np.int64([24, 24]))], []
    w = np.zeros((48, 130), np.float32)
    for i in range(2):
        di, si = RNG.standard_normal((24, 32)).astype(np.float32) / 5, sparse(32, 130, 8)
        parts += [product(f"x{i}", f"d{i}", f"t{i}"), product(f"t{i}", f"s{i}", f"y{i}")]
        weights += [(f"d{i}", di), (f"s{i}", si)]
        w[24 * i:24 * i + 24] = di @ si
    m = model([*parts, h.make_node("Add", ["y0", "y1"], ["y"])], weights, ["n", 48])
    run("blocks of inputs", m, calls(lambda x: x @ w, (7,)), 2)


recognised()
kept_apart()
print("FAILED: " + ", ".join(FAILED) if FAILED else "all passed")
sys.exit(bool(FAILED))
