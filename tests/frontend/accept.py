#!/usr/bin/env python3
"""Models that look odd but are valid: they import, and the interpreter computes what numpy does.

accept.py EVAL_ONNX. Exit code 0, 1, or 77 (skipped) where the onnx package is missing. Operators are covered by
conformance.py; here
are the forms of whole models: order, names, encodings of tensors, dims, functions, external data, options.
"""

import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    from onnx import TensorProto as T
    from onnx import helper as h
    from onnx import numpy_helper

    from cases import write_case
except ImportError:
    print("SKIP: the onnx package (onnx==1.22.0) is not installed")
    sys.exit(77)

CASES = []


def case(function):
    """Declares a case: a function of its folder that returns (model, inputs, expected outputs, tool arguments)."""
    CASES.append(function)
    return function


def value(name, shape=(2, 3), dtype=T.FLOAT):
    return h.make_tensor_value_info(name, dtype, shape)


def model_of(nodes, inputs=None, outputs=None, initializers=(), opset=17, domains=(), **kw):
    graph = h.make_graph(nodes, "g", inputs or [value("x")], outputs or [value("y")], list(initializers))
    opsets = [h.make_opsetid("", opset)] + [h.make_opsetid(d, 1) for d in domains]
    return h.make_model(graph, opset_imports=opsets, ir_version=8, **kw)


def const(name, data):
    return numpy_helper.from_array(np.asarray(data), name)


X = np.arange(6, dtype=np.float32).reshape(2, 3) - 2
W = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
NODE = h.make_node


def add_weight(tensor, expected=None, **kw):
    return (
        model_of([NODE("Add", ["x", "w"], ["y"])], initializers=[tensor], **kw),
        [X],
        [X + W if expected is None else expected],
        [],
    )


@case
def out_of_order(_):
    nodes = [NODE("Neg", ["b"], ["y"]), NODE("Relu", ["a"], ["b"]), NODE("Abs", ["x"], ["a"])]
    return model_of(nodes), [X], [-np.abs(X)], []


@case
def nodes_that_nothing_needs(_):
    nodes = [NODE("Relu", ["x"], ["y"]), NODE("Frobnicate", ["x"], ["unused"])]
    return model_of(nodes), [X], [np.maximum(X, 0)], []


@case
def input_initializer_and_one_value_twice_as_outputs(_):
    outputs = [value("x"), value("w"), value("y"), value("z"), value("y")]
    nodes = [NODE("Relu", ["x"], ["y"]), NODE("Identity", ["y"], ["z"])]
    relu = np.maximum(X, 0)
    return model_of(nodes, outputs=outputs, initializers=[const("w", W)]), [X], [X, W, relu, relu, relu], []


@case
def identity_on_initializer(_):
    nodes = [NODE("Identity", ["w"], ["v"]), NODE("Add", ["x", "v"], ["y"])]
    return model_of(nodes, initializers=[const("w", W)]), [X], [X + W], []


@case
def initializer_that_is_an_input(_):
    m = model_of([NODE("Add", ["x", "w"], ["y"])], inputs=[value("w"), value("x")], initializers=[const("w", W)])
    return m, [X], [X + W], []


@case
def overridable_initializer(_):
    m = model_of([NODE("Add", ["x", "w"], ["y"])], inputs=[value("x"), value("w")], initializers=[const("w", W)])
    return m, [X, 10 * W], [X + 10 * W], ["--overridable"]


@case
def unused_initializer_of_any_type(_):
    return (
        model_of([NODE("Relu", ["x"], ["y"])], initializers=[h.make_tensor("s", T.STRING, [1], [b"a"])]),
        [X],
        [np.maximum(X, 0)],
        [],
    )


@case
def empty_optional_operands_and_outputs(_):
    nodes = [NODE("Clip", ["x", "", "hi"], ["c"]), NODE("Dropout", ["c"], ["y", ""])]
    return model_of(nodes, initializers=[const("hi", np.float32(1))]), [X], [np.minimum(X, 1)], []


@case
def names_of_every_kind(_):
    names = ['a"b', "new\nline", "tab\t", "päper", "50%s%n", " ", "0", "a:b/c.d"]
    nodes, last = [], "x"
    for name in names:
        nodes.append(NODE("Neg", [last], [name], name=name))
        last = name
    nodes.append(NODE("Relu", [last], ["y"]))
    return model_of(nodes), [X], [np.maximum(X, 0)], []


