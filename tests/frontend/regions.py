#!/usr/bin/env python3
"""If on conditions that data decides, and Loop: interpreter and compiled code, then a session of xf.py over what a run shows of itself.

regions.py EVAL_ONNX XFC XF_RUN XF_PY; exit code 77 without the onnx package."""
import os
import subprocess
import sys
import tempfile

import numpy as np

from cases import ONE_ISA, check, end, load_xf, run, write_model
import onnx
from onnx import TensorProto as T
from onnx import helper as h

RNG = np.random.default_rng(8)
NODE = h.make_node
YES, NO = np.array(True), np.array(False)


def info(name, a, dims):
    return h.make_tensor_value_info(name, h.np_dtype_to_tensor_dtype(np.asarray(a).dtype), dims)


def constant(name, a):
    return onnx.numpy_helper.from_array(np.asarray(a), name)


def body(name, nodes, outputs, constants=(), inputs=()):
    """outputs: names, or (name, type) where that is not float."""
    outs = [h.make_tensor_value_info(*((o, T.FLOAT) if isinstance(o, str) else o), None) for o in outputs]
    return h.make_graph(nodes, name, list(inputs), outs, list(constants))


def model(nodes, inputs, outputs, constants=()):
    """inputs: (name, array, dims); outputs: (name, type)."""
    graph = h.make_graph(nodes, "g", [info(*i) for i in inputs], [h.make_tensor_value_info(n, t, None) for n, t in outputs], list(constants))
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 18)], ir_version=9)


def refused(name, m, inputs, message):
    run(name, m, [(inputs, message)], sys.argv[1:2])


def If(yes, no, outputs=("y",), name="choose", condition="c"):
    return NODE("If", [condition], list(outputs), name=name, then_branch=yes, else_branch=no)


def ifs():
    x, w = RNG.standard_normal((3, 4)).astype(np.float32), RNG.standard_normal((4, 4)).astype(np.float32)
    xs, i = [("x", x, ("n", "m")), ("c", YES, ())], np.int64([2, -1])
    rows = body("rows", [NODE("Gather", ["x", "i"], ["r"])], ["r"])
    minus = body("minus", [NODE("Neg", ["x"], ["s"])], ["s"])
    take = model([If(rows, minus)], [*xs, ("i", i, ("k",))], [("y", T.FLOAT)])
    run("an index that only one branch has", take, [((x, YES, i), [x[i]]), ((x, NO, i + 9), [-x]), ((x, YES, i + 9), "input 2 'i' is 11|index 11|outside|range"),
                                                    ((x[:0], NO, i), [x[:0]])])
    fits = body("fits", [NODE("MatMul", ["x", "w"], ["p"]), NODE("Add", ["p", "x"], ["r"])], ["r"], [constant("w", w)])
    run("a shape that only one branch takes", model([If(fits, minus)], xs, [("y", T.FLOAT)]),
        [((x, YES), [x @ w + x]), ((x[:, :3], NO), [-x[:, :3]]), ((x[:, :3], YES), "3")])
    # A body in a body; names that are around, in other branches, and shared; results that are inputs, constants, one value twice.
    inner = body("inner", [If(fits, minus, ["q"], "inner", "d")], ["q"])
    for c in (YES, NO):
        for d in (YES, NO):
            run(f"an If in an If, {c} {d}", model([If(inner, fits)], [*xs, ("d", d, (1,))], [("y", T.FLOAT)]),
                [((x, c, d.reshape(1)), [-x if c and not d else x @ w + x])])
    twice = body("twice", [NODE("Identity", ["x"], ["r"])], ["r", "r", "one"], [constant("one", np.float32([1]))])
    other = body("other", [NODE("Exp", ["x"], ["e"]), NODE("ReduceSum", ["e"], ["t"], keepdims=0), NODE("Reshape", ["t", "flat"], ["u"])], ["e", "x", "u"],
                 [constant("flat", np.int64([1]))])
    run("results of every kind", model([If(twice, other, ["a", "b", "y"])], xs, [("a", T.FLOAT), ("b", T.FLOAT), ("y", T.FLOAT)]),
        [((x, YES), [x, x, np.float32([1])]), ((x, NO), [np.exp(x), x, np.exp(x).sum(dtype=np.float32).reshape(1)])])
    double = body("b", [NODE("Cast", ["x"], ["s"], to=T.DOUBLE)], [("s", T.DOUBLE)])
    refused("a type for each branch", model([If(minus, double)], xs, [("y", T.FLOAT)]), (x, YES), "'choose'.*output 0 is f32\\[n, m\\] in one branch and f64")


