#!/usr/bin/env python3
"""Operands that only the run knows: shapes, sizes and axes that are inputs or computed from data, and values whose size has no
bound over dims. Against NumPy, in the interpreter and compiled; what makes no sense must end the run and no more.

run_time.py EVAL_ONNX [XFC XF_RUN]; exit code 77 without the onnx package."""
import subprocess
import sys
import tempfile

import numpy as np

from cases import end, fail, run, write_model
import onnx
from onnx import TensorProto as T, reference
from onnx import helper as h

RNG = np.random.default_rng(12)
I = np.int64
node = h.make_node
x34 = RNG.standard_normal((3, 4)).astype(np.float32)
OFF = r"size.* is |beyond 63 bits|too large|out of memory|do not fit together|must be equal|outside"  # what is said of bad numbers


def info(name, a, dims=None):
    return h.make_tensor_value_info(name, h.np_dtype_to_tensor_dtype(np.asarray(a).dtype), np.asarray(a).shape if dims is None else dims)


def model(nodes, inputs, output, constants=(), opset=21):
    """inputs: (name, array of the type, dims or None for those of the array); output: (name, dtype, dims)."""
    graph = h.make_graph(nodes, "g", [info(*i) for i in inputs], [h.make_tensor_value_info(*o) for o in output],
                         [onnx.numpy_helper.from_array(np.asarray(a), n) for n, a in constants])
    return h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], ir_version=10)


def y(rank, t=T.FLOAT):
    return [("y", t, [None] * rank)]


def shapes():
    m = model([node("Reshape", ["x", "s"], ["r"], name="r"), node("Add", ["r", "r"], ["y"])],
              [("x", x34, ["n", "m"]), ("s", I([0] * 3))], y(3))
    two = lambda *s: (2 * x34).reshape(s)
    run("Reshape", m, [((x34, I([2, 3, 2])), [two(2, 3, 2)]), ((x34, I([0, 2, -1])), [two(3, 2, 2)]), ((x34, I([-1, 0, 1])), [two(3, 4, 1)]),
                       ((x34[:0], I([0, 4, 7])), [np.zeros((0, 4, 7), np.float32)]), ((x34, I([2, 2, 2])), OFF), ((x34, I([-1, -1, 3])), OFF),
                       ((x34, I([-2, 2, 3])), OFF), ((x34, I([3, 4, 0])), OFF), ((x34, I([2**40, 1, 1])), OFF), ((x34, I([2**31 - 1] * 3)), OFF),
                       ((x34, I([12, 1, 1])), [two(12, 1, 1)])])
    half = [node("Concat", ["s", "minus"], ["t"], axis=0), node("Reshape", ["x", "t"], ["y"], name="r")]
    m = model(half, [("x", x34, ["n", "m"]), ("s", I([0]))], y(2), [("minus", I([-1]))])
    run("Reshape, partly", m, [((x34, I([2])), [x34.reshape(2, 6)]), ((x34, I([5])), OFF), ((x34, I([0])), [x34])])
    m = model([node("Expand", ["x", "s"], ["e"], name="e"), node("Neg", ["e"], ["y"])], [("x", x34[:1], [1, "m"]), ("s", I([0, 0, 0]))], y(3))
    run("Expand", m, [((x34[:1], I(s)), [-np.broadcast_to(x34[:1], w)]) for s, w in
                      (([2, 5, 4], (2, 5, 4)), ([3, 1, 1], (3, 1, 4)), ([0, 2, 4], (0, 2, 4)), ([300, 20, 1], (300, 20, 4)), ([1, 1, 4], (1, 1, 4)))] +
        [((x34[:1], I([2, 2, 3])), OFF), ((x34[:1], I([-1, 2, 4])), OFF), ((x34[:1], I([2**31 - 1, 2**31 - 1, 4])), OFF)])
    m = model([node("ConstantOfShape", ["s"], ["c"], value=onnx.numpy_helper.from_array(np.float32([3]))), node("Add", ["c", "x"], ["y"])],
              [("s", I([0, 0])), ("x", x34, [3, 4])], y(2))
    run("ConstantOfShape", m, [((I([3, 4]), x34), [x34 + 3]), ((I([1, 1]), x34), [x34 + 3]), ((I([2, 4]), x34), OFF), ((I([3, -4]), x34), OFF)])
    m = model([node("Tile", ["x", "s"], ["y"], name="t")], [("x", x34, ["n", "m"]), ("s", I([0, 0]))], y(2))
    run("Tile", m, [((x34, I(s)), [np.tile(x34, s)]) for s in ((2, 3), (1, 1), (0, 2), (5, 1))] + [((x34, I([1, -1])), OFF)])
    m = model([node("OneHot", ["i", "d", "v"], ["y"], name="o")], [("i", I([1, 0, 2])), ("d", I(1), [])], y(2), [("v", np.float32([0, 1]))])
    run("OneHot", m, [((I([1, 0, 2]), I(d)), [np.eye(d, dtype=np.float32)[[1, 0, 2]]]) for d in (3, 5)] + [((I([0, 0, 0]), I(-1)), OFF)])
    m = model([node("Split", ["x", "s"], ["a", "b"], axis=1, name="s"), node("Neg", ["a"], ["y"]), node("Neg", ["b"], ["z"])],
              [("x", x34, ["n", "m"]), ("s", I([0, 0]))], [*y(2), ("z", T.FLOAT, [None, None])])
    run("Split", m, [((x34, I([k, 4 - k])), [-x34[:, :k], -x34[:, k:]]) for k in range(5)] + [((x34, I([3, 2])), OFF), ((x34, I([5, -1])), OFF)])


