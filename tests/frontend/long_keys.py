#!/usr/bin/env python3
"""Keys that few rows read where they lie are split in parts: what comes out is attention, and does not depend on threads.

long_keys.py XFC XF_PY: steps of decoders behind up to 3000 keys, around the sizes of parts; heads that share keys and heads that
do not, with soft caps and sinks; keys of a whole part, or all, that have no weight or are NaN; no keys at all. Against NumPy in
float64, and the same bits with 1, 2 and 3 threads, in place and not. Exit code 0, 1, or 77 (skipped) without onnx.
"""
import subprocess
import sys
import tempfile

from cases import check, end, load_xf, write_model

import numpy as np
from onnx import TensorProto as T
from onnx import helper as h

XFC = sys.argv[1]
xf = load_xf(sys.argv[2])
R = np.random.default_rng(3)
PASTS = (0, 1, 479, 1000, 1438, 1439, 1440, 2398, 2399, 2400, 3000)
WIDTH = 24


def value(name, *dims, type=T.FLOAT):
    return h.make_tensor_value_info(name, type, dims)


def grouped(heads, shared, cap, sink):
    """com.microsoft GroupQueryAttention; y [b, s, heads * WIDTH]."""
    more = ["", "", "", "", "sink"] if sink else []
    node = h.make_node("GroupQueryAttention", ["q", "k", "v", "pk", "pv", "n", "total", *more], ["y", "nk", "nv"], domain="com.microsoft",
                       num_heads=heads, kv_num_heads=shared, softcap=float(cap), scale=0.3)
    cache = [value(name, "b", shared, "p", WIDTH) for name in ("pk", "pv")]
    size = [h.make_node("Shape", ["mask"], ["size"], start=1, end=2), h.make_node("Cast", ["size"], ["size32"], to=T.INT32),
            h.make_node("Squeeze", ["size32"], ["total"])]
    inputs = [value("q", "b", "s", heads * WIDTH), value("k", "b", "s", shared * WIDTH), value("v", "b", "s", shared * WIDTH), *cache,
              value("n", "b", type=T.INT32), value("mask", "b", "t", type=T.INT64)] + ([value("sink", heads)] if sink else [])
    outputs = [value("y", "b", "s", heads * WIDTH), value("nk", "b", shared, "t", WIDTH), value("nv", "b", shared, "t", WIDTH)]
    return h.make_model(h.make_graph([*size, node], "g", inputs, outputs), ir_version=10,
                        opset_imports=[h.make_opsetid("", 23), h.make_opsetid("com.microsoft", 1)])