def ranks_by_size():
    """Ranks that differ where a size is 1, as exporters write squeeze: it is taken to be none, and a run checks it."""
    x, column = RNG.standard_normal((3, 4)).astype(np.float32), RNG.standard_normal((3, 1)).astype(np.float32)
    one, axis = constant("one", np.int64([1])), constant("axis", np.int64([1]))
    squeeze = body("squeeze", [NODE("Squeeze", ["x", "axis"], ["s"])], ["s"])
    keep = body("keep", [NODE("Neg", ["x"], ["k"])], ["k"])
    size = [NODE("Shape", ["x"], ["size"], start=1), NODE("Equal", ["size", "one"], ["is_one"]), NODE("Not", ["is_one"], ["not_one"])]
    for condition, arms in (("is_one", (squeeze, keep)), ("not_one", (keep, squeeze))):
        m = model([*size, If(*arms, condition=condition)], [("x", x, ("n", "m"))], [("y", T.FLOAT)], [one, axis])
        run(f"ranks by {condition}", m, [((x,), [-x]), ((column,), "m is 1|any size but that|1 != 1|not 1"), ((x[:0],), [-x[:0]]), ((x[:, :0],), [-x[:, :0]])])
        fixed = model([*size, If(*arms, condition=condition)], [("x", column, ("n", 1))], [("y", T.FLOAT)], [one, axis])
        run(f"ranks by {condition}, of 1", fixed, [((column,), [column[:, 0]])])


def required_in_a_branch():
    """That a size is none below 0, which only one branch requires, proves nothing behind it."""
    x = RNG.standard_normal(10).astype(np.float32)
    cut = body("cut", [NODE("Squeeze", ["k"], ["k0"]), NODE("Range", ["zero", "k0", "step"], ["r"]), NODE("Cast", ["r"], ["v"], to=T.FLOAT),
                       NODE("ConstantOfShape", ["k"], ["u"], value=constant("", np.float32([1]))),
                       NODE("MatMul", ["v", "u"], ["t"]),
                       If(body("a", [NODE("Exp", ["t"], ["a1"])], ["a1"]), body("b", [NODE("Neg", ["t"], ["b1"])], ["b1"]), ["z1"], "inner", "is_size")],
               ["z1"], [constant("zero", np.int64(0)), constant("step", np.int64(1))])
    whole = body("whole", [NODE("ReduceMax", ["x"], ["z2"], keepdims=0)], ["z2"])
    plus, minus = (body(op, [NODE(op, ["x"], [op])], [op]) for op in ("Identity", "Neg"))
    nodes = [NODE("Shape", ["x"], ["s"]), NODE("Sub", ["s", "five"], ["k"]), NODE("Greater", ["k", "one"], ["is_size"]), If(cut, whole, ["z"]),
             If(plus, minus, ["y"], "behind", "is_size")]
    m = model(nodes, [("x", x, ("n",)), ("c", YES, ())], [("z", T.FLOAT), ("y", T.FLOAT)], [constant("five", np.int64([5])), constant("one", np.int64([-1]))])
    run("required in a branch", m, [((x, YES), [np.float32(np.exp(10)), x]), ((x, NO), [x.max(), x]), ((x[:3], NO), [x[:3].max(), -x[:3]])])


