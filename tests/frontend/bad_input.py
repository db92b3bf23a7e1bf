#!/usr/bin/env python3
"""Bad models end in one line that names the file, the node and the remedy, and in the documented exit code.

bad_input.py TOOL [ARG...]: runs TOOL ARG... FILE for each case, where TOOL is eval_onnx, or xfc with --check. Exit code
0, 1, or 77 (skipped) where the onnx package is missing. The cases about external data are in bad_external.py,
those about sparse initializers in bad_sparse.py, about scales and zero points in bad_quantized.py, about attention of decoders in
bad_decoders.py.
"""

import os
import sys

import bad_decoders  # noqa: F401, adds its cases
import bad_external  # noqa: F401, too
import bad_quantized  # noqa: F401, too
import bad_sparse  # noqa: F401, too
from bad_case import (
    CASES, T, case, field, h, model_of, np, numpy_helper, onnx, raw_weight, relu, run_case, value, with_weight,
)


# ---- files ----

@case(1, r"empty\.onnx: error: the file is empty")
def empty(_):
    return b""


@case(1, r"not a readable ONNX file: truncated data at byte \d+ of \d+")
def truncated(_):
    data = with_weight(numpy_helper.from_array(np.ones((2, 3), np.float32), "w")).SerializeToString()
    return data[: len(data) - 40]


@case(1, r"not a readable ONNX file")
def text_file(_):
    return b"This is no model.\n" * 20


@case(1, r"not a readable ONNX file")
def zip_file(_):
    return b"PK\x03\x04" + bytes(200)


@case(1, r"holds no ONNX graph")
def no_graph(_):
    return b"\x08\x08"


@case(4, r"missing\.onnx: error: cannot open '.*missing\.onnx': No such file or directory")
def missing_file(folder):
    return os.path.join(folder, "missing.onnx")


@case(4, r"is a folder; give the file in it")
def directory(folder):
    path = os.path.join(folder, "directory.onnx")
    os.mkdir(path)
    return path


@case(1, r"messages nest deeper than the limit of 64")
def nested_subgraphs(_):
    graph = b""
    for _ in range(3000):
        graph = field(1, field(5, field(6, graph)))  # node, attribute, g
    return b"\x08\x08" + field(7, graph)


@case(1, r"more (messages|than \d+ nodes)")
def node_bomb(_):
    return b"\x08\x08" + field(8, b"\x10\x11") + field(7, field(1, b"") * (5 << 20))


@case(1, r"more than 1048576 nodes")
def many_nodes(_):
    return b"\x08\x08" + field(8, b"\x10\x11") + field(7, field(1, b"") * ((1 << 20) + 1) + field(12, b"\x0a\x01y"))


@case(1, r"a field given twice")
def graph_twice(_):
    data = model_of([relu()]).SerializeToString()
    return data + data


@case(1, r"a name with a NUL byte")
def nul_in_name(_):
    return model_of([relu("a\0b")]).SerializeToString()


@case(1, r"a name longer than the limit of 65536")
def long_name(_):
    return model_of([relu("n" * 70000)])


@case(1, r"truncated integer|truncated field")
def endless_varint(_):
    return b"\x08" + b"\xff" * 11


@case(1, r"wrong wire type")
def wrong_wire_type(_):
    return b"\x38\x01"  # graph as an integer


# ---- tensors ----

@case(1, r"node 'add' \(Add, opset 17\): initializer 'w' has 20 bytes of data, but its shape needs 24")
def data_short(_):
    return with_weight(raw_weight([2, 3], bytes(20)))


@case(1, r"initializer 'w' has 28 bytes of data, but its shape needs 24")
def data_long(_):
    return with_weight(raw_weight([2, 3], bytes(28)))


@case(1, r"initializer 'w' has no data")
def data_none(_):
    t = T(name="w", data_type=T.FLOAT)
    t.dims.extend([2, 3])
    return with_weight(t)


@case(1, r"initializer 'w' holds 5 values, but its shape needs 6|initializer 'w' has less data|has 20 bytes")
def typed_data_short(_):
    t = T(name="w", data_type=T.FLOAT, float_data=[1, 2, 3, 4, 5])
    t.dims.extend([2, 3])
    return with_weight(t)


