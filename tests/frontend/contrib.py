#!/usr/bin/env python3
"""Operators of com.microsoft that are no layers, and ONNX's early experimental ones, against their definition in numpy; that is compared with
onnxruntime where it is installed and has them for CPUs.

contrib.py EVAL_ONNX XFC XF_RUN; exit code 77 without the onnx package.
"""
import itertools
import math

import ml_dtypes
import numpy as np
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

from cases import check as expect
from cases import end, fail, run

try:
    import onnxruntime
except ImportError:
    onnxruntime = None

R = np.random.default_rng(41)


def noise(*dims, t=np.float32):
    return R.standard_normal(dims).astype(t)


def model_of(op, given, outputs, consts, domain, opset, open_dims, attributes):
    """given: (name, array or None) in order; outputs: element types, None for one that is left out."""
    names = [k if v is not None else "" for k, v in given]
    while names and not names[-1]:
        names.pop()
    kind = lambda v: h.np_dtype_to_tensor_dtype(np.asarray(v).dtype)  # noqa: E731
    outs = [(f"y{i}" if t else "", t) for i, t in enumerate(outputs)]
    node = h.make_node(op, names, [o for o, _ in outs], name="node", domain=domain, **attributes)
    infos = [h.make_tensor_value_info(k, kind(v), [f"{k}_{i}" for i in range(np.ndim(v))] if open_dims else np.shape(v))
             for k, v in given if v is not None and k not in consts]
    graph = h.make_graph([node], "g", infos, [h.make_tensor_value_info(o, t, None) for o, t in outs if t],
                         [numpy_helper.from_array(np.asarray(v), k) for k, v in given if k in consts and v is not None])
    return h.make_model(graph, opset_imports=[h.make_opsetid("", opset), h.make_opsetid("com.microsoft", 1)], ir_version=9)


def check(name, op, given, want, consts=(), domain="com.microsoft", opset=21, open_dims=True, reference=True, rtol=1e-4, atol=1e-5, **attributes):
    """given: arrays by name, in order; want: what each output is, or None for one left out. reference: has onnxruntime a kernel?"""
    given = [(k, v if v is None else np.asarray(v)) for k, v in given.items()]
    kinds = [None if w is None else h.np_dtype_to_tensor_dtype(np.asarray(w).dtype) for w in want]
    made = model_of(op, given, kinds, consts, domain, opset, open_dims, attributes)
    feed = {k: v for k, v in given if v is not None and k not in consts}
    want = [np.asarray(w) for w in want if w is not None]
    if onnxruntime and reference:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
        for i, (a, b) in enumerate(zip(session.run(None, feed), want)):
            expect(a.shape == b.shape and np.allclose(a, b, rtol, atol, equal_nan=True), f"{name}: output {i} of onnxruntime is as defined")
    run(name, made, [(list(feed.values()), want)], rtol=rtol, atol=atol)


def refused(name, op, given, pattern, consts=(), domain="com.microsoft", opset=21, outputs=1, open_dims=True, **attributes):
    import sys
    given = [(k, v if v is None else np.asarray(v)) for k, v in given.items()]
    made = model_of(op, given, [T.FLOAT] * outputs, consts, domain, opset, open_dims, attributes)
    run(name, made, [([v for k, v in given if v is not None and k not in consts], pattern)], sys.argv[1:2])


# ---- older forms of ONNX's operators ----

