#!/usr/bin/env python3
"""Quantized operators, against numpy: interpreter, and compiled code too.

quantized.py EVAL_ONNX [XFC XF_RUN]; exit code 77 without the onnx package."""
import numpy as np

import cases
import onnx
from onnx import helper as h

RNG = np.random.default_rng(12)
MS = "com.microsoft"
F = np.float32


def of_type(x):
    return h.np_dtype_to_tensor_dtype(np.asarray(x).dtype)


def run(name, op, inputs, want, constants=(), opset=25, domain="", keys=None, **attributes):
    """One node. inputs: arrays or None; constants: numbers of those that are weights; the others are inputs with open
    dims."""
    names = [None if a is None else f"i{k}" for k, a in enumerate(inputs)]
    given = [k for k, a in enumerate(inputs) if a is not None and k not in constants]
    node = h.make_node(op, [n or "" for n in names], [f"y{k}" for k in range(len(want))], domain=domain, name="node",
                       **(keys or attributes))
    graph = h.make_graph(
        [node], "g",
        [h.make_tensor_value_info(names[k], of_type(inputs[k]), [f"d{k}_{d}" for d in range(np.ndim(inputs[k]))])
         for k in given],
        [h.make_tensor_value_info(f"y{k}", of_type(w), [None] * np.ndim(w)) for k, w in enumerate(want)],
        [onnx.numpy_helper.from_array(np.asarray(inputs[k]), names[k]) for k in constants])
    opsets = [h.make_opsetid("", opset)] + ([h.make_opsetid(MS, 1)] if domain else [])
    model = h.make_model(graph, opset_imports=opsets, ir_version=10)
    cases.run(name, model, [([inputs[k] for k in given], want)])


def whole(dtype, *shape):
    i = np.iinfo(dtype)
    return RNG.integers(max(i.min, -(1 << 20)), min(i.max, 1 << 20), shape, dtype, endpoint=True)


def to_few(x, zero, dtype):
    i = np.iinfo(dtype)
    return np.clip(np.rint(x).astype(np.int64) + np.asarray(zero, np.int64), i.min, i.max).astype(dtype)


def along(v, axis, rank):
    return v.reshape([-1 if d == axis else 1 for d in range(rank)])


def blocks(v, axis, block, size):
    return np.take(np.repeat(v, block, axis), np.arange(size), axis)


# ---- to and from few bits ----

for kind in (np.uint8, np.int8, np.uint16, np.int16):
    numbers = np.array([[0, 0.5, 1, 1.5, 2.5, -0.5], [-1.5, 1e6, -1e6, 63.25, np.inf, -np.inf]], F)  # ties, and too large
    for zero in (None, whole(kind)[()]):
        want = to_few(np.clip(numbers / F(0.5), -1e9, 1e9), 0 if zero is None else zero, kind)
        extra = {} if zero is not None else {"output_dtype": of_type(want)}
        run(f"quantize {kind.__name__}", "QuantizeLinear", [numbers, np.array(F(0.5)), zero], [want], [1], **extra)
    x, scale, zero = RNG.normal(size=(3, 5, 4)).astype(F), (RNG.random(5) / 50 + 0.01).astype(F), whole(kind, 5)
    want = to_few(x / along(scale, 1, 3), along(zero, 1, 3), kind)
    run("quantize by axis", "QuantizeLinear", [x, scale, zero], [want], [1, 2], opset=13, axis=-2)
    run("quantize by an axis of inputs", "QuantizeLinear", [x, scale, zero], [want], opset=19)
    scale, zero = (RNG.random((3, 2, 4)) / 50 + 0.01).astype(F), whole(kind, 3, 2, 4)
    want = to_few(x / blocks(scale, 1, 3, 5), blocks(zero, 1, 3, 5), kind)
    run("quantize blocks", "QuantizeLinear", [x, scale, zero], [want], [1, 2], opset=21, axis=1, block_size=3)
    run("quantize blocks by inputs", "QuantizeLinear", [x, scale, zero], [want], opset=21, block_size=3)