@case(1, r"field of another type")
def typed_data_wrong(_):
    t = T(name="w", data_type=T.FLOAT, int64_data=[1, 2, 3, 4, 5, 6])
    t.dims.extend([2, 3])
    return with_weight(t)


@case(1, r"negative dim or more elements than fit")
def dims_overflow(_):
    return with_weight(raw_weight([1 << 40, 1 << 40], bytes(24)))


@case(1, r"negative dim or more elements than fit")
def dims_negative(_):
    return with_weight(raw_weight([-2, -3], bytes(24)))


@case(1, r"rank 9; the limit is 8")
def rank_too_high(_):
    return with_weight(raw_weight([1] * 9, bytes(4)))


@case(3, r"operand 'w' holds strings, which this operator does not take")
def string_tensor(_):
    return with_weight(h.make_tensor("w", T.STRING, [1], [b"a"]))


@case(3, r"initializer 'w' has element type complex64 \(14\)")
def complex_tensor(_):
    return with_weight(raw_weight([2, 3], bytes(48), T.COMPLEX64))


@case(1, r"initializer 'w' has 6 bytes of data, but its shape needs 3")
def unpacked_tensor(_):
    return with_weight(raw_weight([2, 3], bytes(6), T.FLOAT4E2M1))


@case(3, r"node '#0' \(EyeLike, opset \d+\): element type 4294967297 is not supported")
def dtype_beyond_32_bits(_):
    return model_of([h.make_node("EyeLike", ["x"], ["y"], dtype=2**32 + T.FLOAT)])


@case(3, r"initializer 'w' has element type unknown \(99\)")
def unknown_dtype(_):
    return with_weight(raw_weight([2, 3], bytes(24), 99))


@case(3, r"input 'x' has element type unknown \(77\)")
def unknown_input_dtype(_):
    m = model_of([relu()])
    m.graph.input[0].type.tensor_type.elem_type = 77
    return m


# ---- graphs ----

@case(1, r"the graph has a cycle: '\w' needs '\w'")
def cycle(_):
    return model_of([h.make_node("Add", ["x", "c"], ["b"], name="p"), h.make_node("Relu", ["b"], ["c"], name="q"),
                     h.make_node("Neg", ["c"], ["y"], name="r")])


@case(1, r"the graph has a cycle: 'self' needs 'self'")
def cycle_of_one(_):
    return model_of([h.make_node("Add", ["x", "y"], ["y"], name="self")])


@case(1, r"node 'add' \(Add, opset 17\): operand 'nobody' is produced by no node")
def dangling(_):
    return model_of([h.make_node("Add", ["x", "nobody"], ["y"], name="add")])


@case(1, r"output 'z' is produced by no node")
def dangling_output(_):
    return model_of([relu()], outputs=[value("z")])


@case(1, r"node 'second' .*the name 'y' is given to two values")
def duplicate_value(_):
    return model_of([relu("first"), h.make_node("Neg", ["x"], ["y"], name="second")])


@case(1, r"graph input 'x' is listed twice")
def duplicate_input(_):
    return model_of([relu()], inputs=[value("x"), value("x")])


@case(1, r"the name 'w' is given to two values")
def duplicate_initializer(_):
    w = numpy_helper.from_array(np.ones((2, 3), np.float32), "w")
    return model_of([h.make_node("Add", ["x", "w"], ["y"])], initializers=[w, w])


@case(1, r"the graph has no outputs")
def no_outputs(_):
    m = model_of([relu()])
    del m.graph.output[:]
    return m


@case(3, r"node 'odd' \(Frobnicate, opset 17\): operator Frobnicate is not supported")
def unknown_op(_):
    return model_of([h.make_node("Frobnicate", ["x"], ["y"], name="odd")])


@case(3, r"node 'odd' \(com\.example::Relu, opset 1\): operator com\.example::Relu is not supported")
def unknown_domain(_):
    return model_of([h.make_node("Relu", ["x"], ["y"], name="odd", domain="com.example")])


