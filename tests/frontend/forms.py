#!/usr/bin/env python3
"""Random single nodes of attention and what stands beside it, over attributes, operands, types and sizes, against onnxruntime: Attention,
MultiHeadAttention, DecoderMaskedMultiHeadAttention, GroupQueryAttention, RotaryEmbedding, SkipLayerNormalization and
EmbedLayerNormalization of com.microsoft; Attention and RotaryEmbedding of ONNX. Then forms that it does not take, against those it does.

forms.py EVAL_ONNX XFC XF_RUN [COUNT [SEED]]: COUNT nodes of each operator, one of ten compiled. What onnxruntime refuses is left out, and what
kills it is not drawn: GroupQueryAttention of an empty batch. It lacks 16-bit types mostly: then its numbers of f32 are rounded. Exit code 0, 1,
or 77 (skipped) where onnx or onnxruntime is missing.
"""
import sys

try:
    import ml_dtypes
    import numpy as np
    import onnxruntime as ort
    from onnx import TensorProto as T
    from onnx import helper as h
    from onnx import numpy_helper

    from cases import FAILED, check, end, run
except ImportError:
    print("SKIP: the packages onnx==1.22.0 and onnxruntime are not installed")
    sys.exit(77)

TOOLS = sys.argv[1:4]
COUNT, SEED = (int(a) for a in (sys.argv[4:] + ["25", "1"][len(sys.argv[4:]):])[:2])
MS = "com.microsoft"
KINDS = [np.float32, np.float16, ml_dtypes.bfloat16]
LIMITS = {"float32": (2e-4, 2e-5), "float16": (1e-2, 2e-2), "bfloat16": (5e-2, 2e-1)}
compared = {}


class Draw:
    """Numbers of one node, all from its own stream."""

    def __init__(self, *seed):
        self.r = np.random.default_rng(seed)
        self.kind = KINDS[self.r.choice(3, p=[0.6, 0.2, 0.2])]

    def noise(self, *dims):
        return self.r.standard_normal(dims).astype(np.float32).astype(self.kind)

    def maybe(self, p):
        return bool(self.r.random() < p)

    def one(self, *values):
        return values[self.r.integers(len(values))]

    def batch(self, empty=True):
        return int(self.r.choice([0, 1, 2, 3], p=[0.05, 0.35, 0.4, 0.2] if empty else [0, 0.4, 0.4, 0.2]))

    def angles(self, *dims):
        a = self.r.standard_normal(dims).astype(np.float32)
        return np.cos(a).astype(self.kind), np.sin(a).astype(self.kind)

    def some(self, names):
        return {k for k in names if self.maybe(0.4)}

    def mask(self, b, rows, keys, forms):
        form = self.one(*forms)
        if form == "lengths":
            return self.r.integers(1, keys + 1, b).astype(np.int32)
        if form == "ends":
            ends = self.r.integers(1, keys + 1, b)
            return np.concatenate([ends, self.r.integers(0, ends)]).astype(np.int32)
        if form == "places":
            return np.concatenate([self.r.integers(1, keys + 1, b), np.arange(b + 1) * rows, np.arange(b + 1) * keys]).astype(np.int32)
        if not form:
            return None
        mask = (self.r.random((b, rows, keys)) < 0.7).astype(np.int32)
        mask[..., 0] = 1
        return mask if form == 3 else mask[:, 0].copy()

    def bias(self, b, heads, rows, keys):
        return self.noise(b if self.maybe(0.5) else 1, heads if self.maybe(0.5) else 1, rows, keys)