@case
def nodes_share_a_name(_):
    return model_of([NODE("Neg", ["x"], ["a"], name="n"), NODE("Neg", ["a"], ["y"], name="n")]), [X], [X], []


@case
def zero_size_initializer(_):
    nodes = [NODE("Concat", ["x", "w"], ["y"], axis=0)]
    return model_of(nodes, initializers=[const("w", np.zeros((0, 3), np.float32))]), [X], [X], []


@case
def scalar_input_and_output(_):
    m = model_of([NODE("Neg", ["x"], ["y"])], inputs=[value("x", ())], outputs=[value("y", ())])
    return m, [np.float32(3)], [np.float32(-3)], []


@case
def custom_domain_without_import(_):
    within = {
        0: 0,
        1: 0.6826894921370859,
        2: 0.9544997361036416,
        3: 0.9973002039367398,
    }  # of a normal distribution, by sigmas
    gelu = [[v / 2 * (1 + np.sign(v) * within[abs(int(v))]) for v in row] for row in X]
    return model_of([NODE("Gelu", ["x"], ["y"], domain="com.microsoft")]), [X], [np.array(gelu, np.float32)], []


@case
def domains_that_are_not_used(_):
    m, *rest = add_weight(const("w", W), domains=["com.microsoft", "ai.onnx.ml", "org.pytorch.aten", "com.acme"])
    return (m, *rest)


@case
def opset_import_twice_alike(_):
    m, *rest = add_weight(const("w", W))
    m.opset_import.add(domain="ai.onnx", version=17)
    return (m, *rest)


@case
def typed_float_data(_):
    return add_weight(h.make_tensor("w", T.FLOAT, [2, 3], W.flatten().tolist()))


@case
def typed_data_beside_empty_raw(_):
    t = h.make_tensor("w", T.FLOAT, [2, 3], W.flatten().tolist())
    t.raw_data = b""
    return add_weight(t)


def typed(onnx_type, numpy_type, values):
    """Weights in a typed field, cast to float by the model."""
    @case
    def build(_):
        t = h.make_tensor("w", onnx_type, [2, 3], values)
        nodes = [NODE("Cast", ["w"], ["v"], to=T.FLOAT), NODE("Add", ["x", "v"], ["y"])]
        return (
            model_of(nodes, initializers=[t]),
            [X],
            [X + np.array(values).astype(numpy_type).astype(np.float32).reshape(2, 3)],
            [],
        )
    build.__name__ = f"typed_{np.dtype(numpy_type).name}"


VALUES = [1, 2, 3, 4, 5, 6]
typed(T.DOUBLE, np.float64, VALUES)
typed(T.FLOAT16, np.float16, VALUES)
typed(T.INT8, np.int8, [-128, 127, -1, 0, 5, 6])
typed(T.UINT8, np.uint8, [255, 2, 3, 4, 5, 6])
typed(T.INT16, np.int16, [-32768, 2, 3, 4, 5, 6])
typed(T.UINT16, np.uint16, [65535, 2, 3, 4, 5, 6])
typed(T.INT32, np.int32, [-(2**31), 2, 3, 4, 5, 6])
typed(T.UINT32, np.uint32, [2**31, 2, 3, 4, 5, 6])
typed(T.INT64, np.int64, [-(2**40), 2, 3, 4, 5, 6])
typed(T.UINT64, np.uint64, [2**40, 2, 3, 4, 5, 6])
typed(T.BOOL, np.bool_, [1, 0, 1, 0, 0, 1])


@case
def bool_bytes_other_than_one(_):
    t = T(name="m", data_type=T.BOOL, raw_data=bytes([0, 1, 2, 255, 0, 7]))
    t.dims.extend([2, 3])
    expected = np.where(np.array([[0, 1, 1], [1, 0, 1]], bool), X, 0).astype(np.float32)
    return (
        model_of([NODE("Where", ["m", "x", "z"], ["y"])], initializers=[t, const("z", np.float32(0))]),
        [X],
        [expected],
        [],
    )


@case
def unaligned_data(_):
    """Names of lengths 1 to 8 shift the data that follows through every alignment."""
    weights = [const("w" * n, W + n) for n in range(1, 9)]
    m = model_of([NODE("Sum", ["x"] + [w.name for w in weights], ["y"])], initializers=weights)
    return m, [X], [X + sum(W + n for n in range(1, 9))], []