@case(3, r"the model uses opset 0; opsets 1 to 27 are supported; convert it with onnx\.version_converter")
def opset_too_old(_):
    return model_of([relu()], opset=0)


@case(3, r"the model uses opset 99")
def opset_too_new(_):
    return model_of([relu()], opset=99)


@case(3, r"node 'g' \(Gelu, opset 17\): this operator is not supported in opset 17")
def op_of_another_opset(_):
    return model_of([h.make_node("Gelu", ["x"], ["y"], name="g")])


@case(1, r"the model has no opset_import")
def no_opset(_):
    m = model_of([relu()])
    del m.opset_import[:]
    return m


@case(1, r"imports domain 'ai\.onnx' in versions 17 and 13")
def opset_twice(_):
    m = model_of([relu()])
    m.opset_import.add(domain="ai.onnx", version=13)
    return m


@case(3, r"IR version 99 is not supported")
def ir_version(_):
    return model_of([relu()], ir_version=99)


@case(3, r"the rank of input 'x' is unknown; give it with --shape x=1x128")
def no_shape(_):
    m = model_of([relu()])
    m.graph.input[0].type.tensor_type.ClearField("shape")
    return m


@case(3, r"the tensors in its sequence; export the model with a shape for them")
def sequence_of_unknown_rank(_):
    x = h.make_tensor_sequence_value_info("x", T.FLOAT, None)
    zero = h.make_tensor("zero", T.INT64, [], [0])
    return model_of([h.make_node("SequenceAt", ["x", "zero"], ["y"])], inputs=[x], initializers=[zero])


@case(3, r"input 'x' is a sequence or an optional of what is no tensor")
def sequence_of_sequences(_):
    inner = h.make_sequence_type_proto(h.make_tensor_type_proto(T.FLOAT, [2]))
    x = h.make_value_info("x", h.make_sequence_type_proto(inner))
    return model_of([h.make_node("Identity", ["x"], ["y"])], inputs=[x])


@case(1, r"'x.shapes' is also the name of a part of a sequence")
def name_of_a_part(_):
    x = h.make_tensor_sequence_value_info("x", T.FLOAT, [2])
    return model_of([h.make_node("Identity", ["x"], ["y"])], inputs=[x, value("x.shapes")])


@case(1, r"the tensors of input 'x' have rank 9; the limit is 8")
def sequence_of_high_rank(_):
    x = h.make_tensor_sequence_value_info("x", T.FLOAT, [1] * 9)
    return model_of([h.make_node("Identity", ["x"], ["y"])], inputs=[x])


@case(3, r"BitCast.*operand 's' holds strings, which this operator does not take")
def bits_of_strings(_):
    return model_of([h.make_node("BitCast", ["s"], ["y"], to=T.INT64)], inputs=[value("s", T.STRING, (2,))], opset=26)


@case(1, r"operand 'x' holds no strings")
def concat_with_numbers(_):
    return model_of([h.make_node("Concat", ["s", "x"], ["y"], axis=0)], inputs=[value("s", T.STRING, (2,)), value("x", T.INT64, (2,))])


def match_of(pattern):
    attrs = {} if pattern is None else {"pattern": pattern}
    node = h.make_node("RegexFullMatch", ["x"], ["y"], name="match", **attrs)
    return model_of([node], [value("x", T.STRING)], [value("y", T.BOOL)], opset=20)


