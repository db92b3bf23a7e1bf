"""Bad scales, zero points and blocks of quantized operators; cases of bad_input.py."""
from bad_case import T, case, h, model_of, np, numpy_helper, value

F = np.float32


def one(op, x, *weights, opset=21, domain="", **attributes):
    """A node over x, an input of that type, and weights."""
    names = ["x"] + [f"w{i}" for i in range(len(weights))]
    node = h.make_node(op, names, ["y"], name="few", domain=domain, **attributes)
    model = model_of([node], [value("x", x, (3, 4))], [value("y", T.FLOAT, None)],
                     [numpy_helper.from_array(np.asarray(w), n) for w, n in zip(weights, names[1:])], opset)
    model.ir_version = 10
    if domain:
        model.opset_import.append(h.make_opsetid(domain, 1))
    return model


NODE = r"node 'few' \(QuantizeLinear, opset 21\): "
OTHER = r"node 'few' \(DequantizeLinear, opset 21\): "


@case(1, NODE + r"operand 'w0' holds a scale that is 0 or negative; quantize the model again")
def quantize_by_zero(_):
    return one("QuantizeLinear", T.FLOAT, F(0), np.uint8(1))


@case(1, NODE + r"operand 'w0' holds a scale that is 0 or negative")
def quantize_by_a_negative_scale(_):
    return one("QuantizeLinear", T.FLOAT, np.array([1, 2, -3, 4], F))


@case(1, NODE + r"operand 'w0' holds a scale that is NaN or infinite")
def quantize_by_nan(_):
    return one("QuantizeLinear", T.FLOAT, F(np.nan))


@case(1, OTHER + r"operand 'w0' holds a scale that is NaN or infinite")
def dequantize_by_infinity(_):
    return one("DequantizeLinear", T.INT8, np.array([1, 2, np.inf, 4], F))


@case(1, OTHER + r"operand 'w0' is a scale of 0")
def dequantize_by_zero(_):
    return one("DequantizeLinear", T.INT8, F(0))


@case(1, OTHER + r"operand 'w0' is a scale, but no float")
def scale_of_integers(_):
    return one("DequantizeLinear", T.INT8, np.int32(3))


@case(1, NODE + r"axis 2 is outside a tensor of rank 2")
def axis_outside(_):
    return one("QuantizeLinear", T.FLOAT, np.ones(4, F), axis=2)


@case(1, NODE + r"operand 'w0' does not have one number for each index of its axis")
def axis_of_another_length(_):
    return one("QuantizeLinear", T.FLOAT, np.ones(4, F), axis=0)


@case(1, OTHER + r"zero point 'w1' is u8, but belongs to i8")
def zero_point_of_another_type(_):
    return one("DequantizeLinear", T.INT8, F(1), np.uint8(1))


@case(1, NODE + r"zero point 'w1' is u8, but belongs to i8")
def zero_point_of_another_type_than_the_result(_):
    return one("QuantizeLinear", T.FLOAT, F(1), np.uint8(1), output_dtype=T.INT8)


@case(1, NODE + r"quantize: the result must be of integers of 16 bits or fewer, or of floats of 8")
def quantize_to_floats(_):
    return one("QuantizeLinear", T.FLOAT, F(1), output_dtype=T.FLOAT)


@case(1, NODE + r"operand 'w0' must be one number or a list of one for each index of an axis")
def scales_without_blocks(_):
    return one("QuantizeLinear", T.FLOAT, np.ones((3, 2), F))


@case(1, NODE + r"block size -1 is no size")
def negative_block(_):
    return one("QuantizeLinear", T.FLOAT, np.ones((3, 2), F), block_size=-1)


@case(1, OTHER + r"the blocks of a tensor and of its scales")
def too_few_blocks(_):
    return one("DequantizeLinear", T.INT8, np.ones((3, 3), F), block_size=2)


@case(1, r"node 'few' \(MatMulInteger, opset 21\): operand 'w1' is a zero point of another type than its tensor")
def zero_point_of_the_other_operand(_):
    return one("MatMulInteger", T.UINT8, np.ones((4, 2), np.int8), np.int8(0))


@case(1, r"node 'few' \(MatMulInteger, opset 21\): matmul_integer: both operands must be of integers of 16 bits or fewer")
def product_of_floats(_):
    return one("MatMulInteger", T.FLOAT, np.ones((4, 2), np.int8))


@case(1, r"QLinearConcat.*: needs a scale and a zero point with each tensor")
def parts_without_scales(_):
    return one("QLinearConcat", T.FLOAT, np.uint8(0), np.ones((3, 4), np.uint8), F(1), np.uint8(0), np.ones((3, 4), np.uint8),
               domain="com.microsoft")


def nbits(bytes_of, scales, **attributes):
    return one("MatMulNBits", T.FLOAT, np.zeros(bytes_of, np.uint8), np.ones(scales, F), domain="com.microsoft",
               **{"K": 4, "N": 2, "block_size": 4, "bits": 4, **attributes})


BITS = r"node 'few' \(com.microsoft::MatMulNBits, opset 1\): "


@case(1, BITS + r"4 x 2 weights in blocks of 0 are none")
def blocks_of_nothing(_):
    return nbits((2, 1, 2), 2, block_size=0)


@case(3, BITS + r"weights of 3 bits are not supported; quantize to 2, 4 or 8")
def three_bits(_):
    return nbits((2, 1, 2), 2, bits=3)


@case(1, BITS + r"operand 'w0' needs 4 bytes of weights")
def too_few_weights(_):
    return nbits((2, 1, 1), 2)


@case(1, BITS + r"operand 'w1' needs 2 scales")
def too_few_scales(_):
    return nbits((2, 1, 2), 1)


@case(1, r"initializer 'w' has 2 bytes of data, but its shape needs 3")
def too_few_packed_bytes(_):
    m = one("DequantizeLinear", T.INT8, F(1))
    m.graph.initializer.append(h.make_tensor("w", T.INT4, [5], b"123", raw=True))
    m.graph.initializer[-1].raw_data = b"12"
    m.graph.node[0].input[0] = "w"
    return m
