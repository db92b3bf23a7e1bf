#!/usr/bin/env python3
"""Operators beyond ONNX's own cases: every mode, sizes at which they take another way, sizes that data decides, types, and
what must be refused. Against onnx's reference implementation or numpy, in the interpreter, with fixed dims and with a symbol
for each dim; or, with XFC and XF_RUN, also compiled, with symbols where that may be.

operators.py EVAL_ONNX [XFC XF_RUN]. Exit code 0, 1, or 77 (skipped) where the onnx package is missing.
"""
import itertools
import sys
import tempfile

try:
    import numpy as np
    from onnx import TensorProto as T
    from onnx import helper as h
    from onnx import numpy_helper
    from onnx.reference import ReferenceEvaluator

    from cases import run_calls
except ImportError:
    print("SKIP: the onnx package (onnx==1.22.0) is not installed")
    sys.exit(77)

TOOLS = sys.argv[1:4]
RNG = np.random.default_rng(11)
NODE = h.make_node
ran = failed = 0


def normal(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def type_of(array):
    return h.np_dtype_to_tensor_dtype(np.asarray(array).dtype)


def model_of(nodes, inputs, outputs, consts=(), opset=20, symbolic=False):
    infos = [h.make_tensor_value_info(k, type_of(v), [f"{k}_{i}" for i in range(v.ndim)] if symbolic else v.shape)
             for k, v in inputs.items()]
    outs = [h.make_tensor_value_info(f"y{i}", t, None) for i, t in enumerate(outputs)]
    graph = h.make_graph(nodes, "g", infos, outs, [numpy_helper.from_array(np.asarray(v), k) for k, v in dict(consts).items()])
    return h.make_model(graph, opset_imports=[h.make_opsetid("", opset), h.make_opsetid("com.microsoft", 1)], ir_version=9)


def report(name, problems):
    global ran, failed
    ran += 1
    failed += bool(problems)
    for p in problems[:2]:
        print(f"FAIL {name}: {p}")


def check(name, nodes, inputs, want, consts=(), symbolic=True, more=(), **kw):
    """want: what is expected, or None for what the reference says. more: other (inputs, outputs)."""
    inputs = {k: np.asarray(v) for k, v in inputs.items()}
    if want is None:
        n = sum(o.startswith("y") for node in nodes for o in node.output)
        fixed = model_of(nodes, inputs, [T.UNDEFINED] * n, consts, **kw)
        want = [np.asarray(v) for v in ReferenceEvaluator(fixed).run([f"y{i}" for i in range(n)], inputs)]
    calls = [(list(inputs.values()), want)] + [([np.asarray(v) for v in i], o) for i, o in more]
    types = [type_of(w) for w in want]
    compiled = len(TOOLS) == 3
    for open_dims in (True,) if symbolic and (compiled or more) else (False, True) if symbolic else (False,):
        with tempfile.TemporaryDirectory() as folder:
            made = model_of(nodes, inputs, types, consts, symbolic=open_dims, **kw)
            report(f"{name} ({'symbolic' if open_dims else 'fixed'})", run_calls(TOOLS, folder, made, calls))


def refused(name, nodes, inputs, message, consts=(), **kw):
    inputs = {k: np.asarray(v) for k, v in inputs.items()}
    with tempfile.TemporaryDirectory() as folder:
        report(name, run_calls(TOOLS[:1], folder, model_of(nodes, inputs, [T.FLOAT], consts, **kw), [(list(inputs.values()), message)]))


# ---- opsets 1 to 8 ----

def legacy():
    x, row, channel = normal(2, 3, 4), normal(4), normal(3)
    old = {"opset": 6}
    check("Add, the last dims", [NODE("Add", ["x", "b"], ["y0"], broadcast=1)], {"x": x, "b": row}, [x + row], **old)
    check("Mul along axis 1", [NODE("Mul", ["x", "b"], ["y0"], broadcast=1, axis=1)], {"x": x, "b": channel}, [x * channel[:, None]], **old)
    check("Sub along axis -2", [NODE("Sub", ["x", "b"], ["y0"], broadcast=1, axis=-2)], {"x": x, "b": channel}, [x - channel[:, None]], **old)
    check("Pow", [NODE("Pow", ["x", "b"], ["y0"], broadcast=1)], {"x": np.abs(x), "b": row}, [np.abs(x) ** row], **old)
    check("And", [NODE("And", ["x", "b"], ["y0"], broadcast=1, axis=1)], {"x": x > 0, "b": channel > 0}, [(x > 0) & (channel > 0)[:, None]], **old)
    check("Greater", [NODE("Greater", ["x", "b"], ["y0"], broadcast=1)], {"x": x, "b": row}, [x > row], **old)
    check("PRelu by channel", [NODE("PRelu", ["x", "b"], ["y0"])], {"x": x, "b": channel}, [np.where(x < 0, x * channel[:, None], x)], **old)
    check("consumed_inputs", [NODE("Relu", ["x"], ["a"], consumed_inputs=[0]), NODE("Add", ["a", "b"], ["y0"], broadcast=1, consumed_inputs=[0, 0])],
          {"x": x, "b": row}, [np.maximum(x, 0) + row], opset=5)
    check("Cast by name", [NODE("Cast", ["x"], ["y0"], to="INT32")], {"x": 3 * x}, [(3 * x).astype(np.int32)], opset=5)
    check("Reshape by attribute", [NODE("Reshape", ["x"], ["y0"], shape=[0, -1])], {"x": x}, [x.reshape(2, 12)], opset=4)
    check("Tile along one axis", [NODE("Tile", ["x", "n", "a"], ["y0"])], {"x": x}, [np.tile(x, (1, 3, 1))],
          {"n": np.int64([3]), "a": np.int64([1])}, opset=5)
    check("Concat without an axis", [NODE("Concat", ["x", "x"], ["y0"])], {"x": x}, [np.concatenate([x, x], 1)], opset=3)
    check("Split by an operand", [NODE("Split", ["x", "s"], ["y0", "y1"], axis=2)], {"x": x}, [x[..., :1], x[..., 1:]], {"s": np.int64([1, 3])},
          symbolic=False, opset=1)
    check("Pad by paddings", [NODE("Pad", ["x"], ["y0"], paddings=[0, 0, 1, 0, 0, 2], value=1.5)], {"x": x},
          [np.pad(x, ((0, 0), (0, 0), (1, 2)), constant_values=1.5)], opset=1)
    check("Gemm", [NODE("Gemm", ["a", "b", "c"], ["y0"], broadcast=1, transB=1)], {"a": x[0], "b": x[1], "c": channel}, [x[0] @ x[1].T + channel], **old)
    image = normal(2, 3, 4, 4)
    check("Upsample by two scales", [NODE("Upsample", ["x"], ["y0"], height_scale=2.0, width_scale=1.0)], {"x": image}, [image.repeat(2, 2)], **old)
    far, most = np.float32([[-np.inf, -1, np.nan], [np.inf, 3, 0]]), np.finfo(np.float32).max
    check("Clip without limits", [NODE("Clip", ["x"], ["y0"])], {"x": far}, [np.clip(far, -most, most)], **old)
    check("Clip without the upper limit", [NODE("Clip", ["x"], ["y0"], min=0.0)], {"x": far}, [np.clip(far, 0, most)], **old)
    whole = np.arange(-4, 5, dtype=np.int32)
    for kind in (np.int8, np.int32, np.int64, np.uint8):
        check(f"Shrink of {np.dtype(kind)}", [NODE("Shrink", ["x"], ["y0"], lambd=0.5, bias=1.5)], {"x": np.abs(whole).astype(kind) if kind == np.uint8 else whole.astype(kind)}, None, opset=9)
    check("Dropout of a test", [NODE("Dropout", ["x"], ["y0"], is_test=1)], {"x": x}, [x], **old)
    check("Dropout of nothing", [NODE("Dropout", ["x"], ["y0"], ratio=0.0)], {"x": x}, [x], **old)
    p = {"s": channel, "b": channel, "m": channel, "v": np.abs(channel)}
    want = channel[:, None, None] * (image - channel[:, None, None]) / np.sqrt(np.abs(channel)[:, None, None] + 1e-5) + channel[:, None, None]
    check("BatchNormalization of a test", [NODE("BatchNormalization", ["x", "s", "b", "m", "v"], ["y0"], is_test=1)], {"x": image}, [want], p, **old)
    refused("Dropout of training", [NODE("Dropout", ["x"], ["y0"])], {"x": x}, "training mode", **old)
    refused("BatchNormalization of training", [NODE("BatchNormalization", ["x", "s", "b", "m", "v"], ["y0"])], {"x": image}, "training mode", p, **old)
    refused("numpy's broadcasting", [NODE("Add", ["b", "x"], ["y0"], broadcast=1)], {"x": x, "b": row}, "does not broadcast", **old)
    refused("an axis too far", [NODE("Add", ["x", "b"], ["y0"], broadcast=1, axis=2)], {"x": x, "b": x[0]}, "more than there are from axis 2 on", **old)


# ---- element-wise ----

def functions():
    x = np.float32([-1, -0.999, -0.5, -1e-6, -0.0, 0, 3e-8, 0.25, 0.75, 1])
    with np.errstate(all="ignore"):
        for op, f, scale, shift in (("Asin", np.arcsin, 1, 0), ("Acos", np.arccos, 1, 0), ("Atan", np.arctan, 40, 0), ("Asinh", np.arcsinh, 1e12, 0),
                                    ("Asinh", np.arcsinh, 1, 0), ("Acosh", np.arccosh, 0.5, 1.5), ("Acosh", np.arccosh, 1e30, 1e30), ("Atanh", np.arctanh, 1, 0)):
            for t in (np.float32, np.float64, np.float16):
                v = (x.astype(np.float64) * scale + shift).astype(t)
                v = v[np.isfinite(v)]
                check(f"{op} of {t.__name__}, {scale}", [NODE(op, ["x"], ["y0"])], {"x": v}, [f(v.astype(np.float64)).astype(t)])
    big = RNG.integers(0, 2**63, (3, 4), dtype=np.int64)
    for t in (np.int8, np.uint16, np.int32, np.uint64):
        a, b = big.astype(t), big[::-1].astype(t)
        check(f"bits of {t.__name__}", [NODE("BitwiseAnd", ["a", "b"], ["y0"]), NODE("BitwiseOr", ["a", "b"], ["y1"]), NODE("BitwiseXor", ["a", "b"], ["y2"]),
              NODE("BitwiseNot", ["a"], ["y3"])], {"a": a, "b": b}, [a & b, a | b, a ^ b, ~a])
    a, by = np.uint8([1, 255, 128, 7, 200]), np.uint8([0, 1, 7, 8, 255])
    for direction, want in (("LEFT", [1, 254, 0, 0, 0]), ("RIGHT", [1, 127, 1, 0, 0])):
        check(f"BitShift {direction}", [NODE("BitShift", ["a", "b"], ["y0"], direction=direction)], {"a": a, "b": by}, [np.uint8(want)])
    refused("bits of floats", [NODE("BitwiseAnd", ["x", "x"], ["y0"])], {"x": x}, "must be an integer")
    refused("And of integers", [NODE("And", ["a", "a"], ["y0"])], {"a": a}, "must be bool")
    check("BitCast", [NODE("BitCast", ["x"], ["y0"], to=T.UINT32)], {"x": x}, [x.view(np.uint32)], opset=26)
    refused("BitCast to another size", [NODE("BitCast", ["x"], ["y0"], to=T.INT64)], {"x": x}, "of the same size", opset=26)
    m = normal(3, 4)
    for exclusive, reverse in itertools.product((0, 1), repeat=2):
        check(f"CumProd {exclusive} {reverse}", [NODE("CumProd", ["x", "a"], ["y0"], exclusive=exclusive, reverse=reverse)], {"x": m}, None,
              {"a": np.int64(1)}, opset=26)


# ---- losses ----

def losses():
    x, t = normal(3, 5, 4), RNG.integers(0, 5, (3, 4))
    w = np.abs(normal(5))
    for reduction, ignore, weighted in itertools.product(("none", "sum", "mean"), (None, 2, -100), (False, True)):
        ids = np.where(t == 1, -100, t) if ignore == -100 else t
        extra = {} if ignore is None else {"ignore_index": ignore}
        operands = ["x", "t"] + ["w"] * weighted
        for op in ("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"):
            check(f"{op} {reduction} {ignore} {weighted}", [NODE(op, operands, ["y0"], reduction=reduction, **extra)], {"x": x, "t": ids}, None, {"w": w})


# ---- as many as data says ----

def nms(boxes, scores, most, overlap, least):
    out = []
    for b, c in itertools.product(range(scores.shape[0]), range(scores.shape[1])):
        kept = []
        for i in sorted(range(boxes.shape[1]), key=lambda i: (-scores[b, c, i], i)):
            y0, x0, y1, x1 = boxes[b, i]
            if scores[b, c, i] <= least or len(kept) == most:
                continue
            def iou(j):
                v0, u0, v1, u1 = boxes[b, j]
                shared = max(0, min(y1, v1) - max(y0, v0)) * max(0, min(x1, u1) - max(x0, u0))
                return shared / ((y1 - y0) * (x1 - x0) + (v1 - v0) * (u1 - u0) - shared)
            if all(iou(j) <= overlap for j in kept):
                kept.append(i)
        out += [(b, c, i) for i in kept]
    return np.int64(out).reshape(-1, 3)


def chosen():
    x, keep = normal(4, 5), np.array([True, False, True, True])
    none = np.zeros(4, bool)
    check("Compress along axis 0", [NODE("Compress", ["x", "c"], ["y0"], axis=0)], {"x": x, "c": keep}, [x[keep]], more=[((x, none), [x[none]])])
    check("Compress along axis -1, a short condition", [NODE("Compress", ["x", "c"], ["y0"], axis=-1)], {"x": x, "c": keep}, [x[:, [0, 2, 3]]])
    check("Compress of all", [NODE("Compress", ["x", "c"], ["y0"])], {"x": x, "c": keep}, [x.ravel()[[0, 2, 3]]])
    check("Compress of all by a condition of its shape", [NODE("Compress", ["x", "c"], ["y0"])], {"x": x, "c": x > 0}, [x[x > 0]])
    refused("Compress along an axis by a matrix", [NODE("Compress", ["x", "c"], ["y0"], axis=0)], {"x": x, "c": x > 0}, "needs a list of bool")
    for dtype in (np.float32, np.int64, np.uint8, np.int16):
        v = RNG.integers(0, 4, (6, 5)).astype(dtype)
        for axis, is_sorted in itertools.product((None, 0, 1), (0, 1)):
            y, first, kind, count = np.unique(v, True, True, True, axis=axis)
            kind = kind.reshape(-1)
            if not is_sorted:
                order = np.argsort(first)
                kind, first, count = np.argsort(order)[kind], first[order], count[order]
                y = (v.ravel() if axis is None else v).take(first, axis=axis or 0)
            extra = {} if axis is None else {"axis": axis}
            check(f"Unique of {dtype.__name__}, axis {axis}, sorted {is_sorted}", [NODE("Unique", ["x"], ["y0", "y1", "y2", "y3"], sorted=is_sorted, **extra)],
                  {"x": v}, [y, first, kind, count])
    check("Unique of NaN", [NODE("Unique", ["x"], ["y0", "", "y1"])], {"x": np.float32([2, np.nan, -0.0, 0, np.nan, -np.inf])},
          [np.float32([-np.inf, -0.0, 2, np.nan]), np.int64([2, 3, 1, 1, 3, 0])])
    corner = RNG.random((2, 30, 2)).astype(np.float32)
    boxes, scores = np.concatenate([corner, corner + 0.3], 2), RNG.random((2, 3, 30)).astype(np.float32)
    limits = {"m": np.int64([4]), "o": np.float32([0.3]), "l": np.float32([0.2])}
    node = [NODE("NonMaxSuppression", ["b", "s", "m", "o", "l"], ["y0"])]
    check("NonMaxSuppression", node, {"b": boxes, "s": scores}, [nms(boxes, scores, 4, 0.3, 0.2)], limits)
    check("NonMaxSuppression, all limits from data", node, {"b": boxes, "s": scores, **limits}, [nms(boxes, scores, 4, 0.3, 0.2)],
          more=[((boxes, scores, np.int64([30]), np.float32([0.1]), np.float32([0.5])), [nms(boxes, scores, 30, 0.1, 0.5)]),
                ((boxes, scores, np.int64([9]), np.float32([0.1]), np.float32([2])), [np.zeros((0, 3), np.int64)])])
    centre = np.concatenate([corner[..., ::-1] + 0.15, np.full_like(corner, 0.3)], 2)
    check("NonMaxSuppression by centres", [NODE("NonMaxSuppression", ["b", "s", "m", "o"], ["y0"], center_point_box=1)], {"b": centre, "s": scores},
          [nms(boxes, scores, 4, 0.3, -np.inf)], limits)
    check("ReverseSequence", [NODE("ReverseSequence", ["x", "n"], ["y0"], time_axis=1, batch_axis=0)], {"x": x, "n": np.int64([1, 3, 5, 2])},
          [np.stack([np.concatenate([r[:n][::-1], r[n:]]) for r, n in zip(x, (1, 3, 5, 2))])])


# ---- images ----

def images():
    x = normal(2, 3, 5, 4)
    grid = (RNG.random((2, 3, 6, 2)) * 2.8 - 1.4).astype(np.float32)
    for mode, padding, align in itertools.product(("nearest", "linear", "cubic"), ("zeros", "border", "reflection"), (0, 1)):
        check(f"GridSample {mode} {padding} {align}", [NODE("GridSample", ["x", "g"], ["y0"], mode=mode, padding_mode=padding, align_corners=align)],
              {"x": x, "g": grid}, None, symbolic=align == 0)
    cube = normal(1, 2, 3, 4, 5)
    check("GridSample of a volume", [NODE("GridSample", ["x", "g"], ["y0"])], {"x": cube, "g": (RNG.random((1, 2, 3, 2, 3)) * 2 - 1).astype(np.float32)}, None)
    theta = normal(2, 2, 3)
    for align in (0, 1):
        node = [NODE("AffineGrid", ["t", "s"], ["y0"], align_corners=align)]
        check(f"AffineGrid {align}", node, {"t": theta}, None, {"s": np.int64([2, 3, 4, 5])}, symbolic=False)
        check(f"AffineGrid of a volume {align}", node, {"t": normal(1, 3, 4)}, None, {"s": np.int64([1, 3, 2, 4, 3])}, symbolic=False)
    regions = np.float32([[0, 0, 3, 4], [1, 0.5, 2.5, 2], [-1, -1, 9, 9]])
    for mode, samples, how in itertools.product(("avg", "max"), (0, 2), ("half_pixel", "output_half_pixel")):
        check(f"RoiAlign {mode} {samples} {how}", [NODE("RoiAlign", ["x", "r", "i"], ["y0"], mode=mode, sampling_ratio=samples, output_height=2,
              output_width=3, spatial_scale=0.75, coordinate_transformation_mode=how)], {"x": x, "r": regions, "i": np.int64([0, 1, 1])}, None)
    weight, mask = normal(4, 2, 2, 2), RNG.random((1, 8, 3, 3)).astype(np.float32)
    offset = 0.7 * normal(1, 16, 3, 3)
    check("DeformConv", [NODE("DeformConv", ["x", "w", "o", "b", "m"], ["y0"], group=2, offset_group=2, pads=[0, 0, 0, 0], strides=[1, 1])],
          {"x": normal(1, 4, 4, 4), "o": offset, "m": mask}, None, {"w": weight, "b": normal(4)})
    check("DeformConv without a mask", [NODE("DeformConv", ["x", "w", "o"], ["y0"], pads=[1, 0, 1, 0], strides=[2, 1], dilations=[1, 2])],
          {"x": normal(2, 2, 4, 5), "o": 0.5 * normal(2, 8, 3, 3)}, None, {"w": normal(3, 2, 2, 2)})
    columns = normal(2, 2 * 6, 12)
    check("Col2Im side by side", [NODE("Col2Im", ["x", "i", "k"], ["y0"], strides=[2, 3])], {"x": columns[..., :4]}, None,
          {"i": np.int64([4, 6]), "k": np.int64([2, 3])}, symbolic=False)
    check("Col2Im that adds", [NODE("Col2Im", ["x", "i", "k"], ["y0"])], {"x": columns}, None, {"i": np.int64([4, 6]), "k": np.int64([2, 3])}, symbolic=False)
    check("Col2Im of i32", [NODE("Col2Im", ["x", "i", "k"], ["y0"], dilations=[2, 1])], {"x": RNG.integers(-9, 9, (1, 4, 6)).astype(np.int32)}, None,
          {"i": np.int64([4, 4]), "k": np.int64([2, 2])}, symbolic=False)
    pooled = [NODE("MaxPool", ["x"], ["a", "i"], kernel_shape=[2, 2], strides=[2, 2]), NODE("MaxUnpool", ["a", "i"], ["y0"], kernel_shape=[2, 2], strides=[2, 2])]
    even = normal(2, 3, 4, 6)
    best = even.reshape(2, 3, 2, 2, 3, 2).max((3, 5), keepdims=True)
    check("MaxUnpool of MaxPool", pooled, {"x": even}, [np.where(even.reshape(2, 3, 2, 2, 3, 2) == best, best, 0).reshape(even.shape)], symbolic=False)
    for shape, axes in (((3, 7), [2, 3]), ((8, 1), [-1, -2])):
        check(f"CenterCropPad {shape}", [NODE("CenterCropPad", ["x", "s"], ["y0"], axes=axes)], {"x": x}, None, {"s": np.int64(shape)})


# ---- normalisation ----

def normalised():
    x = normal(2, 5, 3, 4)
    def lrn(size):
        s = np.stack([(x[:, max(0, c - (size - 1) // 2):c + size // 2 + 1] ** 2).sum(1) for c in range(5)], 1)
        return x / (2 + 0.01 / size * s) ** 0.5
    for size in (1, 2, 3, 6):
        check(f"LRN {size}", [NODE("LRN", ["x"], ["y0"], size=size, alpha=0.01, beta=0.5, bias=2.0)], {"x": x}, [lrn(size)])
    x[0, :, 0, 0] = 0
    for p, axis in ((1, 1), (2, 1), (2, -1)):
        norm = np.abs(x).sum(axis, keepdims=True) if p == 1 else np.sqrt((x * x).sum(axis, keepdims=True))
        check(f"LpNormalization {p} {axis}", [NODE("LpNormalization", ["x"], ["y0"], p=p, axis=axis)], {"x": x}, [np.where(norm == 0, 0, x / np.where(norm == 0, 1, norm))])
    check("MeanVarianceNormalization", [NODE("MeanVarianceNormalization", ["x"], ["y0"], axes=[0, -1])], {"x": x},
          [(x - x.mean((0, 3), keepdims=True)) / (x.std((0, 3), keepdims=True) + 1e-9)])
    p = {"s": normal(5), "b": normal(5), "m": normal(5), "v": np.abs(normal(5))}
    check("BatchNormalization in training", [NODE("BatchNormalization", ["x", "s", "b", "m", "v"], ["y0", "y1", "y2"], training_mode=1, momentum=0.7)],
          {"x": x}, None, p)
    mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
    y = (x - mean[:, None, None]) / np.sqrt(var[:, None, None] + 1e-5) * p["s"][:, None, None] + p["b"][:, None, None]
    check("BatchNormalization in training, told by its outputs", [NODE("BatchNormalization", ["x", "s", "b", "m", "v"], [f"y{i}" for i in range(5)], momentum=0.7)],
          {"x": x}, [y, p["m"] * 0.7 + mean * 0.3, p["v"] * 0.7 + var * 0.3, mean, var], p, opset=13)
    for t in (np.float32, np.float64):
        m = RNG.standard_normal((3, 6, 6)).astype(t)
        m[1, :, 2] = 0
        m[2] = np.eye(6)[[1, 0, 2, 3, 5, 4]]
        check(f"Det of {t.__name__}", [NODE("Det", ["x"], ["y0"])], {"x": m}, [np.linalg.det(m).astype(t)])
        m = np.concatenate([m[::2], np.eye(6, dtype=t)[None] * 3 + m[1:2]])
        check(f"Inverse of {t.__name__}", [NODE("Inverse", ["x"], ["y0"], domain="com.microsoft")], {"x": m}, [np.linalg.inv(m).astype(t)])
    check("Trilu of com.microsoft", [NODE("Trilu", ["x", "k"], ["y0"], domain="com.microsoft", upper=0)], {"x": x[0, 0], "k": np.int64(1)}, [np.tril(x[0, 0], 1)])


# ---- signals ----

def signals():
    for n in (1, 2, 7, 16, 512, 600, 1009, 1031):
        x = RNG.standard_normal((2, n, 2))
        want = np.fft.fft(x[..., 0] + 1j * x[..., 1], axis=1)
        back = np.fft.ifft(x[..., 0] + 1j * x[..., 1], axis=1)
        pair = lambda c: np.stack([c.real, c.imag], -1)
        check(f"DFT of {n}", [NODE("DFT", ["x", "", "a"], ["y0"])], {"x": x}, [pair(want)], {"a": np.int64(1)}, symbolic=n < 20)
        check(f"inverse DFT of {n}", [NODE("DFT", ["x", "", "a"], ["y0"], inverse=1)], {"x": x}, [pair(back)], {"a": np.int64(-2)}, symbolic=n < 20)
        if n > 1:
            real = x[..., :1].astype(np.float32)
            check(f"half a DFT of {n}", [NODE("DFT", ["x"], ["y0"], onesided=1)], {"x": real}, [pair(np.fft.rfft(real[..., 0], axis=1)).astype(np.float32)],
                  symbolic=n < 20)
            half = np.fft.rfft(x[..., 0], axis=1)
            check(f"half an inverse DFT of {n}", [NODE("DFT", ["x", "n"], ["y0"], onesided=1, inverse=1)], {"x": pair(half)}, [x[..., :1]], {"n": np.int64(n)},
                  symbolic=False)
    x = normal(2, 5, 3, 1)
    check("DFT longer than the signal, axis 1 of 4", [NODE("DFT", ["x", "n"], ["y0"], axis=1)], {"x": x},
          [np.stack([(c := np.fft.fft(x[..., 0], 8, 1)).real, c.imag], -1).astype(np.float32)], {"n": np.int64(8)}, opset=17)
    signal, window = normal(2, 40, 1), np.hanning(8).astype(np.float32)
    frames = np.stack([signal[:, i:i + 8, 0] * window for i in range(0, 33, 3)], 1)
    want = np.fft.rfft(frames)
    check("STFT", [NODE("STFT", ["x", "h", "w"], ["y0"])], {"x": signal}, [np.stack([want.real, want.imag], -1).astype(np.float32)],
          {"h": np.int64(3), "w": window}, symbolic=False)
    want = np.fft.fft(frames)
    check("STFT of both sides", [NODE("STFT", ["x", "h", "w", "l"], ["y0"], onesided=0)], {"x": signal}, [np.stack([want.real, want.imag], -1).astype(np.float32)],
          {"h": np.int64(3), "w": window, "l": np.int64(8)}, symbolic=False)
    for op, periodic in itertools.product(("HannWindow", "HammingWindow", "BlackmanWindow"), (0, 1)):
        check(f"{op} {periodic}", [NODE(op, ["n"], ["w"], periodic=periodic), NODE("Mul", ["w", "x"], ["y0"])], {"x": np.float32(2)}, None, {"n": np.int64(10)})
    numbers = {"b": np.int64(8), "n": np.int64(32), "r": np.int64(8192), "l": np.float32(0), "h": np.float32(4096)}
    check("MelWeightMatrix", [NODE("MelWeightMatrix", list(numbers), ["w"]), NODE("Mul", ["w", "x"], ["y0"])], {"x": np.float32(2)}, None, numbers)
    refused("MelWeightMatrix beyond the spectrum", [NODE("MelWeightMatrix", list(numbers), ["w"]), NODE("Mul", ["w", "x"], ["y0"])], {"x": np.float32(2)},
            "beyond half", {**numbers, "h": np.float32(9000)})
    refused("a DFT of three numbers", [NODE("DFT", ["x"], ["y0"])], {"x": normal(2, 5, 3)}, "the last dim and the numbers of a real or complex one do not agree")


def fused():
    x, w, b, z = normal(1, 2, 5, 5), normal(3, 2, 3, 3), normal(3), normal(1, 3, 3, 3)
    y = np.stack([(x[0, :, i:i + 3, j:j + 3] * w).sum((1, 2, 3)) for i in range(3) for j in range(3)], 1).reshape(1, 3, 3, 3) + b[:, None, None]
    for name, params, f in (("Relu", None, lambda v: np.maximum(v, 0)), ("LeakyRelu", [0.1], lambda v: np.where(v < 0, 0.1 * v, v)),
                            ("Clip", [-0.5, 0.5], lambda v: np.clip(v, -0.5, 0.5)), ("HardSigmoid", [0.2, 0.5], lambda v: np.clip(0.2 * v + 0.5, 0, 1))):
        extra = {"activation_params": params} if params else {}
        check(f"FusedConv {name}", [NODE("FusedConv", ["x", "w", "b", "z"], ["y0"], domain="com.microsoft", activation=name, **extra)], {"x": x, "z": z},
              [f(y + z).astype(np.float32)], {"w": w, "b": b})


def idle_axes():
    """Pools and convolutions along height and width of [batch, height, width, channels], all of them spatial axes of one image."""
    x, w = normal(1, 1, 2, 5, 6, 3), normal(1, 1, 1, 3, 2, 1)
    slide = {"strides": [1, 2, 2, 1], "pads": [0, 1, 0, 0, 0, 1, 0, 0]}
    pool = {"kernel_shape": [1, 3, 2, 1], **slide}
    wide = np.pad(x, [(0, 0)] * 3 + [(1, 1), (0, 0), (0, 0)], constant_values=-np.inf)
    windows = np.stack([wide[:, :, :, i:i + 5:2, j:j + 5:2] for i in range(3) for j in range(2)])
    inside = np.isfinite(windows)
    zeroed = np.where(inside, windows, 0).astype(np.float32)
    check("MaxPool of four axes", [NODE("MaxPool", ["x"], ["y0"], **pool)], {"x": x}, [windows.max(0)])
    check("AveragePool of four axes", [NODE("AveragePool", ["x"], ["y0"], **pool)], {"x": x}, [(zeroed.sum(0) / inside.sum(0)).astype(np.float32)])
    check("LpPool of four axes", [NODE("LpPool", ["x"], ["y0"], p=1, **pool)], {"x": x}, [np.abs(zeroed).sum(0)])
    y = np.tensordot(w.ravel(), zeroed, 1) + np.float32(0.5)
    check("Conv of four axes", [NODE("Conv", ["x", "w", "b"], ["y0"], **slide)], {"x": x}, [y], {"w": w, "b": np.float32([0.5])})
    two, kernel = normal(2, 4, 3, 2, 2, 2), normal(6, 2, 1, 1, 1, 1)
    want = np.concatenate([np.einsum("bcdhwk,mc->bmdhwk", two[:, i:i + 2], kernel[3 * (i // 2):3 * (i // 2) + 3, :, 0, 0, 0, 0]) for i in (0, 2)], 1)
    check("Conv of four axes, none sliding", [NODE("Conv", ["x", "w"], ["y0"], group=2)], {"x": two}, [want], {"w": kernel})
    refused("MaxPool that slides along four axes", [NODE("MaxPool", ["x"], ["y0"], kernel_shape=[2, 2, 2, 2])], {"x": x}, "1 to 3 spatial dims are supported")
    refused("numbers of elements along four axes", [NODE("MaxPool", ["x"], ["y0", "y1"], **pool)], {"x": x}, "1 to 3 spatial dims are supported")


def main():
    if len(TOOLS) not in (1, 3):
        print(__doc__)
        return 2
    for group in (legacy, functions, losses, chosen, images, normalised, signals, fused, idle_axes):
        group()
    print(f"{ran - failed} of {ran} models agree")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