for _name, _code, _pattern, _message in (
        ("none", 1, None, r"has no attribute 'pattern'"), ("nul", 1, b"a\0b", r"has no attribute 'pattern', or one with a NUL"),
        ("open_group", 1, "(a", r"pattern '\(a' is no regular expression: a group without its end at byte 2"),
        ("closed_group", 1, "a)", r"a parenthesis that closes nothing at byte 1"), ("open_class", 1, "[a", r"its end at byte 2"),
        ("open_escape", 1, "a\\", r"a backslash that ends it"), ("escape", 1, r"\y", r"an escape that is not known"),
        ("back_reference", 1, r"(a)\1", r"an escape that is not known"), ("look_ahead", 1, "(?=a)", r"a group of a kind that is not known"),
        ("repeated_nothing", 1, "a|*", r"a repetition of nothing at byte 2"), ("repeated_twice", 1, "a**", r"a repetition of a repetition"),
        ("too_often", 1, "a{1001}", r"a repetition of more than 1000 times"), ("turned_range", 1, "[b-a]", r"a range whose end comes first"),
        ("no_class", 1, "[[:alfa:]]", r"a class that is not known"), ("no_text", 1, b"a\xff", r"bytes that are no UTF-8 at byte 1"),
        ("too_deep", 1, "(" * 201 + ")" * 201, r"groups that are nested too deep"), ("long_escape", 1, r"\x{110000}", r"an escape that is not known"),
        ("too_many_states", 1, ".*a.{20}", r"needs an automaton of more than 4096 states"),
        ("repeated_empty", 1, "(" * 9 + "){1000}" * 9, r"needs an automaton of more than 4096 states"),
        ("single_byte", 3, r"\C", r"single bytes are not supported \(byte 1\)"), ("unicode_class", 3, r"\pL", r"classes of Unicode are not"),
        ("lines", 3, "(?m)^a", r"lines within a text \(flag m\) are"), ("case_beyond", 3, "(?i)é", r"the case of what is beyond ASCII is")):
    def match(_, pattern=_pattern):
        return match_of(pattern)
    match.__name__ = "match_" + _name
    case(_code, rf"'match'.*{_message}")(match)


@case(1, r"holds 1 strings, but its shape needs 2")
def too_few_strings(_):
    m = model_of([h.make_node("Identity", ["s"], ["y"])], initializers=[h.make_tensor("s", T.STRING, [2], [b"a", b"b"])])
    del m.graph.initializer[0].string_data[1]
    return m


@case(1, r"has another number of keys than of values")
def labels_without_values(_):
    node = h.make_node("LabelEncoder", ["s"], ["y"], domain="ai.onnx.ml", keys_strings=["a", "b"], values_int64s=[1])
    m = model_of([node], inputs=[value("s", T.STRING, (2,))])
    m.opset_import.append(h.make_opsetid("ai.onnx.ml", 4))
    return m


@case(1, r"has ngram_counts that do not fit its pool")
def grams_that_do_not_fit(_):
    node = h.make_node("TfIdfVectorizer", ["i"], ["y"], mode="TF", min_gram_length=2, max_gram_length=2, max_skip_count=0,
                       ngram_counts=[0, 0], ngram_indexes=[0, 1], pool_int64s=[1, 2, 3])
    return model_of([node], inputs=[value("i", T.INT64, (4,))])


@case(1, r"has two weights for one column")
def grams_of_one_column(_):
    node = h.make_node("TfIdfVectorizer", ["i"], ["y"], mode="IDF", min_gram_length=1, max_gram_length=1, max_skip_count=0,
                       ngram_counts=[0], ngram_indexes=[0, 0], pool_int64s=[1, 2], weights=[2.0, 3.0])
    return model_of([node], inputs=[value("i", T.INT64, (4,))])


def forest(opset=5, **change):
    """Two nodes, three leaves, or what `change` makes of them."""
    floats = lambda *v: numpy_helper.from_array(np.float32(v), "v")  # noqa: E731
    attrs = {"n_targets": 1, "tree_roots": [0], "nodes_featureids": [0, 1], "nodes_splits": floats(0, 1), "nodes_modes": numpy_helper.from_array(np.uint8([0, 0]), "m"),
             "nodes_truenodeids": [1, 0], "nodes_trueleafs": [0, 1], "nodes_falsenodeids": [2, 1], "nodes_falseleafs": [1, 1],
             "leaf_targetids": [0, 0, 0], "leaf_weights": floats(1, 2, 3), **change}
    node = h.make_node("TreeEnsemble", ["x"], ["y"], domain="ai.onnx.ml", name="forest", **{k: v for k, v in attrs.items() if v is not None})
    model = model_of([node], inputs=[value("x", T.FLOAT, (4, 2))])
    model.opset_import.append(h.make_opsetid("ai.onnx.ml", opset))
    return model


