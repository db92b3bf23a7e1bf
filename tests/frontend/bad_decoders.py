"""Attention operators of decoders whose sizes or caches make no sense; cases of bad_input.py."""
from bad_case import T, case, h, model_of, value

MS = "com.microsoft"


def group_query(leave_out=(), inputs=(), **attributes):
    """4 heads of width 8 in 2 groups, and what the case changes; inputs: other shapes."""
    shapes = {"q": (1, 3, 32), "k": (1, 3, 16), "v": (1, 3, 16), "pk": (1, 2, "past", 8), "pv": (1, 2, "past", 8), "lengths": (1,),
              "total": (), "cos": (16, 4), "sin": (16, 4)} | dict(inputs)
    names = ["" if name in leave_out else name for name in shapes]
    attributes = {"num_heads": 4, "kv_num_heads": 2, "do_rotary": 1} | attributes
    node = h.make_node("GroupQueryAttention", names, ["y"], name="gqa", domain=MS, **attributes)
    kinds = {"lengths": T.INT32, "total": T.INT32}
    model = model_of([node], [value(k, kinds.get(k, T.FLOAT), shapes[k]) for k in names if k], [value("y", T.FLOAT, None)], [], 21)
    model.ir_version = 10
    model.opset_import.append(h.make_opsetid(MS, 1))
    return model


GQA = r"node 'gqa' \(com.microsoft::GroupQueryAttention, opset 1\): "


@case(1, GQA + r"num_heads is 4 and kv_num_heads 3; the first must be a multiple of the second")
def groups_that_do_not_divide(_):
    return group_query(kv_num_heads=3)


@case(1, GQA + r"num_heads is 4 and kv_num_heads 0")
def no_groups(_):
    return group_query(kv_num_heads=0)


@case(1, GQA + r"5 heads do not divide a width of 32")
def heads_that_do_not_divide(_):
    return group_query(num_heads=5, kv_num_heads=1)


@case(1, GQA + r"kv_num_heads, the width of a head and the width of key or value do not agree")
def keys_of_another_width(_):
    return group_query(inputs={"k": (1, 3, 24)})


@case(1, GQA + r"the widths of a head and of the past do not agree")
def past_of_another_width(_):
    return group_query(inputs={"pk": (1, 2, "past", 16)})


@case(1, GQA + r"kv_num_heads and the heads of the past do not agree")
def past_of_other_heads(_):
    return group_query(inputs={"pv": (1, 4, "past", 8)})


@case(1, GQA + r"has one of past_key and past_value; both or none are allowed")
def half_a_past(_):
    return group_query(["pv"])


@case(1, GQA + r"has one of key and value; both or none are allowed")
def keys_without_values(_):
    return group_query(["v"])


@case(1, GQA + r"needs the lengths of sequences and total_sequence_length")
def no_lengths(_):
    return group_query(["lengths"])


@case(1, GQA + r"do_rotary needs cos_cache and sin_cache, of two dims each")
def no_angles(_):
    return group_query(["sin"])


@case(1, GQA + r"twice the width of cos_cache and the width of a head do not agree")
def angles_too_wide(_):
    return group_query(inputs={"cos": (16, 6), "sin": (16, 6)})


@case(1, GQA + r"local_window_size is 0; it must be at least 1")
def window_of_nothing(_):
    return group_query(local_window_size=0)


@case(1, GQA + r"1 and the entries of total_sequence_length do not agree")
def two_totals(_):
    return group_query(inputs={"total": (2,)})


@case(3, GQA + r"sliding_window_cache needs past_key and a local_window_size of at least 1")
def window_cache(_):
    return group_query(sliding_window_cache=1)


QUANTIZED = {"positions": (1, 3), "bias": (1, 1, 3, 3), "sink": (4,), "scale": (1,)}


@case(1, GQA + r"attribute 'k_quant_type' must be NONE, PER_TENSOR or PER_CHANNEL")
def unknown_quantization(_):
    return group_query(inputs=QUANTIZED, k_quant_type="PER_ROW")


@case(1, GQA + r"needs a floating scale for 'v_quant_type'")
def scale_of_keys_alone(_):
    return group_query(inputs=QUANTIZED, k_quant_type="PER_TENSOR", v_quant_type="PER_TENSOR", kv_cache_bit_width=8)


@case(1, GQA + r"kv_cache_bit_width is 2; of a cache in few bits it must be 8 or 4")
def two_bits(_):
    return group_query(inputs=QUANTIZED, k_quant_type="PER_TENSOR", kv_cache_bit_width=2)