def older():
    x = noise(2, 3, 4)
    for mode in ("constant", "reflect", "edge"):
        pads, value = np.int64([0, 1, 2, 1, 0, 1]), np.float32(2.5)
        want = np.pad(x, [(0, 1), (1, 0), (2, 1)], mode, **({"constant_values": 2.5} if mode == "constant" else {}))
        check(f"Pad {mode}", "Pad", {"x": x, "p": pads, "v": value if mode == "constant" else None}, [want], ["p"], mode=mode)
        check(f"Pad {mode} by data", "Pad", {"x": x, "p": pads, "v": value if mode == "constant" else None}, [want], mode=mode)
    check("Pad by a row of pads", "Pad", {"x": x, "p": np.int64([[0, 1, -1, 1, 0, 1]])}, [np.pad(x[..., 1:], [(0, 1), (1, 0), (0, 1)])], ["p"])
    for axis in (0, 2, 3, -1, -4):
        check(f"ExpandDims {axis}", "ExpandDims", {"x": x, "a": np.int32(axis)}, [np.expand_dims(x, axis)], ["a"])
    for t in (np.int16, np.int32, np.int64, np.float32, np.float64):
        check(f"Range of {t.__name__}", "Range", {"a": t(2), "b": t(7)}, [np.arange(2, 7).astype(t)], ["a", "b"])
        check(f"Range of {t.__name__} with a step", "Range", {"a": t(2), "b": t(7), "s": t(2)}, [np.arange(2, 7, 2).astype(t)], ["s"])
        check(f"Range of {t.__name__} by data", "Range", {"a": t(2), "b": t(7)}, [np.arange(2, 7).astype(t)])
    check("Unique", "Unique", {"x": np.float32([2, 1, 1, 3, 4, 3])}, [np.float32([2, 1, 3, 4]), np.int64([0, 1, 1, 2, 3, 2]), np.int64([1, 2, 2, 1])])
    check("Unique of nothing", "Unique", {"x": np.float32([])}, [np.float32([]), np.int64([]), np.int64([])], reference=False)
    check("Unique of one kind", "Unique", {"x": np.int64([5, 5, 5])}, [np.int64([5]), None, np.int64([3])], reference=False)
    for t, kind in ((np.float32, T.FLOAT), (np.float16, T.FLOAT16)):
        a, b = noise(2, 3, 4, t=t), noise(3, 4, t=t)
        e = np.exp(a.astype(np.float64) + b)
        want = (e / e.reshape(2, -1).sum(1).reshape(2, 1, 1)).astype(t)
        check(f"BiasSoftmax over two dims of {t.__name__}", "BiasSoftmax", {"x": a, "b": b}, [want], reference=False, axis=1, is_inner_broadcast=0, rtol=2e-3)
    check("BiasSoftmax over the last dim", "BiasSoftmax", {"x": x, "b": x[:, :1]}, [(e := np.exp(x + x[:, :1])) / e.sum(2, keepdims=True)], reference=False, axis=2,
          is_inner_broadcast=1)
    table = noise(5, 3)
    check("TorchEmbedding", "TorchEmbedding", {"w": table, "i": np.int64([[4, 0], [1, 1]]), "p": np.int64(1)}, [table[[[4, 0], [1, 1]]]], reference=False)


def dropped():
    x, b, r = noise(2, 3, 4), noise(4), noise(2, 3, 4)
    ones = np.ones((2, 3, 4), bool)
    check("BiasDropout", "BiasDropout", {"x": x, "b": b}, [x + b], reference=False)
    check("BiasDropout with all", "BiasDropout", {"x": x, "b": b, "r": r, "p": np.float32(0.3), "t": np.bool_(False)}, [x + b + r, ones], ["p", "t"], reference=False)
    check("BiasDropout without a ratio", "BiasDropout", {"x": x, "b": r, "r": None, "p": None, "t": np.bool_(False)}, [x + r, ones], ["t"], reference=False)
    refused("BiasDropout of training", "BiasDropout", {"x": x, "b": b, "r": None, "p": np.float32(0.3), "t": np.bool_(True)}, "'node'.*training mode", ["p", "t"])


# ---- integers, windows, distances, complex numbers ----