def constant(attribute, data, expected):
    @case
    def build(_):
        return (
            model_of(
                [NODE("Constant", [], ["y"], **{attribute: data})],
                outputs=[h.make_tensor_value_info("y", T.FLOAT, None)],
            ),
            [X],
            [expected],
            [],
        )
    build.__name__ = f"constant_{attribute}"


constant("value", const("", W), W)
constant("value_float", 2.5, np.float32(2.5))
constant("value_floats", [1.5, 2.5], np.array([1.5, 2.5], np.float32))
constant("value_int", 7, np.int64(7))
constant("value_ints", [7, 8], np.array([7, 8]))


def external(folder, location, offset, **kw):
    os.makedirs(os.path.dirname(os.path.join(folder, location)), exist_ok=True)
    path = os.path.join(folder, kw.get("file", location))
    with open(path, "wb") as f:
        f.write(bytes(offset) + W.tobytes() + b"tail")
    t = T(name="w", data_type=T.FLOAT, data_location=T.EXTERNAL)
    t.dims.extend([2, 3])
    t.external_data.add(key="location", value=location)
    t.external_data.add(key="offset", value=str(offset))
    if kw.get("length"):
        t.external_data.add(key="length", value="24")
    t.external_data.add(key="checksum", value="not read")
    return t


@case
def external_data(folder):
    return add_weight(external(folder, "weights.bin", 64, length=True))


@case
def external_data_unaligned_in_subfolder(folder):
    return add_weight(external(folder, "a/b/weights.bin", 3))


@case
def external_data_by_link(folder):
    t = external(folder, "link.bin", 0, file="real.bin")
    os.symlink("real.bin", os.path.join(folder, "link.bin"))
    m, inputs, outputs, _ = add_weight(t)
    return m, inputs, outputs, ["--follow-links"]


@case
def external_data_by_whole_path_of_a_link(folder):
    t = external(folder, "link/link.bin", 0, file="real.bin")
    os.rmdir(os.path.join(folder, "link"))
    os.symlink(".", os.path.join(folder, "link"))
    os.symlink(os.path.join(folder, "real.bin"), os.path.join(folder, "link.bin"))
    m, inputs, outputs, _ = add_weight(t)
    return m, inputs, outputs, ["--follow-links"]


# ---- dims ----

def dims_model(x, y, nodes=None, **kw):
    inputs = [value("a", x)] + ([value("b", y)] if y else [])
    return model_of(
        nodes or [NODE("Neg", ["a"], ["y"])],
        inputs=inputs,
        outputs=[h.make_tensor_value_info("y", T.FLOAT, None)],
        **kw,
    )


@case
def dim_expression(_):
    """b's second dim is past + seq, as decoders write it."""
    nodes = [NODE("Concat", ["a", "c"], ["ac"], axis=1), NODE("Add", ["ac", "b"], ["y"])]
    m = dims_model(("n", "past"), ("n", "past + seq"), nodes)
    m.graph.input.append(value("c", ("n", "seq")))
    a, c, b = np.ones((2, 3), np.float32), np.full((2, 1), 5, np.float32), np.arange(8, dtype=np.float32).reshape(2, 4)
    return m, [a, b, c], [np.concatenate([a, c], 1) + b], []


@case
def dim_that_only_looks_like_an_expression(_):
    m = dims_model(("seq-len", "2x"), None)
    return m, [X], [-X], []


@case
def dims_without_names(_):
    return dims_model((None, None), None), [X], [-X], []


@case
def dim_of_minus_one(_):
    m = dims_model((2, 3), None)
    m.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    return m, [X], [-X], []


@case
def dim_option(_):
    return dims_model(("n", "m"), None), [X], [-X], ["--dim", "n=2", "--dim", "m=1..8"]


@case
def dim_option_for_a_dim_without_name(_):
    return dims_model((None, 3), None), [X], [-X], ["--dim", "a_dim0=2"]


@case
def dims_said_to_be_the_same(_):
    nodes = [NODE("Add", ["a", "b"], ["y"])]
    return dims_model((None, "m"), ("k", None), nodes), [X, X], [X + X], ["--dim", "same"]