@case(1, GQA + r"has one of q_norm_weight and k_norm_weight")
def norm_of_queries_alone(_):
    return group_query(inputs={"positions": (1, 3), "bias": (1, 1, 3, 3), "sink": (4,), "ks": (1,), "vs": (1,), "qn": (8,)})


def multi_head(**shapes):
    shapes = {"q": (1, 3, 32), "k": (1, 3, 32), "v": (1, 3, 32), "bias": None, "mask": None, "added": None, "pk": (1, 4, "past", 8),
              "pv": (1, 4, "past", 8)} | shapes
    names = [k if v else "" for k, v in shapes.items()]
    node = h.make_node("MultiHeadAttention", names, ["y"], name="mha", domain=MS, num_heads=4)
    model = model_of([node], [value(k, T.FLOAT, v) for k, v in shapes.items() if v], [value("y", T.FLOAT, None)], [], 21)
    model.ir_version = 10
    model.opset_import.append(h.make_opsetid(MS, 1))
    return model


MHA = r"node 'mha' \(com.microsoft::MultiHeadAttention, opset 1\): "


@case(1, MHA + r"needs past keys and values both, of rank 4")
def multi_head_half_a_past(_):
    return multi_head(pv=None)


@case(1, MHA + r"needs query, key and value as \[batch, rows, width\]")
def multi_head_without_values(_):
    return multi_head(v=None)


@case(1, MHA + r"dims of joined tensors other than along the axis are 2 and 4")
def multi_head_past_of_other_heads(_):
    return multi_head(pk=(1, 2, "past", 8))


@case(3, MHA + r"a search along beams is not supported")
def multi_head_beams(_):
    return multi_head(used=(1,), beams=(1, 2, 9))


def stateful(op, shapes, opset=27, domain="", attributes=None, body=None):
    node = h.make_node(op, list(shapes), ["y"], name="state", domain=domain, **(attributes or {}))
    kinds = {"at": T.INT64}
    model = model_of([node], [value(k, kinds.get(k, T.FLOAT), v) for k, v in shapes.items()], [value("y", T.FLOAT, None)], [], opset)
    model.ir_version = 13
    if domain:
        model.opset_import.append(h.make_opsetid(domain, 1))
    if body:
        node = model.graph.node[0].attribute.add(name=body[0], type=5)
        node.g.CopyFrom(body[1])
    return model


def state_of(op, domain="", opset=27):
    return rf"node 'state' \({domain + '::' if domain else ''}{op}, opset {opset}\): "


QKV = {"q": (1, 3, 16), "k": (1, 3, 8), "v": (1, 3, 8)}
LINEAR = state_of("LinearAttention")


@case(1, LINEAR + r"q_num_heads is 3 and kv_num_heads 2; the first must be a multiple of the second")
def linear_heads(_):
    return stateful("LinearAttention", QKV, attributes={"q_num_heads": 3, "kv_num_heads": 2, "update_rule": "linear"})


@case(1, LINEAR + r"update_rule 'gated' needs decay and takes no beta")
def linear_without_decay(_):
    return stateful("LinearAttention", QKV, attributes={"q_num_heads": 2, "kv_num_heads": 1, "update_rule": "gated"})


@case(1, LINEAR + r"update_rule 'odd' is none of linear, gated, delta and gated_delta")
def linear_rule(_):
    return stateful("LinearAttention", QKV, attributes={"q_num_heads": 2, "kv_num_heads": 1, "update_rule": "odd"})


@case(1, LINEAR + r"batch, heads and widths, and the dims of the state do not agree")
def linear_state(_):
    return stateful("LinearAttention", QKV | {"s": (1, 1, 8, 9)}, attributes={"q_num_heads": 2, "kv_num_heads": 1, "update_rule": "linear"})


@case(1, LINEAR + r"the widths of query and key do not agree")
def linear_widths(_):
    return stateful("LinearAttention", QKV | {"k": (1, 3, 9)}, attributes={"q_num_heads": 2, "kv_num_heads": 1, "update_rule": "linear"})


CONV = state_of("CausalConvWithState")


@case(1, CONV + r"the length of the state and of the kernel less one do not agree")
def conv_state(_):
    return stateful("CausalConvWithState", {"x": (1, 4, 9), "w": (4, 1, 3), "b": (4,), "s": (1, 4, 3)})


@case(1, CONV + r"the channels of input and weights do not agree")
def conv_channels(_):
    return stateful("CausalConvWithState", {"x": (1, 4, 9), "w": (5, 1, 3)})