@case(1, r"node 'forest'.*attribute 'nodes_truenodeids' leads from a node back to it")
def trees_in_a_circle(_):
    return forest(nodes_truenodeids=[1, 0], nodes_trueleafs=[0, 0])


@case(1, r"node 'forest'.*attribute 'nodes_falsenodeids' names a leaf that there is not")
def trees_without_a_leaf(_):
    return forest(nodes_falsenodeids=[3, 1])


@case(1, r"node 'forest'.*attribute 'nodes_truenodeids' names a node that there is not")
def trees_without_a_node(_):
    return forest(nodes_truenodeids=[2, 0])


@case(1, r"node 'forest'.*attribute 'nodes_falsenodeids' has the entry -1, which is none of 0 to")
def trees_with_a_negative_node(_):
    return forest(nodes_falsenodeids=[-1, 1])


@case(1, r"node 'forest'.*attribute 'nodes_featureids' has not as many entries as the others")
def trees_of_uneven_lists(_):
    return forest(nodes_featureids=[0])


@case(1, r"node 'forest'.*attribute 'tree_roots' has the entry 2, which is none of 0 to 1")
def trees_without_a_root(_):
    return forest(tree_roots=[2])


@case(1, r"node 'forest'.*attribute 'leaf_targetids' has the entry 1, which is none of 0 to 0")
def trees_without_a_target(_):
    return forest(leaf_targetids=[0, 1, 0])


@case(1, r"node 'forest'.*the features that nodes compare and those of a row do not agree")
def trees_of_more_features(_):
    return forest(nodes_featureids=[0, 2])


@case(1, r"node 'forest'.*attribute 'membership_values' has fewer sets")
def trees_of_fewer_sets(_):
    return forest(nodes_modes=numpy_helper.from_array(np.uint8([6, 6]), "m"), membership_values=numpy_helper.from_array(np.float32([1, np.nan, 2]), "v"))


@case(1, r"node 'forest'.*attribute 'nodes_modes' holds none of the modes 0 to 6")
def trees_of_other_modes(_):
    return forest(nodes_modes=numpy_helper.from_array(np.uint8([0, 7]), "m"))


@case(3, r"Loop.*output 1 is a tensor of strings, which is not supported here")
def strings_out_of_a_loop(_):
    body = h.make_graph([h.make_node("Identity", ["c"], ["go"]), h.make_node("Identity", ["s"], ["t"])], "b",
                        [value("i", T.INT64, ()), value("c", T.BOOL, ())], [value("go", T.BOOL, ()), value("t", T.STRING, (2,))])
    return model_of([h.make_node("Loop", ["n", ""], ["y"], body=body)], inputs=[value("s", T.STRING, (2,)), value("n", T.INT64, ())])


@case(1, r"makes an optional of an optional")
def optional_of_an_optional(_):
    return model_of([h.make_node("Optional", ["x"], ["a"]), h.make_node("Optional", ["a"], ["y"])])


@case(1, r"takes a tensor out of an empty optional")
def empty_optional(_):
    none = h.make_node("Optional", [], ["a"], type=h.make_tensor_type_proto(T.FLOAT, [2]))
    return model_of([none, h.make_node("OptionalGetElement", ["a"], ["y"])])


@case(3, r"one.*Frob.*not supported", r"two.*com\.acme::Bar.*not supported", r"three.*operand 's' holds strings, which this operator does not take")
def all_in_one_run(_):
    strings = h.make_tensor("s", T.STRING, [1], [b"a"])
    return model_of(
        [
            h.make_node("Frob", ["x"], ["a"], name="one"),
            h.make_node("Bar", ["a"], ["b"], name="two", domain="com.acme"),
            h.make_node("Add", ["x", "s"], ["c"], name="three"),
            h.make_node("Add", ["b", "c"], ["y"], name="four"),
        ],
        initializers=[strings],
    )


@case(1, r"attribute 'axis' has the wrong kind")
def attribute_kind(_):
    return model_of([h.make_node("Softmax", ["x"], ["y"], axis="last")])