for kind in (np.uint8, np.int8, np.uint16, np.int16, np.int32):
    x, scale = whole(kind, 3, 5, 4), (RNG.random(5) - 0.25).astype(F)  # a negative scale is one, too
    zero = np.zeros(5, kind) if kind == np.int32 else whole(kind, 5)
    less = x.astype(F) - along(zero, 1, 3).astype(F)
    for constants in ([], [1, 2], [0, 1, 2]):
        run(f"dequantize {kind.__name__}", "DequantizeLinear", [x, scale, zero], [less * along(scale, 1, 3)], constants, opset=13)
    one = np.array(scale[:1])
    run("dequantize by a list of one", "DequantizeLinear", [x, one], [x.astype(F) * one], [1], opset=10)
    if kind != np.int32:
        scale, zero = RNG.random((2, 5, 4)).astype(F), whole(kind, 2, 5, 4)
        want = (x.astype(F) - blocks(zero, 0, 2, 3).astype(F)) * blocks(scale, 0, 2, 3)
        run("dequantize blocks", "DequantizeLinear", [x, scale, zero], [want], [0, 1, 2], opset=21, axis=0, block_size=2)
        run("dequantize blocks of inputs", "DequantizeLinear", [x, scale, zero], [want], axis=0, block_size=2)
half = np.array(np.float16(0.1))
x = whole(np.int8, 4, 3)
run("dequantize to f16", "DequantizeLinear", [x, half], [(x.astype(F) * F(half)).astype(np.float16)], [1], opset=19)
run("dequantize to another type", "DequantizeLinear", [x, half], [x.astype(F) * F(half)], [1], output_dtype=1)
numbers = np.array([1.26, -0.3, 6000], F)
run("quantize in another precision", "QuantizeLinear", [numbers, np.array(F(0.1)), np.int8(3)],
    [to_few(np.clip(numbers.astype(np.float16) / half, -1e4, 1e4), 3, np.int8)], [1, 2], precision=10)
run("quantize integers", "QuantizeLinear", [np.array([3, -9, 1000], np.int32), np.array(F(2))], [np.array([2, 0, 255], np.uint8)], [1],
    opset=13)
run("of com.microsoft", "DequantizeLinear", [x, np.array(F(2)), np.int8(1)], [(x.astype(F) - 1) * 2], [1, 2], opset=17, domain=MS)


# ---- by their own range ----

def dynamic(x):
    most, least = max(0, x.max(initial=0)), min(0, x.min(initial=0))
    scale = F(1 if most == least else F(most) - F(least)) / F(255)
    zero = np.uint8(np.clip(np.rint(F(0 - least) / scale), 0, 255))
    return to_few(x / scale, zero, np.uint8), np.array(scale), np.array(zero)


for x in (RNG.normal(size=(7, 33)).astype(F), RNG.random((2, 3, 4)).astype(F) + 1, -RNG.random(5).astype(F),
          np.zeros((2, 2), F), np.zeros((0, 3), F), np.array(F(-3))):
    run("dynamic", "DynamicQuantizeLinear", [x], dynamic(x), opset=11)


# ---- products ----

def product(a, b, a_zero=0, b_zero=0):
    return np.matmul(a.astype(np.int32) - np.asarray(a_zero, np.int32), b.astype(np.int32) - np.asarray(b_zero, np.int32)).astype(np.int32)