def axes():
    x = RNG.standard_normal((2, 3, 4)).astype(np.float32)
    for op, f in (("ReduceSum", np.sum), ("ReduceMean", np.mean), ("ReduceMax", np.max), ("ReduceProd", np.prod),
                  ("ReduceL2", lambda v, axis, keepdims: np.sqrt(np.sum(v * v, axis, keepdims=keepdims))),
                  ("ReduceLogSumExp", lambda v, axis, keepdims: np.log(np.sum(np.exp(v), axis, keepdims=keepdims)))):
        m = model([node(op, ["x", "a"], ["y"], name="r", keepdims=1)], [("x", x, ["b", 3, "m"]), ("a", I([0]), ["k"])], y(3))
        calls = [((x, I(a)), [f(x, axis=tuple(a) or None, keepdims=True)]) for a in ([1], [0, -1], [], [2, 0, 1])]
        run(f"{op}, keepdims", m, calls + [((x, I([3])), OFF), ((x, I([1, -2])), OFF), ((x[:1], I([0, 2])), [f(x[:1], axis=(0, 2), keepdims=True)])])
    m = model([node("ReduceSum", ["x", "a"], ["y"], name="r", keepdims=0)], [("x", x, ["b", 3, "m"]), ("a", I([0, 0]))], y(1))
    run("ReduceSum, no keepdims", m, [((x, I(a)), [x.sum(tuple(a))]) for a in ([0, 1], [1, 2], [-1, 0])] + [((x, I([1, 1])), OFF), ((x, I([0, 5])), OFF)])
    m = model([node("ReduceSum", ["x", "a"], ["y"], name="r", noop_with_empty_axes=1)], [("x", x, ["b", 3, "m"]), ("a", I([0]), ["k"])], y(3))
    run("ReduceSum, none", m, [((x, I([])), [x]), ((x, I([1])), [x.sum(1, keepdims=True)])])
    m = model([node("CumSum", ["x", "a"], ["y"], name="c")], [("x", x, ["b", 3, "m"]), ("a", I(0), [])], y(3))
    run("CumSum", m, [((x, I(a)), [x.cumsum(a)]) for a in (0, 1, 2, -1, -3)] + [((x, I(3)), OFF), ((x[:0], I(0)), [x[:0]])])
    m = model([node("Unsqueeze", ["x", "a"], ["y"], name="u")], [("x", x34, ["n", "m"]), ("a", I([0, 0]))], y(4))
    run("Unsqueeze", m, [((x34, I(a)), [np.expand_dims(x34, a)]) for a in ([0, 1], [3, 0], [-1, 1], [-2, -4])] + [((x34, I([1, 1])), OFF), ((x34, I([0, 4])), OFF)])
    m = model([node("Squeeze", ["x", "a"], ["y"], name="u")], [("x", x34[None, :, None], ["a", "b", "c", "d"]), ("a", I([0, 0]))], y(2))
    run("Squeeze", m, [((x34[None, :, None], I(a)), [x34]) for a in ([0, 2], [-2, -4])] +
        [((x34[:, None, None], I([1, 2])), [x34]), ((x34[None, :, None], I([0, 1])), OFF), ((x34[None, :, None], I([2, 2])), OFF)])


