#!/usr/bin/env python3
"""Keys that a mask hides are not looked at, and what the model says comes out.

masks.py XFC XF_PY: attention with masks of every kind, given as biases at run time, against NumPy: causal, windows, padding on
either side, documents, rows that see nothing, fills that hide and fills that only push down. That hidden keys are left alone is
seen by NaN in them. Exit code 0, 1, or 77 (skipped) without onnx.
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
R = np.random.default_rng(11)
LEAST = float(np.finfo(np.float32).min)
PANEL = 48
SIZES = [(1, 1), (1, 47), (1, 49), (1, 300), (1, 1100), (8, 200), (8, 1000), (9, 200), (64, 64), (65, 130), (130, 515), (4, 0), (0, 60)]


def model_of(rows, lead, zero, width=16):
    """softmax(q k^T / 4 + bias) v; rows: of q; lead: dims of the bias in front. zero: NaN of the softmax becomes 0."""
    def value(name, *dims):
        return h.make_tensor_value_info(name, T.FLOAT, dims)

    nodes = [h.make_node("Transpose", ["k"], ["kt"], perm=[0, 1, 3, 2]), h.make_node("MatMul", ["q", "kt"], ["p"]),
             h.make_node("Mul", ["p", "scale"], ["s"]), h.make_node("Add", ["s", "bias"], ["b"]), h.make_node("Softmax", ["b"], ["w"], axis=-1)]
    if zero:
        nodes += [h.make_node("IsNaN", ["w"], ["n"]), h.make_node("Where", ["n", "zero", "w"], ["z"])]
    nodes.append(h.make_node("MatMul", ["z" if zero else "w", "v"], ["y"]))
    graph = h.make_graph(nodes, "g", [value("q", "b", 2, rows, width), value("k", "b", 2, "t", width), value("v", "b", 2, "t", 70),
                                      value("bias", *lead, rows, "t")], [value("y", "b", 2, rows, 70)],
                         [h.make_tensor("scale", T.FLOAT, [], [0.25]), h.make_tensor("zero", T.FLOAT, [], [0.0])])
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)


def expected(q, k, v, bias, zero):
    with np.errstate(all="ignore"):
        s = (q.astype(np.float64) @ np.swapaxes(k, 2, 3) * 0.25).astype(np.float32) + bias
        e = np.exp((s - s.max(-1, keepdims=True, initial=-np.inf)).astype(np.float64))
        w = e / e.sum(-1, keepdims=True)
        return np.where(np.isnan(w), 0, w) @ v if zero else w @ v


def masks(b, s, t):
    """Names, and which keys each row sees: bool [c, 1 or 2, s, t]."""
    row, key = np.arange(s)[:, None] + max(t - s, 0), np.arange(t)[None, :]
    causal = key <= row
    length = R.integers(1, t + 1, b)[:, None, None] if t else np.zeros((b, 1, 1), int)
    yield "causal", causal[None, None]
    yield "window", (causal & (key > row - 50))[None, None]
    yield "both sides", (abs(key - row) < 20)[None, None]
    yield "right padding", (np.broadcast_to(key < length, (b, s, t)))[:, None]
    yield "left padding", ((key >= t - length) & causal)[:, None]
    yield "documents", (key // 60 == row // 60)[None, None]
    yield "heads", np.stack([causal, key >= row])[None]
    yield "sparse", R.random((1, 1, s, t)) < 0.02
    yield "nothing", np.zeros((1, 1, s, t), bool)
    yield "everything", np.ones((1, 1, s, t), bool)


def bias_of(seen, fill):
    noise = R.standard_normal(seen.shape).astype(np.float32)
    return np.where(seen, noise, np.float32(fill))


def same(got, want, bias):
    """Scores of a row that sees nothing are rounded beside the fill."""
    nan, top = np.isnan(want), np.abs(bias.max(-1, keepdims=True, initial=-1e9))
    near = 1e-5 + np.where(top < 1e6, np.spacing(top), 0) + 0 * want
    return np.array_equal(np.isnan(got), nan) and (abs(got - want) <= near + 1e-4 * abs(want))[~nan].all()


def blind(bias, shape):
    """Keys [b, 2, t] in panels before the first and behind the last that any row of the batch and head sees."""
    bias = np.broadcast_to(bias, shape)
    with np.errstate(all="ignore"):
        none = ~(bias >= bias.max(-1, keepdims=True, initial=-np.inf) - np.float32(60000)).any(2)
    out = np.zeros_like(none)
    for index in np.ndindex(none.shape[:2]):
        seen = np.flatnonzero(~none[index])
        if len(seen):
            out[index][:seen[0] // PANEL * PANEL] = out[index][(seen[-1] // PANEL + 1) * PANEL:] = True
    return out


def one(session, s, t, name, bias, zero, poison):
    b = 2
    q, k, v = (R.standard_normal((b, 2, n, w)).astype(np.float32) for n, w in ((s, 16), (t, 16), (t, 70)))
    want = expected(q, k, v, bias, zero)
    left = blind(bias, (b, 2, s, t)) if poison else np.zeros((b, 2, t), bool)
    k[left], v[left] = np.nan, np.nan
    got = session.run(["y"], {"q": q, "k": k, "v": v, "bias": bias})[0]
    check(same(got, want, bias), f"{name}: {s} rows, {t} keys")
    return left.sum()


def large_score(session, s, t, name, shape, zero):
    """The key that is filled with -10000 has the larger score: the file says that it is seen."""
    q, k, v = (R.standard_normal((2, 2, n, w)).astype(np.float32) for n, w in ((s, 16), (t, 16), (t, 70)))
    bias = bias_of(np.broadcast_to(np.arange(t) >= PANEL, shape + (s, t)), -1e4)
    q[...], k[:, :, :PANEL] = abs(q) + 1, 1e4
    want = expected(q, k, v, bias, zero)
    got = session.run(["y"], {"q": q, "k": k, "v": v, "bias": bias})[0]
    check(same(got, want, bias), f"{name}: a large score below a fill: {s} rows, {t} keys")


def all_masks(session, lead, sizes, zero, name):
    left, shape = 0, tuple(n if n != "b" else 2 for n in lead)
    for s, t in sizes:
        for kind, seen in masks(2, s, t):
            if seen.shape[:2] not in (shape, (1, 1)):
                continue
            seen = np.broadcast_to(seen, shape + seen.shape[2:])
            for fill in (-np.inf, LEAST, -1e9, -65504, -1e4, -100):
                left += one(session, s, t, f"{name}: {kind}, {fill}", bias_of(seen, fill), zero, poison=True)
        odd = bias_of(np.ones(shape + (s, t), bool), 0)
        if odd.size:
            odd[..., -1] = np.nan
            one(session, s, t, f"{name}: NaN", odd, zero, poison=False)
            odd[..., -1], odd[..., :-1] = 3, -65504
            one(session, s, t, f"{name}: one that is large", odd, zero, poison=True)
            large_score(session, s, t, name, shape, zero)
    check(left > 1000, f"{name}: {left} keys were left alone")


def main():
    for rows, lead, zero, options in (("s", (1, 1), False, ["-march=native"]), ("s", ("b", 1), True, ["-march=native"]), ("s", (1, 2), False, ["-march=x86-64-v2"]), (3, ("b", 1), False, ["-march=native"])):
        name = f"{rows} rows, bias of {lead}{', zeros for NaN' if zero else ''} {' '.join(options)}"
        with tempfile.TemporaryDirectory() as folder:
            path = write_model(folder, model_of(rows, lead, zero))
            done = subprocess.run([XFC, path, "-o", folder + "/m.so", *options], capture_output=True, text=True, timeout=120)
            check(done.returncode == 0, f"{name}: compiles: {done.stderr}")
            if done.returncode == 0:
                session = xf.InferenceSession(folder + "/m.so", threads=2)
                all_masks(session, lead, SIZES if rows == "s" else [(3, n) for n in (1, 48, 50, 300, 481, 1500)], zero, name)
                session.close()
    return end()


sys.exit(main())