def arithmetic():
    for a, b, t in ((np.int16, np.int16, np.int32), (np.uint16, np.uint16, np.uint32)):
        x, y = R.integers(0, 200, (2, 3, 5)).astype(a), R.integers(0, 200, (5, 4)).astype(b)
        if a is np.int16:
            x, y = x - a(100), y - b(100)
        check(f"MatMulInteger16 of {a.__name__}", "MatMulInteger16", {"a": x, "b": y}, [x.astype(t) @ y.astype(t)], reference=a is np.int16)
    for t in (np.uint8, np.int8):
        a, b = R.integers(-100, 100, (2, 3)).astype(t), R.integers(-100, 100, (3,)).astype(t)
        za, zb = t(7), t(90)
        check(f"MulInteger of {t.__name__}", "MulInteger", {"a": a, "za": za, "b": b, "zb": zb}, [(a.astype(np.int32) - int(za)) * (b.astype(np.int32) - int(zb))], reference=False)
        check(f"MulInteger of {t.__name__} without zero points", "MulInteger", {"a": a, "za": None, "b": b}, [a.astype(np.int32) * b], reference=False)
        wide = np.uint32 if t is np.uint8 else np.int32
        check(f"ReduceSumInteger of {t.__name__}", "ReduceSumInteger", {"x": a}, [a.sum(1, keepdims=True, dtype=wide)], reference=False, axes=[1], keepdims=1)
    a, b = noise(4, 5), noise(3, 5)
    square = ((a[:, None] - b[None]) ** 2).sum(-1)
    check("CDist", "CDist", {"a": a, "b": b}, [square], rtol=1e-3)
    check("CDist euclidean", "CDist", {"a": a, "b": b}, [np.sqrt(square)], metric="euclidean", rtol=1e-3)
    check("CDist of f64", "CDist", {"a": a.astype(np.float64), "b": b.astype(np.float64)}, [((a[:, None].astype(np.float64) - b[None]) ** 2).sum(-1)])
    refused("another metric", "CDist", {"a": a, "b": b}, "'node' .com.microsoft::CDist.*metric 'cosine' is not supported", metric="cosine")
    for dim, size, step in ((-1, 3, 1), (1, 2, 2), (0, 4, 1), (1, 5, 3), (-2, 1, 1)):
        x = noise(4, 5, 6)
        want = np.moveaxis(np.stack([np.take(x, range(i, i + size), dim) for i in range(0, x.shape[dim] - size + 1, step)]), dim % 3 + 1, -1)
        want = np.moveaxis(want, 0, dim % 3)
        check(f"UnfoldTensor {dim} {size} {step}", "UnfoldTensor", {"x": x}, [want], dim=dim, size=size, step=step)
    check("UnfoldTensor of integers", "UnfoldTensor", {"x": np.int64([1, 2, 3])}, [np.int64([[1, 2], [2, 3]])], size=2)
    refused("a window larger than its dim", "UnfoldTensor", {"x": x}, "size of a window", size=9, open_dims=False)
    a, b = noise(2, 3, 2), noise(3, 2)
    ca, cb = a[..., 0] + 1j * a[..., 1], b[..., 0] + 1j * b[..., 1]
    for op, y in (("ComplexMul", ca * cb), ("ComplexMulConj", ca * cb.conj())):
        check(op, op, {"a": a, "b": b}, [np.stack([y.real, y.imag], -1)], reference=False)
    for n in (2, 6, 30, 31):
        x = noise(2, 3, n)
        y = np.fft.rfft(x)
        check(f"Rfft of {n}", "Rfft", {"x": x}, [np.stack([y.real, y.imag], -1).astype(np.float32)], reference=False, signal_ndim=1)
        if n % 2 == 0:
            pairs = np.stack([y.real, y.imag], -1).astype(np.float32)
            check(f"Irfft of {n}", "Irfft", {"x": pairs}, [x], reference=False, signal_ndim=1)
    refused("Rfft of two dims", "Rfft", {"x": x}, "signal_ndim 1", signal_ndim=2)
    x = noise(2, 3)
    for t in (np.float32, np.float16):
        emb, q, qr, k, kr = noise(2, 3, 4), *(noise(2, 2, 3, 4, t=t) for _ in range(4))
        c, s = np.cos(emb)[:, None].astype(t), np.sin(emb)[:, None].astype(t)
        check(f"GemmaRotaryEmbedding of {t.__name__}", "GemmaRotaryEmbedding", {"e": emb, "q": q, "qr": qr, "k": k, "kr": kr}, [q * c + qr * s, k * c + kr * s], reference=False,
              rtol=3e-3, atol=3e-3)
        check(f"GemmaRotaryEmbedding of {t.__name__}, one output", "GemmaRotaryEmbedding", {"e": emb, "q": q, "qr": qr, "k": k, "kr": kr}, [q * c + qr * s], reference=False,
              rtol=3e-3, atol=3e-3)
    a, b = noise(2, 3, 5), noise(2, 4, 5)
    for name, f in (("Relu", lambda v: np.maximum(v, 0)), ("LeakyRelu", lambda v: np.where(v < 0, 0.1 * v, v))):
        check(f"FusedMatMulActivation {name}", "FusedMatMulActivation", {"a": a, "b": b}, [f(a @ b.transpose(0, 2, 1) * np.float32(0.5)).astype(np.float32)], reference=False,
              activation=name, activation_alpha=0.1, transB=1, alpha=0.5)


def tests_of_elements():
    good, nan, inf = noise(2, 3), noise(2, 3), noise(4)
    nan[1, 1], inf[2] = math.nan, -math.inf
    for given, kind, want in (([good], {}, True), ([good, nan], {}, False), ([good, inf], {}, False), ([inf], {"isnan_only": 1}, True), ([nan], {"isnan_only": 1}, False),
                              ([nan], {"isinf_only": 1}, True), ([inf, good], {"isinf_only": 1}, False)):
        check(f"IsAllFinite {len(given)} {kind} {want}", "IsAllFinite", {f"x{i}": v for i, v in enumerate(given)}, [np.bool_(want)], reference=False, **kind)
    for t in (np.int32, np.uint32, np.int64, np.uint64, np.float32, np.float64):
        x = np.concatenate([np.array([0, 1, 3, 4]), R.integers(0, 2**31, 9)]).astype(t)
        for seed, positive in ((0, 1), (42, 0), (2**32 - 1, 1)):
            check(f"MurmurHash3 of {t.__name__}, {seed}", "MurmurHash3", {"x": x}, [murmur(x, seed).view(np.uint32 if positive else np.int32)], seed=seed, positive=positive)
    refused("MurmurHash3 of texts", "MurmurHash3", {"x": np.array(["a"])}, "hashes of strings are not supported")