for left, right in ((np.uint8, np.int8), (np.uint8, np.uint8), (np.int8, np.int8), (np.int8, np.uint8)):
    a, b = whole(left, 2, 3, 70), whole(right, 70, 5)
    b[:] = np.iinfo(right).max  # sums beyond what f32 holds exactly
    a_zero, b_zero, columns = whole(left)[()], whole(right)[()], whole(right, 5)
    run("integers", "MatMulInteger", [a, b], [product(a, b)], [1], opset=10)
    run("integers with zero points", "MatMulInteger", [a, b, a_zero, b_zero], [product(a, b, a_zero, b_zero)], [2, 3], opset=10)
    run("a zero point a column", "MatMulInteger", [a, b, a_zero, columns], [product(a, b, a_zero, columns)], [1, 3], opset=10)
    rows = whole(left, 3)
    run("a zero point a row", "MatMulInteger", [a[0], b, rows], [product(a[0], b, rows[:, None])], opset=10)
    run("vectors", "MatMulInteger", [a[0, 0], b[:, 0], a_zero], [product(a[0, 0], b[:, 0], a_zero)], opset=10)
    scales = [np.array(F(s)) for s in (0.02, 0.03, 0.7)]
    acc = product(a, b, a_zero, b_zero)
    factor = scales[0] * scales[1] / scales[2]
    run("to few bits", "QLinearMatMul", [a, scales[0], a_zero, b, scales[1], b_zero, scales[2], np.array(left(7))],
        [to_few(acc * factor, 7, left)], [1, 2, 3, 4, 5, 6, 7], opset=10)
    by_column = (RNG.random(5) / 50).astype(F)
    acc = product(a, b, a_zero, columns)
    run("to few bits, a scale a column", "QLinearMatMul",
        [a, scales[0], a_zero, b, by_column, columns, scales[2], np.array(left(7))],
        [to_few(acc * (scales[0] * by_column / scales[2]), 7, left)], [1, 2, 3, 4, 5, 6, 7], opset=21)
    want = acc.astype(F) * (scales[0] * by_column) + np.arange(5, dtype=F)
    run("to floats", "MatMulIntegerToFloat", [a, b, scales[0], by_column, a_zero, columns, np.arange(5, dtype=F)], [want],
        [1, 3, 5, 6], opset=17, domain=MS)

x, w = RNG.normal(size=(2, 3, 40)).astype(F), whole(np.int8, 40, 6)
q, scale, zero = dynamic(x)
by_column, columns = (RNG.random(6) / 50).astype(F), whole(np.int8, 6)
want = product(q, w, zero, columns).astype(F) * (scale * by_column)
run("dynamic product", "DynamicQuantizeMatMul", [x, w, by_column, columns], [want], [1, 2, 3], opset=17, domain=MS)
run("dynamic product and bias", "DynamicQuantizeMatMul", [x, w, by_column[:1], None, by_column],
    [product(q, w, zero).astype(F) * (scale * by_column[0]) + by_column], [1, 2, 4], opset=17, domain=MS)

a, b, c = whole(np.uint8, 40, 5), whole(np.int8, 6, 40), whole(np.int32, 6)
acc = product(a.T, b.T, 3, -2) + c
few = [np.array(F(0.02)), np.uint8(3), b, np.array(F(0.01)), np.int8(-2), c]
run("gemm to floats", "QGemm", [a, *few], [acc.astype(F) * (F(0.5) * few[0] * few[3])], [1, 2, 3, 4, 5, 6], opset=17, domain=MS,
    transA=1, transB=1, alpha=0.5)
run("gemm to few bits", "QGemm", [a, *few, np.array(F(100)), np.uint8(9)], [to_few(acc * (few[0] * few[3] / F(100)), 9, np.uint8)],
    [1, 2, 3, 4, 5, 6, 7, 8], opset=17, domain=MS, transA=1, transB=1)


# ---- convolutions ----

