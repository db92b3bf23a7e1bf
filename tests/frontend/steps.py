#!/usr/bin/env python3
"""RNN, GRU and LSTM with all their attributes, Scan, and what Loop lists: interpreter and compiled code against NumPy.

steps.py EVAL_ONNX XFC XF_RUN; exit code 77 without the onnx package."""
import itertools
import sys

import numpy as np

from cases import check, end, run
import onnx
from onnx import TensorProto as T
from onnx import helper as h

try:
    import onnxruntime
except ImportError:
    onnxruntime = None

RNG = np.random.default_rng(12)
NODE = h.make_node


def model(nodes, inputs, outputs, constants=(), opset=22):
    """inputs: (name, array, dims); outputs: names of floats, or (name, type)."""
    infos = [h.make_tensor_value_info(n, h.np_dtype_to_tensor_dtype(a.dtype), dims) for n, a, dims in inputs]
    outs = [h.make_tensor_value_info(*((o, T.FLOAT) if isinstance(o, str) else o), None) for o in outputs]
    graph = h.make_graph(nodes, "g", infos, outs, [onnx.numpy_helper.from_array(np.asarray(a), n) for n, a in constants])
    return h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], ir_version=9)


def refused(name, m, inputs, message):
    run(name, m, [(inputs, message)], sys.argv[1:2])


# --- recurrent cells, as the specification of each operator spells them ---

ACTIVATIONS = {"Relu": lambda v, a, b: np.maximum(v, 0), "Tanh": lambda v, a, b: np.tanh(v), "Sigmoid": lambda v, a, b: 1 / (1 + np.exp(-v)),
               "Affine": lambda v, a, b: a * v + b, "LeakyRelu": lambda v, a, b: np.where(v < 0, a * v, v), "Elu": lambda v, a, b: np.where(v < 0, a * (np.exp(v) - 1), v),
               "ThresholdedRelu": lambda v, a, b: np.where(v > a, v, 0), "ScaledTanh": lambda v, a, b: a * np.tanh(b * v),
               "HardSigmoid": lambda v, a, b: np.clip(a * v + b, 0, 1), "Softsign": lambda v, a, b: v / (1 + abs(v)), "Softplus": lambda v, a, b: np.log1p(np.exp(v))}
TAKES = {"Affine": "ab", "LeakyRelu": "a", "Elu": "a", "ThresholdedRelu": "a", "ScaledTanh": "ab", "HardSigmoid": "ab"}
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
USUAL = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}