def murmur(x, seed):
    out, m = [], 0xFFFFFFFF
    rotl = lambda v, r: ((v << r) | (v >> (32 - r))) & m  # noqa: E731
    for v in x:
        hash, data = seed & m, v.tobytes()
        for i in range(0, len(data), 4):
            k = int.from_bytes(data[i:i + 4], "little") * 0xCC9E2D51 & m
            hash = (rotl(hash ^ (rotl(k, 15) * 0x1B873593 & m), 13) * 5 + 0xE6546B64) & m
        hash ^= len(data)
        hash = (hash ^ hash >> 16) * 0x85EBCA6B & m
        hash = (hash ^ hash >> 13) * 0xC2B2AE35 & m
        out.append(hash ^ hash >> 16)
    return np.array(out, np.uint32)


def repeats():
    for size, length in ((1, 4), (2, 6), (3, 7), (3, 2), (4, 3), (2, 1)):
        ids, scores = R.integers(0, 4, (3, length)), noise(3, 5)
        want = scores.copy()
        for b in range(3):
            for i in range(length - size + 1):
                if size == 1 or list(ids[b, i:i + size - 1]) == list(ids[b, length - size + 1:]):
                    want[b, ids[b, i + size - 1]] = -math.inf
        check(f"NGramRepeatBlock {size} of {length}", "NGramRepeatBlock", {"ids": ids, "s": scores}, [want], ngram_size=size)


def hashes(ids, factors, sizes, past, offsets, fill, reset, segments, most, heads):
    rows = np.concatenate([np.full((len(ids), most - 1), fill, ids.dtype) if past is None else past, ids], 1)
    out = np.zeros((*ids.shape, len(sizes)), ids.dtype)
    for b, t in np.ndindex(*ids.shape):
        at, token = t + most - 1, []
        for back in range(most):
            ended = reset and (rows[b, at - back:at] == fill).any()
            other = segments is not None and any(segments[b, q] != segments[b, q - 1] for q in range(max(1, t - back + 1), t + 1))
            token.append(fill if ended or other else rows[b, at - back])
        for n in range(2, most + 1):
            mix = ids.dtype.type(0)
            for k in range(n):
                with np.errstate(all="ignore"):
                    mix = mix ^ (ids.dtype.type(token[k]) * factors[k])
            for i in range((n - 2) * heads, (n - 1) * heads):
                out[b, t, i] = int(mix) % int(sizes[i]) + (0 if offsets is None else offsets[i])
    return [out, rows[:, len(rows[0]) - most + 1:]]


def engrams():
    for i, (t, most, past, eos, reset, cut, large) in enumerate([(np.int64, 3, 0, 0, 0, 0, 1), (np.int32, 2, 1, 0, 0, 0, 1), (np.int64, 4, 1, 1, 1, 0, 0), (np.int64, 3, 0, 1, 1, 1, 1),
                                                                 (np.int32, 4, 1, 1, 0, 1, 0), (np.int32, 3, 1, 0, 0, 1, 1), (np.int64, 2, 0, 1, 1, 0, 1)]):
        heads, ids = 2, R.integers(0, 6, (2, 7)).astype(t)
        factors, sizes = (R.integers(1, np.iinfo(t).max if large else 1000, most) | 1).astype(t), R.integers(5, 90, (most - 1) * heads).astype(t)
        given = {"ids": ids, "f": factors, "v": sizes, "p": R.integers(0, 6, (2, most - 1)).astype(t) if past else None,
                 "o": R.integers(0, 999, len(sizes)).astype(t) if i % 2 else None, "e": t(3) if eos else None, "s": np.sort(R.integers(0, 3, (2, 7)), 1).astype(np.int32) if cut else None}
        want = hashes(ids, factors, sizes, given["p"], given["o"], 3 if eos else 4, reset, given["s"], most, heads)
        check(f"NGramHashMapping {i}", "NGramHashMapping", given, want, ["f", "v", "o"], max_ngram_size=most, n_head_per_ngram=heads, pad_id=4, reset_on_eos=reset)
        one = {k: v[:, :1] if k in "ids" and v is not None else v for k, v in given.items()}
        check(f"NGramHashMapping {i} of one row", "NGramHashMapping", one, hashes(one["ids"], factors, sizes, given["p"], given["o"], 3 if eos else 4, reset, one["s"], most, heads), ["f", "v", "o"],
              max_ngram_size=most, n_head_per_ngram=heads, pad_id=4, reset_on_eos=reset)
    refused("n-grams of one token", "NGramHashMapping", {"ids": ids, "f": factors, "v": sizes}, "max_ngram_size from 2", ["f", "v"], max_ngram_size=1, n_head_per_ngram=1, pad_id=0)


# ---- ways through costs ----

