#!/usr/bin/env python3
"""Sequences and optionals as inputs and outputs, of lengths, positions and splits that only the run knows: interpreter and compiled
code, then sessions of xf.py, which must go on after each error.

sequences.py EVAL_ONNX XFC XF_RUN XF_PY; exit code 77 without the onnx package."""
import os
import subprocess
import sys
import tempfile

import numpy as np

from cases import ONE_ISA, Optional, check, end, load_xf, run, write_model
from onnx import TensorProto as T
from onnx import helper as h

RNG = np.random.default_rng(5)
NODE = h.make_node


def tensors(name, t=T.FLOAT, shape=None):
    return h.make_tensor_sequence_value_info(name, t, shape)


def optional(name, shape, sequence=False, t=T.FLOAT):
    inner = h.make_tensor_type_proto(t, shape)
    return h.make_value_info(name, h.make_optional_type_proto(h.make_sequence_type_proto(inner) if sequence else inner))


def number(name, t=T.INT64, shape=()):
    return h.make_tensor_value_info(name, t, shape)


def model(nodes, inputs, outputs, constants=()):
    graph = h.make_graph(nodes, "g", inputs, outputs, list(constants))
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 18)], ir_version=9)


def f(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def i(value):
    return np.int64(value)


A, B, D = f(2, 3), f(1, 4), f(3, 0)


def positions():
    seq, at = tensors("s", shape=("a", "b")), number("at")
    y = h.make_tensor_value_info("y", T.FLOAT, None)
    run("at", model([NODE("SequenceAt", ["s", "at"], ["y"], name="pick")], [seq, at], [y]),
        [([[A, B, D], i(k)], [w]) for k, w in ((0, A), (1, B), (2, D), (-1, D), (-3, A))] +
        [([[A, B], i(2)], "pick"), ([[A, B], i(-3)], "pick"), ([[], i(0)], "pick")])
    run("at, declared dims", model([NODE("SequenceAt", ["s", "at"], ["y"], name="pick")], [tensors("s", shape=("a", 3)), at], [y]),
        [([[A, f(5, 3)], i(0)], [A]), ([[A, B], i(1)], "pick")])
    out = tensors("o")
    insert = model([NODE("SequenceInsert", ["s", "x", "at"], ["o"], name="put")], [seq, h.make_tensor_value_info("x", T.FLOAT, ("c", "d")), at], [out])
    run("insert", insert, [([[A, B], D, i(k)], [w]) for k, w in ((0, [D, A, B]), (1, [A, D, B]), (2, [A, B, D]), (-1, [A, D, B]), (-2, [D, A, B]))] +
        [([[], A, i(0)], [[A]]), ([[A, B], D, i(3)], "put"), ([[A, B], D, i(-3)], "put")])
    erase = model([NODE("SequenceErase", ["s", "at"], ["o"], name="drop")], [seq, at], [out])
    run("erase", erase, [([[A, B, D], i(k)], [w]) for k, w in ((0, [B, D]), (1, [A, D]), (-1, [A, B]))] + [([[A], i(0)], [[]])] +
        [([[A, B], i(2)], "drop"), ([[], i(0)], "drop")])
    run("erase the last", model([NODE("SequenceErase", ["s"], ["o"], name="drop")], [seq], [out]), [([[A, B]], [[A]]), ([[]], "drop")])
    x, z = (h.make_tensor_value_info(n, T.FLOAT, d) for n, d in (("x", (2, 3)), ("z", ("n", "m"))))
    run("a list at a position of the run", model([NODE("Neg", ["x"], ["w"]), NODE("SequenceConstruct", ["x", "w"], ["s"]), NODE("SequenceAt", ["s", "at"], ["y"], name="pick")],
                                                  [x, at], [y]), [([A, i(0)], [A]), ([A, i(-1)], [-A]), ([A, i(2)], "pick")])
    run("a list of two shapes", model([NODE("SequenceConstruct", ["x", "z"], ["s"]), NODE("SequenceErase", ["s", "at"], ["t"]), NODE("SequenceAt", ["t", "zero"], ["y"], name="pick")],
                                      [x, z, at], [y], [h.make_tensor("zero", T.INT64, [], [0])]), [([A, B, i(0)], [B]), ([A, B, i(1)], [A])])
    v = h.make_tensor_value_info("v", T.FLOAT, ("k",))
    run("tensors of two ranks", model([NODE("SequenceConstruct", ["v", "x"], ["s"]), NODE("SequenceErase", ["s", "at"], ["o"])], [x, v, at], [out]),
        [([A, f(2)[:0], i(1)], [[f(2)[:0]]]), ([A, A[0], i(0)], [[A]])])


def wholes():
    seq, y = tensors("s", shape=("a", "b", "c")), h.make_tensor_value_info("y", T.FLOAT, None)
    parts = [f(2, 3, 4), f(2, 1, 4), f(2, 0, 4), f(2, 2, 4)]
    for axis in (0, 1, 2, -1):
        given = [np.moveaxis(p, 1, axis) for p in parts]
        run(f"concat along {axis}", model([NODE("ConcatFromSequence", ["s"], ["y"], axis=axis, name="join")], [seq], [y]),
            [([given], [np.concatenate(given, axis)]), ([given[:1]], [given[0]]), ([[]], "join"), ([[f(2, 3, 4), f(3, 4, 5)]], "join")])
    equal = [f(2, 3, 1) for _ in range(3)]
    for axis in (0, 1, 3, -2):
        run(f"stack along {axis}", model([NODE("ConcatFromSequence", ["s"], ["y"], axis=axis, new_axis=1, name="join")], [seq], [y]),
            [([equal], [np.stack(equal, axis)]), ([[]], "join"), ([parts], "join")])
    n = number("n")
    run("length", model([NODE("SequenceLength", ["s"], ["n"]), NODE("Identity", ["s"], ["o"])], [seq], [n, tensors("o")]),
        [([parts], [i(4), parts]), ([[]], [i(0), []])])
    run("of no known rank", model([NODE("Identity", ["s"], ["o"])], [tensors("s")], [tensors("o")]), [([parts], [parts]), ([[A, f(2), f()]], [[A, f(2)[:0], f()]])][:1])


def splits():
    x, by, sizes = h.make_tensor_value_info("x", T.FLOAT, ("n", 6, "m")), number("k"), number("k", shape=("p",))
    out, a = tensors("o"), f(3, 6, 2)
    for axis in (0, 1, 2):
        whole = a.shape[axis]
        chunks = [([a, i(k)], [[np.ascontiguousarray(p) for p in np.split(a, range(k, whole, k), axis)]]) for k in (1, 2, 4, 100)]
        split = model([NODE("SplitToSequence", ["x", "k"], ["o"], axis=axis, name="cut")], [x, by], [out])
        run(f"split by a size along {axis}", split, chunks + [([a, i(0)], "cut"), ([a, i(-1)], "cut")])
        cuts = [([a, np.int64(s)], [[np.ascontiguousarray(p) for p in np.split(a, np.cumsum(s)[:-1], axis)]]) for s in ([1, whole - 1], [whole], [0, 1, 0, whole - 1])]
        split = model([NODE("SplitToSequence", ["x", "k"], ["o"], axis=axis, name="cut")], [x, sizes], [out])
        run(f"split by sizes along {axis}", split, cuts + [([a, np.int64([1, whole])], "cut"), ([a, np.int64([-1, whole + 1])], "cut")])
        for keep in (0, 1):
            split = model([NODE("SplitToSequence", ["x"], ["o"], axis=axis, keepdims=keep)], [x], [out])
            rows = [np.take(a, [k] if keep else k, axis) for k in range(whole)]
            run(f"split to rows along {axis}, keepdims {keep}", split, [([a], [rows])])


def repeats():
    """repeat_interleave as torch's TorchScript exporter writes it: split by ones, a loop that expands each part by its own number."""
    nodes = [NODE("Shape", ["r"], ["n"]), NODE("ConstantOfShape", ["n"], ["ones"], value=h.make_tensor("v", T.INT64, [1], [1])), NODE("SequenceEmpty", [], ["e"]),
             NODE("SplitToSequence", ["r", "ones"], ["rs"], axis=0), NODE("SplitToSequence", ["x", "ones"], ["xs"], axis=0)]
    step = [NODE("SequenceAt", ["rs", "i"], ["k"]), NODE("SequenceAt", ["xs", "i"], ["row"]), NODE("Unsqueeze", ["row", "one"], ["tall"]), NODE("Concat", ["one", "k", "two"], ["shape"], axis=0),
            NODE("Expand", ["tall", "shape"], ["more"]), NODE("Reshape", ["more", "rows"], ["part"]), NODE("SequenceInsert", ["t", "part"], ["u"]), NODE("Identity", ["g"], ["h"])]
    body = h.make_graph(step, "step", [number("i"), number("g", T.BOOL), tensors("t")], [number("h", T.BOOL), tensors("u")])
    nodes += [NODE("Loop", ["n", "", "e"], ["all"], name="rep", body=body), NODE("ConcatFromSequence", ["all"], ["y"], axis=0)]
    m = model(nodes, [h.make_tensor_value_info("x", T.FLOAT, ("n", 2)), number("r", shape=("n",))], [h.make_tensor_value_info("y", T.FLOAT, ("m", 2))],
              [h.make_tensor("one", T.INT64, [1], [1]), h.make_tensor("two", T.INT64, [1], [2]), h.make_tensor("rows", T.INT64, [2], [-1, 2])])
    x = f(4, 2)
    run("repeats", m, [([x, np.int64(r)], [np.repeat(x, r, 0)]) for r in ([1, 1, 1, 1], [3, 0, 2, 1])] + [([x[:1], np.int64([5])], [np.repeat(x[:1], 5, 0)])])


def optionals():
    o, y, has = optional("o", (2, "n")), h.make_tensor_value_info("y", T.FLOAT, None), number("has", T.BOOL)
    run("an optional tensor", model([NODE("OptionalHasElement", ["o"], ["has"])], [o], [has]), [([Optional(A)], [np.True_]), ([Optional(None)], [np.False_])])
    run("its element", model([NODE("OptionalGetElement", ["o"], ["y"], name="take")], [o], [y]), [([Optional(A)], [A]), ([Optional(None)], "take")])
    s, out = optional("s", ("a", "b"), True), tensors("y")
    run("an optional sequence", model([NODE("OptionalHasElement", ["s"], ["has"])], [s], [has]),
        [([Optional([A])], [np.True_]), ([Optional([])], [np.True_]), ([Optional(None)], [np.False_])])
    run("its sequence", model([NODE("OptionalGetElement", ["s"], ["y"], name="take")], [s], [out]), [([Optional([A, B])], [[A, B]]), ([Optional(None)], "take")])
    run("an optional goes through", model([NODE("Identity", ["s"], ["y"]), NODE("Identity", ["o"], ["z"])], [s, o], [optional("y", None, True), optional("z", None)]),
        [([Optional([A, B]), Optional(None)], [Optional([A, B]), Optional(None)]), ([Optional(None), Optional(A)], [Optional(None), Optional(A)])])
    x = h.make_tensor_value_info("x", T.FLOAT, (2, "n"))
    taken = h.make_graph([NODE("OptionalGetElement", ["o"], ["t"])], "t", [], [h.make_tensor_value_info("t", T.FLOAT, None)])
    other = h.make_graph([NODE("Neg", ["x"], ["e"])], "e", [], [h.make_tensor_value_info("e", T.FLOAT, None)])
    run("what is there, or another", model([NODE("OptionalHasElement", ["o"], ["c"]), NODE("If", ["c"], ["y"], then_branch=taken, else_branch=other)], [o, x], [y]),
        [([Optional(A), f(2, 4)], [A]), ([Optional(None), A], [-A])])


def branches():
    x, z, c, out = (h.make_tensor_value_info(n, t, d) for n, t, d in (("x", T.FLOAT, (2, 3)), ("z", T.FLOAT, ("n", "m")), ("c", T.BOOL, ()), ("y", T.FLOAT, None)))
    at = h.make_tensor("one", T.INT64, [], [1])

    def arm(name, nodes):
        return h.make_graph(nodes, name, [], [tensors(name)])

    two, one = arm("t", [NODE("Neg", ["x"], ["nx"]), NODE("SequenceConstruct", ["nx", "z"], ["t"])]), arm("e", [NODE("SequenceConstruct", ["z"], ["e"])])
    swapped, none = arm("w", [NODE("Abs", ["x"], ["ax"]), NODE("SequenceConstruct", ["z", "ax"], ["w"])]), arm("o", [NODE("SequenceEmpty", [], ["o"])])
    run("lists of one length", model([NODE("If", ["c"], ["s"], then_branch=two, else_branch=swapped), NODE("SequenceAt", ["s", "one"], ["y"])], [x, z, c], [out], [at]),
        [([A, B, np.True_], [B]), ([A, B, np.False_], [np.abs(A)])])
    run("lists of two lengths", model([NODE("If", ["c"], ["s"], then_branch=two, else_branch=one)], [x, z, c], [tensors("s")]),
        [([A, B, np.True_], [[-A, B]]), ([A, B, np.False_], [[B]])])
    run("or none", model([NODE("If", ["c"], ["s"], then_branch=none, else_branch=two), NODE("SequenceAt", ["s", "one"], ["y"], name="pick")], [x, z, c], [out], [at]),
        [([A, B, np.False_], [B]), ([A, B, np.True_], "pick")])
    mapped = h.make_graph([NODE("Mul", ["a", "b"], ["p"])], "m", [h.make_tensor_value_info(n, T.FLOAT, None) for n in "ab"], [h.make_tensor_value_info("p", T.FLOAT, None)])
    run("a map over a list", model([NODE("SequenceConstruct", ["x", "z"], ["s"]), NODE("SequenceMap", ["s", "k"], ["y"], body=mapped)], [x, z], [tensors("y")],
                                   [h.make_tensor("k", T.FLOAT, [], [3.0])]), [([A, B], [[A * 3, B * 3]])])
    types = h.make_graph([NODE("Cast", ["a"], ["n"], to=T.INT64)], "types", [number("a", T.FLOAT, None)], [number("n", T.INT64, None)])
    run("a map over nothing", model([NODE("SequenceEmpty", [], ["s"], dtype=T.FLOAT), NODE("SequenceMap", ["s"], ["m"], body=types), NODE("SequenceInsert", ["m", "i"], ["y"])],
                                    [number("i", shape=("a",))], [tensors("y", T.INT64), tensors("m", T.INT64)]), [([np.int64([4, 5])], [[np.int64([4, 5])], []])])


def loops():
    count, x, s = number("k"), h.make_tensor_value_info("x", T.FLOAT, (2, "n")), tensors("s", shape=("a", "b"))

    def looped(name, nodes, out_type, extra=(), start="s"):
        inputs = [number("i"), number("g", T.BOOL), tensors("t")]
        body = h.make_graph([*nodes, NODE("Identity", ["g"], ["h"])], name, inputs, [number("h", T.BOOL), tensors("u"), *extra], [h.make_tensor("two", T.INT64, [], [2])])
        return NODE("Loop", ["k", "", start], ["o", *(e.name + "s" for e in extra)], name=name, body=body)

    behind = looped("grow", [NODE("SequenceInsert", ["t", "x"], ["u"])], s)
    run("a sequence grows", model([behind], [count, x, s], [tensors("o")]), [([i(k), A, [B]], [[B] + [A] * k]) for k in (0, 1, 3)])
    front = looped("grow", [NODE("Cast", ["i"], ["f"], to=T.FLOAT), NODE("Add", ["x", "f"], ["y"]), NODE("SequenceInsert", ["t", "y", "i"], ["u"])], s)
    run("somewhere", model([front], [count, x, s], [tensors("o")]), [([i(3), A, [B, B]], [[A, A + 1, A + 2, B, B]])])
    shrink = looped("shrink", [NODE("SequenceErase", ["t"], ["u"])], s)
    run("it shrinks", model([shrink], [count, s], [tensors("o")]), [([i(2), [A, B, A]], [[A]]), ([i(2), [A]], "SequenceErase|shrink")])
    vectors = looped("grow", [NODE("Unsqueeze", ["i", "axis"], ["j"]), NODE("Expand", ["one", "j"], ["y"]), NODE("SequenceInsert", ["t", "y"], ["u"]), NODE("SequenceLength", ["u"], ["len"])], s, [number("len")], "e")
    constants = [h.make_tensor("axis", T.INT64, [1], [0]), h.make_tensor("one", T.FLOAT, [1], [1.0])]
    run("of a rank that it had not, beside a list", model([NODE("SequenceEmpty", [], ["e"]), vectors], [count], [tensors("o"), h.make_tensor_value_info("lens", T.INT64, None)], constants),
        [([i(k)], [[np.ones(j, np.float32) for j in range(k)], np.arange(1, k + 1)]) for k in (0, 1, 4)])
    held = h.make_graph([NODE("SequenceEmpty", [], ["e"]), NODE("SequenceInsert", ["e", "x"], ["u"]), NODE("Identity", ["g"], ["h"])], "hold",
                        [number("i"), number("g", T.BOOL), optional("t", ("a", "b"), True)], [number("h", T.BOOL), tensors("u")])
    run("an optional that becomes a sequence", model([NODE("Loop", ["k", "", "p"], ["o"], name="keep", body=held)], [count, x, optional("p", ("a", "b"), True)], [tensors("o")]),
        [([i(1), A, Optional(None)], [[A]]), ([i(0), A, Optional([B])], [[B]]), ([i(0), A, Optional(None)], "keep")])
    wrong = looped("mix", [NODE("Cast", ["x"], ["y"], to=T.DOUBLE), NODE("SequenceEmpty", [], ["e"], dtype=T.DOUBLE), NODE("SequenceInsert", ["e", "y"], ["u"])], s)
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([sys.argv[1], write_model(folder, model([wrong], [count, x, s], [tensors("o")]))], capture_output=True, text=True)
        check(done.returncode == 3 and "of another type behind a step" in done.stderr, f"another type behind a step: {done.stderr}")
    body = h.make_graph([NODE("Add", ["p", "q"], ["r"]), NODE("Shape", ["r"], ["d"])], "m", [h.make_tensor_value_info(v, T.FLOAT, None) for v in "pq"],
                        [h.make_tensor_value_info("r", T.FLOAT, None), h.make_tensor_value_info("d", T.INT64, None)])
    both = model([NODE("SequenceMap", ["s", "z"], ["o", "d"], body=body, name="map")], [s, tensors("z", shape=("a", "b"))], [tensors("o"), tensors("d", T.INT64)])
    run("a map over two", both, [([[A, B], [A, B * 2]], [[A + A, B * 3], [i([2, 3]), i([1, 4])]]), ([[], []], [[], []])])
    run("a map over two lengths", both, [([[A, B], [A]], "z.shapes")])
    run("a map with a tensor", model([NODE("SequenceMap", ["s", "x"], ["o", "d"], body=body, name="map")], [s, h.make_tensor_value_info("x", T.FLOAT, ())], [tensors("o"), tensors("d", T.INT64)]),
        [([[A, B], np.float32(2)], [[A + 2, B + 2], [i([2, 3]), i([1, 4])]])])


def python(xfc, xf):
    nodes = [NODE("SequenceAt", ["s", "at"], ["y"], name="pick"), NODE("SequenceErase", ["s", "at"], ["r"]), NODE("Identity", ["o"], ["p"])]
    m = model(nodes, [tensors("s", shape=("a", "b")), number("at"), optional("o", ("k",), True)],
              [h.make_tensor_value_info("y", T.FLOAT, None), tensors("r"), optional("p", None, True)])
    with tempfile.TemporaryDirectory() as folder:
        so = os.path.join(folder, "m.so")
        subprocess.run([xfc, "-q", ONE_ISA, write_model(folder, m), "-o", so], check=True)
        with xf.InferenceSession(so) as session:
            check([n.name for n in session.get_inputs()] == ["s", "at", "o"], "xf: names of inputs")
            check([n.type for n in session.get_inputs()] == ["seq(tensor(float))", "tensor(int64)", "optional(seq(tensor(float)))"], "xf: types of inputs")
            check([n.name for n in session.get_outputs()] == ["y", "r", "p"], "xf: names of outputs")
            v = f(3)
            for bad in (i(2), i(-3), i(2**62)):
                try:
                    session.run(None, {"s": [A, B], "at": bad, "o": None})
                    check(False, f"xf: position {bad} is taken")
                except xf.Error as e:
                    check("pick" in str(e), f"xf: position {bad}: {e}")
                y, rest, p = session.run(None, {"s": [A, B], "at": i(1), "o": [v, v[:1]]})
                check(np.array_equal(y, B) and len(rest) == 1 and np.array_equal(rest[0], A), "xf: after an error")
                check([a.shape for a in p] == [(3,), (1,)] and np.array_equal(p[0], v), "xf: an optional sequence")
            check(session.run("p", {"s": [A], "at": i(0), "o": None}) == [None], "xf: nothing there")
            for feed, message in (({"s": [A, B.astype(np.float64)]}, "of types float32, float64"), ({"s": [f(1, 1, 1)]}, "3 dims"), ({"s": [A.astype(np.int32)]}, "int32")):
                try:
                    session.run(None, {"at": i(0), "o": None, **feed})
                    check(False, f"xf: taken where {message} is wrong")
                except xf.Error as e:
                    check(message in str(e), f"xf: {message}: {e}")
            for rows in ([[2, 4]], [[-1, 6]], [[2**62, 4]], [[2**31, 2**33]]):  # what no list of arrays is
                try:
                    session.run(None, {"s": A.ravel(), "s.shapes": np.int64(rows), "at": i(0), "o": None})
                    check(False, f"xf: rows {rows} are taken")
                except xf.Error as e:
                    check(e.status in (3, 4, 8), f"xf: rows {rows}: {e}")


if __name__ == "__main__":
    for part in (positions, wholes, splits, repeats, optionals, branches, loops):
        part()
    if len(sys.argv) > 4:
        python(sys.argv[2], load_xf(sys.argv[4]))
    end()
