#!/usr/bin/env python3
"""Attention with a cache inside, as onnxruntime has it (domain com.microsoft), in random combinations of what it may have,
against onnxruntime.

decoders.py EVAL_ONNX [XFC XF_RUN]: each form is called as a prompt, with a cache, and with caches of different lengths; first in
the interpreter, then some compiled. Exit code 0, 1, or 77 (skipped) where onnx or onnxruntime is missing.
"""

import sys
import tempfile

try:
    import ml_dtypes
    import numpy as np
    import onnxruntime as ort
    from onnx import TensorProto as T
    from onnx import helper as h
    from onnx import numpy_helper

    from cases import run_calls
except ImportError:
    print("SKIP: the packages onnx==1.22.0 and onnxruntime are not installed")
    sys.exit(77)

TOOLS = sys.argv[1:]
N_CASES, N_COMPILED = 24, 3
R = np.random.default_rng(31)
FAILED = []
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
    with tempfile.TemporaryDirectory() as folder:
        for problem in run_calls(TOOLS if compiled else TOOLS[:1], folder, model, calls, **limits):
            FAILED.append(name)
            print(f"FAIL {name}: {problem}")


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
    print(f"{ran - len(set(FAILED))} of {ran} forms agree with onnxruntime")
    return 1 if FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