def way(x):
    m, n = x.shape
    sums, came = np.full((m + 1, n + 1), np.inf, np.float32), np.full((m + 1, n + 1), 2)
    sums[0, 0], came[:, 0] = 0, 1
    for i, j in itertools.product(range(1, m + 1), range(1, n + 1)):
        both, up, left = sums[i - 1, j - 1], sums[i - 1, j], sums[i, j - 1]
        came[i, j] = 0 if both < up and both < left else 1 if up < both and up < left else 2
        sums[i, j] = x[i - 1, j - 1] + (both, up, left)[came[i, j]]
    i, j, out = m, n, []
    while i > 0 or j > 0:
        out.append((i - 1, j - 1))
        i, j = i - (came[i, j] != 2), j - (came[i, j] != 1)
    return np.int32(out[::-1]).T


def warped():
    for dims in ((1, 1), (1, 5), (6, 1), (4, 7), (9, 3), (30, 41)):
        for x in (noise(*dims), R.integers(0, 3, dims).astype(np.float32)):
            check(f"DynamicTimeWarping {dims}", "DynamicTimeWarping", {"x": x}, [way(x)])
    check("DynamicTimeWarping of three dims", "DynamicTimeWarping", {"x": x[None]}, [way(x)])


# ---- tokens without padding ----