def entries():
    """Dims that may agree make two programs over one set of weights: those in bodies are among them."""
    q, k, v = (RNG.standard_normal((2, 2, 5, 8)).astype(np.float32) for _ in range(3))
    w1, w2 = (RNG.standard_normal((8, 6)).astype(np.float32) for _ in range(2))
    arm = lambda w: body(f"with_{w}", [NODE("MatMul", ["a", w], [f"{w}_y"])], [f"{w}_y"])
    nodes = [NODE("Transpose", ["k"], ["t"], perm=[0, 1, 3, 2]), NODE("MatMul", ["q", "t"], ["s"]), NODE("Softmax", ["s"], ["p"]), NODE("MatMul", ["p", "v"], ["a"]),
             If(arm("w1"), arm("w2"))]
    m = model(nodes, [(n, a, [f"{n}{d}" for d in range(3)] + [8]) for n, a in (("q", q), ("k", k), ("v", v))] + [("c", YES, ())], [("y", T.FLOAT)],
              [constant("w1", w1), constant("w2", w2)])

    def want(q, k, v, c):
        e = np.exp(q @ k.transpose(0, 1, 3, 2))
        return [e / e.sum(-1, keepdims=True) @ v @ (w1 if c else w2)]
    calls = [(*a, c) for a in ((q, k, v), (q[:1], k, v), (q[:, :, :2], k[:1], v)) for c in (YES, NO)]
    run("two programs", m, [(c, want(*c)) for c in calls])