def convolve(x, w, groups, pads):
    """Stride 1, in int64; x and w without their zero points."""
    x = np.pad(x.astype(np.int64), [(0, 0), (0, 0)] + [(p, q) for p, q in zip(pads[: len(pads) // 2], pads[len(pads) // 2:])])
    m, each = w.shape[0] // groups, w.shape[1]
    view = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], tuple(range(2, x.ndim)))
    letters = "uvw"[: x.ndim - 2]
    upper = letters.upper()
    parts = [np.einsum(f"bc{letters}{upper},mc{upper}->bm{letters}", view[:, g * each:(g + 1) * each],
                       w[g * m:(g + 1) * m].astype(np.int64)) for g in range(groups)]
    return np.concatenate(parts, 1).astype(np.int32)


for groups, x_shape, w_shape, pads in ((1, (2, 3, 6, 5), (4, 3, 3, 2), (1, 0, 0, 1)), (2, (1, 4, 7), (6, 2, 3), (1, 1)),
                                       (3, (2, 3, 5, 5), (3, 1, 2, 2), (0, 1, 1, 0)), (2, (1, 2, 5, 4), (4, 1, 3, 3), (1, 1, 1, 1))):
    x, w, x_zero = whole(np.uint8, *x_shape), whole(np.int8, *w_shape), np.uint8(100)
    w_zero = whole(np.int8, w_shape[0])
    far = w.astype(np.int32) - along(w_zero, 0, w.ndim)
    acc = convolve(x.astype(np.int32) - 100, far, groups, pads)
    keys = {"group": groups, "pads": pads}
    run("convolution", "ConvInteger", [x, w], [convolve(x, w, groups, pads)], [1], opset=10, **keys)
    run("convolution with zero points", "ConvInteger", [x, w, x_zero, w_zero], [acc], [1, 2, 3], opset=10, **keys)
    run("convolution with zero points from data", "ConvInteger", [x, w, x_zero, w_zero], [acc], [1], opset=10, **keys)
    run("convolution with weights from data", "ConvInteger", [x, w, x_zero, w_zero], [acc], opset=10, **keys)
    scale, bias = (RNG.random(w_shape[0]) / 50).astype(F), whole(np.int32, w_shape[0])
    factor = along(F(0.02) * scale / F(3), 1, x.ndim)
    want = to_few((acc + along(bias, 1, x.ndim)) * factor, 5, np.uint8)
    run("convolution to few bits", "QLinearConv",
        [x, np.array(F(0.02)), x_zero, w, scale, w_zero, np.array(F(3)), np.uint8(5), bias], [want], [1, 2, 3, 4, 5, 6, 7, 8],
        opset=10, **keys)


# ---- elements ----

few = lambda scale, zero: [np.array(F(scale)), np.uint8(zero)]
a, b = whole(np.uint8, 2, 3, 8), whole(np.uint8, 3, 1)
fa, fb = (a.astype(F) - 100) * F(0.04), (b.astype(F) - 20) * F(0.03)
y = few(0.053, 90)
quantized = lambda v: [to_few(v / y[0], 90, np.uint8)]
run("sum", "QLinearAdd", [a, *few(0.04, 100), b, *few(0.03, 20), *y], quantized(fa + fb), [1, 2, 4, 5, 6, 7], opset=17, domain=MS)
run("product of elements", "QLinearMul", [a, *few(0.04, 100), b, *few(0.03, 20), *y], quantized(fa * fb), [1, 2, 4, 5, 6, 7],
    opset=17, domain=MS)
# Scales of few digits make many results that lie between two numbers: in which order f32 computes them decides.
all_a, all_b, sixty = np.arange(256, dtype=np.uint8)[:, None], np.arange(256, dtype=np.uint8)[None], few(0.06, 120)
da, db, ra, rb, r = all_a.astype(F), all_b.astype(F), F(0.03) / F(0.06), F(0.05) / F(0.06), F(0.03) * F(0.05) / F(0.06)
for op, value in (("QLinearAdd", da * ra + (db * rb + (F(120) - (F(128) * ra + F(110) * rb)))), ("QLinearMul", (da - F(128)) * (db - F(110)) * r + F(120))):
    run(f"{op} of all numbers", op, [all_a, *few(0.03, 128), all_b, *few(0.05, 110), *sixty],
        [np.clip(np.rint(value), 0, 255).astype(np.uint8)], [1, 2, 4, 5, 6, 7], opset=17, domain=MS)
run("sigmoid", "QLinearSigmoid", [a, *few(0.04, 100), *few(1 / 256, 0)], [to_few(256 / (1 + np.exp(-fa.astype(np.float64))), 0, np.uint8)],
    [1, 2, 3, 4], opset=17, domain=MS)
run("leaky", "QLinearLeakyRelu", [a, *few(0.04, 100), *y], quantized(np.where(fa < 0, fa * F(0.1), fa)), [1, 2, 3, 4], opset=17,
    domain=MS, alpha=0.1)
e = np.exp(fa.astype(np.float64))
for opset, axis, sums in ((13, -1, -1), (12, 1, (1, 2))):
    run("softmax", "QLinearSoftmax", [a, *few(0.04, 100), *few(1 / 256, 0)],
        [to_few(256 * e / e.sum(sums, keepdims=True), 0, np.uint8)], [1, 2, 3, 4], opset=17, domain=MS,
        keys={"axis": axis, "opset": opset})
run("pool", "QLinearGlobalAveragePool", [a, *few(0.04, 100), *y], quantized(fa.mean(2, keepdims=True)), [1, 2, 3, 4], opset=17, domain=MS)
run("pool, channels last", "QLinearGlobalAveragePool", [a, *few(0.04, 100), *y], quantized(fa.mean(1, keepdims=True)), [1, 2, 3, 4],
    opset=17, domain=MS, channels_last=1)
run("concat", "QLinearConcat", [*y, a, *few(0.04, 100), a, *few(0.03, 20)],
    quantized(np.concatenate([fa, (a.astype(F) - 20) * F(0.03)], 1)), [0, 1, 3, 4, 6, 7], opset=17, domain=MS, axis=1)
run("mean", "QLinearReduceMean", [a, *few(0.04, 100), *y], quantized(fa.mean((0, 2), keepdims=True)), [1, 2, 3, 4], opset=17, domain=MS, axes=[0, 2],
    keepdims=1)
c = np.arange(6).reshape(2, 3, 1) % 2 == 0
run("where", "QLinearWhere", [c, a, *few(0.04, 100), b, *few(0.03, 20), *y], quantized(np.where(c, fa, fb)), [2, 3, 5, 6, 7, 8], opset=17, domain=MS)
pairs = fa.reshape(2, 3, 4, 2).mean(-1, dtype=F)
run("average", "QLinearAveragePool", [a, *few(0.04, 100), *y], quantized(pairs), [1, 2, 3, 4], opset=17, domain=MS, kernel_shape=[2], strides=[2])
run("average, channels last", "QLinearAveragePool", [a.transpose(0, 2, 1), *few(0.04, 100), *y], quantized(pairs.transpose(0, 2, 1)), [1, 2, 3, 4],
    opset=17, domain=MS, kernel_shape=[2], strides=[2], channels_last=1)


# ---- an LSTM ----

def steps_of(x, w, r, bias, h, c, w_few, r_few):
    """One direction; w_few, r_few: scale and zero point, of inputs and states each."""
    def part(v, weight, scale, zero):
        q, s, z = dynamic(v)
        return product(q, weight, z, zero).astype(F) * (s * scale)
    sigmoid = lambda v: 1 / (1 + np.exp(-v.astype(np.float64))).astype(F)
    rows, inputs = [], part(x, w, *w_few) + bias[:len(bias) // 2] + bias[len(bias) // 2:]
    for row in inputs:
        i, o, f, g = np.split(row + part(h, r, *r_few), 4, -1)
        c = (sigmoid(f) * c + sigmoid(i) * np.tanh(g)).astype(F)
        h = (sigmoid(o) * np.tanh(c)).astype(F)
        rows.append(h)
    return np.stack(rows), h, c


x, hidden = RNG.normal(size=(5, 2, 6)).astype(F), 4
w, r = whole(np.int8, 2, 6, 4 * hidden), whole(np.int8, 2, hidden, 4 * hidden)
bias = RNG.normal(size=(2, 8 * hidden)).astype(F)
for name, scale, zero in (("one scale", np.array([0.004, 0.005], F), np.array([0, 3], np.int8)),
                          ("a scale a column", (RNG.random((2, 4 * hidden)) / 200 + 0.003).astype(F), np.zeros((2, 4 * hidden), np.int8))):
    ways = [steps_of(x[::1 - 2 * d], w[d], r[d], bias[d], *np.zeros((2, 2, hidden), F), (scale[d], zero[d]), (scale[d], zero[d])) for d in range(2)]
    want = [np.stack([ways[0][0], ways[1][0][::-1]], 1), *(np.stack([way[k] for way in ways]) for k in (1, 2))]
    run(f"LSTM, {name}", "DynamicQuantizeLSTM", [x, w, r, bias, None, None, None, None, scale, zero, scale, zero], want, [1, 2, 3, 8, 9, 10, 11], opset=17,
        domain=MS, direction="bidirectional", hidden_size=hidden)


# ---- weights of 2, 4 and 8 bits ----

def packed(v, bits):
    """Numbers along the last dim in bytes, the first in the lowest bits."""
    each = 8 // bits
    v = np.pad(v.astype(np.uint16), [(0, 0)] * (v.ndim - 1) + [(0, -v.shape[-1] % each)])
    return sum(v[..., k::each] << bits * k for k in range(each)).astype(np.uint8)


for bits, k, block in ((4, 40, 16), (2, 32, 16), (8, 24, 8), (4, 35, 32)):
    n, each, count = 5, 1 << bits, -(-k // block)
    x = RNG.normal(size=(2, 3, k)).astype(F)
    w, scale, zero = RNG.integers(0, each, (n, count * block)), RNG.normal(size=(n, count)).astype(F), RNG.integers(0, each, (n, count))
    bytes_of = packed(w.reshape(n, count, block), bits)
    spread = lambda v: np.repeat(v, block, 1)[:, :k]
    keys = {"K": k, "N": n, "bits": bits, "block_size": block}
    plain, shifted = (w[:, :k] - each // 2) * spread(scale), (w[:, :k] - spread(zero)) * spread(scale)
    bias = RNG.normal(size=n).astype(F)
    run("few bits", "MatMulNBits", [x, bytes_of, scale.reshape(-1)], [(x @ plain.T).astype(F)], [1, 2], opset=17, domain=MS, **keys)
    run("few bits with zero points", "MatMulNBits", [x, bytes_of, scale, packed(zero, bits)], [(x @ shifted.T).astype(F)], [1, 2, 3],
        opset=17, domain=MS, **keys)
    run("few bits with bias and zero points of floats", "MatMulNBits",
        [x, bytes_of, scale, zero.astype(F) + F(0.5), None, bias],
        [(x @ ((w[:, :k] - spread(zero) - 0.5) * spread(scale)).T + bias).astype(F)], [1, 2, 3, 5], opset=17, domain=MS, **keys)
    index = RNG.integers(0, count, k).astype(np.int32)
    run("few bits by index", "MatMulNBits", [x, bytes_of, scale, packed(zero, bits), index],
        [(x @ ((w[:, :k] - zero[:, index]) * scale[:, index]).T).astype(F)], [1, 2, 3, 4], opset=17, domain=MS, **keys)
    ids = RNG.integers(0, n, (2, 3))
    rows = w[ids].astype(F)
    keys = {"bits": bits, "block_size": block, "gather_axis": 0, "quantize_axis": 1}
    wide = lambda v: np.repeat(v, block, 1)[ids]
    run("rows of few bits", "GatherBlockQuantized", [packed(w, bits), ids, scale], [((rows - each // 2) * wide(scale)).astype(F)], [0, 2],
        opset=17, domain=MS, **keys)
    run("rows of few bits with zero points", "GatherBlockQuantized", [packed(w, bits), ids, scale, packed(zero, bits)],
        [((rows - wide(zero)) * wide(scale)).astype(F)], [0, 2, 3], opset=17, domain=MS, **keys)

nf4 = np.array([-1, -0.6961928, -0.52507305, -0.3949175, -0.28444138, -0.18477343, -0.091050036, 0, 0.0795803, 0.1609302, 0.2461123,
                0.33791524, 0.44070983, 0.562617, 0.72295684, 1], F)
x, w, scale = RNG.normal(size=(3, 32)).astype(F), RNG.integers(0, 16, 6 * 32), RNG.random(6 * 32 // 16).astype(F)
run("nf4", "MatMulBnb4", [x, (w[0::2] << 4 | w[1::2]).astype(np.uint8), scale],
    [x @ (nf4[w] * np.repeat(scale, 16)).reshape(6, 32).astype(F).T], [1, 2], opset=17, domain=MS, K=32, N=6, block_size=16, quant_type=1)


def packed_weight(kind, shape, raw):
    """DequantizeLinear of a weight of 2 or 4 bits, with its bytes in the file or as int32."""
    bits, sign = {onnx.TensorProto.INT4: (4, 1), onnx.TensorProto.UINT4: (4, 0), onnx.TensorProto.INT2: (2, 1),
                  onnx.TensorProto.UINT2: (2, 0)}[kind]
    v = RNG.integers(-(1 << bits - 1) if sign else 0, 1 << (bits - 1 if sign else bits), shape)
    data = packed(v.reshape(-1) & ((1 << bits) - 1), bits)
    w = onnx.TensorProto(name="w", data_type=kind, dims=shape)
    if raw:
        w.raw_data = data.tobytes()
    else:
        w.int32_data.extend(data.tolist())
    scale = RNG.normal(size=(shape[0], 2)).astype(F)
    nodes = [h.make_node("DequantizeLinear", ["w", "scale"], ["f"], axis=1, block_size=-(-shape[1] // 2)),
             h.make_node("Add", ["x", "f"], ["y"])]
    graph = h.make_graph(nodes, "g", [h.make_tensor_value_info("x", 1, shape)], [h.make_tensor_value_info("y", 1, shape)],
                         [w, onnx.numpy_helper.from_array(scale, "scale")])
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 25)], ir_version=11)
    x = RNG.normal(size=shape).astype(F)
    want = x + v.astype(F) * np.repeat(scale, -(-shape[1] // 2), 1)[:, :shape[1]]
    cases.run(f"packed weight {kind} {raw}", model, [([x], [want])])


for kind in (onnx.TensorProto.INT4, onnx.TensorProto.UINT4, onnx.TensorProto.INT2, onnx.TensorProto.UINT2):
    for raw in (False, True):
        packed_weight(kind, [3, 5], raw)


# ---- attention and embeddings ----

def attention(qkv, heads, seen):
    q, k, v = (np.moveaxis(p.reshape(p.shape[:2] + (heads, -1)), 2, 1) for p in np.split(qkv.astype(np.float64), 3, 2))
    scores = q @ np.swapaxes(k, 2, 3) / np.sqrt(q.shape[-1]) + np.where(seen[:, None, None, :], 0, -10000)
    e = np.exp(scores - scores.max(-1, keepdims=True))
    y = np.moveaxis(e / e.sum(-1, keepdims=True) @ v, 1, 2)
    return y.reshape(y.shape[:2] + (-1,)).astype(F)


x, w, bias = whole(np.uint8, 2, 5, 16), whole(np.int8, 16, 24), RNG.normal(size=24).astype(F)
mask = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]], np.int32)
scale, columns = np.array(F(0.004)), (RNG.random(24) / 50).astype(F)
want = attention(product(x, w, 120, 3).astype(F) * (scale * F(0.01)) + bias, 2, mask > 0)
run("attention", "QAttention", [x, w, bias, scale, np.array(F(0.01)), mask, np.uint8(120), np.int8(3)], [want], [1, 2, 3, 4, 6, 7],
    opset=17, domain=MS, num_heads=2)
want = attention(product(x, w, 120).astype(F) * (scale * columns) + bias, 2, np.ones((2, 5), bool))
run("attention, a scale a column", "QAttention", [x, w, bias, scale, columns, None, np.uint8(120)], [want], [1, 2, 3, 4, 6], opset=17,
    domain=MS, num_heads=2)

tables = [whole(np.uint8, *shape) for shape in ((9, 8), (6, 8), (2, 8), (8,), (8,))]
scales, zeros = [np.array(F(0.01 + 0.003 * k)) for k in range(5)], [np.array(np.uint8(100 + k)) for k in range(5)]
word, place, segment, gamma, beta = ((t.astype(F) - z.astype(F)) * s for t, s, z in zip(tables, scales, zeros))
ids, segments = RNG.integers(0, 9, (2, 4)).astype(np.int32), RNG.integers(0, 2, (2, 4)).astype(np.int32)
for given in (None, segments):
    total = word[ids] + place[:4] + (0 if given is None else segment[given])
    centred = total - total.mean(-1, keepdims=True)
    want = centred / np.sqrt((centred ** 2).mean(-1, keepdims=True) + F(1e-12)) * gamma + beta
    few = [None if k == 2 and given is None else a for a in (tables, scales, zeros) for k, a in enumerate(a)]
    inputs = [ids, given, *few[:5], None, *few[5:]]
    run("embedding", "QEmbedLayerNormalization", inputs, [want.astype(F), np.zeros(2, np.int32)],
        [k for k, a in enumerate(inputs) if k > 1 and a is not None], opset=17, domain=MS)

cases.end()
