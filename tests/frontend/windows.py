#!/usr/bin/env python3
"""Convolutions, pools and Resize with every attribute, against plain numpy and against ONNX's own suite.

windows.py EVAL_ONNX [XFC XF_RUN]. Random nodes of one element type are put into one model, once with fixed dims and once with
symbolic ones; the interpreter runs it, and with XFC and XF_RUN some of them compiled, too. The suite's Resize cases feed scales and
sizes at run time; here they are constants of the model, as in every exported one. Exit code 0, 1, or 77 (skipped) where the onnx
package is missing.
"""
import itertools
import os
import subprocess
import sys
import tempfile

try:
    import ml_dtypes
    import numpy as np
    import onnx
    from onnx import helper as h
    from onnx import numpy_helper

    from cases import ONE_ISA, write_case
except ImportError:
    print("SKIP: the onnx package (onnx==1.22.0) is not installed")
    sys.exit(77)

TYPES = {"f32": (np.float32, 2e-5), "f64": (np.float64, 1e-12), "f16": (np.float16, 5e-3), "bf16": (ml_dtypes.bfloat16, 4e-2)}


# --- what the operators mean ---

def border_of(mode, extent, size, step, dilation, pads):
    """Per axis: (before, after)."""
    n = len(extent)
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        out = []
        for e, k, s, d in zip(extent, size, step, dilation):
            total = max((-(-e // s) - 1) * s + (k - 1) * d + 1 - e, 0)
            out.append((total // 2, total - total // 2) if mode == "SAME_UPPER" else (total - total // 2, total // 2))
        return out
    return [(0, 0)] * n if mode == "VALID" else list(zip(pads[:n], pads[n:]))


def places(count, step, size, dilation):
    return np.arange(count)[:, None] * step + np.arange(size)[None, :] * dilation


def windows(x, size, step, dilation, count):
    """[b, c, s...] to [b, c, o..., k...]; x is large enough."""
    n = len(size)
    for i in range(n):
        x = np.take(x, places(count[i], step[i], size[i], dilation[i]), axis=2 + 2 * i)
    return x.transpose(0, 1, *range(2, 2 + 2 * n, 2), *range(3, 3 + 2 * n, 2))


def conv(x, w, b, a):
    n, g = x.ndim - 2, a.get("group", 1)
    step, dilation, size = a.get("strides", [1] * n), a.get("dilations", [1] * n), w.shape[2:]
    border = border_of(a.get("auto_pad", "NOTSET"), x.shape[2:], size, step, dilation, a.get("pads", [0] * 2 * n))
    x = np.pad(x, [(0, 0), (0, 0)] + border)
    count = [(e - (k - 1) * d - 1) // s + 1 for e, k, s, d in zip(x.shape[2:], size, step, dilation)]
    v = windows(x, size, step, dilation, count)
    v = v.reshape(v.shape[0], g, v.shape[1] // g, *v.shape[2:])
    y = np.einsum("bgc" + "opq"[:n] + "uvw"[:n] + ",gmc" + "uvw"[:n] + "->bgm" + "opq"[:n], v, w.reshape(g, -1, *w.shape[1:]))
    y = y.reshape(x.shape[0], w.shape[0], *count)
    return y if b is None else y + b.reshape(-1, *[1] * n)


def conv_transpose(x, w, b, a):
    n, g = x.ndim - 2, a.get("group", 1)
    step, dilation, size = a.get("strides", [1] * n), a.get("dilations", [1] * n), w.shape[2:]
    pads, more = a.get("pads", [0] * 2 * n), a.get("output_padding", [0] * n)
    full = [(e - 1) * s + (k - 1) * d + 1 + m for e, k, s, d, m in zip(x.shape[2:], size, step, dilation, more)]
    y = np.zeros((x.shape[0], g, w.shape[1], *full))
    xg, wg = x.reshape(x.shape[0], g, x.shape[1] // g, *x.shape[2:]), w.reshape(g, -1, *w.shape[1:])
    for k in itertools.product(*map(range, size)):
        part = np.einsum("bgc" + "opq"[:n] + ",gcm->bgm" + "opq"[:n], xg, wg[(slice(None),) * 3 + k])
        y[(slice(None),) * 3 + tuple(slice(i * d, i * d + (e - 1) * s + 1, s) for i, d, e, s in zip(k, dilation, x.shape[2:], step))] += part
    y = y[(slice(None),) * 3 + tuple(slice(pads[i], full[i] - pads[n + i]) for i in range(n))]
    y = y.reshape(x.shape[0], g * w.shape[1], *y.shape[3:])
    return y if b is None else y + b.reshape(-1, *[1] * n)


def pool(op, x, a):
    n, size = x.ndim - 2, a["kernel_shape"]
    step, dilation = a.get("strides", [1] * n), a.get("dilations", [1] * n)
    border = border_of(a.get("auto_pad", "NOTSET"), x.shape[2:], size, step, dilation, a.get("pads", [0] * 2 * n))
    count, grown = [], []
    for e, k, s, d, (lo, hi) in zip(x.shape[2:], size, step, dilation, border):
        room = e + lo + hi - (k - 1) * d - 1
        c = -(-room // s) + 1 if a.get("ceil_mode") else room // s + 1
        if a.get("ceil_mode") and (c - 1) * s >= e + lo:
            c -= 1
        count.append(c)
        grown.append((lo, max((c - 1) * s + (k - 1) * d + 1 - e - lo, hi)))
    inside = np.pad(np.ones(x.shape), [(0, 0), (0, 0)] + grown)
    counted = np.pad(np.pad(np.ones(x.shape), [(0, 0), (0, 0)] + border, constant_values=a.get("count_include_pad", 0)),
                     [(0, 0), (0, 0)] + [(0, g[1] - b[1]) for g, b in zip(grown, border)])
    axes = tuple(range(2 + n, 2 + 2 * n))

    def view(v, fill):
        return windows(np.pad(v, [(0, 0), (0, 0)] + grown, constant_values=fill), size, step, dilation, count)

    if op == "AveragePool":
        return [view(x, 0).sum(axes) / windows(counted, size, step, dilation, count).sum(axes)]
    if op == "LpPool":
        return [(np.abs(view(x, 0)) ** a["p"]).sum(axes) ** (1 / a["p"])]
    number = np.arange(x.size).reshape(x.shape)
    if a.get("storage_order"):
        spatial = np.arange(np.prod(x.shape[2:])).reshape(x.shape[2:][::-1]).transpose()
        number = spatial + np.arange(x.shape[0] * x.shape[1]).reshape(x.shape[:2] + (1,) * n) * spatial.size
    flat = view(x, -np.inf).reshape(*x.shape[:2], *count, int(np.prod(size)))
    valid = windows(inside, size, step, dilation, count).reshape(flat.shape) > 0
    best = flat.max(-1)
    first = np.argmax((flat == best[..., None]) & valid, -1)
    numbers = view(number, -1).reshape(flat.shape)
    return [best, np.take_along_axis(numbers, first[..., None], -1)[..., 0]]


# --- random nodes ---

def pick(rng, n, choices):
    return [int(v) for v in rng.choice(choices, n)]


def spatial(rng, n, big):
    return pick(rng, n, [5, 6, 7, 9, 12] if big else [4, 5, 6])


def some_conv(rng, op, x_shape):
    n = len(x_shape) - 2
    c = x_shape[1]
    group = int(rng.choice([g for g in (1, 1, 2, c) if c % g == 0]))
    each = int(rng.integers(1, 4))
    size = pick(rng, n, [1, 2, 3])
    a = {"group": group}
    if rng.random() < 0.7:
        a["strides"] = pick(rng, n, [1, 2, 3])
    if rng.random() < 0.4:
        a["dilations"] = pick(rng, n, [1, 2])
    if rng.random() < 0.25:
        size = a["strides"] = pick(rng, n, [1, 2])  # side by side
        a.pop("dilations", None)
    elif rng.random() < 0.3 and op == "Conv":
        a["auto_pad"] = str(rng.choice(["SAME_UPPER", "SAME_LOWER", "VALID"]))
    elif rng.random() < 0.7:
        a["pads"] = pick(rng, 2 * n, [0, 1, 2] if op == "Conv" else [0, 1])
    if rng.random() < 0.5:
        a["kernel_shape"] = size
    if op == "ConvTranspose" and rng.random() < 0.4:
        a["output_padding"] = [int(rng.integers(0, s)) for s in a.get("strides", [1] * n)]
    shape = [each * group, c // group] if op == "Conv" else [c, each]
    return a, rng.standard_normal(shape + size), rng.standard_normal(each * group) if rng.random() < 0.6 else None


def some_pool(rng, op, n):
    a = {"kernel_shape": pick(rng, n, [1, 2, 3])}
    if rng.random() < 0.7:
        a["strides"] = pick(rng, n, [1, 2, 3])
    if rng.random() < 0.4:
        a["dilations"] = pick(rng, n, [1, 2])
    if rng.random() < 0.3:
        a["auto_pad"] = str(rng.choice(["SAME_UPPER", "SAME_LOWER", "VALID"]))
    elif rng.random() < 0.7:
        a["pads"] = [int(rng.integers(0, k)) for k in a["kernel_shape"] * 2]
    if rng.random() < 0.5 and a.get("auto_pad", "NOTSET") == "NOTSET":
        a["ceil_mode"] = 1
    if op == "AveragePool" and rng.random() < 0.5:
        a["count_include_pad"] = 1
    if op == "MaxPool" and n == 2 and rng.random() < 0.5:
        a["storage_order"] = 1
    if op == "LpPool":
        a["p"] = int(rng.integers(1, 4))
    return a


class Model:
    """Nodes of one element type, each on an input of its own."""

    def __init__(self, dtype):
        self.dtype, self.nodes, self.inputs, self.outputs, self.weights, self.feeds, self.want = dtype, [], [], [], [], [], []

    def add(self, op, x, extra, attributes, want, what):
        i = len(self.feeds)
        names = [f"x{i}"]
        for k, e in enumerate(extra):
            if e is not None:
                self.weights.append(numpy_helper.from_array(e, f"w{i}_{k}"))
            names.append(f"w{i}_{k}" if e is not None else "")
        while names[-1] == "":
            names.pop()
        outs = [f"y{i}_{k}" for k in range(len(want))]
        self.nodes.append(h.make_node(op, names, outs, name=what[:200], **attributes))
        self.feeds.append(x)
        self.outputs += outs
        self.want += want

    def proto(self, symbolic):
        def info(name, v, prefix):
            dims = [f"{prefix}_{d}" for d in range(v.ndim)] if symbolic else v.shape
            if symbolic and prefix.startswith("x"):
                dims = [v.shape[d] if d == 1 else f"{prefix}_{d}" for d in range(v.ndim)]
            return h.make_tensor_value_info(name, h.np_dtype_to_tensor_dtype(v.dtype), dims)
        ins = [info(f"x{i}", x, f"x{i}") for i, x in enumerate(self.feeds)]
        outs = [info(name, w, name) for name, w in zip(self.outputs, self.want)]
        graph = h.make_graph(self.nodes, "g", ins, outs, self.weights)
        return h.make_model(graph, opset_imports=[h.make_opsetid("", 22)], ir_version=10)


def build(name, seed, count):
    dtype, _ = TYPES[name]
    rng = np.random.default_rng(seed)
    m = Model(dtype)
    while len(m.feeds) < count:
        n = int(rng.choice([1, 2, 2, 3]))
        op = str(rng.choice(["Conv", "Conv", "Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool"]))
        shape = [int(rng.choice([0, 1, 2], p=[0.05, 0.5, 0.45])), int(rng.choice([2, 4, 6]))] + spatial(rng, n, n < 3)
        x = rng.integers(-8, 9, shape).astype(np.float64) if op == "MaxPool" else rng.standard_normal(shape)
        x = x.astype(dtype)
        wide = x.astype(np.float64)
        if op.startswith("Conv"):
            a, w, b = some_conv(rng, op, shape)
            w, b = w.astype(dtype), None if b is None else b.astype(dtype)
            f = conv if op == "Conv" else conv_transpose
            y = [f(wide, w.astype(np.float64), None if b is None else b.astype(np.float64), a)]
            extra = [w, b]
        else:
            a, extra = some_pool(rng, op, n), []
            if name == "bf16" and op == "MaxPool":
                a.pop("storage_order", None)
            y = pool(op, wide, a)
        if any(min(v.shape[2:]) < 1 for v in y):
            continue
        y = [y[0].astype(dtype)] + [v.astype(np.int64) for v in y[1:]]
        m.add(op, x, extra, a, y, f"{op} {shape} {a} {[None if e is None else e.shape for e in extra]}")
    return m


# --- running ---

def run(what, command):
    done = subprocess.run(command, capture_output=True, timeout=300)
    if done.returncode:
        print(f"FAIL {what}: exit code {done.returncode}: {(done.stdout + done.stderr).decode('utf-8', 'replace').strip()[:600]}")
    return done.returncode == 0


def check(tools, what, model, feeds, want, tolerance):
    with tempfile.TemporaryDirectory() as folder:
        path, data = write_case(folder, model, feeds, want)
        limits = ["--rtol", str(tolerance), "--atol", str(tolerance)]
        ok = run(what, [tools[0], "--verify", *limits, path, data])
        if ok and len(tools) == 3:
            so = os.path.join(folder, "model.so")
            ok = run(what, [tools[1], ONE_ISA, path, "-o", so])
            ok = ok and run(what, [tools[2], so, "--test-data=" + data, f"--rtol={tolerance}", f"--atol={tolerance}"])
    return ok


def suite_resize(tools):
    """(passed, total) of the suite's Resize cases with constant operands."""
    folder = os.path.join(os.path.dirname(onnx.__file__), "backend", "test", "data", "node")
    passed, total = 0, 0
    for name in sorted(os.listdir(folder) if os.path.isdir(folder) else []):
        if not name.startswith(("test_resize_", "test_upsample_")) or name in DISPUTED:
            continue
        model = onnx.load(os.path.join(folder, name, "model.onnx"))
        data = os.path.join(folder, name, "test_data_set_0")
        tensors = [onnx.load_tensor(os.path.join(data, f"input_{i}.pb")) for i in range(len(model.graph.input))]
        want = numpy_helper.to_array(onnx.load_tensor(os.path.join(data, "output_0.pb")))
        for info, t in list(zip(model.graph.input, tensors))[1:]:
            t.name = info.name
            model.graph.initializer.append(t)
            model.graph.input.remove(info)
        feeds = [numpy_helper.to_array(tensors[0])]
        for symbolic in (False, True):
            if symbolic:
                if any(word in name for word in FIXED_ONLY):
                    continue
                for d, dim in enumerate(model.graph.input[0].type.tensor_type.shape.dim):
                    dim.dim_param = f"d{d}"
                model.graph.output[0].type.tensor_type.ClearField("shape")
            passed += check(tools[:1], f"{name}{' symbolic' * symbolic}", model, feeds, [want], 1e-4)
            total += 1
    return passed, total


# The suite takes the last place of a scaled axis at scale * extent - 1; ONNX's text, onnxruntime and xfc at the result's extent - 1.
DISPUTED = {"test_resize_downsample_scales_linear_align_corners", "test_resize_downsample_scales_cubic_align_corners"}
FIXED_ONLY = ("not_larger", "not_smaller", "antialias")


# --- what must be refused: op, shapes of the operands (x, then initializers), attributes, a word of the message ---

BIG = 1 << 62
REFUSED = [
    ("Conv", [(1, 4, 5, 5), (2, 4, 3, 3)], {"group": 0}, "positive number of groups"),
    ("Conv", [(1, 4, 5, 5), (2, 4, 3, 3)], {"group": BIG}, "positive number of groups"),
    ("Conv", [(1, 4, 5, 5), (3, 2, 3, 3)], {"group": 2}, "do not divide"),
    ("Conv", [(1, 4, 5, 5), (2, 3, 3, 3)], {}, "channels of image and weights"),
    ("Conv", [(1, 4, 5, 5), (2, 4, 3, 3), (3,)], {}, "bias and weights"),
    ("Conv", [(1, 4, 5, 5), (2, 4, 3, 3), (2, 1)], {}, "bias of rank 1"),
    ("Conv", [(1, 4, 5, 5), (2, 4, 3)], {}, "one rank"),
    ("Conv", [(1, 4), (2, 4)], {}, "rank of at least 3"),
    ("Conv", [(1, 4, 3, 3, 3, 3), (2, 4, 2, 2, 2, 2)], {}, "1 to 3 spatial dims"),
    ("Conv", [(1, 4, 5, 5), (2, 4, 3, 3)], {"strides": [1]}, "'strides' must hold 2"),
    ("Conv", [(1, 4, 5, 5), (2, 4, 3, 3)], {"strides": [0, 1]}, "'strides' must hold 2"),
    ("Conv", [(1, 4, 5, 5), (2, 4, 3, 3)], {"strides": [BIG, BIG]}, "'strides' must hold 2"),
    ("Conv", [(1, 4, 5, 5), (2, 4, 3, 3)], {"dilations": [1, 0]}, "'dilations' must hold 2"),
    ("Conv", [(1, 4, 5, 5), (2, 4, 3, 3)], {"dilations": [1, 1 << 31]}, "'dilations' must hold 2"),
    ("Conv", [(1, 4, 5, 5), (2, 4, 3, 3)], {"dilations": [1, 1 << 30]}, "does not fit"),
    ("Conv", [(1, 4, 5, 5), (2, 4, 3, 3)], {"pads": [1, 1]}, "'pads' must hold 4"),
    ("Conv", [(1, 4, 5, 5), (2, 4, 3, 3)], {"pads": [-1, 0, 0, 0]}, "'pads' must hold 4"),
    ("Conv", [(1, 4, 5, 5), (2, 4, 3, 3)], {"pads": [BIG] * 4}, "'pads' must hold 4"),
    ("Conv", [(1, 4, 5, 5), (2, 4, 3, 3)], {"kernel_shape": [3, 2]}, "'kernel_shape' and the shape of the weights do not agree"),
    ("Conv", [(1, 4, 5, 5), (2, 4, 3, 3)], {"auto_pad": "SAME"}, "'auto_pad' must be"),
    ("Conv", [(1, 4, 2, 2), (2, 4, 9, 9)], {}, "does not fit"),
    ("ConvTranspose", [(1, 4, 5, 5), (3, 2, 3, 3)], {}, "channels of image and weights"),
    ("ConvTranspose", [(1, 4, 5, 5), (4, 2, 3, 3)], {"output_shape": [9]}, "a number a spatial dim"),
    ("ConvTranspose", [(1, 4, 5, 5), (4, 2, 3, 3)], {"output_padding": [-1, 0]}, "'output_padding' is negative"),
    ("ConvTranspose", [(1, 4, 1, 1), (4, 2, 3, 3)], {"pads": [9, 9, 9, 9]}, ""),
    ("MaxPool", [(1, 4, 5, 5)], {}, "no attribute 'kernel_shape'"),
    ("MaxPool", [(1, 4, 5, 5)], {"kernel_shape": [0, 1]}, "'kernel_shape' must hold 2"),
    ("MaxPool", [(1, 4, 5, 5)], {"kernel_shape": [BIG, 1]}, "'kernel_shape' must hold 2"),
    ("AveragePool", [(1, 4, 5, 5)], {"kernel_shape": [2, 2, 2]}, "'kernel_shape' must hold 2"),
    ("AveragePool", [(1, 4)], {"kernel_shape": [1]}, "rank 2"),
    ("LpPool", [(1, 4, 5, 5)], {"kernel_shape": [2, 2], "p": 0}, "'p' must be a whole number of at least 1"),
    ("Resize", [(1, 4, 5, 5), None, [1.0, 1.0, 2.0]], {}, "needs 4 positive scales"),
    ("Resize", [(1, 4, 5, 5), None, [1.0, 1.0, 2.0, -2.0]], {}, "needs 4 positive scales"),
    ("Resize", [(1, 4, 5, 5), None, [1.0, 1.0, 2.0, float("nan")]], {}, "needs 4 positive scales"),
    ("Resize", [(1, 4, 5, 5), None, [1.0, 1.0, 2.0, 1e30]], {}, "needs 4 positive scales"),
    ("Resize", [(1, 4, 5, 5), None, None, [1, 4, -1, 5]], {}, "needs 4 positive scales"),
    ("Resize", [(1, 4, 5, 5)], {}, "needs 4 positive scales"),
    ("Resize", [(1, 4, 5, 5), None, [2.0, 2.0]], {"axes": [3, -1]}, "given twice"),
    ("Resize", [(1, 4, 5, 5), None, [2.0]], {"axes": [4]}, "axis 4 is outside"),
    ("Resize", [(1, 4, 5, 5), None, [1.0, 1.0, 2.0, 2.0]], {"mode": "quintic"}, "unknown value 'quintic'"),
    ("Resize", [(1, 4, 5, 5), None, [1.0, 1.0, 2.0, 2.0]], {"coordinate_transformation_mode": "tf_crop_and_resize"}, "needs a region"),
]


def refusals(tools):
    passed = 0
    for op, shapes, attributes, message in REFUSED:
        extra = [None if e is None else np.zeros(e, np.float32) if isinstance(e, tuple) else
                 np.asarray(e, np.int64 if isinstance(e[0], int) else np.float32) for e in shapes[1:]]
        m = Model(np.float32)
        m.add(op, np.zeros(shapes[0], np.float32), extra, attributes, [np.zeros((1,) * len(shapes[0]), np.float32)], op)
        with tempfile.TemporaryDirectory() as folder:
            path, _ = write_case(folder, m.proto(False), [], [])
            done = subprocess.run([tools[0], path], capture_output=True, timeout=60)
        text = (done.stdout + done.stderr).decode("utf-8", "replace")
        ok = done.returncode in (1, 3) and message in text
        passed += ok
        if not ok:
            print(f"FAIL {op} {shapes} {attributes}: exit code {done.returncode}, not '{message}': {text.strip()[:300]}")
    return passed


def main():
    if len(sys.argv) not in (2, 4):
        print(__doc__)
        return 2
    tools, passed, total = sys.argv[1:], 0, 0
    for name, (_, tolerance) in TYPES.items():
        for seed in range(4 if name == "f32" else 2):
            m = build(name, seed, 24)
            for symbolic in (False, True):
                what = f"{name}, seed {seed}{', symbolic' * symbolic}"
                passed += check(tools if seed == 0 else tools[:1], what, m.proto(symbolic), m.feeds, m.want, tolerance)
                total += 1
    more, refused = suite_resize(tools), refusals(tools)
    print(f"{passed} of {total} models of random windows, {more[0]} of {more[1]} cases of Resize are right, "
          f"{refused} of {len(REFUSED)} bad nodes are refused")
    return 0 if passed == total and more[0] == more[1] and more[1] and refused == len(REFUSED) else 1


if __name__ == "__main__":
    sys.exit(main())