class Node:
    """fields: arrays or None by name, in order; kinds: element types of outputs that are not that of the node's."""

    def __init__(self, op, kind, fields, outputs, consts=(), domain=MS, opset=21, kinds=None, **attributes):
        self.op, self.kind, self.fields, self.outputs, self.domain, self.opset, self.attributes = op, kind, fields, outputs, domain, opset, attributes
        self.consts = {k for k in consts if fields.get(k) is not None}
        self.kinds, self.reference, self.pick = kinds or {}, self, slice(0, len([o for o in outputs if o]))
        self.open = not any(k == "mask" and np.ndim(v) == 1 and len(v) != len(next(iter(fields.values()))) for k, v in fields.items() if v is not None)

    def like(self, **changed):
        """Another node, for the same model's expectations."""
        return Node(**{"op": self.op, "kind": self.kind, "fields": self.fields, "outputs": self.outputs, "consts": self.consts, "domain": self.domain, "opset": self.opset,
                       "kinds": self.kinds, **self.attributes, **changed})

    def widened(self):
        wide = {k: v.astype(np.float32) if v is not None and v.dtype == self.kind else v for k, v in self.fields.items()}
        return self.like(fields=wide, kind=np.float32)

    def feed(self):
        return {k: v for k, v in self.fields.items() if v is not None and k not in self.consts}

    def model(self, open_dims):
        names = [k if v is not None else "" for k, v in self.fields.items()]
        while not names[-1]:
            names.pop()
        type_of = h.np_dtype_to_tensor_dtype
        infos = [h.make_tensor_value_info(k, type_of(v.dtype), [f"{k}_{i}" for i in range(v.ndim)] if open_dims else v.shape) for k, v in self.feed().items()]
        outs = [h.make_tensor_value_info(o, self.kinds.get(o, type_of(np.dtype(self.kind))), None) for o in self.outputs if o]
        node = h.make_node(self.op, names, self.outputs, name="node", domain=self.domain, **self.attributes)
        graph = h.make_graph([node], "g", infos, outs, [numpy_helper.from_array(self.fields[k], k) for k in self.consts])
        return h.make_model(graph, opset_imports=[h.make_opsetid("", self.opset), h.make_opsetid(MS, 1)], ir_version=10)

    def expected(self):
        """Rounded from f32, which onnxruntime would compute in as well."""
        options = ort.SessionOptions()
        options.graph_optimization_level, options.log_severity_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL, 4
        wide = self.reference if self.kind == np.float32 else self.reference.widened()
        session = ort.InferenceSession(wide.model(False).SerializeToString(), options, providers=["CPUExecutionProvider"])
        values = session.run(None, wide.feed())
        values = [values[i] for i in self.pick] if isinstance(self.pick, list) else values[self.pick]
        return [v.astype(self.kind) if v.dtype == np.float32 else v for v in values]

    def __str__(self):
        return f"{self.op} {self.attributes} " + " ".join(f"{k}:{v.dtype}{list(v.shape)}" for k, v in self.fields.items() if v is not None) + f" -> {self.outputs}"


def judge(name, node, compiled, required=False):
    try:
        want = node.expected()
    except Exception as e:  # noqa: BLE001, what onnxruntime refuses
        check(not required, f"{name}: {node}: {str(e)[:200]}")
        return
    rtol, atol = LIMITS[np.dtype(node.kind).name]
    compared[node.domain, node.op] = compared.get((node.domain, node.op), 0) + 1
    run(f"{name}: {node}", node.model(node.open), [(list(node.feed().values()), want)], TOOLS if compiled else TOOLS[:1], rtol=rtol, atol=atol,
        compile_with=["--unpad=off"])


# ---- draws ----

def scores(d, mask=True):
    """Attributes that all of onnxruntime's attention has."""
    a = {"scale": d.one(0.3, 1.0)} if d.maybe(0.3) else {}
    return a | ({"mask_filter_value": d.one(-50.0, -10000.0, -1e30)} if mask and d.maybe(0.3) else {})