def softmax(v):
    e = np.exp(v - v.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attend(q, k, v, scale):
    """[heads, rows, width] each."""
    return softmax(q @ k.transpose(0, 2, 1) * scale) @ v


def packing():
    counts, length, heads, width = [2, 4, 1, 3], 4, 2, 3
    total, hidden = sum(counts), heads * width
    x = noise(4, length, hidden)
    kept = [b * length + i for b, c in enumerate(counts) for i in range(c)]
    rest = [i for i in range(4 * length) if i not in kept]
    offset, begin = np.int32(kept + rest).reshape(4, length), np.cumsum([0, *counts]).astype(np.int32)
    packed = x.reshape(-1, hidden)[kept]
    check("RemovePadding", "RemovePadding", {"x": x, "n": np.int32(counts)}, [packed, offset, begin, np.int32([4])], reference=False)
    check("RemovePadding, tokens alone", "RemovePadding", {"x": x, "n": np.int32(counts)}, [packed], reference=False)
    restored = np.zeros_like(x).reshape(-1, hidden)
    restored[kept] = packed
    check("RestorePadding", "RestorePadding", {"x": packed, "o": offset}, [restored.reshape(x.shape)], reference=False)
    for bias_dims, scale in ((None, None), ((1, 1), None), ((4, heads), 0.3), ((1, heads), None)):
        w, b = noise(hidden, 3 * hidden), noise(3 * hidden)
        extra = None if bias_dims is None else noise(*bias_dims, length, length)
        q, k, v = (p.reshape(total, heads, width).transpose(1, 0, 2) for p in np.split(packed @ w + b, 3, 1))
        y = np.zeros((heads, total, width), np.float32)
        for i, c in enumerate(counts):
            rows = slice(begin[i], begin[i + 1])
            score = q[:, rows] @ k[:, rows].transpose(0, 2, 1) * (scale or 1 / math.sqrt(width))
            if extra is not None:
                score = score + np.broadcast_to(extra, (4, heads, length, length))[i][:, :c, :c]
            y[:, rows] = softmax(score) @ v[:, rows]
        want, more = y.transpose(1, 0, 2).reshape(total, hidden), {"scale": scale} if scale else {}
        check(f"PackedAttention {bias_dims}", "PackedAttention", {"x": packed, "w": w, "b": b, "o": offset, "c": begin, "e": extra}, [want], ["w", "b"], reference=False, num_heads=heads,
              **more)
        join = lambda p: np.ascontiguousarray(p.transpose(1, 0, 2)).reshape(total, hidden)  # noqa: E731
        q2, k2, v2 = join(q), join(k), join(v)
        check(f"PackedMultiHeadAttention {bias_dims}", "PackedMultiHeadAttention", {"q": q2 - b[:hidden], "k": k2 - b[hidden:2 * hidden], "v": v2 - b[2 * hidden:], "b": b, "o": offset,
              "c": begin, "e": extra}, [want], ["b"], reference=False, num_heads=heads, **more)
        all_in_one = np.stack([p.transpose(1, 0, 2) for p in (q, k, v)], 2)
        check(f"PackedMultiHeadAttention of one tensor {bias_dims}", "PackedMultiHeadAttention", {"q": all_in_one, "k": None, "v": None, "b": None, "o": offset, "c": begin, "e": extra},
              [want], reference=False, num_heads=heads, **more)


def decoders():
    heads, width, past = 2, 4, 3
    hidden = heads * width
    x, w, b, kv = noise(2, 1, hidden), noise(hidden, 3 * hidden), noise(3 * hidden), noise(2, 2, heads, past, width)
    q, k, v = (p.reshape(2, 1, heads, width).transpose(0, 2, 1, 3) for p in np.split(x @ w + b, 3, 2))
    present = np.stack([np.concatenate([kv[0], k], 2), np.concatenate([kv[1], v], 2)])
    bias = noise(1, 1, 1, past + 1)
    y = softmax(q @ present[0].transpose(0, 1, 3, 2) / math.sqrt(width) + bias) @ present[1]
    given = {"x": x, "w": w, "b": b, "m": None, "past": kv, "e": bias, "n": np.int32([past])}
    check("DecoderMaskedSelfAttention", "DecoderMaskedSelfAttention", given, [y.transpose(0, 2, 1, 3).reshape(2, 1, hidden), present], ["w", "b"], reference=False, num_heads=heads)
    refused("a buffer in the layout of a GPU", "DecoderMaskedSelfAttention", given, "'node'.*past_present_share_buffer", ["w", "b"], num_heads=heads, past_present_share_buffer=1)
    s = 3
    q, qb, table, gw, gb, eco = noise(2, s, hidden), noise(hidden), noise(1, heads, s, s), noise(width, 6), noise(6), noise(1, heads, 1, 1)
    layer = (q + qb).reshape(2, s, heads, width).transpose(0, 2, 1, 3)
    gates = 1 / (1 + np.exp(-(layer @ gw + gb).reshape(2, heads, s, 2, 3).sum(-1)))
    u, r = gates[..., :1], gates[..., 1:]
    check("GatedRelativePositionBias", "GatedRelativePositionBias", {"q": q, "b": qb, "t": table, "w": gw, "gb": gb, "e": eco}, [(u * (r * eco - 1) + 2) * table], reference=False,
          num_heads=heads)


# ---- images ----

def transposed():
    x, w, b = noise(1, 2, 4, 4), noise(2, 3, 3, 3), noise(3)
    whole = np.zeros((1, 3, 9, 9), np.float32)
    for i in range(4):
        for j in range(4):
            whole[0, :, 2 * i:2 * i + 3, 2 * j:2 * j + 3] += np.einsum("c,cmhw->mhw", x[0, :, i, j], w)
    whole += b[:, None, None]
    for pads in ([0, 0, 0, 0], [1, 0, 0, 2]):
        want = whole[:, :, pads[0]:9 - pads[2], pads[1]:9 - pads[3]]
        check(f"ConvTransposeWithDynamicPads {pads}", "ConvTransposeWithDynamicPads", {"x": x, "w": w, "p": np.int64(pads), "b": b}, [want], ["w", "p", "b"], strides=[2, 2])
    check("ConvTransposeWithDynamicPads without", "ConvTransposeWithDynamicPads", {"x": x, "w": w, "p": None, "b": b}, [whole], ["w", "b"], strides=[2, 2], reference=False)


def pooled():
    x = noise(2, 3, 7, 9)
    rois = np.float32([[0, 1, 1, 5, 6], [1, 0, 0, 8, 6], [1, 3.5, 2.5, 3.5, 2.4], [0, 6, 5, 12, 11], [0, -4, -4, -2, -2], [1, 2, 3, 0, 1]])
    away = lambda v: np.sign(v) * np.floor(np.abs(v) + 0.5)  # noqa: E731
    for (h, w), scale in (((2, 3), 1.0), ((1, 1), 0.5), ((4, 5), 0.75)):
        want = np.zeros((len(rois), 3, h, w), np.float32)
        for r, (b, *box) in enumerate(rois):
            left, top, right, bottom = (int(away(v * np.float32(scale))) for v in box)
            high, wide = np.float32(max(bottom - top + 1, 1)) / np.float32(h), np.float32(max(right - left + 1, 1)) / np.float32(w)
            for i in range(h):
                for j in range(w):
                    y = slice(*(int(np.clip(v + top, 0, 7)) for v in (np.floor(i * high), np.ceil((i + 1) * high))))
                    z = slice(*(int(np.clip(v + left, 0, 9)) for v in (np.floor(j * wide), np.ceil((j + 1) * wide))))
                    part = x[int(b), :, y, z]
                    want[r, :, i, j] = part.max((1, 2)) if part.size else 0
        check(f"MaxRoiPool {h} {w} {scale}", "MaxRoiPool", {"x": x, "r": rois}, [want], domain="", pooled_shape=[h, w], spatial_scale=scale)


def experimental():
    x, kind = noise(2, 3, 4, 5), {"domain": "", "opset": 9}
    check("Affine", "Affine", {"x": x}, [x * np.float32(2) + np.float32(0.5)], alpha=2.0, beta=0.5, **kind)
    check("Scale", "Scale", {"x": x}, [x * np.float32(3)], scale=3.0, **kind)
    check("ScaledTanh", "ScaledTanh", {"x": x}, [2 * np.tanh(x * np.float32(0.5))], alpha=2.0, beta=0.5, **kind)
    check("ParametricSoftplus", "ParametricSoftplus", {"x": 30 * x}, [2 * np.logaddexp(0, 15 * x)], alpha=2.0, beta=0.5, **kind)
    check("ImageScaler", "ImageScaler", {"x": x}, [x * np.float32(2) + np.float32([1, 2, 3])[:, None, None]], scale=2.0, bias=[1.0, 2.0, 3.0], **kind)
    check("Crop", "Crop", {"x": x}, [x[:, :, 2:4, 1:2]], border=[1, 2, 3, 0], **kind)
    check("Crop to a size", "Crop", {"x": x}, [x[:, :, 1:3, 2:5]], border=[2, 1, 0, 0], scale=[2, 3], **kind)
    refused("Crop of more than there is", "Crop", {"x": x}, "what is cropped and the image", border=[2, 1, 0, 0], scale=[9, 3], open_dims=False, **kind)
    at = {"s": np.int64([1, -3]), "e": np.int64([1000, -1]), "a": np.int64([1, 3])}
    check("DynamicSlice", "DynamicSlice", {"x": x, **at}, [x[:, 1:, :, -3:-1]], list(at), **kind)
    check("DynamicSlice by data", "DynamicSlice", {"x": x, **at}, [x[:, 1:, :, -3:-1]], **kind)


# ---- what is fused, and weights of few bits ----

def fused():
    a, b, x, w = noise(3, 4), noise(4, 5), noise(1, 2, 5, 5), noise(3, 2, 3, 3)
    conv = np.stack([(x[0, :, i:i + 3, j:j + 3] * w).sum((1, 2, 3)) for i in range(3) for j in range(3)], 1).reshape(1, 3, 3, 3)
    sigmoid = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    functions = {"Relu": (lambda v: np.maximum(v, 0), ()), "Tanh": (np.tanh, ()), "Sigmoid": (sigmoid, ()), "Softsign": (lambda v: v / (1 + np.abs(v)), ()),
                 "Softplus": (lambda v: np.logaddexp(0, v), ()), "LeakyRelu": (lambda v: np.where(v < 0, 0.3 * v, v), ("alpha",)),
                 "Elu": (lambda v: np.where(v < 0, 0.3 * (np.exp(v) - 1), v), ("alpha",)), "Celu": (lambda v: np.maximum(v, 0) + np.minimum(0, 0.3 * (np.exp(v / 0.3) - 1)), ("alpha",)),
                 "ThresholdedRelu": (lambda v: np.where(v > 0.3, v, 0), ("alpha",)), "HardSigmoid": (lambda v: np.clip(0.3 * v + 0.6, 0, 1), ("alpha", "beta")),
                 "Selu": (lambda v: 0.2 * np.where(v > 0, v, 0.3 * (np.exp(v) - 1)), ("alpha", "gamma")), "ScaledTanh": (lambda v: 0.3 * np.tanh(0.6 * v), ("alpha", "beta")),
                 "ParametricSoftplus": (lambda v: 0.3 * np.logaddexp(0, 0.6 * v), ("alpha", "beta"))}
    value = {"alpha": 0.3, "beta": 0.6, "gamma": 0.2}
    for name, (f, numbers) in functions.items():
        given = {f"activation_{k}": value[k] for k in numbers}
        check(f"FusedGemm {name}", "FusedGemm", {"a": a, "b": b}, [f(a @ b).astype(np.float32)], activation=name, **given)
        if numbers:
            given.popitem()
            refused(f"FusedGemm {name} without a number", "FusedGemm", {"a": a, "b": b}, f"'node'.*has not the {len(numbers)} numbers of activation '{name}'", activation=name, **given)
    for name, params, f in (("HardSwish", [], lambda v: v * np.clip(v / 6 + 0.5, 0, 1)), ("Clip", [-0.5, 0.5], lambda v: np.clip(v, -0.5, 0.5)), ("LeakyRelu", [0.3], functions["LeakyRelu"][0])):
        check(f"FusedConv {name}", "FusedConv", {"x": x, "w": w}, [f(conv).astype(np.float32)], activation=name, **({"activation_params": params} if params else {}))
    refused("FusedConv without a number", "FusedConv", {"x": x, "w": w}, "has not the 1 numbers of activation 'LeakyRelu'", activation="LeakyRelu")
    refused("an unknown activation", "FusedConv", {"x": x, "w": w}, "activation 'Odd' is not supported", activation="Odd")


def few_bits():
    codes = np.float32([-1, -0.6961928, -0.52507305, -0.39491749, -0.28444138, -0.18477343, -0.09105004, 0, 0.0795803, 0.16093020, 0.24611230, 0.33791524, 0.44070983, 0.56261700, 0.72295684, 1])
    for k, n, block in ((32, 5, 64), (16, 3, 32), (33, 3, 16), (64, 4, 16)):
        packed, most = R.integers(0, 256, (k * n + 1) // 2).astype(np.uint8), R.random(-(-k * n // block)).astype(np.float32)
        w = (codes[np.stack([packed >> 4, packed & 15], 1).ravel()[:k * n]] * np.repeat(most, block)[:k * n]).reshape(n, k)
        x, back, attrs = noise(2, 3, k), noise(3, n), {"K": k, "N": n, "block_size": block, "quant_type": 1}
        check(f"MatMulBnb4 {k} {n} {block}", "MatMulBnb4", {"x": x, "w": packed, "m": most}, [x @ w.T], ["w", "m"], **attrs)
        check(f"MatMulBnb4 {k} {n} {block}, the other way", "MatMulBnb4", {"x": back, "w": packed, "m": most}, [back @ w], ["w", "m"], reference=False, transB=0, **attrs)
    rows, ids = R.integers(0, 256, (5, 3, 16)).astype(np.uint8), np.int64([[3, 0], [-5, 4]])
    scale = (R.random((5, 3, 2)) + 0.1).astype(np.float32)
    numbers = (np.stack([rows & 15, rows >> 4], -1).reshape(5, 3, 32).astype(np.float32) - 8) * np.repeat(scale, 16, 2)
    attrs = {"block_size": 16, "gather_axis": 0, "quantize_axis": 2}
    check("GatherBlockQuantized", "GatherBlockQuantized", {"t": rows, "i": ids, "s": scale}, [numbers[ids]], ["t", "s"], bits=4, **attrs)
    outside = np.int64([3, 5, -6, 99])
    want = np.concatenate([numbers[3:4], np.zeros((3, 3, 32), np.float32)])
    check("GatherBlockQuantized of rows that are none", "GatherBlockQuantized", {"t": rows, "i": outside, "s": scale}, [want], ["t", "s"], bits=4, **attrs)
    for kind in (ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2):
        table = noise(4, 32).astype(kind)
        for dims, block in (((4, 2), 16), ((4, 1), 0), ((1, 1), 0), ((1, 2), 16)):
            scale = (R.random(dims) + 0.1).astype(np.float32)
            numbers = table.astype(np.float32) * (np.repeat(scale, 16, 1) if dims[1] == 2 else scale)
            for axis in (0, 1):
                index = np.int64([3, 0, 1])
                check(f"GatherBlockQuantized of {kind.__name__} {dims} along {axis}", "GatherBlockQuantized", {"t": table, "i": index, "s": scale}, [np.take(numbers, index, axis)], ["t", "s"],
                      block_size=block, gather_axis=axis, quantize_axis=1)
    for kind, least in ((ml_dtypes.uint4, 0), (ml_dtypes.int4, -8)):
        whole, zero, scale = R.integers(least, least + 16, (4, 32)), R.integers(least, least + 16, (4, 2)), (R.random((4, 2)) + 0.1).astype(np.float32)
        numbers = ((whole - np.repeat(zero, 16, 1)) * np.repeat(scale, 16, 1)).astype(np.float32)
        index = np.int64([[31, 0], [7, -1]])
        check(f"GatherBlockQuantized of {kind.__name__} along the blocks", "GatherBlockQuantized", {"t": whole.astype(np.int8).astype(kind), "i": index, "s": scale, "z": zero.astype(np.int8).astype(kind)},
              [numbers[:, index]], ["t", "s", "z"], block_size=16, gather_axis=1, quantize_axis=1)
    x, y = R.integers(0, 256, (2, 3)).astype(np.uint8), R.integers(0, 256, (3,)).astype(np.uint8)
    s, t, u = np.float32(0.03), np.float32(0.02), np.float32(0.07)
    to = lambda v: np.clip(np.round(v), 0, 255).astype(np.uint8)  # noqa: E731
    check("QLinearAdd without zero points", "QLinearAdd", {"a": x, "as": s, "az": None, "b": y, "bs": t, "bz": None, "cs": u}, [to((x * s + y * t) / u)], ["as", "bs", "cs"], reference=False)
    low = {"x": x, "xs": s, "xz": None, "ys": t, "yz": np.uint8(9)}
    check("QLinearLeakyRelu without a zero point", "QLinearLeakyRelu", low, [to(x * s / t + 9)], ["xs", "ys", "yz"])
    refused("QLinearAdd of one operand", "QLinearAdd", {"x": x, "xs": s}, "'node'.*has too few operands", ["xs"])
    refused("QLinearSigmoid without a scale", "QLinearSigmoid", {"x": x, "xs": s}, "'node'.*has no scale", ["xs"])


def main():
    for group in (fused, few_bits, older, dropped, arithmetic, tests_of_elements, repeats, engrams, warped, packing, decoders, transposed, pooled, experimental):
        try:
            group()
        except Exception as e:  # noqa: BLE001, what onnxruntime refuses
            fail(group.__name__, repr(e)[:400])
    end()


main()
