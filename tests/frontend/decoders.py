#!/usr/bin/env python3
"""Attention with a cache inside, as onnxruntime has it (domain com.microsoft), in random combinations of what it may have,
against onnxruntime.

decoders.py EVAL_ONNX [XFC XF_RUN]: each form is called as a prompt, with a cache, and with caches of different lengths; first in
the interpreter, then some compiled. Exit code 0, 1, or 77 (skipped) where onnx or onnxruntime is missing.
"""

import sys

try:
    import ml_dtypes
    import numpy as np
    import onnxruntime as ort
    from onnx import TensorProto as T
    from onnx import helper as h
    from onnx import numpy_helper

    from cases import FAILED, run
except ImportError:
    print("SKIP: the packages onnx==1.22.0 and onnxruntime are not installed")
    sys.exit(77)

TOOLS = sys.argv[1:]
N_CASES, N_COMPILED = 24, 3
R = np.random.default_rng(31)
ran = 0


def noise(*dims):
    return R.standard_normal(dims).astype(np.float32)


def model_of(op, fields, outputs, consts=(), **attributes):
    """One node. fields: (name, array or None) in order; all dims of those that are no constants are open."""
    consts = dict(consts)
    given = [(k, v) for k, v in fields if v is not None and k not in consts]
    names = [k if v is not None else "" for k, v in fields]
    while names and not names[-1]:
        names.pop()
    kinds = {k: h.np_dtype_to_tensor_dtype(np.asarray(v).dtype) for k, v in given}
    node = h.make_node(op, names, outputs, name="node", domain="com.microsoft", **attributes)
    kind = kinds[given[0][0]]
    graph = h.make_graph([node], "g", [h.make_tensor_value_info(k, kinds[k], [f"{k}_{i}" for i in range(np.ndim(v))]) for k, v in given],
                         [h.make_tensor_value_info(o, kind, None) for o in outputs if o],
                         [numpy_helper.from_array(v, k) for k, v in consts.items()])
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 21), h.make_opsetid("com.microsoft", 1)], ir_version=10)


def session(model):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def compare(name, model, calls, compiled=True, **limits):
    """calls: (inputs, outputs or the pattern of an error)."""
    global ran
    ran += 1
    run(name, model, calls, TOOLS if compiled else TOOLS[:1], **limits)


def check(name, model, feeds, errors=(), compiled=True):
    """feeds: inputs of each call, by name, for which onnxruntime says what is right; errors: (inputs, pattern of the error)."""
    reference, order = session(model), [i.name for i in model.graph.input]
    calls = [([f[k] for k in order], reference.run(None, f)) for f in feeds]
    compare(name, model, calls + [([f[k] for k in order], pattern) for f, pattern in errors], compiled)


# ---- GroupQueryAttention ----