def slices():
    x = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    far = 2**63 - 1
    m = model([node("Slice", ["x", "s", "e", "a", "t"], ["y"], name="cut")], [("x", x, ["b", "n", 5]), *((n, I([0, 0])) for n in "seat")], y(3))

    def want(v, s, e, a, t):
        at = [slice(None)] * 3
        for begin, end, axis, step in zip(s, e, a, t):
            at[axis] = slice(begin, None if step < 0 and end < -v.shape[axis] else end, step)
        return v[tuple(at)]
    good = [([1, 0], [3, 9], [0, 1], [1, 1]), ([-1, 2], [-far - 1, far], [1, 2], [-1, 2]), ([3, 4], [0, 1], [-2, -1], [-2, -1]), ([5, -9], [9, 9], [0, 2], [1, 3]),
            ([2, 0], [1, 5], [1, 0], [1, 1]), ([far, 0], [-far - 1, 2], [2, 0], [-1, far]), ([0, 1], [far, -1], [0, 1], [2**40, 1])]
    run("Slice", m, [((x, *map(I, g)), [want(x, *g)]) for g in good] + [((x[:0], *map(I, good[0])), [want(x[:0], *good[0])])] +
        [((x, I([0, 0]), I([2, 2]), I([0, 1]), I([1, 0])), OFF), ((x, I([0, 0]), I([2, 2]), I([1, -2]), I([1, 1])), OFF), ((x, I([0, 0]), I([2, 2]), I([0, 3]), I([1, 1])), OFF)])
    m = model([node("Slice", ["x", "s", "e", "two"], ["c"], name="cut"), node("Neg", ["c"], ["y"])],
              [("x", x, ["b", "n", 5]), ("s", I([0])), ("e", I([0]))], y(3), [("two", I([1]))])
    run("Slice, known axes", m, [((x, I([s]), I([e])), [-x[:, s:e]]) for s, e in ((1, 3), (0, far), (-2, -1), (3, 1))])
    m = model([node("Slice", ["x", "s", "e"], ["y"], name="cut")], [("x", x, ["b", "n", 5]), ("s", I([0]), ["k"]), ("e", I([0]), ["l"])], y(3))
    run("Slice, any number of axes", m, [((x, I([1]), I([3])), [x[1:3]]), ((x, I([0, 1, 2]), I([2, 4, 5])), [x[:2, 1:4, 2:]]), ((x, I([]), I([])), [x]),
                                         ((x, I([0] * 4), I([1] * 4)), OFF), ((x, I([0, 1]), I([2])), "equal|agree|do not fit|must be")])


