#!/usr/bin/env python3
"""TopK of every opset and type, with k known and k from data, against Python's stable sort: interpreter, and compiled code too.

top_k.py EVAL_ONNX [XFC XF_RUN]; exit code 77 without the onnx package."""
import sys

import numpy as np

from cases import end, run
import onnx
from onnx import TensorProto as T
from onnx import helper as h

RNG = np.random.default_rng(10)
TYPES = [np.float32, np.float64, np.float16, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64]


def top_k(x, k, axis=-1, largest=True):
    """NaN is larger than any number; sorted() keeps the order of equal ones, also in reverse."""
    rows = np.moveaxis(x, axis, -1)
    at = np.zeros(rows.shape[:-1] + (k,), np.int64)
    for i in np.ndindex(rows.shape[:-1]):
        row = rows[i]
        at[i] = sorted(range(len(row)), key=lambda j: (bool(row[j] != row[j]), row[j].item()), reverse=largest)[:k]
    at = np.moveaxis(at, -1, axis)
    return np.take_along_axis(x, at, axis), at


def values(dtype, shape):
    """Few different ones, and with floats some that are special."""
    if np.issubdtype(dtype, np.integer):
        info = np.iinfo(dtype)
        return RNG.choice(np.array([0, 1, 2, 3, info.min, info.max, info.max - 1], dtype), shape)
    return RNG.choice(np.array([-1, -0.5, -0.0, 0, 0.25, 7, np.inf, -np.inf, np.nan, -np.nan, 1e-7], dtype), shape)


def model(nodes, inputs, outputs, constants=(), opset=24):
    info = lambda name, a, dims: h.make_tensor_value_info(name, h.np_dtype_to_tensor_dtype(np.asarray(a).dtype), dims)
    graph = h.make_graph(nodes, "g", [info(n, a, d) for n, a, d in inputs],
                         [h.make_tensor_value_info(n, t, d) for n, t, d in outputs],
                         [onnx.numpy_helper.from_array(np.asarray(a), n) for n, a in constants])
    return h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], ir_version=9)


def of_type(x):
    return h.np_dtype_to_tensor_dtype(x.dtype)


def node(*more, name="best", **attributes):
    return h.make_node("TopK", ["x", *more], ["v", "i"], name=name, **attributes)


def outputs(x):
    return [("v", of_type(x), None), ("i", T.INT64, None)]


def known():
    for dtype in TYPES:
        for shape, axis, k, largest in (((3, 40), -1, 5, 1), ((2, 9, 4), 1, 9, 0), ((70, 3), 0, 1, 1)):
            x = values(dtype, shape)
            dims = [f"n{d}" if d != axis % len(shape) else s for d, s in enumerate(shape)]
            m = model([node("k", axis=axis, largest=largest)], [("x", x, dims)], outputs(x), [("k", np.int64([k]))])
            run(f"{np.dtype(dtype)} {shape}", m, [((x,), list(top_k(x, k, axis, largest)))])
    x = values(np.float32, (4, 6))
    want = list(top_k(x, 3))
    run("opset 9", model([node(k=3)], [("x", x, ("n", 6))], outputs(x), opset=9), [((x,), want)])
    run("opset 10", model([node("k")], [("x", x, ("n", 6))], outputs(x), [("k", np.int64([3]))], opset=10), [((x,), want)])
    unsorted = model([node("k", sorted=0)], [("x", x, ("n", 6))], outputs(x), [("k", np.int64([3]))], opset=11)
    run("unsorted", unsorted, [((x,), want)])
    none = np.zeros((0, 6), np.float32)
    sizes = model([node("k")], [("x", x, ("n", "m"))], outputs(x), [("k", np.int64([3]))])
    short = RNG.standard_normal((2, 2)).astype(np.float32)
    run("any size", sizes, [((x,), want), ((none,), list(top_k(none, 3))), ((x[:, :3],), list(top_k(x[:, :3], 3))),
                            ((short,), "m\\)? is 2, (below its limit of 3|the model takes 3)")])
    run("none of none", model([node("k")], [("x", x, ("n", "m"))], outputs(x), [("k", np.int64([0]))]),
        [((none[:, :0],), [none[:, :0], np.zeros((0, 0), np.int64)]), ((x,), [x[:, :0], np.zeros((4, 0), np.int64)])])
    if len(sys.argv) > 2:
        run("the indices alone", model([node("k")], [("x", x, ("n", 6))], outputs(x)[1:], [("k", np.int64([3]))]), [((x,), want[1:])])