def attention(d):
    b, rows, heads, width, past = d.batch(), d.one(1, 3, 5), d.one(1, 2, 3), d.one(4, 8, 16), d.one(None, None, 0, 2, 4)
    out = width if past is not None or d.maybe(0.6) else d.one(4, 16)
    hidden, keys = heads * width, rows + (past or 0)
    a = {"num_heads": heads} | scores(d) | ({"unidirectional": 1} if d.maybe(0.4) else {})
    a |= {"qkv_hidden_sizes": [hidden, hidden, heads * out]} if out != width or d.maybe(0.2) else {}
    f = {"x": d.noise(b, rows, 6), "w": d.noise(6, 2 * hidden + heads * out), "b": d.noise(2 * hidden + heads * out),
         "mask": d.mask(b, rows, keys, (None, "lengths", "ends", "places", 2, 3)), "past": None if past is None else d.noise(2, b, heads, past, width),
         "added": d.bias(b, heads, rows, keys) if past is None and d.maybe(0.3) else None}
    return Node("Attention", d.kind, f, ["y", "present"] if past is not None or (out == width and d.maybe(0.2)) else ["y"], d.some("wb"), **a)


def multi_head(d):
    b, rows, heads, width = d.batch(), d.one(1, 3, 5), d.one(1, 2, 3), d.one(4, 8, 16)
    cross, past = d.maybe(0.2), d.one(None, 0, 2, 4)
    past = None if cross else past
    out = width if past is not None or cross else d.one(width, 4, 16)
    fresh = rows if d.maybe(0.6) else d.one(1, 2, 4, 6)
    keys = fresh + (past or 0)
    a = {"num_heads": heads} | scores(d) | ({"unidirectional": 1} if fresh == rows and d.maybe(0.4) else {})
    if cross:
        k, v = d.noise(b, heads, fresh, width), d.noise(b, heads, fresh, out)
    else:
        k, v = d.noise(b, fresh, heads * width), d.noise(b, fresh, heads * out)
    held = past if past is None or d.maybe(0.7) else keys + d.one(0, 1, 2)
    f = {"q": d.noise(b, rows, heads * width), "k": k, "v": v, "b": d.noise(heads * (2 * width + out)) if not cross and d.maybe(0.4) else None,
         "mask": d.mask(b, rows, keys, (None, None, "lengths", 2, 3)), "added": d.bias(b, heads, rows, keys) if d.maybe(0.3) else None}
    for name, size in (("pk", width), ("pv", out)):
        f[name] = None if past is None else d.noise(b, heads, held, size)
    f["used"] = np.int32([past]) if past is not None and held != past else None
    node = Node("MultiHeadAttention", d.kind, f, ["y", "ok", "ov"] if past is not None else ["y"], d.some("b"), **a)
    if d.maybe(0.2) and d.kind == np.float32:
        node.outputs = [*node.outputs, "qk"] if past is not None else ["y", "", "", "qk"]
        node.pick = slice(0, len(node.outputs))
    return node


def decoder_masked(d):
    b, heads, width, past, cross = d.batch(), d.one(1, 2, 3), d.one(4, 8, 16), d.one(0, 2, 4), d.maybe(0.3)
    keys, held = (d.one(1, 3, 5), 0) if cross else (past + 1, past + 1 + d.one(0, 1, 2))
    size = (b, heads, keys, width) if cross else (b, 1, heads * width)
    f = {"q": d.noise(b, 1, heads * width), "k": d.noise(*size), "v": d.noise(*size), "mask": d.mask(b, 1, keys, (None, 2)),
         "added": d.bias(1, heads, 1, keys) if not cross and d.maybe(0.3) else None}
    f |= {"pk": None, "pv": None, "used": None} if cross else {"pk": d.noise(b, heads, held, width), "pv": d.noise(b, heads, held, width), "used": np.int32([past])}
    f |= {"beams": None, "which": None, "b": d.noise(3 * heads * width) if d.maybe(0.4) else None}
    a = {"num_heads": heads} | scores(d) | ({} if cross else {"past_present_share_buffer": 1})
    outputs = ["y"] if cross else ["y", "ok", "ov"]
    if not cross and d.kind == np.float32 and d.maybe(0.3):
        outputs, a["output_qk"] = [*outputs, "qk"], 1
    return Node("DecoderMaskedMultiHeadAttention", d.kind, f, outputs, d.some("b"), **a)