def sizes():
    """Branches whose results have other sizes; what stands behind runs on either, and callers learn which it was."""
    x, p = RNG.standard_normal((2, 3, 4)).astype(np.float32), RNG.standard_normal((2, 5, 4)).astype(np.float32)
    inputs = [("x", x, ("b", "s", 4)), ("p", p, ("b", "past", 4)), ("c", YES, ())]
    longer = body("longer", [NODE("Concat", ["p", "x"], ["l"], axis=1)], ["l"])
    shorter = body("shorter", [NODE("Neg", ["x"], ["k"])], ["k"])
    behind = [If(longer, shorter, ["t"]), NODE("Transpose", ["t"], ["u"], perm=[0, 2, 1]), NODE("MatMul", ["t", "u"], ["y"]), NODE("Shape", ["y"], ["z"])]
    m = model(behind, inputs, [("t", T.FLOAT), ("y", T.FLOAT), ("z", T.INT64)])

    def want(x, p, c):
        t = np.concatenate([p, x], 1) if c else -x
        y = t @ t.transpose(0, 2, 1)
        return [t, y, np.int64(y.shape)]
    calls = [(x, p, YES), (x, p, NO), (x, p[:, :0], YES), (x[:, :0], p, YES), (x[:, :0], p, NO), (x[:0], p[:0], YES), (x[:, :1], p, YES)]
    run("other sizes", m, [(c, want(*c)) for c in calls])
    found = body("found", [NODE("NonZero", ["x"], ["f"]), NODE("Cast", ["f"], ["l"], to=T.FLOAT)], ["l"])
    every = body("every", [NODE("Reshape", ["x", "flat"], ["k"])], ["k"], [constant("flat", np.int64([3, -1]))])
    run("a size that a branch finds", model([If(found, every)], inputs, [("y", T.FLOAT)]),
        [((v, p, c), [np.array(np.nonzero(v), np.float32) if c else v.reshape(3, v.size // 3)]) for v in (x, np.maximum(x, 0)) for c in (YES, NO)])
    return m, calls, want


def Loop(step, outputs, carried, name="again", trip="k", cond="c"):
    return NODE("Loop", [trip, cond, *carried], list(outputs), name=name, body=step)


def step(nodes, outputs, carried, constants=(), rank=0, name="step"):
    """carried: (name, array); i and go are the number of the step and the condition before it."""
    inputs = [h.make_tensor_value_info("i", T.INT64, [1] * rank), h.make_tensor_value_info("go", T.BOOL, [1] * rank),
              *(info(n, a, None) for n, a in carried)]
    return body(name, nodes, [(outputs[0], T.BOOL), *outputs[1:]], constants, inputs)


def loops():
    x, w = RNG.standard_normal((3, 4)).astype(np.float32), (RNG.standard_normal((4, 4)) / 2).astype(np.float32)
    k, none, huge = np.int64(3), np.int64(0), np.int64(2**62)
    inputs = [("x", x, ("n", 4)), ("k", k, ()), ("c", YES, ())]
    inner = [NODE("MatMul", ["s", "w"], ["p"]), NODE("Tanh", ["p"], ["q"]), NODE("Cast", ["i"], ["f"], to=T.FLOAT), NODE("Add", ["q", "f"], ["s2"]),
             NODE("Identity", ["go"], ["go2"])]
    plain = step(inner, ["go2", "s2"], [("s", x)], [constant("w", w)])

    def want(v, k, c):
        for i in range(k if c else 0):
            v = np.tanh(v @ w) + np.float32(i)
        return [v]
    calls = [(v, n, c) for v in (x, x[:0], x[:1]) for n, c in ((k, YES), (none, YES), (np.int64(-7), YES), (huge, NO), (np.int64(1), YES), (k, NO))]
    m = model([Loop(plain, ["y"], ["x"])], inputs, [("y", T.FLOAT)])
    run("a number of steps", m, [(c, want(*c)) for c in calls])
    run("a known number", model([Loop(plain, ["y"], ["x"], trip="three", cond="")], inputs[:1], [("y", T.FLOAT)], [constant("three", np.int64([3]))]), [((x,), want(x, 3, True))])
    run("dims of one", model([Loop(step(inner, ["go2", "s2"], [("s", x)], [constant("w", w)], 1), ["y"], ["x"])],
                             [inputs[0], ("k", k, (1,)), ("c", YES, (1,))], [("y", T.FLOAT)]), [((x, k.reshape(1), YES.reshape(1)), want(x, k, YES))])
    # Until the sum is large enough: a condition of the body ends it, however often it may run; a count is carried beside.
    until = step([NODE("Add", ["s", "s"], ["s2"]), NODE("ReduceMax", ["s2"], ["m"], keepdims=0), NODE("Less", ["m", "limit"], ["go2"]), NODE("Add", ["n", "one"], ["n2"]),
                  NODE("Sub", ["b", "i"], ["b2"])], ["go2", "s2", ("n2", T.INT64), ("b2", T.INT64)], [("s", x), ("n", k), ("b", k)],
                 [constant("limit", np.float32(100)), constant("one", np.int64(1))])
    counted = model([Loop(until, ["y", "n1", "b1"], ["x", "zero", "zero"], trip="", cond="")], inputs[:1], [("y", T.FLOAT), ("n1", T.INT64), ("b1", T.INT64)],
                    [constant("zero", np.int64(0))])

    def doubled(v):
        n = 0
        while n == 0 or v.max() < 100:
            v, n = v + v, n + 1
        return [v, np.int64(n), np.int64(-n * (n - 1) // 2)]
    run("until", counted, [((np.abs(v) + 0.1,), doubled(np.abs(v) + np.float32(0.1))) for v in (x, x[:1], 90 * np.ones((2, 4), np.float32))])
    # A swap: what is carried changes places. An If, and a loop, in a loop; a branch with a loop.
    swap = step([NODE("Neg", ["a"], ["b2"]), NODE("Identity", ["b"], ["a2"]), NODE("Identity", ["go"], ["go2"])], ["go2", "a2", "b2"], [("a", x), ("b", x)])
    run("a swap", model([NODE("Exp", ["x"], ["e"]), Loop(swap, ["y", "z"], ["x", "e"])], inputs, [("y", T.FLOAT), ("z", T.FLOAT)]),
        [((x, np.int64(n), YES), [[x, np.exp(x)], [np.exp(x), -x], [-x, -np.exp(x)], [-np.exp(x), x]][n]) for n in range(4)])
    even = body("even", [NODE("Add", ["s", "s"], ["t"])], ["t"])
    odd = body("odd", [Loop(plain, ["u"], ["s"], "inner", trip="two", cond="")], ["u"])
    mixed = step([NODE("Mod", ["i", "two"], ["r"]), NODE("Equal", ["r", "zero"], ["d"]), If(even, odd, ["s2"], "parity", "d"), NODE("Identity", ["go"], ["go2"])],
                 ["go2", "s2"], [("s", x)])

    def mix(v, k):
        for i in range(k):
            v = v + v if i % 2 == 0 else want(v, 2, True)[0]
        return [v]
    run("an If and a Loop in a Loop", model([Loop(mixed, ["y"], ["x"])], inputs, [("y", T.FLOAT)], [constant("two", np.int64(2)), constant("zero", np.int64(0))]),
        [((x, np.int64(n), YES), mix(x, n)) for n in (0, 1, 2, 5)])
    run("a Loop in an If", model([If(body("t", [Loop(plain, ["u"], ["x"], cond="")], ["u"]), body("e", [NODE("Neg", ["x"], ["v"])], ["v"]))], inputs, [("y", T.FLOAT)]),
        [((x, k, YES), want(x, k, True)), ((x, k, NO), [-x])])
    # Sizes that a step finds by itself, and an index that a later step does not have.
    found = step([NODE("NonZero", ["s"], ["f"]), NODE("Shape", ["f"], ["z"], start=1), NODE("Cast", ["z"], ["g"], to=T.FLOAT), NODE("Sub", ["s", "g"], ["h"]),
                  NODE("Relu", ["h"], ["s2"]), NODE("Identity", ["go"], ["go2"])], ["go2", "s2"], [("s", x)])

    def shrink(v, k):
        for _ in range(k):
            v = np.maximum(v - np.float32(np.count_nonzero(v)), 0)
        return [v]
    many = (np.arange(12, dtype=np.float32).reshape(3, 4) * 5) % 17
    run("sizes of a step", model([Loop(found, ["y"], ["x"])], inputs, [("y", T.FLOAT)]), [((many, np.int64(n), YES), shrink(many, n)) for n in range(4)])
    rows = step([NODE("Gather", ["x", "i"], ["r"]), NODE("Add", ["s", "r"], ["s2"]), NODE("Identity", ["go"], ["go2"])], ["go2", "s2"], [("s", x[0])])
    gather = model([Loop(rows, ["y"], ["start"])], inputs, [("y", T.FLOAT)], [constant("start", np.zeros(4, np.float32))])
    run("an index that a step does not have", gather, [((x, k, YES), [x.sum(0)]), ((x, np.int64(4), YES), "3|range|outside"), ((x, np.int64(2), YES), [x[:2].sum(0)])])
    kept = step([NODE("Neg", ["s"], ["s2"]), NODE("Identity", ["go"], ["go2"])], ["go2", "s2", "s2"], [("s", x)])
    run("a list of steps", model([Loop(kept, ["z", "y"], ["x"])], inputs, [("y", T.FLOAT)]), [((x, np.int64(2), YES), [np.stack([-x, x])]), ((x, np.int64(2), NO), [np.stack([x, x])[:0]])])
    refused("too few", model([Loop(plain, ["y"], [])], inputs, [("y", T.FLOAT)]), (x, k, YES), "node 'again'.*with 0 values to carry and 1 outputs has a body of 3 inputs and 2 outputs")
    refused("no number", model([Loop(plain, ["y"], ["x"], trip="x")], inputs, [("y", T.FLOAT)]), (x, k, YES), "node 'again'.*operand 'x' must be one i64")
    return m, inputs


def growing():
    """What is carried has another shape behind each step: dims that change together are one size, others are not."""
    x, k = RNG.standard_normal((3, 4)).astype(np.float32), np.int64(3)
    inputs = [("x", x, ("n", 4)), ("k", k, ()), ("c", YES, ())]
    go = NODE("Identity", ["go"], ["go2"])
    double = step([NODE("Concat", ["s", "s"], ["s2"], axis=0), go], ["go2", "s2"], [("s", x)])
    run("twice as many rows", model([Loop(double, ["y"], ["x"]), NODE("Add", ["y", "y"], ["z"])], inputs, [("y", T.FLOAT), ("z", T.FLOAT)]),
        [((v, np.int64(n), c), [np.tile(v, (2 ** (n if c else 0), 1)), 2 * np.tile(v, (2 ** (n if c else 0), 1))]) for v in (x, x[:0], x[:1]) for n, c in ((0, YES), (1, YES), (5, YES), (2, NO))])
    # Greedy decoding: ids and their positions grow together, a table of scores stays, what is in front of all shrinks.
    table = RNG.standard_normal((9, 9)).astype(np.float32)
    ids = np.int64([[1, 2], [3, 4]])
    next_id = [NODE("Gather", ["t", "ids"], ["e"]), NODE("ReduceSum", ["e", "one"], ["m"], keepdims=0), NODE("ArgMax", ["m"], ["a"], axis=-1, keepdims=1),
               NODE("Add", ["ids", "pos"], ["sum"]), NODE("ReduceSum", ["sum", "one"], ["q"], keepdims=1), NODE("Concat", ["ids", "a"], ["ids2"], axis=1),
               NODE("Concat", ["pos", "q"], ["pos2"], axis=1), NODE("Slice", ["left", "one", "many", "one"], ["left2"]), NODE("Neg", ["t"], ["t2"]), go]
    decode = step(next_id, ["go2", ("ids2", T.INT64), ("pos2", T.INT64), "left2", "t2"], [("ids", ids), ("pos", ids), ("left", x), ("t", table)],
                  [constant("one", np.int64([1])), constant("many", np.int64([999]))])
    m = model([Loop(decode, ["y", "p", "l", "u"], ["ids0", "pos0", "x", "t0"])], [*inputs, ("ids0", ids, ("b", "s")), ("pos0", ids, ("b", "s")), ("t0", table, (9, 9))],
              [("y", T.INT64), ("p", T.INT64), ("l", T.FLOAT), ("u", T.FLOAT)])

    def decoded(x, k, c, ids, pos, t):
        for _ in range(k if c else 0):
            a, q = t[ids].sum(1).argmax(-1), (ids + pos).sum(1)
            ids, pos, x, t = np.c_[ids, a], np.c_[pos, q], x[:, 1:], -t
        return [ids, pos, x, t]
    calls = [(x, np.int64(n), c, i, p, table) for n, c in ((0, YES), (1, YES), (7, YES), (3, NO)) for i, p in ((ids, ids), (ids[:1], ids[1:] * 0), (ids[:, :1], ids[:, 1:]))]
    run("decoding", m, [(c, decoded(*c)) for c in calls])
    # A swap of two that grow by different numbers; one that data makes shorter; a loop in a loop.
    swap = step([NODE("Concat", ["a", "a"], ["b2"], axis=0), NODE("Concat", ["b", "r"], ["a2"], axis=0), go], ["go2", "a2", "b2"], [("a", x), ("b", x)],
                [constant("r", x[:1])])

    def swapped(v, k):
        a, b = v, np.exp(v)
        for _ in range(k):
            a, b = np.r_[b, x[:1]], np.r_[a, a]
        return [a, b]
    run("a swap", model([NODE("Exp", ["x"], ["e"]), Loop(swap, ["y", "z"], ["x", "e"])], inputs, [("y", T.FLOAT), ("z", T.FLOAT)]),
        [((v, np.int64(n), YES), swapped(v, n)) for v in (x, x[:1]) for n in range(5)])
    drop = step([NODE("Greater", ["s", "f"], ["g"]), NODE("Compress", ["s", "g"], ["s2"], axis=0), NODE("Shape", ["s2"], ["z"]), NODE("Greater", ["z", "three"], ["go2"])],
                ["go2", "s2"], [("s", x[:, 0])], [constant("three", np.int64([3])), constant("f", np.float32(3))])
    v = np.float32([5, 1, 6, 2, 7, 8])
    run("what data drops", model([Loop(drop, ["y"], ["v"])], [("v", v, ("m",)), *inputs[1:]], [("y", T.FLOAT)]), [((v, k, YES), [v[v > 3]]), ((v[:1], k, YES), [v[:1]]), ((v[1:2], k, YES), [v[:0]])])
    outer = step([Loop(double, ["s3"], ["s"], "inner", trip="i", cond=""), NODE("Concat", ["s3", "x"], ["s2"], axis=0), go], ["go2", "s2"], [("s", x)])

    def nested(v, k):
        r = v
        for i in range(k):
            r = np.r_[np.tile(r, (2**i, 1)), v]
        return [r]
    run("a loop in a loop", model([Loop(outer, ["y"], ["x"])], inputs, [("y", T.FLOAT)]), [((v, np.int64(n), YES), nested(v, n)) for v in (x, x[:1]) for n in range(4)])
    # What stands behind wants another size than came out.
    run("another size", model([Loop(double, ["y"], ["x"]), NODE("MatMul", ["w", "y"], ["z"])], inputs, [("z", T.FLOAT)], [constant("w", np.ones((2, 6), np.float32))]),
        [((x, np.int64(1), YES), [np.ones((2, 6), np.float32) @ np.r_[x, x]]), ((x, np.int64(2), YES), "12|6")])
    flat = step([NODE("Reshape", ["s", "minus"], ["s2"]), go], ["go2", "s2"], [("s", x)], [constant("minus", np.int64([-1]))])
    refused("another rank", model([Loop(flat, ["y"], ["x"])], inputs, [("y", T.FLOAT)]), (x, k, YES), "node 'again'.*f32\\[n, 4\\] at first and f32\\[.*\\] behind a step; its element type and rank must stay")
    # Lists of loops of which nothing says how long they run.
    until = step([NODE("Add", ["s", "s"], ["s2"]), NODE("ReduceMax", ["s2"], ["m"], keepdims=0), NODE("Less", ["m", "limit"], ["go2"]), NODE("Neg", ["s2"], ["r"]), NODE("Identity", ["i"], ["j"])],
                 ["go2", "s2", "r", ("j", T.INT64)], [("s", x)], [constant("limit", np.float32(100))])
    m = model([Loop(until, ["y", "l", "j"], ["x"], trip="")], [inputs[0], inputs[2]], [("y", T.FLOAT), ("l", T.FLOAT), ("j", T.INT64)])

    def listed(v, c):
        rows = []
        while c and (not rows or v.max() < 100):
            v = v + v
            rows.append(-v)
        return [v, np.array(rows, np.float32).reshape(-1, *v.shape), np.arange(len(rows))]
    run("a list without a largest number of steps", m, [((v, c), listed(v, c)) for v in (np.abs(x) + np.float32(0.1), np.full((1, 4), 90, np.float32)) for c in (YES, NO)])


def endless(m, inputs):
    """A loop that never ends is cancelled between two of its steps."""
    with tempfile.TemporaryDirectory() as folder:
        so = os.path.join(folder, "m.so")
        subprocess.run([sys.argv[2], ONE_ISA, write_model(folder, m), "-o", so], check=True, timeout=120)
        xf = load_xf(sys.argv[4])
        feed = {n: a for n, a, _ in inputs} | {"k": np.int64(10**6)}
        with xf.InferenceSession(so) as s:
            steps, cancel = [], s.cancel_handle()

            def tap(node, output, value):
                steps.append(node)
                if len(steps) == 50:
                    cancel()
            s.set_tap("*", tap)
            try:
                s.run(None, feed)
                check(False, "an endless loop ends")
            except xf.Error as e:
                check("cancelled" in str(e) and len(steps) == 50, f"cancelled after {len(steps)} steps: {e}")


def session(m, calls, want):
    """What xf.py shows: sizes as they came out, also in the caller's memory; taps and profile of what ran, and only of that."""
    xf = load_xf(sys.argv[4])
    with tempfile.TemporaryDirectory() as folder:
        so = os.path.join(folder, "m.so")
        subprocess.run([sys.argv[2], ONE_ISA, write_model(folder, m), "-o", so], check=True, timeout=120)
        with xf.InferenceSession(so) as s:
            for x, p, c in calls:
                feed = dict(x=x, p=p, c=c)
                check(all(np.array_equal(a.shape, b.shape) and np.allclose(a, b, 1e-4, 1e-5) for a, b in zip(s.run(None, feed), want(x, p, c))), "a session")
            x, p, _ = calls[0]
            room = np.full((2, 8, 4), 7, np.float32)
            t, = s.run(["t"], dict(x=x, p=p, c=NO), out={"t": room})
            check(t.shape == (2, 3, 4) and np.shares_memory(t, room) and np.array_equal(t, -x), "the caller's memory")
            check(np.all(room.reshape(-1)[x.size:] == 7), "behind what came out, the caller's memory stays as it was")
            seen = []
            s.set_tap("*", lambda node, output, value: seen.append((node, value.shape)))
            s.run(None, dict(x=x, p=p, c=NO))
            check(("choose", (2, 3, 4)) in seen and not any("then" in n or "Concat" in n for n, _ in seen), f"taps see what ran: {seen}")
            s.set_tap("*", None)
            s.profile_start()
            for c in (YES, NO, NO):
                s.run(None, dict(x=x, p=p, c=c))
            steps = s.profile()["steps"]
            counts = sorted(step["count"] for step in steps)
            check({step["form"] for step in steps if step["kernel"] is None} == {"branch"}, f"a step without a kernel of its own says so: {steps}")
            check(1 in counts and 2 in counts and 3 in counts, f"the profile counts what ran: {counts}")


def main():
    ifs()
    ranks_by_size()
    required_in_a_branch()
    entries()
    growing()
    session(*sizes())
    endless(*loops())
    end()


if __name__ == "__main__":
    main()