def expected(f, heads, shared, cap, sink):
    b, s = f["q"].shape[:2]
    q = f["q"].reshape(b, s, heads, WIDTH).transpose(0, 2, 1, 3).astype(np.float64)
    k, v = (np.concatenate([f["p" + c], f[c].reshape(b, s, shared, WIDTH).transpose(0, 2, 1, 3)], 2) for c in "kv")
    k, v = (x.repeat(heads // shared, 1).astype(np.float64) for x in (k, v))
    keys = k.shape[2]
    x = q @ k.swapaxes(2, 3) * 0.3
    x = cap * np.tanh(x / cap) if cap else x
    x = np.where(np.arange(keys) <= np.arange(s)[:, None] + keys - s, x, -np.inf)
    beside = f["sink"].reshape(1, heads, 1, 1) if sink else -np.inf
    e = np.exp(x - np.maximum(x.max(-1, keepdims=True), beside))
    y = e @ v / (e.sum(-1, keepdims=True) + np.exp(beside - np.maximum(x.max(-1, keepdims=True), beside)))
    return y.transpose(0, 2, 1, 3).reshape(b, s, heads * WIDTH)


def in_place(session, f):
    """The caches in memory with room behind them."""
    feed, out, rows = dict(f), {}, f["q"].shape[1]
    for past, new in (("pk", "nk"), ("pv", "nv")):
        shape = list(f[past].shape)
        shape[2] += rows + 5
        memory = np.full(shape, np.nan, np.float32)
        memory[:, :, :f[past].shape[2]] = f[past]
        feed[past], out[new] = memory[:, :, :f[past].shape[2]], memory[:, :, :f[past].shape[2] + rows]
    return session.run(["y", "nk", "nv"], feed, out=out)[0]


def steps(sessions, inplace, heads, shared, cap, sink):
    for past in PASTS:
        for b, s in ((1, 1), (2, 1), (3, 8), (1, 9)):
            if s > 1 and past and past not in (479, 2398):
                continue
            f = {"q": R.standard_normal((b, s, heads * WIDTH)), "k": R.standard_normal((b, s, shared * WIDTH)),
                 "v": R.standard_normal((b, s, shared * WIDTH)), "pk": R.standard_normal((b, shared, past, WIDTH)),
                 "pv": R.standard_normal((b, shared, past, WIDTH))}
            f["pk"][:, :, :past // 2] *= 3  # the largest scores are not all in one part
            f = {name: x.astype(np.float32) for name, x in f.items()}
            f["n"], f["mask"] = np.full(b, past + s - 1, np.int32), np.ones((b, past + s), np.int64)
            if sink:
                f["sink"] = R.standard_normal(heads).astype(np.float32) * 4
            want, got = expected(f, heads, shared, cap, sink), [one.run(["y"], f)[0] for one in sessions]
            where = f"{heads} heads, {shared} of keys, cap {cap}{', sink' if sink else ''}: {b} x {s} rows behind {past}"
            check(np.allclose(got[0], want, rtol=2e-4, atol=2e-5), f"{where}: apart by {abs(got[0] - want).max(initial=0)}")
            check(all(np.array_equal(x, got[0]) for x in got[1:]), f"{where}: the same bits with 2 and 3 threads")
            check(np.array_equal(in_place(inplace, f), got[0]), f"{where}: the same bits in place")


def compiled(folder, name, model, *options):
    path, so = write_model(folder, model), f"{folder}/{name}.so"
    done = subprocess.run([XFC, path, "-o", so, "-march=native", *options], capture_output=True, text=True, timeout=120)
    check(done.returncode == 0, f"{name} compiles: {done.stderr}")
    return so


def all_heads():
    for heads, shared, cap, sink in ((3, 3, 0, False), (6, 2, 0, False), (4, 1, 5, True), (2, 2, 0, True)):
        with tempfile.TemporaryDirectory() as folder:
            model = grouped(heads, shared, cap, sink)
            so, place = compiled(folder, "step", model), compiled(folder, "place", model, "--cache=inplace")
            sessions = [xf.InferenceSession(so, threads=n) for n in (1, 2, 3)]
            steps(sessions, xf.InferenceSession(place, threads=2), heads, shared, cap, sink)


def odd_parts():
    """softmax(q k^T + bias) v where a part, or more, holds nothing, or what is no number. Without a reach: the bias is no mask of
    rows and keys but computed from both."""
    nodes = [h.make_node("Transpose", ["k"], ["kt"], perm=[0, 1, 3, 2]), h.make_node("MatMul", ["q", "kt"], ["s"]),
             h.make_node("Softmax", ["s"], ["w"], axis=-1), h.make_node("MatMul", ["w", "v"], ["y"])]
    graph = h.make_graph(nodes, "g", [value("q", 1, 1, "s", 8), value("k", 1, 1, "t", 8), value("v", 1, 1, "t", 8)], [value("y", 1, 1, "s", 8)])
    with tempfile.TemporaryDirectory() as folder:
        so = compiled(folder, "odd", h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8))
        one, two = (xf.InferenceSession(so, threads=n) for n in (1, 2))
        for t in (1439, 1440, 1920, 3000):
            for first, end_, what in ((0, 960, -np.inf), (960, 1920, -np.inf), (0, t, -np.inf), (0, 960, np.nan), (970, 971, np.nan),
                                      (5, 6, np.inf), (0, 960, -3e38)):
                q, k, v = np.ones((1, 1, 2, 8), np.float32), R.standard_normal((1, 1, t, 8)).astype(np.float32), R.standard_normal((1, 1, t, 8)).astype(np.float32)
                q[..., 1:] = 0  # a product with 0 would make infinite keys no numbers: the first of the width counts alone
                k[..., 1:] = 0
                k[0, 0, first:end_, 0] = what
                with np.errstate(all="ignore"):
                    s = q[..., :1].astype(np.float64) @ k[..., :1].swapaxes(2, 3)
                    e = np.exp(s - s.max(-1, keepdims=True))
                    want = (e / e.sum(-1, keepdims=True)) @ v
                got = [x.run(["y"], {"q": q, "k": k, "v": v})[0] for x in (one, two)]
                near = np.allclose(got[0], want, rtol=2e-4, atol=2e-5, equal_nan=True)
                check(near, f"keys {first} to {end_} of {t} are {what}: {got[0][0, 0, 0, :2]}, not {want[0, 0, 0, :2]}")
                check(np.array_equal(*got, equal_nan=True), f"keys {first} to {end_} of {t} are {what}: the same with 2 threads")


all_heads()
odd_parts()
sys.exit(end())