@case(1, CONV + r"activation 'relu' is none of silu, swish and none")
def conv_activation(_):
    return stateful("CausalConvWithState", {"x": (1, 4, 9), "w": (4, 1, 3)}, attributes={"activation": "relu"})


@case(3, state_of("CausalConvWithState", MS, 1) + r"more than one spatial dim, or states of several positions, are not supported")
def conv_of_images(_):
    return stateful("CausalConvWithState", {"x": (1, 4, 9, 9), "w": (4, 1, 3, 3)}, domain=MS, attributes={"ndim": 2})


SCATTER = state_of("TensorScatter")


@case(1, SCATTER + r"the rows of update and of the cache do not agree")
def scatter_too_much(_):
    return stateful("TensorScatter", {"cache": (1, 4, 8), "u": (1, 5, 8), "at": (1,)})


@case(1, SCATTER + r"the axis is 0, and cache and update have 3 and 3 dims; the axis must not be that of the batch")
def scatter_along_the_batch(_):
    return stateful("TensorScatter", {"cache": (1, 4, 8), "u": (1, 2, 8)}, attributes={"axis": 0})


@case(1, SCATTER + r"mode 'odd' is neither linear nor circular")
def scatter_mode(_):
    return stateful("TensorScatter", {"cache": (1, 4, 8), "u": (1, 2, 8)}, attributes={"mode": "odd"})


HEADS = {"q": (1, 2, 3, 8), "k": (1, 2, 3, 8), "v": (1, 2, 3, 8)}
FLEX = state_of("FlexAttention", "ai.onnx.preview", 1)


def flex(nodes, inputs=("s",), outputs=("t",)):
    graph = h.make_graph(nodes, "body", [value(k, T.FLOAT, None) for k in inputs], [value(k, T.FLOAT, None) for k in outputs])
    return stateful("FlexAttention", HEADS, domain="ai.onnx.preview", body=("score_mod", graph))


@case(1, FLEX + r"'score_mod' has 2 inputs and 1 outputs; one each is allowed")
def flex_two_inputs(_):
    return flex([h.make_node("Add", ["s", "u"], ["t"])], ("s", "u"))


@case(1, FLEX + r"'score_mod' makes another type or rank of what it is given")
def flex_other_type(_):
    return flex([h.make_node("Cast", ["s"], ["t"], to=T.DOUBLE)])


@case(1, FLEX + r"the dims before and behind a body do not agree")
def flex_other_shape(_):
    return flex([h.make_node("Concat", ["s", "s"], ["t"], axis=3)])


@case(1, FLEX + r"needs operands of rank 4")
def flex_rank(_):
    return stateful("FlexAttention", QKV, domain="ai.onnx.preview")


MIXTURE = {"x": (2, 3, 8), "router": (6, 4), "w1": (4, 16, 8), "b1": (4, 16), "w2": (4, 8, 16)}
MOE = state_of("MoE", MS, 1)


def mixture(shapes, **attributes):
    return stateful("MoE", MIXTURE | shapes, opset=21, domain=MS, attributes={"k": 2} | attributes)


@case(1, MOE + r"k and the number of experts do not agree")
def mixture_of_too_few(_):
    return mixture({}, k=5)


@case(1, MOE + r"the tokens of input and of router_probs do not agree")
def mixture_of_other_tokens(_):
    return mixture({"router": (5, 4)})


@case(1, MOE + r"the experts of the router and of weights do not agree")
def mixture_of_other_experts(_):
    return mixture({"w2": (3, 8, 16)})


@case(1, MOE + r"activation 'tanh' is none of relu, gelu, silu, swiglu and identity")
def mixture_activation(_):
    return mixture({}, activation_type="tanh")


@case(1, MOE + r"swiglu with swiglu_fusion 0 needs weights of a third layer")
def mixture_without_third(_):
    return mixture({}, activation_type="swiglu")


@case(3, MOE + r"use_sparse_mixer is not supported")
def mixture_sparse(_):
    return mixture({}, use_sparse_mixer=1)


@case(1, state_of("QMoE", MS, 1) + r"weights 'w1' must be u8 holding numbers of 2, 4 or 8 bits \(here 4\), with scales of floats that have 2 dims")
def mixture_of_floats(_):
    return stateful("QMoE", {"x": (6, 8), "router": (6, 4), "w1": (4, 16, 8), "s1": (4, 16), "b1": (4, 16), "w2": (4, 8, 16), "s2": (4, 8)},
                    opset=21, domain=MS, attributes={"k": 2})