@case
def mask_dims_said_to_be_the_same(_):
    """The mask of an attention broadcasts to scores that no value has the dims of."""
    inputs = [value("x", ("n", "m", 4)), value("mask", ("k", "l"), T.INT32), value("w", (4, 12))]
    m = model_of([h.make_node("Attention", ["x", "w", "", "mask"], ["y"], domain="com.microsoft", num_heads=2)], inputs=inputs,
                 outputs=[h.make_tensor_value_info("y", T.FLOAT, None)], domains=("com.microsoft",))
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 8
    w = np.zeros((4, 12), np.float32)
    w[:, 8:] = np.eye(4, dtype=np.float32)
    mask = np.array([[1, 1, 0], [1, 0, 0]], np.int32)
    mean = (x * mask[:, :, None]).sum(1, keepdims=True) / mask.sum(1)[:, None, None]
    return m, [x, mask, w], [np.broadcast_to(mean, x.shape).astype(np.float32)], ["--dim", "same"]


@case
def shape_option(_):
    m = dims_model((2, 3), None)
    m.graph.input[0].type.tensor_type.ClearField("shape")
    return m, [X], [-X], ["--shape", "a=2x?"]


@case
def reshape_infers_from_symbols(_):
    nodes = [
        NODE("Shape", ["a"], ["s"]),
        NODE("Slice", ["s", "zero", "one"], ["n"]),
        NODE("Concat", ["n", "rest"], ["t"], axis=0),
        NODE("Reshape", ["a", "t"], ["y"]),
    ]
    consts = [const("zero", [0]), const("one", [1]), const("rest", [-1, 2])]
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    return dims_model(("n", "m", 4), None, nodes, initializers=consts), [x], [x.reshape(2, -1, 2)], []


@case
def table_cut_to_the_sequence(_):
    """[1, 8] cut to [0 : m] and added to m columns: no min() is left in the way."""
    nodes = [
        NODE("Shape", ["a"], ["s"], start=1),
        NODE("Slice", ["table", "zero", "s", "one"], ["t"]),
        NODE("Add", ["a", "t"], ["y"]),
    ]
    table = np.arange(8, dtype=np.float32).reshape(1, 8)
    consts = [const("table", table), const("zero", [0]), const("one", [1])]
    return dims_model(("n", "m"), None, nodes, initializers=consts), [X], [X + table[:, :3]], []


@case
def last_rows_by_negative_length(_):
    nodes = [
        NODE("Shape", ["a"], ["s"], start=1),
        NODE("Neg", ["s"], ["m"]),
        NODE("Slice", ["table", "m", "big", "one"], ["t"]),
        NODE("Add", ["a", "t"], ["y"]),
    ]
    table = np.arange(8, dtype=np.float32).reshape(1, 8)
    consts = [const("table", table), const("big", [2**63 - 1]), const("one", [1])]
    return dims_model(("n", "m"), None, nodes, initializers=consts), [X], [X + table[:, -3:]], []


@case
def permutation_that_counts_from_the_end(_):
    """Mamba 2 as TorchScript writes it; onnxruntime refuses it, NumPy and the reference implementation do not."""
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    return (model_of([NODE("Transpose", ["x"], ["y"], perm=[0, -1, -2])], [value("x", (2, 3, 4))], [value("y", (2, 4, 3))]), [x],
            [x.transpose(0, 2, 1)], [])


def expand_by_shape_of(name, rank):
    """y = name + ones expanded to name's shape, as torch writes expand: -1 would mean a dim as it is."""
    return [
        NODE("Shape", [name], ["shape"]), NODE("Equal", ["shape", "minus"], ["same"]),
        NODE("Where", ["same", "ones", "shape"], ["to"]), NODE("Expand", ["unit", "to"], ["e"]),
        NODE("Add", [name, "e"], ["y"]),
    ], [const("minus", np.array([-1])), const("ones", np.ones(rank, np.int64)),
        const("unit", np.ones([1] * rank, np.float32))]


@case
def cut_at_one_end_and_padded_at_the_other(_):
    """As long as before if there is anything to cut: m is at least 1, since the tensors are joined."""
    expand, consts = expand_by_shape_of("sum", 2)
    nodes = [
        NODE("Slice", ["a", "one", "big", "one"], ["c"]), NODE("Pad", ["c", "pads"], ["p"]),
        NODE("Concat", ["p", "a"], ["j"], axis=0), NODE("Slice", ["p", "zero", "one", "zero"], ["r"]),
        NODE("Add", ["r", "a"], ["s"]), NODE("Add", ["s", "a"], ["t"]),
        NODE("ReduceMax", ["j"], ["most"], axes=[0]), NODE("Add", ["t", "most"], ["sum"]),
    ]
    consts += [const("one", [1]), const("zero", [0]), const("big", [2**63 - 1]), const("pads", [0, 0, 0, 1])]
    moved = np.concatenate([X[:, 1:], np.zeros((2, 1), np.float32)], 1)
    want = moved[:1] + X + X + np.concatenate([moved, X]).max(0) + 1
    return dims_model(("n", "m"), None, nodes + expand, initializers=consts), [X], [want], []