def pads():
    modes = {"constant": "constant", "edge": "edge", "reflect": "reflect", "wrap": "wrap"}
    for mode, known in modes.items():
        m = model([node("Pad", ["x", "p"], ["y"], name="pad", mode=mode)], [("x", x34, ["n", "m"]), ("p", I([0] * 4))], y(2))
        calls = [((x34, I([a, b, c, d])), [np.pad(x34, ((a, c), (b, d)), known)]) for a, b, c, d in ((1, 0, 0, 2), (0, 0, 0, 0), (2, 3, 1, 0))]
        if mode in ("constant", "edge"):
            cut = lambda a, b, c, d: np.pad(x34[max(-a, 0): 3 - max(-c, 0), max(-b, 0): 4 - max(-d, 0)], ((max(a, 0), max(c, 0)), (max(b, 0), max(d, 0))), known)
            calls += [((x34, I([-1, 2, 1, -2])), [cut(-1, 2, 1, -2) if mode == "constant" else np.pad(x34, ((0, 1), (2, 0)), "edge")[1:, :-2]])]
        run(f"Pad, {mode}", m, calls + [((x34, I([-2, 0, -2, 0])), OFF), ((x34, I([2**40, 0, 0, 0])), OFF)])
    m = model([node("Pad", ["x", "p", "v", "a"], ["y"], name="pad")], [("x", x34, ["n", "m"]), ("p", I([0, 0])), ("v", np.float32(0), []), ("a", I([0]))], y(2))
    run("Pad, fill and axes", m, [((x34, I([1, 2]), np.float32(7), I([0])), [np.pad(x34, ((1, 2), (0, 0)), constant_values=7)]),
                                  ((x34, I([0, 1]), np.float32(-np.inf), I([-1])), [np.pad(x34, ((0, 0), (0, 1)), constant_values=-np.inf)]), ((x34, I([0, 1]), np.float32(1), I([2])), OFF)])


def resizes():
    x = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
    nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}

    def at(n, scale):
        return np.minimum(np.floor(np.arange(int(np.float32(n) * np.float32(scale)), dtype=np.float32) / np.float32(scale)), n - 1).astype(int)
    m = model([node("Resize", ["x", "", "s"], ["y"], name="r", axes=[2, 3], **nearest)], [("x", x, [1, 2, "h", "w"]), ("s", np.float32([0, 0]))], y(4))
    run("Resize, scales", m, [((x, np.float32(s)), [x[:, :, at(3, s[0])][:, :, :, at(4, s[1])]]) for s in ((2, 1.5), (1, 1), (0.6, 0.5), (3.3, 0.25))] +
        [((x, np.float32(s)), OFF) for s in ((0, 1), (1, np.nan), (-1, 1), (1, np.inf), (2**21, 1))])
    m = model([node("Resize", ["x", "", "", "s"], ["y"], name="r", axes=[3, 2], **nearest)], [("x", x, [1, 2, "h", "w"]), ("s", I([0, 0]))], y(4))
    run("Resize, sizes", m, [((x, I([w, h])), [x[:, :, at(3, h / 3)][:, :, :, at(4, w / 4)]]) for w, h in ((8, 3), (4, 6), (2, 1), (40, 3), (0, 3))] +
        [((x, I([4, -3])), OFF), ((x, I([2**40, 3])), OFF)])
    nodes = [node("Shape", ["x"], ["s"]), node("Cast", ["s"], ["f"], to=T.FLOAT), node("Div", ["wanted", "f"], ["scales"]),
             node("Resize", ["x", "", "scales"], ["y"], name="r", mode="linear")]
    m = model(nodes, [("x", x, [1, 2, "h", "w"])], y(4), [("wanted", np.float32([1, 2, 6, 8]))])
    ones = np.ones((1, 2, 3, 4), np.float32)
    run("Resize, scales of dims", m, [((v,), [np.ones((1, 2, 6, 8), np.float32)]) for v in (ones, ones[:, :, :2], ones[:, :, :, :1])])


def ranges():
    for dtype, calls in ((np.int64, [(0, 5, 1), (3, 20, 4), (5, -7, -3), (2, 2, 1), (4, 1, 2), (2**62, 2**62 + 3, 1)]), (np.int32, [(-3, 9, 5)]),
                         (np.float32, [(0, 1, 0.25), (1, -1, -0.75), (0.5, 0.5, 1), (3, 1, 1)])):
        m = model([node("Range", ["a", "b", "c"], ["y"], name="range")], [(n, dtype(0), []) for n in "abc"], y(1, h.np_dtype_to_tensor_dtype(np.dtype(dtype))))
        bad = [((dtype(0), dtype(5), dtype(0)), OFF), ((dtype(0), dtype(2**31 - 1), dtype(1) / 4 if dtype is np.float32 else dtype(1) - 1), OFF)]
        if dtype is np.int64:
            bad += [((I(-2**62), I(2**62), I(1)), OFF), ((I(-2**63), I(2**63 - 1), I(3)), OFF)]
        if dtype is np.float32:
            bad += [((dtype(0), dtype(np.nan), dtype(1)), OFF), ((dtype(0), dtype(np.inf), dtype(1)), OFF)]
        run(f"Range {dtype.__name__}", m, [(tuple(dtype(v) for v in c), [np.arange(*c, dtype=dtype)]) for c in calls] + bad)


