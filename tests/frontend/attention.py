#!/usr/bin/env python3
"""Attention of opset 23 and 24 in random combinations of what it may have, against its definition in float64.

attention.py EVAL_ONNX [XFC XF_RUN]: caches inside and outside, causal or not, masks of both types and all shapes, grouped
heads, three dims or four, soft caps, and each stage of the scores as an output; first in the interpreter, then some of them
compiled. Exit code 0, 1, or 77 (skipped) where the onnx package is missing.
"""

import sys
import tempfile

try:
    import numpy as np
    from onnx import TensorProto as T
    from onnx import helper as h

    from cases import run_calls
except ImportError:
    print("SKIP: the onnx package (onnx==1.22.0) is not installed")
    sys.exit(77)

N_CASES, N_COMPILED = 120, 8


def attention(f, groups, causal, scale, softcap):
    """Y and the four stages of the scores. Rows without keys give 0."""
    q, k, v = (f[name].astype(np.float64) for name in "qkv")
    if "pk" in f:
        k, v = np.concatenate([f["pk"], k], 2), np.concatenate([f["pv"], v], 2)
    k, v = k.repeat(groups, 1), v.repeat(groups, 1)
    rows, keys = q.shape[2], k.shape[2]
    score = q @ k.transpose(0, 1, 3, 2) * scale
    capped = softcap * np.tanh(score / softcap) if softcap else score
    keep = np.ones((1, 1, rows, keys), bool)
    add = 0
    if "m" in f:
        padding = [(0, 0)] * (f["m"].ndim - 1) + [(0, keys - f["m"].shape[-1])]
        if f["m"].dtype == bool:
            keep = keep & np.pad(f["m"], padding)
        else:
            add = np.pad(f["m"].astype(np.float64), padding, constant_values=-np.inf)
    past = f["pk"].shape[2] if "pk" in f else 0
    row, key = np.arange(rows)[:, None], np.arange(keys)[None]
    if "n" in f:
        length = f["n"].reshape(-1, 1, 1, 1)
        keep = keep & (key < length)
        past = length - rows
    if causal:
        keep = keep & (key <= row + past)
    masked = np.where(keep, capped + add, -np.inf)
    with np.errstate(invalid="ignore"):
        e = np.exp(masked - masked.max(-1, keepdims=True))
        p = np.nan_to_num(e / e.sum(-1, keepdims=True))
    return p @ v, (score, capped, masked, p)


def draw(r):
    """A model, its inputs and what it gives."""
    opset, joined, causal = int(r.integers(23, 25)), r.random() < 0.3, r.random() < 0.5
    batch, heads, groups = int(r.integers(1, 4)), int(r.integers(1, 3)), int(r.integers(1, 4))
    rows, keys, width, out = int(r.integers(1, 5)), int(r.integers(1, 8)), 4, int(r.choice([4, 6]))
    cache = r.choice(["none", "inside", "outside"] if opset > 23 else ["none", "inside"])
    past = int(r.integers(0, 4)) if cache == "inside" else 0

    def noise(*dims):
        return r.standard_normal(dims).astype(np.float32)

    f = {"q": noise(batch, heads * groups, rows, width), "k": noise(batch, heads, keys, width), "v": noise(batch, heads, keys, out)}
    if r.random() < 0.6:
        covered = int(r.integers(1, keys + past + 1)) if opset > 23 and r.random() < 0.4 else keys + past
        shape = [(rows, covered), (1, covered), (batch, 1, rows, covered), (batch, 1, 1, covered), (1, heads * groups, rows, covered)]
        mask = noise(*shape[r.integers(len(shape))])
        f["m"] = mask > -0.5 if r.random() < 0.5 else np.where(mask > 1, -np.inf, mask).astype(np.float32)
    if cache == "inside":
        f |= {"pk": noise(batch, heads, past, width), "pv": noise(batch, heads, past, out)}
    if cache == "outside":
        f["n"] = r.integers(0, keys + 1, batch)
    scale, softcap = (0.3, r.choice([0.0, 1.5])) if r.random() < 0.5 else (width**-0.5, 0.0)
    y, stages = attention(f, groups, causal, scale, softcap)
    mode = int(r.integers(4))
    attributes = {"is_causal": int(causal)}
    attributes |= {"softcap": float(softcap)} if softcap else {}
    attributes |= {"scale": scale} if scale == 0.3 else {}
    expected = {"y": y.astype(np.float32)}
    if cache == "inside":
        expected |= {"ok": np.concatenate([f["pk"], f["k"]], 2), "ov": np.concatenate([f["pv"], f["v"]], 2)}
    if r.random() < 0.4:
        expected["s"] = stages[mode].astype(np.float32)
        attributes["qk_matmul_output_mode"] = mode
    if joined:
        attributes |= {"q_num_heads": heads * groups, "kv_num_heads": heads}
        for place, name in ((f, "q"), (f, "k"), (f, "v"), (expected, "y")):
            t = place[name].transpose(0, 2, 1, 3)
            place[name] = t.reshape(t.shape[0], t.shape[1], -1)
    return model_of(opset, f, expected, attributes, r.random() < 0.5), f, expected


def model_of(opset, f, expected, attributes, symbolic):
    def names(wanted, have):
        given = [name if name in have else "" for name in wanted]
        while given and not given[-1]:
            given.pop()
        return given

    def info(name, t, dims):
        kind = {np.dtype(np.float32): T.FLOAT, np.dtype(bool): T.BOOL, np.dtype(np.int64): T.INT64}[t.dtype]
        return h.make_tensor_value_info(name, kind, dims)

    def dims(name, t):
        known = {0: "b", t.ndim - 2: "s" if name == "q" else "t" if name in "kv" else "p" if name in ("pk", "pv") else None}
        if name == "m":
            known = {t.ndim - 1: "covered"}
        if name == "n":
            known = {0: "b"}
        return [known.get(d) or size if symbolic else size for d, size in enumerate(t.shape)]

    node = h.make_node("Attention", names(["q", "k", "v", "m", "pk", "pv", "n"], f), names(["y", "ok", "ov", "s"], expected),
                       **attributes)
    inputs = [info(name, t, dims(name, t)) for name, t in f.items()]
    outputs = [info(name, t, None) for name, t in expected.items()]
    return h.make_model(h.make_graph([node], "g", inputs, outputs), opset_imports=[h.make_opsetid("", opset)], ir_version=11)


def refused(tools):
    f = {name: np.zeros((1, 1, 2, 4), np.float32) for name in ("q", "k", "v", "pk", "pv")} | {"n": np.array([1])}
    model = model_of(24, f, {"y": f["q"]}, {}, False)
    with tempfile.TemporaryDirectory() as folder:
        return run_calls(tools[:1], folder, model, [(list(f.values()), "has past_key and nonpad_kv_seqlen")])


def main():
    if len(sys.argv) not in (2, 4):
        print(__doc__)
        return 2
    r, problems = np.random.default_rng(24), refused(sys.argv[1:])
    for i in range(N_CASES):
        model, f, expected = draw(r)
        with tempfile.TemporaryDirectory() as folder:
            found = run_calls(sys.argv[1:] if i < N_COMPILED else sys.argv[1:2], folder, model,
                              [(list(f.values()), list(expected.values()))])
        problems += [f"{i}: {p}\n    {model.graph.node[0]}" for p in found]
    print("\n".join(problems[:10]) or f"{N_CASES} random forms of attention are right")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