@case
def a_size_that_looks_negative(_):
    """The windows over p / 4 chunks, p a multiple of 8: p / 4 - 1 is a size and not -1, which only the model says."""
    expand, consts = expand_by_shape_of("w", 3)
    nodes = [
        NODE("Shape", ["a"], ["n"]), NODE("Neg", ["n"], ["m"]), NODE("Mod", ["m", "eight"], ["r"]),
        NODE("Concat", ["zero", "r"], ["pads"], axis=0), NODE("Pad", ["a", "pads"], ["p"]),
        NODE("Reshape", ["p", "chunks"], ["q"]), NODE("Transpose", ["q"], ["t"]), NODE("Unsqueeze", ["t", "zero"], ["u"]),
        NODE("MaxPool", ["u"], ["w"], kernel_shape=[2]),
    ]
    consts += [const("eight", [8]), const("zero", [0]), const("chunks", [-1, 4])]
    x = np.arange(1, 14, dtype=np.float32)
    chunks = np.append(x, np.zeros(3, np.float32)).reshape(4, 4)
    want = np.maximum(chunks[:-1], chunks[1:]).T[None] + 1
    return dims_model(("n",), None, nodes + expand, initializers=consts), [x], [want], []


def float_range(name, start, limit, step, want, dtype=T.FLOAT):
    """Range of floats up to, or from, the number of x's columns: m = 3. Text stands for it."""
    def build(_):
        kind = h.tensor_dtype_to_np_dtype(dtype)
        operands = ["f" if isinstance(v, str) else f"c{i}" for i, v in enumerate((start, limit, step))]
        consts = [const(o, kind.type(v)) for o, v in zip(operands, (start, limit, step)) if o != "f"]
        nodes = [
            NODE("Shape", ["a"], ["s"]), NODE("Gather", ["s", "last"], ["g"]), NODE("Cast", ["g"], ["f"], to=dtype),
            NODE("Range", operands, ["y"]),
        ]
        m = dims_model(("n", "m"), None, nodes, initializers=consts + [const("last", np.int64(-1))])
        m.graph.output[0].type.tensor_type.elem_type = dtype
        return m, [X], [np.array(want, kind)], []

    build.__name__ = f"range_of_floats_{name}"
    CASES.append(build)


float_range("to_a_size", 0, "m", 1, [0, 1, 2])
float_range("from_a_half", 0.5, "m", 1, [0.5, 1.5, 2.5])
float_range("by_two", 0.25, "m", 2, [0.25, 2.25])
float_range("down_from_a_size", "m", 0.5, -1, [3, 2, 1])
float_range("from_a_size", "m", 5.5, 1, [3, 4, 5])
float_range("in_doubles", -0.5, "m", 1, [-0.5, 0.5, 1.5, 2.5], T.DOUBLE)
float_range("empty", 3, "m", 1, [])
float_range("by_a_half", 0, 2, 0.5, [0, 0.5, 1, 1.5])


# ---- functions ----

@case
def sizes_that_truncate(_):
    """torch writes // as Div: (n - 1) // 2 + 1 rows after a convolution with stride 2."""
    nodes = [
        NODE("Conv", ["x", "w"], ["c"], kernel_shape=[3], strides=[2], pads=[1, 1]),
        NODE("Shape", ["x"], ["s"], start=2, end=3),
        NODE("Add", ["s", "minus"], ["t"]), NODE("Div", ["t", "two"], ["q"]), NODE("Add", ["q", "one"], ["n"]),
        NODE("Concat", ["one", "n", "two"], ["shape"], axis=0),
        NODE("Transpose", ["c"], ["r"], perm=[0, 2, 1]), NODE("Reshape", ["r", "shape"], ["y"]),
    ]
    x = np.arange(7, dtype=np.float32).reshape(1, 1, 7)
    w = np.array([[[0, 1, 0]], [[0, 0, 1]]], np.float32)
    consts = [const("w", w), const("minus", np.array([-1])), const("two", np.array([2])), const("one", np.array([1]))]
    y = np.array([[[0, 1], [2, 3], [4, 5], [6, 0]]], np.float32)
    return model_of(nodes, [value("x", (1, 1, "n"))], [value("y", (1, "m", 2))], consts), [x], [y], []