def sized_work():
    """Products, softmax and TopK over rows and columns that only data counts: scratch and results grow."""
    w = RNG.standard_normal((6, 5)).astype(np.float32)
    nodes = [node("ConstantOfShape", ["s"], ["c"]), node("Expand", ["x", "s"], ["e"]), node("MatMul", ["e", "w"], ["p"]), node("Transpose", ["p"], ["q"]),
             node("Softmax", ["q"], ["f"], axis=-1), node("MatMul", ["f", "p"], ["g"]), node("TopK", ["q", "k"], ["v", "i"], axis=-1),
             node("ReduceSum", ["v", "last"], ["t"], keepdims=1), node("Add", ["g", "t"], ["y"])]
    m = model(nodes, [("s", I([1, 6])), ("x", w[:1, :1], [1, 1])], y(2), [("w", w), ("k", I([1])), ("last", I([1]))])

    def want(n, x):
        p = np.broadcast_to(np.float64(x), (n, 6)) @ w
        f = np.exp(p.T - p.T.max(1, keepdims=True))
        return np.float32(f / f.sum(1, keepdims=True) @ p + p.T.max(1, keepdims=True))
    run("work of any size", m, [((I([n, 6]), np.float32([[v]])), [want(n, np.float32(v))]) for n, v in ((1, 2), (300, -1), (33, 0.5), (400, 1), (5, 3))])


def regions():
    """In loops and branches: a value that grows in each step, and one that only a branch makes."""
    step = h.make_graph([node("Add", ["i", "one"], ["next"]), node("Reshape", ["next", "flat"], ["count"]), node("Expand", ["x", "count"], ["many"]),
                         node("ReduceSum", ["many"], ["part"], keepdims=0), node("Add", ["sum", "part"], ["more"]), node("Identity", ["again"], ["on"])],
                        "step", [info("i", I(0), []), info("again", np.array(True), []), info("sum", np.float32(0), [])],
                        [info("on", np.array(True), []), info("more", np.float32(0), [])])
    m = model([node("Loop", ["n", "", "zero"], ["y"], body=step, name="loop")], [("n", I(0), []), ("x", np.float32([2]), [1])], y(0),
              [("one", I(1)), ("flat", I([1])), ("zero", np.float32(0))])
    run("Loop, a size of each step", m, [((I(n), np.float32([2])), [np.float32(n * (n + 1))]) for n in (0, 1, 5, 40, 3)])
    carried = h.make_graph([node("Mul", ["c", "two"], ["d"]), node("Identity", ["again"], ["on"])], "step",
                           [info("i", I(0), []), info("again", np.array(True), []), info("c", np.float32([0]), ["k"])],
                           [info("on", np.array(True), []), info("d", np.float32([0]), ["k"])])
    m = model([node("Expand", ["x", "s"], ["e"]), node("Loop", ["n", "", "e"], ["y"], body=carried, name="loop")],
              [("n", I(0), []), ("x", np.float32([2]), [1]), ("s", I([1]))], y(1), [("two", np.float32(2))])
    run("Loop, carried", m, [((I(n), np.float32([3]), I([k])), [np.full(k, 3 * 2.0**n, np.float32)]) for n, k in ((0, 4), (1, 900), (3, 2), (2, 0))])
    yes = h.make_graph([node("Expand", ["x", "s"], ["a"])], "yes", [], [h.make_tensor_value_info("a", T.FLOAT, [None])])
    no = h.make_graph([node("Neg", ["x"], ["b"])], "no", [], [h.make_tensor_value_info("b", T.FLOAT, [None])])
    m = model([node("If", ["c"], ["z"], then_branch=yes, else_branch=no, name="if"), node("Exp", ["z"], ["y"])],
              [("c", np.array(True), []), ("x", np.float32([2]), [1]), ("s", I([1]))], y(1))
    run("If", m, [((np.array(c), np.float32([2]), I([k])), [np.exp(np.full(k, 2, np.float32)) if c else np.exp(np.float32([-2]))])
                  for c, k in ((True, 5), (False, 7), (True, 0), (True, 3000), (False, -1))] + [((np.array(True), np.float32([2]), I([-1])), OFF)])