def functions(attrs, n, usual):
    """The activations of all directions, with their numbers."""
    names = attrs.get("activations", usual * (n // len(usual)))
    alphas, betas, made = iter(attrs.get("activation_alpha", [])), iter(attrs.get("activation_beta", [])), []
    for name in names:
        a = np.float32(next(alphas)) if "a" in TAKES.get(name, "") else None
        b = np.float32(next(betas)) if "b" in TAKES.get(name, "") else None
        made.append(lambda v, f=ACTIVATIONS[name], a=a, b=b: f(np.clip(v, -attrs["clip"], attrs["clip"]) if "clip" in attrs else v, a, b))
    return made


def cell(op, attrs, x, w, r, b, p, f, state):
    """One step of one direction in f64: the next states."""
    hidden, state = r.shape[1], [s.astype(np.float64) for s in state]
    wb, rb = (b[:len(b) // 2], b[len(b) // 2:]) if b is not None else (np.zeros(len(w)), np.zeros(len(w)))
    part = lambda m, i: m[i * hidden:(i + 1) * hidden]
    from_x = lambda i: x @ part(w, i).T + part(wb, i)
    from_h = lambda i, h: h @ part(r, i).T + part(rb, i)
    if op == "RNN":
        return [f[0](from_x(0) + from_h(0, state[0]))]
    if op == "GRU":
        z, reset = (f[0](from_x(i) + from_h(i, state[0])) for i in (0, 1))
        inside = reset * from_h(2, state[0]) if attrs.get("linear_before_reset") else from_h(2, reset * state[0])
        return [(1 - z) * f[1](from_x(2) + inside) + z * state[0]]
    peep = lambda i, c: part(p, i) * c if p is not None else 0
    i = f[0](from_x(0) + from_h(0, state[0]) + peep(0, state[1]))
    forget = 1 - i if attrs.get("input_forget") else f[0](from_x(2) + from_h(2, state[0]) + peep(2, state[1]))
    c = forget * state[1] + i * f[1](from_x(3) + from_h(3, state[0]))
    return [f[0](from_x(1) + from_h(1, state[0]) + peep(1, c)) * f[2](c), c]


def recurrent(op, attrs, x, w, r, b=None, lengths=None, h0=None, c0=None, p=None):
    """All outputs."""
    if attrs.get("layout"):
        x, h0, c0 = (v if v is None else v.swapaxes(0, 1) for v in (x, h0, c0))
    steps, batch, _ = x.shape
    directions, hidden, usual = len(w), r.shape[2], USUAL[op]
    f = functions(attrs, directions * len(usual), usual)
    y, last = np.zeros((steps, directions, batch, hidden)), []
    for d in range(directions):
        zero = np.zeros((batch, hidden))
        state = [zero if h0 is None else h0[d], zero if c0 is None else c0[d]][:1 + (op == "LSTM")]
        reverse = attrs.get("direction") == "reverse" or d == 1
        for t in range(steps)[::-1 if reverse else 1]:
            fresh = cell(op, attrs, x[t], w[d], r[d], None if b is None else b[d], None if p is None else p[d], f[d * len(usual):], state)
            live = np.ones((batch, 1), bool) if lengths is None else (t < lengths)[:, None]
            state = [np.where(live, n, s) for n, s in zip(fresh, state)]
            y[t, d] = np.where(live, fresh[0], 0)
        last.append(state)
    out = [y] + [np.stack([s[i] for s in last]) for i in range(len(last[0]))]
    if attrs.get("layout"):
        out = [out[0].transpose(2, 0, 1, 3)] + [v.swapaxes(0, 1) for v in out[1:]]
    return [v.astype(np.float32) for v in out]


def cells():
    more = {"RNN": {}, "GRU": {"linear_before_reset": 1}, "LSTM": {"input_forget": 1}}
    odd = {"RNN": {"activations": ["LeakyRelu"], "activation_alpha": [0.2]},
           "GRU": {"activations": ["HardSigmoid", "ScaledTanh"], "activation_alpha": [0.3, 1.5], "activation_beta": [0.4, 0.8]},
           "LSTM": {"activations": ["Softsign", "Affine", "Elu"], "activation_alpha": [0.7, 1.2], "activation_beta": [0.1], "clip": 0.9}}
    for op, direction in itertools.product(GATES, ("forward", "reverse", "bidirectional")):
        directions = 2 if direction == "bidirectional" else 1
        doubled = {k: v * directions if isinstance(v, list) else v for k, v in odd[op].items()}
        for name, attrs, full in (("plain", {}, False), ("all operands", more[op], True), ("other activations", doubled, True), ("batch first", {"layout": 1}, True)):
            one_cell(f"{op} {direction}, {name}", op, {"direction": direction, **attrs}, directions, full)


def one_cell(name, op, attrs, directions, full):
    gates, hidden, wide = GATES[op], 5, 3
    rand = lambda *dims: RNG.standard_normal(dims).astype(np.float32)
    w, r = rand(directions, gates * hidden, wide), rand(directions, gates * hidden, hidden)
    constants, names = [("w", w), ("r", r)], ["x", "w", "r"]
    first, inputs = attrs.get("layout", 0), []
    if full:
        b, p = rand(directions, 2 * gates * hidden), rand(directions, 3 * hidden)
        constants += [("b", b)] + ([("p", p)] if op == "LSTM" else [])
        names += ["b", "lengths", "h0"] + (["c0", "p"] if op == "LSTM" else [])
    outputs = ["y", "h"] + (["c"] if op == "LSTM" else [])
    order = lambda a, b, *rest: (b, a, *rest) if first else (a, b, *rest)
    inputs = [("x", rand(1, 1, wide), [*order("s", "b"), wide])]
    if full:
        inputs.append(("lengths", np.int32([1]), ["b"]))
        inputs += [(v, rand(1, 1, 1), [*order(directions, "b"), hidden]) for v in (["h0", "c0"] if op == "LSTM" else ["h0"])]
    m = model([NODE(op, names, outputs, name="cell", hidden_size=hidden, **attrs)], inputs, outputs, constants)
    calls = []
    for steps, batch in ((6, 3), (1, 1), (0, 2)):
        feed = [rand(*order(steps, batch), wide)]
        if full:
            feed.append(RNG.integers(0, steps + 1, batch).astype(np.int32))
            feed += [rand(*order(directions, batch), hidden) for _ in outputs[1:]]
        given = dict(zip([i[0] for i in inputs], feed))
        given.pop("x")
        if full:
            given |= {"b": b} | ({"p": p} if op == "LSTM" else {})
        calls.append((tuple(feed), recurrent(op, attrs, feed[0], w, r, **given)))
    run(name, m, calls)


def bad_cells():
    x, w, r = np.zeros((2, 1, 3), np.float32), np.zeros((1, 5, 3), np.float32), np.zeros((1, 5, 5), np.float32)
    made = lambda w=w, r=r, x=x, **attrs: model([NODE("RNN", ["x", "w", "r"], ["y"], name="cell", **attrs)], [("x", x, list(x.shape))], ["y"], [("w", w), ("r", r)])
    for name, m, message in (("another width", made(w=w[:, :4]), "'cell'.*W do not agree"), ("directions", made(direction="bidirectional"), "'cell'.*W do not agree"),
                             ("no direction", made(direction="sideways"), "'direction' is 'sideways'"), ("a rank", made(x=x[0]), "needs X, W and R of 3 dims"),
                             ("an activation", made(activations=["Cosine"]), "activation 'Cosine'"), ("too many", made(activations=["Tanh", "Tanh"]), "has 2 entries, not 1"),
                             ("a clip", made(clip=-1.0), "'clip' is -1"), ("hidden_size", made(hidden_size=4), "R and hidden_size do not agree")):
        refused(name, m, (x,), message)
    for length in (3, -1):
        lengths = np.int32([2, length])
        cut = model([NODE("RNN", ["x", "w", "r", "", "n"], ["y"], name="cell")], [("x", np.zeros((2, 2, 3), np.float32), ["s", "b", 3]), ("n", lengths, ["b"])],
                    ["y"], [("w", w), ("r", r)])
        turned = model([NODE("ReverseSequence", ["x", "n"], ["y"], name="cell")], [("x", np.zeros((2, 2, 3), np.float32), ["s", "b", 3]), ("n", np.int64(lengths), ["b"])],
                       ["y"])
        for m, n in ((cut, lengths), (turned, np.int64(lengths))):
            run(f"a length of {length}", m, [((np.zeros((2, 2, 3), np.float32), n), "'cell'.*index|index.*'cell'")])


# --- Scan and Loop ---

def body(nodes, inputs, outputs, constants=()):
    value = lambda v: h.make_tensor_value_info(*((v, T.FLOAT) if isinstance(v, str) else v), None)
    return h.make_graph(nodes, "body", [value(v) for v in inputs], [value(v) for v in outputs], [onnx.numpy_helper.from_array(np.asarray(a), n) for n, a in constants])


def scans():
    x, z, start = RNG.standard_normal((4, 3)).astype(np.float32), RNG.standard_normal((2, 4)).astype(np.float32), RNG.standard_normal(3).astype(np.float32)
    b = body([NODE("ReduceSum", ["z1"], ["t"], keepdims=1), NODE("Mul", ["s", "half"], ["k"]), NODE("Add", ["k", "x1"], ["s2"]), NODE("Add", ["s2", "t"], ["r"])],
             ["s", "x1", "z1"], ["s2", "r", "t"], [("half", np.float32(0.5))])

    def want(start, x, z, turn, back):
        s, rows, sums = start, [], []
        for i in range(len(x)):
            t = z[:, ::-1 if turn else 1][:, i].sum(keepdims=True)
            s = s * np.float32(0.5) + x[i]
            rows.append(s + t), sums.append(t)
        rows = np.stack(rows) if rows else np.zeros((0, 3), np.float32)
        return [s, (rows[::-1] if back else rows).T, np.stack(sums) if sums else np.zeros((0, 1), np.float32)]
    for turn, back in itertools.product((0, 1), repeat=2):
        node = NODE("Scan", ["start", "x", "z"], ["s", "r", "t"], body=b, num_scan_inputs=2, scan_input_axes=[0, -1], scan_input_directions=[0, turn],
                    scan_output_axes=[1, 0], scan_output_directions=[back, 0])
        m = model([node], [("start", start, [3]), ("x", x, ["n", 3]), ("z", z, [2, "n"])], ["s", "r", "t"])
        run(f"Scan {turn} {back}", m, [((start, x[:n], z[:, :n]), want(start, x[:n], z[:, :n], turn, back)) for n in (4, 1, 0)])
    bad = lambda **attrs: model([NODE("Scan", ["start", "x"], ["s", "r"], name="scan", **{"num_scan_inputs": 1, **attrs})], [("start", start, [3]), ("x", x, ["n", 3])], ["s", "r"])
    plain = body([NODE("Add", ["s", "x1"], ["s2"]), NODE("Neg", ["s2"], ["r"])], ["s", "x1"], ["s2", "r"])
    grows = body([NODE("Concat", ["s", "x1"], ["s2"], axis=0), NODE("Neg", ["x1"], ["r"])], ["s", "x1"], ["s2", "r"])
    for name, m, message in (("no body", bad(), "'body' is missing"), ("too many", bad(body=plain, num_scan_inputs=3), "with 2 operands, 3 of them scanned"),
                             ("an axis", bad(body=plain, scan_input_axes=[2]), "axis 2 is outside"), ("a direction", bad(body=plain, scan_output_directions=[2]), "holds 2, not 0 or 1"),
                             ("entries", bad(body=plain, scan_input_axes=[0, 0]), "has 2 entries, not 1"), ("a state that grows", bad(body=grows), "only shapes that stay")):
        refused(f"Scan: {name}", m, (start, x), message)


def batched_scans():
    """Of opset 8: every element of a batch by itself."""
    x, z, start = (RNG.standard_normal(shape).astype(np.float32) for shape in ((2, 4, 3), (2, 4, 1), (2, 3)))
    b = body([NODE("Add", ["s", "x1"], ["s2"]), NODE("Mul", ["s2", "z1"], ["r"])], ["s", "x1", "z1"], ["s2", "r"])

    def want(start, x, z, turn):
        s, rows = start, np.zeros_like(x)
        for i in range(x.shape[1]):
            s = s + x[:, i]
            rows[:, i] = s * z[:, ::-1 if turn else 1][:, i]
        return [s, rows]
    sized = [("start", start, ["b", 3]), ("x", x, ["b", "n", 3]), ("z", z, ["b", "n", 1])]
    for turn in (0, 1):
        m = model([NODE("Scan", ["", "start", "x", "z"], ["s", "r"], body=b, num_scan_inputs=2, directions=[0, turn])], sized, ["s", "r"], opset=8)
        run(f"Scan of a batch {turn}", m, [((start[:k], x[:k, :n], z[:k, :n]), want(start[:k], x[:k, :n], z[:k, :n], turn)) for k, n in ((2, 4), (1, 1), (2, 0), (0, 4))])
    lengths = np.int64([4, 2])

    def cut(start, x, z, lengths, turn):
        s, rows = start.copy(), np.zeros_like(x)
        for i, n in enumerate(lengths):
            s[i:i + 1], rows[i:i + 1, :n] = want(start[i:i + 1], x[i:i + 1, :n], z[i:i + 1, :n], turn)
        return [s, rows]
    for turn in (0, 1):
        node = NODE("Scan", ["l", "start", "x", "z"], ["s", "r"], name="scan", body=b, num_scan_inputs=2, directions=[0, turn])
        m = model([node], [*sized, ("l", lengths, ["b"])], ["s", "r"], opset=8)
        calls = [((start, x, z, np.int64(n)), cut(start, x, z, n, turn)) for n in ([4, 2], [1, 3], [0, 4], [0, 0])]
        run(f"Scan of sequences of several lengths {turn}", m, calls + [((start, x, z, np.int64(n)), "'scan'.*(index|outside)|(index|outside).*'scan'") for n in ([5, 2], [1, -1])])
        if onnxruntime:
            session = onnxruntime.InferenceSession(m.SerializeToString(), providers=["CPUExecutionProvider"])
            for given, wanted in calls[:2]:  # it takes no length of 0
                got = session.run(None, dict(zip(("start", "x", "z", "l"), given)))
                check(all(np.allclose(g, w, 1e-5, 1e-6) for g, w in zip(got, wanted)), f"onnxruntime of lengths {given[3]} {turn}")
    bad = lambda inputs, operands, **attrs: model([NODE("Scan", operands, ["s", "r"], name="scan", body=b, **{"num_scan_inputs": 2, **attrs})], inputs, ["s", "r"], opset=8)
    names = ["", "start", "x", "z"]
    for name, m, given, message in (
            ("lengths", bad([*sized, ("l", lengths[None], [1, "b"])], ["l", *names[1:]]), (start, x, z, lengths[None]), "'scan'.*lengths of sequences must be a list"),
            ("no batch", bad([sized[0], ("x", x[0, 0], [3]), sized[2]], names), (start, x[0, 0], z), "operand 'x' has no batch"),
            ("batches", bad([sized[0], ("x", x, [3, "n", 3]), ("z", z, [2, "n", 1])], names), (start, x, z), "batches of states and of what is scanned do not agree"),
            ("a direction", bad(sized, names, directions=[0, 2]), (start, x, z), "'directions' holds 2, not 0 or 1"),
            ("too many", bad(sized, names, num_scan_inputs=4), (start, x, z), "with 3 operands, 4 of them scanned")):
        refused(f"Scan of a batch: {name}", m, given, message)


def lists():
    """Of a loop whose number of steps is a constant or a size, whether or not it may end before."""
    x = RNG.standard_normal((3, 4)).astype(np.float32)
    inside = body([NODE("Mul", ["s", "two"], ["s2"]), NODE("Add", ["s2", "x"], ["r"]), NODE("Identity", ["c"], ["c2"])],
                  [("i", T.INT64), ("c", T.BOOL), "s"], [("c2", T.BOOL), "s2", "r", ("i", T.INT64)], [("two", np.float32(2))])
    until = body([NODE("Mul", ["s", "two"], ["s2"]), NODE("Add", ["s2", "x"], ["r"]), NODE("Less", ["i", "stop"], ["c2"])],
                 [("i", T.INT64), ("c", T.BOOL), "s"], [("c2", T.BOOL), "s2", "r", ("i", T.INT64)], [("two", np.float32(2))])

    def want(x, steps):
        s, rows = x, []
        for _ in range(steps):
            s = s * 2
            rows.append(s + x)
        return [s, np.stack(rows) if rows else np.zeros((0, *x.shape), np.float32), np.arange(steps)]
    outputs = ["y", "r", ("n", T.INT64)]
    fixed = model([NODE("Loop", ["five", "", "x"], ["y", "r", "n"], body=inside)], [("x", x, ["a", 4])], outputs, [("five", np.int64(5))])
    run("a constant number", fixed, [((x,), want(x, 5)), ((x[:0],), want(x[:0], 5))])
    sized = model([NODE("Shape", ["x"], ["dims"]), NODE("Gather", ["dims", "zero"], ["rows"]), NODE("Loop", ["rows", "go", "x"], ["y", "r", "n"], body=until)],
                  [("x", x, ["a", 4]), ("go", np.array(True), []), ("stop", np.int64(1), [])], outputs, [("zero", np.int64(0))])
    run("as many as rows, or less", sized, [((x[:a], np.array(go), np.int64(stop)), want(x[:a], min(a, stop + 1 if go else 0)) if stop >= 0 else want(x[:a], min(a, int(go))))
                                            for a in (3, 2, 0) for go in (True, False) for stop in (-1, 0, 1, 7)])
    only = body([NODE("Mul", ["x", "f"], ["r"]), NODE("Cast", ["i"], ["f"], to=T.FLOAT)][::-1], [("i", T.INT64), ("c", T.BOOL)], [("c", T.BOOL), "r"])
    run("nothing carried", model([NODE("Loop", ["five", ""], ["r"], body=only)], [("x", x, ["a", 4])], ["r"], [("five", np.int64(5))]),
        [((x,), [np.stack([x * np.float32(i) for i in range(5)])])])
    inner = body([NODE("Add", ["i", "j"], ["sum"]), NODE("Cast", ["sum"], ["f"], to=T.FLOAT), NODE("Mul", ["f", "x"], ["r"])],
                 [("j", T.INT64), ("c2", T.BOOL)], [("c2", T.BOOL), "r"])
    outer = body([NODE("Loop", ["two", ""], ["q"], body=inner)], [("i", T.INT64), ("c", T.BOOL)], [("c", T.BOOL), "q"])
    run("lists in lists", model([NODE("Loop", ["five", ""], ["y"], body=outer)], [("x", x, ["a", 4])], ["y"], [("five", np.int64(5)), ("two", np.int64(2))]),
        [((x,), [np.stack([np.stack([x * np.float32(i + j) for j in range(2)]) for i in range(5)])])])
    unknown = model([NODE("Loop", ["k", "", "x"], ["y", "r", "n"], name="again", body=inside)], [("x", x, ["a", 4]), ("k", np.int64(1), [])], outputs)
    run("a number that only data knows", unknown, [((x[:a], np.int64(k)), want(x[:a], max(k, 0))) for a in (3, 0) for k in (2, 5, 0, -3)] + [((x, np.int64(2**40)), "again")])
    odd = body([NODE("NonZero", ["s"], ["r0"]), NODE("Cast", ["r0"], ["r"], to=T.FLOAT), NODE("Mul", ["s", "s"], ["s2"])], [("i", T.INT64), ("c", T.BOOL), "s"], [("c", T.BOOL), "s2", "r"])
    refused("rows that differ", model([NODE("Loop", ["five", "", "x"], ["y", "r"], name="again", body=odd)], [("x", x, ["a", 4])], ["y", "r"], [("five", np.int64(5))]), (x,), "'again'.*rows of a list have the same")


cells()
bad_cells()
scans()
batched_scans()
lists()
end()