@case
def sizes_computed_in_floats(_):
    """int(sqrt(n)) and ceil(n / 2) of numbers that are known."""
    nodes = [
        NODE("Pow", ["six", "half"], ["root"]), NODE("Cast", ["root"], ["r"], to=T.INT64),
        NODE("Shape", ["x"], ["s"], start=1), NODE("Cast", ["s"], ["f"], to=T.FLOAT), NODE("Mul", ["f", "half"], ["h"]),
        NODE("Ceil", ["h"], ["up"]), NODE("Cast", ["up"], ["u"], to=T.INT64),
        NODE("Concat", ["r", "u"], ["shape"], axis=0), NODE("Expand", ["z", "shape"], ["e"]),
        NODE("Add", ["e", "one"], ["y"]),
    ]
    consts = [const("six", np.array([16], np.float32)), const("half", np.array([0.5], np.float32)),
              const("z", np.zeros((1, 1), np.float32)), const("one", np.ones((), np.float32))]
    x = np.arange(3, dtype=np.float32).reshape(1, 3)
    return model_of(nodes, [value("x", ("b", 3))], [value("y", (4, 2))], consts), [x], [np.ones((4, 2), np.float32)], []


def local(name, inputs, outputs, nodes, **kw):
    return h.make_function(
        "local", name, inputs, outputs, nodes, [h.make_opsetid("", 17), h.make_opsetid("local", 1)], **kw
    )


@case
def function_with_attributes(_):
    leaky = NODE("LeakyRelu", ["a"], ["b"])
    leaky.attribute.add(name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT)
    inner = local("Inner", ["a"], ["b"], [leaky], attributes=["slope"])
    call = NODE("Inner", ["a"], ["t"], domain="local")
    call.attribute.add(name="slope", ref_attr_name="outer_slope", type=onnx.AttributeProto.FLOAT)
    outer = local(
        "Outer",
        ["a", "unused"],
        ["b", "c"],
        [call, NODE("Neg", ["t"], ["b"]), NODE("Abs", ["t"], ["c"])],
        attributes=["outer_slope"],
    )
    m = model_of(
        [NODE("Outer", ["x"], ["y"], domain="local", outer_slope=0.5)], functions=[inner, outer], domains=["local"]
    )
    return m, [X], [-np.where(X < 0, X * np.float32(0.5), X)], []


@case
def function_default_attribute(_):
    leaky = NODE("LeakyRelu", ["a"], ["b"])
    leaky.attribute.add(name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT)
    f = local("F", ["a"], ["b"], [leaky], attribute_protos=[h.make_attribute("slope", 0.25)])
    m = model_of(
        [NODE("F", ["x"], ["t"], domain="local"), NODE("F", ["t"], ["y"], domain="local", slope=2.0)],
        functions=[f],
        domains=["local"],
    )
    return m, [X], [np.where(X < 0, X * 0.5, X).astype(np.float32)], []


@case
def function_in_place_of_an_operator(_):
    f = h.make_function("", "Relu", ["a"], ["b"], [NODE("Neg", ["a"], ["b"])], [h.make_opsetid("", 17)])
    return model_of([NODE("Relu", ["x"], ["y"])], functions=[f]), [X], [-X], []


def run_case(tool, make):
    with tempfile.TemporaryDirectory() as folder:
        model, inputs, outputs, args = make(folder)
        path, data = write_case(folder, model, inputs, outputs)
        done = subprocess.run([tool, "--verify", *args, path, data], capture_output=True, timeout=120)
        if done.returncode:
            print(
                f"FAIL {make.__name__}: exit code {done.returncode}: "
                + (done.stdout + done.stderr).decode('utf-8', 'replace').strip()[:400]
            )
        return done.returncode == 0


def main():
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    passed = sum(run_case(sys.argv[1], c) for c in CASES)
    print(f"{passed} of {len(CASES)} odd but valid models work")
    return 0 if passed == len(CASES) else 1


if __name__ == "__main__":
    sys.exit(main())