def wanted(m, *given):
    return reference.ReferenceEvaluator(m).run(None, {v.name: a for v, a in zip(m.graph.input, given)})


def compared(name, m, good, bad=(), said=OFF):
    """Against the reference of the onnx package. good, bad: lists of operands."""
    run(name, m, [(g, wanted(m, *g)) for g in good] + [(b, said) for b in bad])


def readers_of_one():
    """Who reads one operand has one size for an entry of it, also where Reshape would take more than sizes."""
    nodes = [node("Reshape", ["x", "s"], ["r"], name="r"), node("Expand", ["z", "s"], ["e"], name="e"), node("Add", ["r", "e"], ["a"]),
             node("ConstantOfShape", ["s"], ["c"]), node("Add", ["a", "c"], ["b"]), node("Reshape", ["x", "s"], ["again"], name="q"), node("Add", ["b", "again"], ["y"])]
    z = np.float32([[2]])
    for order in (nodes, [nodes[1], nodes[0], *nodes[2:]], [nodes[3], nodes[5], nodes[1], nodes[0], nodes[2], nodes[4], nodes[6]]):
        m = model(order, [("x", x34, ["n", "m"]), ("z", z), ("s", I([0, 0]))], y(2))
        run("one operand", m, [((x34, z, I(s)), [2 * x34.reshape(s) + 2]) for s in ((3, 4), (6, 2), (1, 12))] +
            [((x34, z, I([0, 4])), OFF), ((x34, z, I([-1, 4])), OFF), ((x34, z, I([3, 5])), OFF), ((x34[:0], z, I([0, 4])), [x34[:0]])])
        if len(sys.argv) < 3:
            continue
        with tempfile.TemporaryDirectory() as folder:
            text = subprocess.run([sys.argv[2], "-q", "--emit=ir", write_model(folder, m), "-o", "-"], capture_output=True, check=True).stdout.decode()
            if "or size" in text or "max(size" in text or "%y = kernel" not in text:
                fail("one operand", f"its sizes stay apart\n{text}")
    both = [node("If", ["on"], ["y"], name="if", then_branch=h.make_graph([node("Expand", ["x", "s"], ["a"])], "yes", [], [h.make_tensor_value_info("a", T.FLOAT, [None])]),
                 else_branch=h.make_graph([node("ConstantOfShape", ["s"], ["b"])], "no", [], [h.make_tensor_value_info("b", T.FLOAT, [None])]))]
    m = model(both, [("on", np.array(True), []), ("x", np.float32([2]), [1]), ("s", I([0]))], y(1))
    run("one operand of two branches", m, [((np.array(t), np.float32([2]), I([k])), [np.full(k, 2 if t else 0, np.float32)]) for t, k in ((True, 3), (False, 5), (True, 7))])