@case(1, r"axis 5 is outside a tensor of rank 2")
def axis_out_of_range(_):
    return model_of([h.make_node("Softmax", ["x"], ["y"], axis=5)])


@case(1, r"'perm' is not a permutation of the 2 axes")
def bad_permutation(_):
    return model_of([h.make_node("Transpose", ["x"], ["y"], perm=[0, 0])])


@case(1, r"'perm' is not a permutation of the 2 axes")
def bad_permutation_from_the_end(_):
    return model_of([h.make_node("Transpose", ["x"], ["y"], perm=[1, -1])])


@case(1, r"'perm' is not a permutation of the 2 axes")
def permutation_before_the_first_axis(_):
    return model_of([h.make_node("Transpose", ["x"], ["y"], perm=[0, -(2**63)])])


@case(3, r"attribute 'spin' is not known for this operator")
def unknown_attribute(_):
    return model_of([h.make_node("Relu", ["x"], ["y"], spin=1)])


@case(1, r"has 1 operands; 2 to 2 are allowed")
def too_few_operands(_):
    return model_of([h.make_node("Add", ["x"], ["y"])])


@case(1, r"node 'mm' \(MatMul, opset 17\): ")
def shapes_do_not_fit(_):
    return model_of([h.make_node("MatMul", ["x", "x"], ["y"], name="mm")])


@case(3, r"SplitToSequence.*operand 's' is a sequence, which this operator does not take")
def split_of_sequence(_):
    return model_of([h.make_node("SplitToSequence", ["x"], ["s"]), h.make_node("SplitToSequence", ["s"], ["y"])])


@case(3, r"SplitToSequence.*operand 's' is a sequence, which this operator does not take")
def split_by_sequence(_):
    return model_of([h.make_node("SplitToSequence", ["x"], ["s"]), h.make_node("SplitToSequence", ["x", "s"], ["y"])])


@case(3, r"operand 's' has a length that is not known, so that nobody can know the rank")
def run_time_rank(_):
    """Of a value whose rank the file does not declare."""
    return model_of([h.make_node("Reshape", ["x", "s"], ["r"]), h.make_node("Neg", ["r"], ["y"])], inputs=[value("x"), value("s", T.INT64, ("k",))])


@case(1, r"entry 0 of shape 's' is -5")
def bad_reshape(_):
    s = numpy_helper.from_array(np.array([-5, 2]), "s")
    return model_of([h.make_node("Reshape", ["x", "s"], ["y"])], initializers=[s])


@case(1, r"Expand.*has dim 2, which cannot be expanded to 0")
def expand_to_nothing(_):
    s = numpy_helper.from_array(np.array([0, 3]), "s")
    return model_of([h.make_node("Expand", ["x", "s"], ["y"])], initializers=[s])


@case(1, r"Expand.*has dim 3, which cannot be expanded to 4")
def expand_to_more(_):
    s = numpy_helper.from_array(np.array([5, 1, 4]), "s")
    return model_of([h.make_node("Expand", ["x", "s"], ["y"])], initializers=[s])


@case(1, r"Expand.*has dim 1, which cannot be expanded to -5")
def expand_to_negative(_):
    s = numpy_helper.from_array(np.array([-5, 2, 3]), "s")
    return model_of([h.make_node("Expand", ["x", "s"], ["y"])], initializers=[s])


@case(1, r"Expand.*has dim 1, which cannot be expanded to -9223372036854775808")
def expand_to_least(_):
    s = numpy_helper.from_array(np.array([-(2**63), 2, 3]), "s")
    return model_of([h.make_node("Expand", ["x", "s"], ["y"])], initializers=[s])


@case(1, r"has step 0")
def slice_step_zero(_):
    c = [numpy_helper.from_array(np.array([v]), n) for n, v in (("a", 0), ("b", 2), ("c", 0), ("d", 0))]
    return model_of([h.make_node("Slice", ["x", "a", "b", "c", "d"], ["y"])], initializers=c)


# ---- options: a case may return (model, arguments) ----