def group_query(d):
    groups, repeat, rotary, packed, stage = d.one(1, 2, 3), d.one(1, 2, 3), d.maybe(0.5), d.maybe(0.4), d.one("prompt", "prompt", "step", "step", "some rows")
    heads, width = groups * repeat, d.one(16, 32) if rotary else d.one(8, 16)
    b, rows, past = 1 if stage == "some rows" else d.batch(False), 1 if stage == "step" else d.one(1, 3, 5), 0 if stage == "prompt" else d.one(1, 3, 6)
    total, cached = past + rows, stage != "prompt" or d.maybe(0.6)
    a = {"num_heads": heads, "kv_num_heads": groups} | scores(d, False)
    for name, values in (("local_window_size", (1, 2, 4, 20)), ("softcap", (1.5, 30.0)), ("smooth_softmax", (1,)), ("causal", (0,))):
        a |= {name: d.one(*values)} if d.maybe(0.2) and not (name == "causal" and "local_window_size" in a) else {}
    held = total + d.one(0, 1, 2) if d.maybe(0.4) else past
    lengths = np.full(b, total - 1, np.int32)
    if stage == "step" and d.maybe(0.3):
        lengths[1:] = d.r.integers(0, total, b - 1)
    f = {"q": d.noise(b, rows, width * (heads + 2 * groups if packed else heads)), "k": None if packed else d.noise(b, rows, width * groups),
         "v": None if packed else d.noise(b, rows, width * groups), "pk": d.noise(b, groups, held, width) if cached else None,
         "pv": d.noise(b, groups, held, width) if cached else None, "lengths": lengths, "total": np.array(total, np.int32), "cos": None, "sin": None, "pos": None}
    if d.maybe(0.5):
        f["total"] = f["total"].reshape(1)
    if rotary:
        f["cos"], f["sin"] = d.angles(32, d.one(width // 2, 8))
        f["pos"] = (lengths[:, None] - rows + 1 + np.arange(rows)[None]).astype(np.int64) if d.maybe(0.4) else None
        a |= {"do_rotary": 1, "rotary_interleaved": d.one(0, 1)}
    f |= {"bias": d.bias(b, heads, rows, total) if d.maybe(0.25) else None, "sink": d.noise(heads) if "smooth_softmax" not in a and d.maybe(0.2) else None}
    outputs = ["y", "ok", "ov"]
    if d.maybe(0.2) and (lengths == total - 1).all():  # beyond shorter ones onnxruntime leaves what was there
        outputs, a["qk_output"] = [*outputs, "qk"], d.one(1, 2)
    node = Node("GroupQueryAttention", d.kind, f, outputs, d.some(("cos", "sin", "sink")), **a)
    few_bits = cached and d.kind == np.float32 and d.maybe(0.4)
    return in_few_bits(d, node, groups, width) if few_bits else alone(node) if cached and d.maybe(0.2) else node


def in_few_bits(d, node, groups, width):
    """The same with a cache of 8 or 4 bits."""
    bits, channels = d.one(4, 8), d.maybe(0.5)
    stored = np.uint8 if bits == 4 else np.int8
    for name in ("pk", "pv"):
        dims = node.fields[name].shape
        node.fields[name] = d.r.integers(0, 256, (*dims[:3], width * bits // 8)).astype(np.uint8).view(stored)
    for name in ("ks", "vs"):
        node.fields[name] = ((0.1 + 0.3 * d.r.random((1, groups, 1, width) if channels else (1,))) * (1 if bits == 4 else 0.08)).astype(np.float32)
    how = "PER_CHANNEL" if channels else "PER_TENSOR"
    node.attributes |= {"kv_cache_bit_width": bits, "k_quant_type": how, "v_quant_type": how}
    node.kinds = dict.fromkeys(("ok", "ov"), T.UINT8 if bits == 4 else T.INT8)
    return node


def alone(node):
    """Its first output alone: onnxruntime then loses the past, so it is asked for all."""
    node.reference = node.like()
    node.outputs, node.pick = ["y"], slice(0, 1)
    return node


def rotary(d):
    b, rows, heads, width, four, ms = d.batch(), d.one(1, 3, 5), d.one(1, 2, 3), d.one(8, 16), d.maybe(0.5), d.maybe(0.5)
    part = d.maybe(0.3)
    half, a = width // 4 if part else width // 2, {"interleaved": d.one(0, 1)}
    a |= {"rotary_embedding_dim": 2 * half} if part else {}
    a |= {"num_heads": heads} if part or (not ms and not four) or d.maybe(0.3) else {}
    x = d.noise(b, heads, rows, width) if four else d.noise(b, rows, heads * width)
    pos = d.r.integers(0, 12, (b, rows)).astype(np.int64)
    if ms:
        cos, sin = d.angles(12, half)
        return Node("RotaryEmbedding", d.kind, {"x": x, "pos": d.one(pos, np.int64([3])), "cos": cos, "sin": sin}, ["y"], d.some(("cos", "sin")), **a)
    by_table = d.maybe(0.6)
    cos, sin = d.angles(12, half) if by_table else d.angles(b, rows, half)
    return Node("RotaryEmbedding", d.kind, {"x": x, "cos": cos, "sin": sin, "pos": pos if by_table else None}, ["y"], d.some(("cos", "sin")), "", d.one(23, 24), **a)


def skip_norm(d):
    rms, width, b, rows, flat = d.maybe(0.4), d.one(4, 8, 16), d.batch(), d.one(1, 3), d.maybe(0.25)
    x = d.noise(b * rows, width) if flat else d.noise(b, rows, width)
    f = {"x": x, "skip": d.noise(*x.shape) if flat or d.maybe(0.5) else d.noise(*d.one((1, rows, width), (rows, width))), "g": d.noise(width)}
    f |= {} if rms else {"shift": d.noise(width) if d.maybe(0.6) else None}
    f["b"] = d.noise(width) if d.maybe(0.5) else None
    a = {"epsilon": d.one(1e-5, 1e-12, 0.1)} if d.maybe(0.5) else {}
    return Node("SkipSimplifiedLayerNormalization" if rms else "SkipLayerNormalization", d.kind, f, d.one(["y"], ["y", "", "", "sum"]), d.some(("g", "shift", "b")), **a)


def embeddings(d):
    kind, b, rows = np.float16 if d.kind == np.float16 else np.float32, d.batch(), d.one(1, 3, 5)
    table = lambda n: d.noise(n, 8).astype(kind)  # noqa: E731
    parts = d.maybe(0.6)
    f = {"ids": d.r.integers(0, 10, (b, rows)).astype(np.int32), "part": d.r.integers(0, 2, (b, rows)).astype(np.int32) if parts else None, "words": table(10), "places": table(12),
         "parts": table(2) if parts else None, "g": table(1)[0], "shift": table(1)[0],
         "mask": (np.arange(rows)[None] < d.r.integers(0, rows + 1, (b, 1))).astype(np.int32) if d.maybe(0.5) else None,
         "pos": d.r.integers(0, 12, (b if d.maybe(0.5) else 1, rows)).astype(np.int32) if d.maybe(0.4) else None}
    a = {"epsilon": 1e-5} if d.maybe(0.5) else {}
    return Node("EmbedLayerNormalization", kind, f, d.one(["y", "count"], ["y", "count", "sum"]), d.some(("words", "places", "parts", "g", "shift")), kinds={"count": T.INT32}, **a)


def onnx_attention(d):
    """Without what onnxruntime does otherwise than ONNX says: one row behind a past and in front of several keys, and masked scores."""
    opset, groups, repeat, b, rows = d.one(23, 24), d.one(1, 2), d.one(1, 2), d.batch(), d.one(1, 3, 5)
    heads, width, out, joined, past = groups * repeat, d.one(4, 8), d.one(4, 8), d.maybe(0.4), d.one(None, None, 0, 2, 4)
    fresh = rows if d.maybe(0.5) or (rows == 1 and past is not None) else d.one(1, 4, 7)
    keys, a = fresh + (past or 0), {}
    for name, value in (("is_causal", 1), ("scale", 0.3), ("softcap", 2.0)):
        a |= {name: value} if d.maybe(0.3) else {}
    a |= {"q_num_heads": heads, "kv_num_heads": groups} if joined else {}
    of = lambda n, rows, w: d.noise(b, rows, n * w) if joined else d.noise(b, n, rows, w)  # noqa: E731
    mask = None
    if d.maybe(0.5):
        dims = d.one((rows, keys), (1, 1, rows, keys), (b, 1, rows, keys), (b, heads, rows, keys), (heads, rows, keys))
        mask = d.r.random(dims) < 0.7 if d.maybe(0.5) else d.noise(*dims)
        if mask.dtype == bool:
            mask[..., 0] = True
    f = {"q": of(heads, rows, width), "k": of(groups, fresh, width), "v": of(groups, fresh, out), "mask": mask,
         "pk": None if past is None else d.noise(b, groups, past, width), "pv": None if past is None else d.noise(b, groups, past, out),
         "used": d.r.integers(rows if "is_causal" in a else 1, keys + 1, b).astype(np.int64) if past is None and opset == 24 and fresh >= rows and d.maybe(0.25) else None}
    outputs = ["y", "ok", "ov"] if past is not None or d.maybe(0.2) else ["y"]
    if d.maybe(0.2):
        outputs, a["qk_matmul_output_mode"] = (outputs + ["", ""])[:3] + ["qk"], d.one(0, 1, 3)
    return Node("Attention", d.kind, f, outputs, (), "", opset, **a)


# ---- forms that onnxruntime does not take, against those that it does ----

def others():
    d = Draw(SEED, 0)
    d.kind = np.float32
    for packed in ("all", "keys"):
        b, rows, heads, width = 2, 3, 2, 4
        q, k, v = (d.noise(b, rows, heads, width) for _ in range(3))
        f = {"q": np.stack([q, k, v], 3), "k": None} if packed == "all" else {"q": q.reshape(b, rows, -1), "k": np.stack([k, v], 3)}
        node = Node("MultiHeadAttention", d.kind, f | {"v": None, "b": d.noise(3 * heads * width)}, ["y"], num_heads=heads)
        node.reference = node.like(fields={"q": q.reshape(b, rows, -1), "k": k.reshape(b, rows, -1), "v": v.reshape(b, rows, -1), "b": node.fields["b"]})
        judge(f"{packed} packed", node, True, True)
    for past in (0, 2):  # a mask of four dims as the rows of it that are looked at
        f = {"x": d.noise(2, 3, 6), "w": d.noise(6, 24), "b": d.noise(24), "mask": np.tril(d.r.random((2, 1, 7, 7)) < 0.8).astype(np.int32) | np.eye(7, dtype=np.int32),
             "past": d.noise(2, 2, 2, past, 4)}
        node = Node("Attention", d.kind, f, ["y", "present"], num_heads=2)
        node.reference = node.like(fields=f | {"mask": f["mask"][:, 0, past:past + 3, :past + 3].copy()})
        judge(f"a mask of four dims behind {past}", node, True, True)
    for kind in (np.float32, np.float16):  # norms of heads inside
        d.kind = kind
        f = {"q": d.noise(2, 1, 32), "k": d.noise(2, 1, 16), "v": d.noise(2, 1, 16), "pk": d.noise(2, 2, 4, 8), "pv": d.noise(2, 2, 4, 8), "lengths": np.int32([4, 2]),
             "total": np.int32([5])} | dict.fromkeys(("cos", "sin", "pos", "bias", "sink", "ks", "vs")) | {"qn": d.noise(8), "kn": d.noise(8)}
        node = Node("GroupQueryAttention", kind, f, ["y", "ok", "ov"], num_heads=4, kv_num_heads=2, qk_norm_epsilon=1e-3)
        heads = {n: f[n].astype(np.float32).reshape(2, 1, -1, 8) for n in "qk"}
        normed = {n: (v / np.sqrt((v * v).mean(-1, keepdims=True) + 1e-3) * f[f"{n}n"].astype(np.float32)).reshape(f[n].shape).astype(kind) for n, v in heads.items()}
        node.reference = node.like(fields=f | normed | {"qn": None, "kn": None}, qk_norm_epsilon=1e-3)
        judge("norms of heads", node, True, True)
    d.kind = np.float32
    buffer = {"q": d.noise(2, 1, 8), "k": d.noise(2, 3, 8), "v": d.noise(2, 3, 8), "b": None, "mask": np.ones((2, 5), np.int32), "added": None, "pk": d.noise(2, 2, 6, 4),
              "pv": d.noise(2, 2, 6, 4), "used": np.int32([2])}
    judge("several new keys of a row in a buffer", Node("MultiHeadAttention", d.kind, buffer, ["y", "ok", "ov"], num_heads=2), True, True)
    half = {k: v.astype(np.float16) if v is not None and v.dtype == np.float32 else v for k, v in buffer.items()} | {"mask": np.zeros((2, 5), np.int32)}
    hidden = Node("MultiHeadAttention", np.float16, half, ["y"], num_heads=2, mask_filter_value=-3e38)  # too low for f16, where no row may be NaN
    heads = lambda v: v.reshape(2, -1, 2, 4).transpose(0, 2, 1, 3)  # noqa: E731
    k, v = (np.concatenate([buffer[past][:, :, :2], heads(buffer[n])], 2) for past, n in (("pk", "k"), ("pv", "v")))
    e = np.exp(heads(buffer["q"]) @ k.transpose(0, 1, 3, 2) / 2)
    y = (e / e.sum(-1, keepdims=True) @ v).transpose(0, 2, 1, 3).reshape(2, 1, 8).astype(np.float16)
    run("halves that see no key", hidden.model(True), [(list(hidden.feed().values()), [y])], TOOLS, rtol=2e-2, atol=2e-2)
    f = {"q": d.noise(0, 2, 32), "k": d.noise(0, 2, 16), "v": d.noise(0, 2, 16), "pk": d.noise(0, 2, 3, 8), "pv": d.noise(0, 2, 3, 8), "lengths": np.int32([]), "total": np.int32([2]),
         "cos": d.noise(4, 4), "sin": d.noise(4, 4), "pos": np.zeros((0, 2), np.int64)}
    empty = Node("GroupQueryAttention", d.kind, f, ["y", "ok", "ov"], num_heads=4, kv_num_heads=2, do_rotary=1)
    run("an empty batch", empty.model(True), [(list(empty.feed().values()), [d.noise(0, 2, 32), d.noise(0, 2, 3, 8), d.noise(0, 2, 3, 8)])], TOOLS)


OPERATORS = [attention, multi_head, decoder_masked, group_query, rotary, skip_norm, embeddings, onnx_attention]


def main():
    others()
    for number, draw in enumerate(OPERATORS):
        for i in range(COUNT):
            judge(f"{draw.__name__} {i}", draw(Draw(SEED, number, i)), i % 10 == 0)
    for (domain, op), n in sorted(compared.items()):
        print(f"{n:5} {domain or 'ai.onnx'}::{op}")
    check(FAILED or len(compared) == 10, f"only {len(compared)} operators were compared")
    end()


main()