def signals():
    for op in ("HannWindow", "HammingWindow", "BlackmanWindow"):
        m = model([node(op, ["n"], ["y"], name="w", periodic=0)], [("n", np.int32(0), [])], y(1))
        compared(op, m, [(np.int32(k),) for k in (2, 10, 77)], [(np.int32(-1),)])
    x = RNG.standard_normal((2, 6, 5, 1)).astype(np.float32)
    pairs = RNG.standard_normal((2, 6, 5, 2)).astype(np.float32)
    for name, v, keys in (("DFT", x, {}), ("DFT of one side", x, {"onesided": 1}), ("DFT of pairs", pairs, {}), ("DFT back", pairs, {"inverse": 1})):
        m = model([node("DFT", ["x", "", "a"], ["y"], name="d", **keys)], [("x", v, ["a", "b", "c", v.shape[3]]), ("a", I(0), [])], y(4))
        compared(name, m, [(v, I(a)) for a in (0, 1, 2, -2, -4)], [(v, I(a)) for a in (3, -1, -5, 4)])
        m = model([node("DFT", ["x", "n"], ["y"], name="d", **keys)], [("x", v, ["a", "b", "c", v.shape[3]]), ("n", I(0), [])], y(4))
        compared(f"{name} of a length", m, [(v, I(k)) for k in (1, 4, 5, 9)], [(v, I(0)), (v, I(-3))])
    signal, window = RNG.standard_normal((2, 50, 1)).astype(np.float32), RNG.random(16).astype(np.float32)
    m = model([node("STFT", ["x", "s", "", "n"], ["y"], name="d")], [("x", signal, ["b", "t", 1]), ("s", I(0), []), ("n", I(0), [])], y(4))
    compared("STFT", m, [(signal, I(s), I(k)) for s, k in ((8, 16), (1, 50), (7, 5), (60, 2))], [(signal, I(s), I(k)) for s, k in ((0, 16), (-1, 16), (1, 51), (1, 0))])
    m = model([node("STFT", ["x", "s", "w"], ["y"], name="d", onesided=0)], [("x", signal, ["b", "t", 1]), ("s", I(0), []), ("w", window, ["n"])], y(4))
    compared("STFT with a window", m, [(signal, I(s), window[:k]) for s, k in ((8, 16), (3, 5))])
    m = model([node("MelWeightMatrix", ["b", "n", "r", "low", "high"], ["y"], name="m")],
              [("b", np.int32(0), []), ("n", np.int32(0), []), ("r", np.int32(0), []), ("low", np.float32(0), []), ("high", np.float32(0), [])], y(2))
    numbers = lambda b, n, r, low, high: (np.int32(b), np.int32(n), np.int32(r), np.float32(low), np.float32(high))
    compared("MelWeightMatrix", m, [numbers(8, 16, 8192, 0, 4096), numbers(40, 512, 16000, 20, 7600), numbers(3, 9, 100, 1, 40)],
             [numbers(8, 16, 8192, 0, 9000), numbers(0, 16, 8192, 0, 4096), numbers(8, 16, 0, 0, 4096), numbers(8, 16, 8192, 40, 20), numbers(8, -16, 8192, 0, 40)])


def images():
    theta = RNG.standard_normal((2, 2, 3)).astype(np.float32)
    m = model([node("AffineGrid", ["t", "s"], ["y"], name="g")], [("t", theta, ["b", 2, 3]), ("s", I([0] * 4))], y(4))
    compared("AffineGrid", m, [(theta, I([2, 3, h_, w])) for h_, w in ((5, 6), (1, 1), (20, 3))], [(theta, I([3, 3, 5, 6])), (theta, I([2, 3, -5, 6]))])
    theta = RNG.standard_normal((1, 3, 4)).astype(np.float32)
    m = model([node("AffineGrid", ["t", "s"], ["y"], name="g", align_corners=1)], [("t", theta), ("s", I([0] * 5))], y(5))
    compared("AffineGrid of space", m, [(theta, I([1, 2, 4, 2, 3]))])
    x = RNG.standard_normal((2, 12, 20)).astype(np.float32)
    m = model([node("Col2Im", ["x", "i", "b"], ["y"], name="c")], [("x", x, ["n", "c", "l"]), ("i", I([0, 0])), ("b", I([0, 0]))], y(4))
    compared("Col2Im", m, [(x, I([5, 6]), I([2, 2])), (x, I([6, 6]), I([2, 3])), (x, I([7, 5]), I([4, 1]))],
             [(x, I([5, 5]), I([2, 2])), (x, I([8, 8]), I([5, 4])), (x, I([5, 6]), I([0, 2])), (x, I([-5, 6]), I([2, 2]))])
    x = RNG.standard_normal((5, 8, 3)).astype(np.float32)
    m = model([node("CenterCropPad", ["x", "s"], ["y"], name="c", axes=[0, 1])], [("x", x, ["a", "b", "c"]), ("s", I([0, 0]))], y(3))
    compared("CenterCropPad", m, [(x, I(s)) for s in ([5, 8], [2, 11], [9, 3], [6, 7], [1, 1])], [(x, I([-1, 3]))])
    x, at = np.float32([[[[5, 6], [7, 8]]]]), I([[[[5, 7], [13, 15]]]])
    m = model([node("MaxUnpool", ["x", "i", "s"], ["y"], name="u", kernel_shape=[2, 2], strides=[2, 2])],
              [("x", x), ("i", at), ("s", I([0] * 4))], y(4))
    compared("MaxUnpool", m, [(x, at, I([1, 1, 5, 5]))], [(x, at, I([1, 1, 3, 5]))])