def group_query(i):
    groups, repeat, rotary = int(R.integers(1, 4)), int(R.integers(1, 4)), bool(R.random() < 0.5)
    heads, width, packed = groups * repeat, 16 if rotary else 8, bool(R.random() < 0.5)
    attributes = {"num_heads": heads, "kv_num_heads": groups}
    for key, choices in (("local_window_size", [2, 3, 5]), ("softcap", [1.5, 5.0]), ("smooth_softmax", [1]), ("scale", [0.3])):
        if R.random() < 0.3:
            attributes[key] = choices[R.integers(len(choices))]
    if rotary:
        attributes |= {"do_rotary": 1, "rotary_interleaved": int(R.integers(2))}
    with_bias, with_sink, with_positions = R.random() < 0.3, R.random() < 0.3, rotary and R.random() < 0.4
    outputs = ["y", "ok", "ov"]
    if R.random() < 0.3:
        outputs.append("qk")
        attributes["qk_output"] = int(R.integers(1, 3))
    room = bool(R.random() < 0.3)
    consts = {}
    if rotary:
        angles = noise(32, width // 2 if R.random() < 0.7 else 8)
        consts |= {"cos": np.cos(angles), "sin": np.sin(angles)}
    if with_sink:
        attributes.pop("smooth_softmax", None)
        consts["sink"] = noise(heads)

    def feed(batch, rows, past, lengths=None):
        size = width * (heads + 2 * groups if packed else heads)
        total = past + rows
        f = {"q": noise(batch, rows, size)}
        if not packed:
            f |= {"k": noise(batch, rows, width * groups), "v": noise(batch, rows, width * groups)}
        held = past if not room else total + 3
        f |= {"pk": noise(batch, groups, held, width), "pv": noise(batch, groups, held, width)}
        f |= {"lengths": np.full(batch, total - 1, np.int32) if lengths is None else np.int32(lengths), "total": np.array(total, np.int32)}
        if with_positions:
            f["pos"] = np.broadcast_to(np.arange(past, total)[None], (batch, rows)).copy()
        if with_bias:
            f["bias"] = noise(batch if R.random() < 0.5 else 1, heads if R.random() < 0.5 else 1, rows, total)
        return f

    feeds = [feed(1, 7, 0), feed(2, 1, 5), feed(3, 4, 0), feed(1, 3, 4)]
    if not with_positions and "qk" not in outputs:
        feeds.append(feed(3, 1, 6, [4, 6, 2]))  # of caches that are shorter than the longest
    names = ["q", "k", "v", "pk", "pv", "lengths", "total", "cos", "sin", "pos", "bias", "sink"]
    model = model_of("GroupQueryAttention", [(k, consts.get(k, feeds[0].get(k))) for k in names], outputs, consts, **attributes)
    check(f"GroupQueryAttention {i} {attributes} {sorted(feeds[0])}", model, feeds, compiled=i < N_COMPILED)


def group_query_without(causal):
    """No past; and with sequences of different lengths, of which only real rows are compared."""
    f = {"q": noise(2, 4, 32), "k": noise(2, 4, 16), "v": noise(2, 4, 16), "lengths": np.int32([3, 3]), "total": np.array(4, np.int32)}
    model = model_of("GroupQueryAttention", [(k, f.get(k)) for k in ("q", "k", "v", "pk", "pv", "lengths", "total")], ["y", "ok", "ov"],
                     num_heads=4, kv_num_heads=2, causal=causal)
    short = {k: noise(*v.shape) if v.ndim == 3 else v for k, v in f.items()}
    check(f"GroupQueryAttention without a past, causal {causal}", model, [f, short] if causal else [f, short | {"lengths": np.int32([1, 3])}],
          [(f | {"total": np.array(5, np.int32)}, "takes 0 to 4|size is 5")])


def group_query_types():
    """Halves: the numbers of f32, rounded."""
    f = {"q": noise(2, 1, 64), "k": noise(2, 1, 32), "v": noise(2, 1, 32), "pk": noise(2, 2, 5, 16), "pv": noise(2, 2, 5, 16),
         "lengths": np.int32([5, 3]), "total": np.array(6, np.int32)}
    angles = noise(16, 8)
    for kind, rtol in ((np.float16, 4e-3), (ml_dtypes.bfloat16, 3e-2)):
        for attributes in ({}, {"softcap": 2.0}, {"smooth_softmax": 1, "local_window_size": 3}):
            def of(a, t=kind):
                return a.astype(t) if a.dtype == np.float32 else a
            consts = {"cos": np.cos(angles).astype(kind), "sin": np.sin(angles).astype(kind)}
            names = ["q", "k", "v", "pk", "pv", "lengths", "total", "cos", "sin"]

            def make(t):
                return model_of("GroupQueryAttention", [(k, of(f[k], t) if k in f else consts[k].astype(t)) for k in names], ["y", "ok", "ov"],
                                {k: v.astype(t) for k, v in consts.items()}, num_heads=4, kv_num_heads=2, do_rotary=1, **attributes)
            wide = {k: of(v).astype(np.float32) if v.dtype == np.float32 else v for k, v in f.items()}
            want = [of(v) for v in session(make(np.float32)).run(None, wide)]
            compare(f"GroupQueryAttention of {np.dtype(kind).name} {attributes}", make(kind), [([of(f[k]) for k in f], want)], rtol=rtol, atol=rtol)


def group_query_wrong():
    """What a call says of its cache makes no sense: an error, and nothing is read that is not there."""
    def feed(rows, past, lengths, total):
        batch = len(lengths)
        return {"q": noise(batch, rows, 32), "k": noise(batch, rows, 16), "v": noise(batch, rows, 16), "pk": noise(batch, 2, past, 8),
                "pv": noise(batch, 2, past, 8), "lengths": np.int32(lengths), "total": np.array(total, np.int32)}
    good, outside = feed(1, 4, [4, 2], 5), "out of range|outside"
    model = model_of("GroupQueryAttention", list(good.items()), ["y", "ok", "ov"], num_heads=4, kv_num_heads=2)
    bad = [(feed(1, 4, [4, 5], 5), outside), (feed(1, 4, [-1, 4], 5), outside), (feed(1, 4, [-9, 4], 5), outside), (feed(3, 4, [1, 6], 7), outside),
           (feed(1, 4, [4, 4], 6), "takes 0 to 5|outside its range"), (feed(3, 4, [6, 6], 2), "2 against 3|do not agree|must be"), (feed(1, 4, [4, 4], -1), "takes 0 to 5|outside its range")]
    check("GroupQueryAttention of wrong lengths", model, [good], bad + [(good | {"pk": noise(2, 2, 3, 8)}, "3")])


def group_query_negative():
    """A negative scale has no root, which the spelled out product scales by."""
    f = {"q": noise(2, 4, 32), "k": noise(2, 4, 16), "v": noise(2, 4, 16), "lengths": np.int32([3, 3]), "total": np.array(4, np.int32)}
    fields = [(k, f.get(k)) for k in ("q", "k", "v", "pk", "pv", "lengths", "total")]
    check("GroupQueryAttention of a negative scale", model_of("GroupQueryAttention", fields, ["y", "ok", "ov"], num_heads=4, kv_num_heads=2, scale=-0.3, softcap=2.0), [f])


def window_cache(window, rotary):
    """A cache of the window's rows: prompts that are shorter and longer than it, steps of one and several rows, and sequences of
    different lengths. What lies in rows that hold no token nobody says, so presents are compared where all of them do."""
    angles = noise(64, 8)
    consts = {"cos": np.cos(angles), "sin": np.sin(angles)} if rotary else {}

    def feed(rows, room, *tokens):
        f = {k: noise(len(tokens), rows, w) for k, w in (("q", 64), ("k", 32), ("v", 32))}
        f |= {k: noise(len(tokens), 2, room, 16) for k in ("pk", "pv")}
        return f | {"lengths": np.int32(tokens) - 1, "total": np.array(max(tokens), np.int32)}

    def of(outputs):
        fields = [(k, consts.get(k, some.get(k))) for k in ("q", "k", "v", "pk", "pv", "lengths", "total", "cos", "sin")]
        return model_of("GroupQueryAttention", fields, outputs, consts, num_heads=4, kv_num_heads=2, local_window_size=window, sliding_window_cache=1,
                        do_rotary=int(rotary))

    some, name = feed(1, window, 1), f"GroupQueryAttention with a cache of a window of {window}, rotary {rotary}"
    calls = [(3, 0, 3, 3), (20, 0, 20), (1, 0, 9, 4), (1, 2, 11, 30), (4, 3, 13), (9, 1, 12), (1, 5, 2), (2, 5, 19)]
    few = feed(1, window, 3) | {k: noise(1, 2, window - 1, 16) for k in ("pk", "pv")}
    model, feeds = of(["y", "ok", "ov"]), [feed(rows, window + more, *tokens) for rows, more, *tokens in calls]
    reference, order = session(model), [i.name for i in model.graph.input]
    early = feed(1, window, 3) | {"lengths": np.int32([-5])}
    wrong = [(feed(1, window, 0), "the rows of query and total_sequence_length"), (early, "out of range"), (few, rf"pk_2\)? is {window - 1}")]
    compare(name, of(["y"]), [([f[k] for k in order], reference.run(None, f)[:1]) for f in feeds] + [([f[k] for k in order], said) for f, said in wrong])
    full = [feed(rows, window + more, *(window + more + (more + 1) * i for i in cycles)) for rows, more, *cycles in
            ((1, 0, 5, 1), (1, 3, 2, 0), (3, 2, 4), (20, 1, 9), (2, 4, 3))]
    check(name + ", full", of(["y", "ok", "ov"]), full)


# ---- SparseAttention ----

def layouts_of(n, blocks):
    """Which blocks each row of blocks sees, the one of itself among them, as lists with padding behind."""
    seen = [np.tril(R.random((blocks, blocks)) < 0.5) | np.eye(blocks, dtype=bool) for _ in range(n)]
    most = max(s.sum() for s in seen) + 1
    rows = np.int32([[0, *np.cumsum(s.sum(1))] for s in seen])
    return rows, np.int32([np.pad(np.nonzero(s)[1], (0, most - s.sum()), constant_values=-1) for s in seen])


def run_shared(s, f):
    """onnxruntime takes this operator only where a present is its past's memory; sequences of several lengths, of which it mixes
    up the weights, one by one."""
    lengths = f["lengths"]
    if len(set(lengths)) > 1:
        each = [{k: v if k in ("rows", "columns") else lengths[i] if k == "total" else v[i:i + 1] for k, v in f.items()} for i in range(len(lengths))]
        return [np.concatenate(o) for o in zip(*(run_shared(s, e) for e in each))]
    binding = s.io_binding()
    held = {i.name: ort.OrtValue.ortvalue_from_numpy(np.array(f[i.name])) for i in s.get_inputs()}
    for name, value in held.items():
        binding.bind_ortvalue_input(name, value)
    binding.bind_output("y")
    binding.bind_ortvalue_output("ok", held["pk"])
    binding.bind_ortvalue_output("ov", held["pv"])
    s.run_with_iobinding(binding)
    return [np.array(v) for v in (binding.copy_outputs_to_cpu()[0], held["pk"].numpy(), held["pv"].numpy())]


def sparse_attention(i):
    groups, repeat, rotary, packed = int(R.integers(1, 3)), int(R.choice([2, 4])), i % 2 == 1, R.random() < 0.5
    heads, width, fixed = groups * repeat, 16 if rotary else 8, i % 3 != 2
    attributes = {"num_heads": heads, "kv_num_heads": groups, "sparse_block_size": 16} | ({"scale": 0.3} if R.random() < 0.3 else {})
    rows, columns = layouts_of(int(R.choice([1, 2])), 4)
    consts = {"rows": rows, "columns": columns} if fixed else {}
    if rotary:
        attributes |= {"do_rotary": 1, "rotary_interleaved": int(R.integers(2))}
        angles = noise(64, width // 2)
        consts |= {"cos": np.cos(angles), "sin": np.sin(angles)}

    def feed(batch, new, past, lengths=None):
        size, held = width * (heads + 2 * groups if packed else heads), 64 if new + past == 64 else past + new + 3
        f = {"q": noise(batch, new, size)} | ({} if packed else {"k": noise(batch, new, width * groups), "v": noise(batch, new, width * groups)})
        f |= {"pk": noise(batch, groups, held, width), "pv": noise(batch, groups, held, width), "total": np.array(past + new, np.int32)}
        f |= {} if fixed else {"rows": rows, "columns": columns}
        return f | {"lengths": np.full(batch, past + new, np.int32) if lengths is None else np.int32(lengths)}

    feeds = [feed(1, 40, 0), feed(2, 1, 35), feed(3, 1, 50, [51, 20, 33]), feed(1, 64, 0), feed(2, 3, 30)]
    order = ["q", "k", "v", "pk", "pv", "rows", "columns", "total", "lengths", "cos", "sin"]
    model = model_of("SparseAttention", [(k, consts.get(k, feeds[0].get(k))) for k in order], ["y", "ok", "ov"], consts, **attributes)
    names, reference = [v.name for v in model.graph.input], session(model)
    calls = [([f[k] for k in names], run_shared(reference, f)) for f in feeds]
    bad = [(feed(1, 1, 64), "tokens of a layout|takes 0 to|must be at most|64"), (feeds[1] | {"lengths": np.int32([36, 90])}, "out of range|outside")]
    if not fixed:
        bad.append((feeds[0] | {"columns": np.where(columns == 0, 4, columns)}, "out of range"))
    compare(f"SparseAttention {i} {attributes} {fixed}", model, calls + [([f[k] for k in names], e) for f, e in bad], compiled=i < N_COMPILED)


# ---- MultiHeadAttention, Attention, DecoderMaskedMultiHeadAttention ----

def mask_of(batch, rows, keys):
    """A mask of one of its forms, whose keys are not all hidden."""
    form = R.integers(3)
    if form == 0:
        return R.integers(1, keys + 1, batch).astype(np.int32)
    mask = (R.random((batch, rows, keys)) < 0.7).astype(np.int32)
    mask[..., 0] = 1
    return mask if form == 1 else mask[:, 0].copy()


def multi_head(i):
    cross, causal = R.random() < 0.25, R.random() < 0.4
    heads, width, out = int(R.integers(1, 4)), 8, 8 if cross else int(R.choice([8, 16]))
    attributes = {"num_heads": heads} | ({"unidirectional": 1} if causal else {}) | ({"scale": 0.4} if R.random() < 0.3 else {})
    with_bias, with_past, with_mask, with_added, room = (not cross and R.random() < 0.5, not cross and R.random() < 0.6, R.random() < 0.5,
                                                        R.random() < 0.4, R.random() < 0.3)
    attributes |= {"mask_filter_value": -50.0} if with_mask and R.random() < 0.4 else {}
    out = 8 if cross or with_past else int(R.choice([8, 16]))
    room = room and with_past and not with_mask and not with_added and not causal
    consts = {"bias": noise(heads * (2 * width + out))} if with_bias else {}

    def feed(batch, rows, keys, past):
        f = {"q": noise(batch, rows, heads * width)}
        if cross:
            f |= {"k": noise(batch, heads, keys, width), "v": noise(batch, heads, keys, out)}
        else:
            f |= {"k": noise(batch, keys, heads * width), "v": noise(batch, keys, heads * out)}
        if not with_past:
            past = 0
        total = past + keys
        if with_mask:
            f["mask"] = masks[0](batch, rows, total)
        if with_added:
            f["added"] = noise(batch if R.random() < 0.5 else 1, heads if R.random() < 0.5 else 1, rows, total)
        if with_past:
            held = total + 2 if room else past
            f |= {"pk": noise(batch, heads, held, width), "pv": noise(batch, heads, held, out)}
        if room:
            f["used"] = np.int32([past])
        return f

    state, masks = R.bit_generator.state, []
    masks.append(lambda *shape: (setattr(R.bit_generator, "state", state), mask_of(*shape))[1])  # of one form
    keys = (lambda rows: rows) if causal or room else (lambda rows: rows + 2)
    feeds = [feed(1, 5, keys(5), 0), feed(2, 1, keys(1), 4), feed(3, 3, keys(3), 2)]
    names = ["q", "k", "v", "bias", "mask", "added", "pk", "pv", "used"]
    outputs = ["y", "ok", "ov"] if with_past else ["y"]
    if with_past and not room and R.random() < 0.3:
        outputs.append("qk")
    model = model_of("MultiHeadAttention", [(k, consts.get(k, feeds[0].get(k))) for k in names], outputs, consts, **attributes)
    check(f"MultiHeadAttention {i} {attributes} {sorted(feeds[0])}", model, feeds, compiled=i < N_COMPILED)


def projected(i):
    heads, width = int(R.integers(1, 4)), 8
    hidden = heads * width
    consts = {"w": noise(6, 3 * hidden), "bias": noise(3 * hidden)}
    attributes = {"num_heads": heads} | ({"unidirectional": 1} if R.random() < 0.5 else {}) | ({"scale": 0.4} if R.random() < 0.3 else {})
    form, with_past, with_added = R.integers(5), R.random() < 0.7, R.random() < 0.3

    def feed(batch, rows, past):
        past = past if with_past else 0
        f = {"x": noise(batch, rows, 6)}
        mask = (R.random((batch, rows, past + rows)) < 0.7).astype(np.int32)
        mask[..., 0] = 1
        f |= [{}, {"mask": mask}, {"mask": mask[:, 0].copy()}, {"mask": R.integers(1, past + rows + 1, batch).astype(np.int32)},
              {"mask": np.int32([past + rows] * batch + [0] * (batch - 1) + [past])}][form]
        if with_past:
            f["past"] = noise(2, batch, heads, past, width)
        if with_added:
            f["added"] = noise(1, heads, rows, past + rows)
        return f

    feeds = [feed(1, 4, 0), feed(2, 1, 4), feed(3, 3, 2)] if form != 4 else [feed(3, 3, 2), feed(3, 1, 2)]
    model = model_of("Attention", [(k, consts.get(k, feeds[0].get(k))) for k in ("x", "w", "bias", "mask", "past", "added")],
                     ["y", "present"] if with_past else ["y"], consts, **attributes)
    if form == 4:  # that the mask has two numbers for a sequence must be seen
        for value in model.graph.input:
            if value.name != "added":
                value.type.tensor_type.shape.dim[1 if value.name == "past" else 0].dim_value = 6 if value.name == "mask" else 3
    check(f"Attention {i} {attributes} {sorted(feeds[0])} form {form}", model, feeds, compiled=i < N_COMPILED)


def decoder_masked():
    """One row each time, written into a buffer behind those that are in use."""
    heads, width, consts = 2, 8, {"bias": noise(48)}

    def feed(batch, used):
        f = {k: noise(batch, 1, 16) for k in "qkv"}
        return f | {"mask": np.ones((batch, used + 1), np.int32), "pk": noise(batch, heads, 9, width), "pv": noise(batch, heads, 9, width),
                    "used": np.int32([used])}

    feeds = [feed(1, 0), feed(2, 5), feed(3, 8)]
    names = ["q", "k", "v", "mask", "added", "pk", "pv", "used", "beams", "indirection", "bias"]
    model = model_of("DecoderMaskedMultiHeadAttention", [(k, consts.get(k, feeds[0].get(k))) for k in names], ["y", "ok", "ov"], consts,
                     num_heads=heads, past_present_share_buffer=1)
    check("DecoderMaskedMultiHeadAttention", model, feeds, [(feed(2, 8) | {"used": np.int32([9])}, "out of range|outside")])


def packed_forms():
    """Queries, keys and values in one operand, which onnxruntime has no CPU kernels for: as with three."""
    q, k, v = noise(2, 3, 16), noise(2, 3, 16), noise(2, 3, 16)
    want = session(model_of("MultiHeadAttention", [("q", q), ("k", k), ("v", v)], ["y"], num_heads=2)).run(None, {"q": q, "k": k, "v": v})
    split = [a.reshape(2, 3, 2, 1, 8) for a in (q, k, v)]
    for name, operands in (("three", [np.concatenate(split, 3)]), ("two", [q, np.concatenate(split[1:], 3)]), ("flat", [np.concatenate([q, k, v], 2)])):
        model = model_of("MultiHeadAttention", [(f"x{i}", a) for i, a in enumerate(operands)], ["y"], num_heads=2)
        compare(f"MultiHeadAttention of {name} packed", model, [(operands, want)], compiled=False)


def by_table(consts, fields, **attributes):
    shapes = [(1, 3), (2, 5)]
    feeds = [{k: make(*s) for k, make in fields.items()} for s in shapes]
    model = model_of("RotaryEmbedding", [(k, consts.get(k, feeds[0].get(k))) for k in ("x", "at", "cos", "sin")], ["y"], consts, **attributes)
    check(f"RotaryEmbedding {attributes} of rank {feeds[0]['x'].ndim}", model, feeds, compiled=False)


def rotary():
    for half in (4, 3):
        angles = noise(16, half)
        consts = {"cos": np.cos(angles), "sin": np.sin(angles)}
        flat, split = (lambda b, s: noise(b, s, 24)), (lambda b, s: noise(b, 2, s, 8))
        table, start = (lambda b, s: R.integers(0, 16, (b, s))), (lambda b, s: np.array([3]))
        for at in (table, start):
            if half == 4:
                by_table(consts, {"x": flat, "at": at})
                by_table(consts, {"x": flat, "at": at}, interleaved=1, scale=2.0)
                by_table(consts, {"x": split, "at": at}, interleaved=1)
            else:
                by_table(consts, {"x": flat, "at": at}, num_heads=3, rotary_embedding_dim=6)
                by_table(consts, {"x": split, "at": at}, num_heads=2, rotary_embedding_dim=6, is_packed_batching=1)


# ---- states ----

def linear_attention(i):
    heads, repeat, width, out = int(R.integers(1, 3)), int(R.integers(1, 3)), 8, int(R.choice([8, 16]))
    rule = ["linear", "gated", "delta", "gated_delta"][i % 4]
    attributes = {"q_num_heads": heads * repeat, "kv_num_heads": heads, "update_rule": rule} | ({"scale": 0.3} if R.random() < 0.5 else {})
    with_state, one_decay, one_beta = R.random() < 0.7, R.random() < 0.5, R.random() < 0.5

    def feed(batch, rows):
        f = {"q": noise(batch, rows, heads * repeat * width), "k": noise(batch, rows, heads * width) / 4, "v": noise(batch, rows, heads * out)}
        if with_state:
            f["state"] = noise(batch, heads, width, out)
        if "gated" in rule:
            f["decay"] = -R.random((batch, rows, heads * (1 if one_decay else width))).astype(np.float32)
        if "delta" in rule:
            f["beta"] = R.random((batch, rows, 1 if one_beta else heads)).astype(np.float32)
        return f

    feeds = [feed(1, 5), feed(2, 1), feed(3, 4)]
    names = ["q", "k", "v", "state", "decay", "beta"]
    model = model_of("LinearAttention", [(k, feeds[0].get(k)) for k in names], ["y", "next"], **attributes)
    check(f"LinearAttention {attributes} {sorted(feeds[0])}", model, feeds, compiled=i == 3)


def causal_conv(i):
    channels, k, dilation, last = int(R.integers(1, 5)), int(R.integers(1, 5)), int(R.integers(1, 3)), i % 2 == 1
    attributes = {"activation": str(R.choice(["none", "silu", "swish"])), "dilation": dilation, "channels_last": int(last)}
    consts = {"w": noise(channels, 1, k)} | ({"bias": noise(channels)} if R.random() < 0.5 else {})
    with_state = R.random() < 0.7

    def feed(batch, length):
        f = {"x": noise(batch, channels, length), "state": noise(batch, channels, (k - 1) * dilation)}
        f = {name: v.transpose(0, 2, 1).copy() if last else v for name, v in f.items()}
        return f if with_state else {"x": f["x"]}

    feeds = [feed(1, 5), feed(2, 1), feed(3, 2)]
    model = model_of("CausalConvWithState", [(name, consts.get(name, feeds[0].get(name))) for name in ("x", "w", "bias", "state")],
                     ["y", "next"], consts, **attributes)
    check(f"CausalConvWithState {attributes} {sorted(feeds[0])} of {k}", model, feeds, compiled=i == 1)


def tensor_scatter():
    """By its definition: every axis, both modes, and indices that do not fit."""
    def placed(cache, update, at, axis, circular):
        out = np.moveaxis(cache.copy(), axis, 1)
        for b in range(len(out)):
            for row in range(update.shape[axis]):
                where = int(at[b]) + row
                out[b, where % out.shape[1] if circular else where] = np.moveaxis(update, axis, 1)[b, row]
        return np.moveaxis(out, 1, axis)

    for axis, circular, kind in ((1, False, np.float32), (2, True, np.int8), (3, False, np.float16), (-2, True, np.float32)):
        cache, update = (10 * noise(2, 5, 5, 5)).astype(kind), (10 * noise(2, 5, 5, 5)).astype(kind)
        update = np.moveaxis(np.moveaxis(update, axis, 1)[:, :3], 1, axis).copy()
        at = np.int64([4, -2]) if circular else np.int64([0, 2])
        calls = [([cache, update, at], [placed(cache, update, at, axis % 4, circular)])]
        calls += [] if circular else [([cache, update, np.int64([0, w])], "out of range|outside") for w in (3, -1, 1 << 40)]
        node = {"axis": axis} | ({"mode": "circular"} if circular else {})
        model = model_of("TensorScatter", [("cache", cache), ("update", update), ("at", at)], ["y"], **node)
        model.graph.node[0].domain = ""
        model.opset_import[0].version = 24
        compare(f"TensorScatter {node}", model, calls, compiled=axis < 3)


# ---- mixtures of experts ----

ACTIVATIONS = [("relu", {}), ("gelu", {}), ("silu", {}), ("identity", {}), ("swiglu", {"swiglu_fusion": 1}),
               ("swiglu", {"swiglu_fusion": 1, "activation_alpha": 1.7, "activation_beta": 1.0, "swiglu_limit": 1.5})]


def mixture(i):
    experts, width, inner, (name, more) = 4, 8, 16, ACTIVATIONS[i % len(ACTIVATIONS)]
    rows = inner * (2 if more else 1)
    attributes = {"activation_type": name, "k": int(R.integers(1, 4)), "normalize_routing_weights": int(R.integers(2))} | more
    consts = {"w1": noise(experts, rows, width), "w2": noise(experts, width, inner)}
    consts |= {"b1": noise(experts, rows), "b2": noise(experts, width)} if R.random() < 0.5 else {}
    feeds = [{"x": noise(*shape, width), "router": noise(int(np.prod(shape)), experts)} for shape in ([(5,), (1,)] if i % 2 else [(2, 3), (1, 1)])]
    model = model_of("MoE", [(k, consts.get(k, feeds[0].get(k))) for k in ("x", "router", "w1", "b1", "w2", "b2")], ["y"], consts, **attributes)
    check(f"MoE {attributes}", model, feeds, compiled=i == 4)


def quantized_mixture(bits, block, with_zeros):
    experts, width, inner = 4, 32, 64
    per_byte = 8 // bits

    def layer(n, k):
        groups = (k // block,) if block else ()
        zeros = (n * k // block // n if block else n) // per_byte
        shape = (experts, n, zeros) if block else (experts, zeros)
        return R.integers(0, 256, (experts, n, k // per_byte), dtype=np.uint8), (R.random((experts, n, *groups)) / 50).astype(np.float32), \
            R.integers(0, 256, shape, dtype=np.uint8)

    consts = dict(zip(("w1", "s1", "z1"), layer(2 * inner, width))) | dict(zip(("w2", "s2", "z2"), layer(width, inner)))
    consts = {k: v for k, v in consts.items() if with_zeros or k[0] != "z"}
    attributes = {"activation_type": "swiglu", "swiglu_fusion": 1, "k": 2, "expert_weight_bits": bits, "normalize_routing_weights": 1}
    attributes |= {"block_size": block} if block else {}
    feeds = [{"x": noise(*shape, width), "router": noise(int(np.prod(shape)), experts)} for shape in ((2, 3), (1, 1))]
    names = ["x", "router", "w1", "s1", "b1", "w2", "s2", "b2", "w3", "s3", "b3", "z1", "z2"]
    model = model_of("QMoE", [(k, consts.get(k, feeds[0].get(k))) for k in names], ["y"], consts, **attributes)
    check(f"QMoE {attributes} zero points: {with_zeros}", model, feeds, compiled=bits == 4 and block == 0)


def main():
    if len(TOOLS) not in (1, 3):
        print(__doc__)
        return 2
    for i in range(N_CASES):
        group_query(i)
    for causal in (0, 1):
        group_query_without(causal)
    group_query_types()
    group_query_wrong()
    for i in range(N_CASES):
        multi_head(i)
        projected(i)
    decoder_masked()
    packed_forms()
    rotary()
    for i in range(8):
        linear_attention(i)
        causal_conv(i)
    tensor_scatter()
    for i in range(2 * len(ACTIVATIONS)):
        mixture(i)
    for form in ((4, 0, False), (4, 0, True), (8, 0, False), (8, 0, True), (4, 16, False), (4, 16, True)):
        quantized_mixture(*form)
    group_query_negative()
    for i in range(12):
        sparse_attention(i)
    for window in (1, 4, 6):
        window_cache(window, window != 4)
    print(f"{ran - len(set(FAILED))} of {ran} forms agree with onnxruntime")
    return 1 if FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