def of_sizes():
    """min(4, m), as detectors write it, and a quarter of the row."""
    x = values(np.float32, (2, 11))
    sizes = [h.make_node("Shape", ["x"], ["s"]), h.make_node("Gather", ["s", "one"], ["m"])]
    for name, more, k in (("at most", [h.make_node("Min", ["m", "four"], ["k"])], lambda m: min(m, 4)),
                          ("a part", [h.make_node("Div", ["m", "four"], ["k"])], lambda m: m // 4)):
        m = model([*sizes, *more, node("k")], [("x", x, ("n", "m"))], outputs(x), [("one", np.int64([1])), ("four", np.int64([4]))])
        run(name, m, [((a,), list(top_k(a, k(a.shape[1])))) for a in (x, x[:, :3], x[:, :8], x[:1, :1])])


def of_data():
    """The sum of the k largest, and how many there were: k is an input, or counts what is positive."""
    x = np.array([[3, -1, 2, -5, 4], [-2, 7, -3, 1, 0]], np.float32)
    sums = [h.make_node("ReduceSum", ["v", "last"], ["y"], keepdims=0), h.make_node("Shape", ["i"], ["n"])]
    given = [("y", T.FLOAT, None), ("n", T.INT64, [2])]
    want = lambda a, k: [top_k(a, k)[0].sum(1), np.int64([len(a), k])]
    last = ("last", np.int64([1]))
    for dtype in (np.int64, np.int32):
        m = model([node("k"), *sums], [("x", x, ("b", "m")), ("k", dtype([1]), [1])], given, [last])
        calls = [((a, dtype([k])), want(a, k)) for a, k in ((x, 2), (x[:, :3], 3), (x, 5), (x, 0), (x[:1, :0], 0), (x[:0], 1))]
        for k in (6, -1, 2**31 - 1):
            calls.append(((x, dtype([k])), f"best.*k is {k},|k is {k}, but node 'best' takes 0 to 5"))
        run(f"an input, {dtype.__name__}", m, calls)
    scalar = model([node("k", axis=0), sums[0]], [("x", x, ("b", "m")), ("k", np.int64(1), [])], given[:1], [("last", np.int64([0]))])
    run("a scalar", scalar, [((x, np.int64(1)), [x.max(0)])])
    count = [h.make_node("Greater", ["x", "none"], ["p"]), h.make_node("Cast", ["p"], ["c"], to=T.INT64), h.make_node("ReduceSum", ["c"], ["k"], keepdims=0)]
    m = model([*count, h.make_node("Reshape", ["x", "flat"], ["r"]), h.make_node("TopK", ["r", "k"], ["v", "i"]),
               h.make_node("Gather", ["r", "i"], ["g"]), h.make_node("ReduceSum", ["g"], ["y"], keepdims=0)], [("x", x, ("b", "m"))], given[:1],
              [("none", np.float32(0)), ("flat", np.int64([-1]))])
    run("counted", m, [((a,), [np.float32(a[a > 0].sum())]) for a in (x, -x, np.abs(x), -np.abs(x), x[:0])])


def of_the_rest():
    """Rows that are the longer the less there was of something: memory must do for what is left, too, and for its k."""
    x = RNG.standard_normal((3, 4000)).astype(np.float32)
    left = [h.make_node("NonZero", ["c"], ["z"]), h.make_node("Shape", ["z"], ["s"]), h.make_node("Slice", ["s", "one", "two"], ["found"]),
            h.make_node("Slice", ["x", "found", "most", "one"], ["r"])]
    half = [h.make_node("Shape", ["r"], ["rs"]), h.make_node("Slice", ["rs", "one", "two"], ["m"]), h.make_node("Div", ["m", "two"], ["d"]), h.make_node("Max", ["d", "zero"], ["k"])]
    constants = [("zero", np.int64([0])), ("one", np.int64([1])), ("two", np.int64([2])), ("most", np.int64([2**31 - 1]))]
    for name, more, k in (("a few of the rest", [h.make_node("Identity", ["two"], ["k"])], lambda m: 2), ("half of the rest", half, lambda m: m // 2)):
        m = model([*left, *more, h.make_node("TopK", ["r", "k"], ["v", "i"], name="best")],
                  [("x", x, ("b", "n")), ("c", np.array([True]), ("n",))], outputs(x), constants)
        calls = []
        for found in (0, 1, 3000, 3990):
            r = x[:, found:]
            calls.append(((x, np.arange(4000) < found), list(top_k(r, k(r.shape[1])))))
        run(name, m, calls)


def declared():
    """A size from data is what the file says, if it says one."""
    x = values(np.float32, (2, 5))
    m = model([node("k")], [("x", x, ("b", "m")), ("k", np.int64([1]), [1])], [("v", of_type(x), ["b", 3]), ("i", T.INT64, ["b", 3])])
    wrong = "best.*({0} and {1}|{1} and {0}|{0} against {1})"
    run("a declared size", m, [((x, np.int64([3])), list(top_k(x, 3))), ((x, np.int64([2])), wrong.format(2, 3)),
                               ((x, np.int64([4])), wrong.format(4, 3)), ((x, np.int64([3])), list(top_k(x, 3)))])
    never = model([node("k")], [("x", x, x.shape), ("k", np.int64([1]), [1])], [("v", of_type(x), [2, 6])])
    run("a size that it never has", never, [((x, np.int64([1])), "dim 1 of output 'v' is never 6")], sys.argv[1:2])
    open_size = model([node("k")], [("x", x, x.shape), ("k", np.int64([1]), [1])], outputs(x))
    run("no declared size", open_size, [((x, np.int64([k])), list(top_k(x, k))) for k in (1, 5, 0, 3)])


def refused():
    x = np.zeros((2, 5), np.float32)
    for name, k, attributes, pattern in (
        ("too many", [6], {}, "node 'best'.*k and the elements to choose from"),
        ("negative", [-1], {}, "node 'best'.*k is -1"),
        ("two", [1, 2], {}, "node 'best'.*must have one element"),
        ("no axis", [1], {"axis": 2}, "node 'best'.*axis 2"),
    ):
        m = model([node("k", **attributes)], [("x", x, x.shape)], outputs(x), [("k", np.int64(k))])
        run(name, m, [((x,), pattern)], sys.argv[1:2])
    run("a float", model([node("k")], [("x", x, x.shape)], outputs(x), [("k", np.float32([1]))]),
        [((x,), "node 'best'.*list of integers")], sys.argv[1:2])
    run("no k", model([node()], [("x", x, x.shape)], outputs(x), opset=9), [((x,), "node 'best'.*needs attribute 'k'")], sys.argv[1:2])


def main():
    known()
    of_sizes()
    of_data()
    of_the_rest()
    declared()
    refused()
    end()


if __name__ == "__main__":
    main()