def dropout():
    m = model([node("Dropout", ["x", "r", "t"], ["d", "mask"], name="d"), node("Neg", ["d"], ["y"]), node("Identity", ["mask"], ["z"])],
              [("x", x34, ["n", "m"]), ("r", np.float32(0), []), ("t", np.array(True), [])], [*y(2), ("z", T.BOOL, [None, None])])
    rows = [(x34, np.float32(r), np.array(t)) for r, t in ((0, True), (0.5, False), (0, False))]
    run("Dropout", m, [(g, [-x34, np.ones((3, 4), bool)]) for g in rows] + [((x34, np.float32(0.5), np.array(True)), "whether Dropout trains")])


def open_lengths():
    """Operands of a length that only the rank of the output tells; another one ends the run."""
    x = RNG.standard_normal((2, 3, 4)).astype(np.float32)
    dims, length, said = ["a", "b", "c"], ["k"], r"but must be|dim \d is \d, expected|the model takes|do not fit together|one of them is 1|must be equal"
    for op, rank, good, bad, keys in (
            ("Reshape", 2, ([6, 4], [2, -1]), ([2, 3, 4], [24]), {}), ("Expand", 3, ([2, 3, 4], [3, 4], [1], []), ([1, 2, 3, 4], [5]), {}),
            ("Expand", 4, ([5, 2, 3, 4],), ([2, 3, 4],), {}), ("Tile", 3, ([1, 2, 1],), ([2, 2],), {}),
            ("ReduceSum", 2, ([1], [-1]), ([0, 1],), {"keepdims": 0}), ("Unsqueeze", 5, ([0, 2], [-1, 1]), ([0],), {}),
            ("CenterCropPad", 3, ([1, 5, 4],), ([1],), {})):
        m = model([node(op, ["x", "s"], ["y"], name="n", **keys)], [("x", x, dims), ("s", I([0]), length)], y(rank))
        compared(f"{op} of an open length", m, [(x, I(s)) for s in good], [(x, I(s)) for s in bad], said)
    m = model([node("GatherND", ["x", "i"], ["y"], name="n")], [("x", x, dims), ("i", I([[0]]), ["p", "k"])], y(2))
    compared("GatherND of an open length", m, [(x, I([[0, 1], [1, 2]]))], [(x, I([[0]]))], said)
    m = model([node("ScatterND", ["x", "i", "u"], ["y"], name="n")], [("x", x, dims), ("i", I([[0]]), ["p", "k"]), ("u", x[0], ["p", "q"])], y(3))
    compared("ScatterND of an open length", m, [(x, I([[0, 1], [1, 2]]), x[0, :2])], [(x, I([[0]]), x[0, :1])], said)


def refused():
    m = model([node("Reshape", ["x", "s"], ["y"], name="r")], [("x", x34), ("s", I([0]), ["k"])], [("y", T.FLOAT, None)])
    run("a rank that nobody knows", m, [((x34, I([12])), "'r'.*operand 's' has a length that is not known, so that nobody can know")], sys.argv[1:2])


def main():
    shapes()
    axes()
    slices()
    pads()
    resizes()
    ranges()
    sized_work()
    regions()
    readers_of_one()
    signals()
    images()
    dropout()
    open_lengths()
    refused()
    end()


if __name__ == "__main__":
    main()