@case(1, r"--dim 'btach=4': the model has no such dim; it has 'batch', 'seq'; did you mean 'batch'\?")
def dim_unknown(_):
    return model_of([relu()], inputs=[value("x", shape=("batch", "seq"))]), ["--dim", "btach=4"]


@case(1, r"--dim 'batch=9\.\.2': expected NAME=N or NAME=LO\.\.HI")
def dim_range_reversed(_):
    return model_of([relu()], inputs=[value("x", shape=("batch", "seq"))]), ["--dim", "batch=9..2"]


@case(1, r"--shape 'x=1x2x3': the input has 2 dims, not 3")
def shape_rank(_):
    return model_of([relu()]), ["--shape", "x=1x2x3"]


@case(1, r"--shape 'z=1x2': the model has no such input; it has 'x'")
def shape_of_nothing(_):
    return model_of([relu()]), ["--shape", "z=1x2"]


@case(1, r"--shape 'x': the model fixes dim 1 at 3")
def shape_against_model(_):
    return model_of([relu()]), ["--shape", "x=2x4"]


# ---- functions ----

def function(name, nodes, domain="local"):
    return h.make_function(domain, name, ["a"], ["b"], nodes, [h.make_opsetid("", 17), h.make_opsetid("local", 1)])


def calling(*functions, op="F"):
    m = model_of([h.make_node(op, ["x"], ["y"], name="call", domain="local")], functions=list(functions))
    m.opset_import.add(domain="local", version=1)
    return m


@case(1, r"function 'F' calls itself")
def recursion(_):
    return calling(function("F", [h.make_node("F", ["a"], ["b"], domain="local")]))


@case(1, r"calls itself")
def mutual_recursion(_):
    return calling(function("F", [h.make_node("G", ["a"], ["b"], domain="local")]),
                   function("G", [h.make_node("F", ["a"], ["b"], domain="local")]))


@case(1, r"function 'F' is defined twice")
def function_twice(_):
    return calling(function("F", [relu_ab()]), function("F", [relu_ab()]))


def relu_ab():
    return h.make_node("Relu", ["a"], ["b"])


@case(1, r"more than 1048576 nodes after inlining")
def function_bomb(_):
    functions = [function("L0", [relu_ab()])]
    for i in range(1, 30):
        nodes = [
            h.make_node(f"L{i - 1}", ["a"], ["t"], domain="local"),
            h.make_node(f"L{i - 1}", ["t"], ["b"], domain="local"),
        ]
        functions.append(function(f"L{i}", nodes))
    return calling(*functions, op="L29")


@case(3, r"node 'call/deep' \(Frob, opset 17\): operator Frob is not supported")
def unsupported_in_function(_):
    return calling(function("F", [h.make_node("Frob", ["a"], ["b"], name="deep")]))


@case(1, r"node 'r' \(Reshape, opset \d+\): dim 0 of output 'y' is never 3, as the file declares")
def one_size_two_numbers(_):
    """From no elements, in a shape of 3 that only the run could know."""
    graph = h.make_graph([h.make_node("Reshape", ["x", "s"], ["y"], name="r")], "g",
                         [h.make_tensor_value_info("x", T.FLOAT, [0]), h.make_tensor_value_info("s", T.INT64, [1])],
                         [h.make_tensor_value_info("y", T.FLOAT, [3])])
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 21)], ir_version=10)


@case(1, r"node 'c' \(CumSum, opset 17\): takes an axis of an operand of rank 0")
def no_axis_at_all(_):
    """An axis that the run gives, of one number."""
    return model_of([h.make_node("CumSum", ["x", "a"], ["y"], name="c")], [value("x", shape=()), value("a", T.INT64, (1,))], [value("y", shape=())])


def main():
    command = sys.argv[1:]
    if not command:
        print(__doc__)
        return 2
    passed = sum(run_case(command, *c) for c in CASES)
    print(f"{passed} of {len(CASES)} bad models are refused as they should be")
    return 0 if passed == len(CASES) else 1


if __name__ == "__main__":
    sys.exit(main())
