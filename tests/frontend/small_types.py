#!/usr/bin/env python3
"""Numbers of fewer bits than a byte, and floats of 8 bits, as inputs and outputs: interpreter, compiled code, xf.py, xf-run.

small_types.py EVAL_ONNX XFC XF_RUN XF_PY; exit code 77 without the packages onnx and ml_dtypes."""
import os
import subprocess
import sys
import tempfile

import numpy as np

try:
    import ml_dtypes
except ImportError:
    print("SKIP: the package ml_dtypes is not installed")
    sys.exit(77)
import cases
from cases import ONE_ISA, end, fail, load_xf, write_model
import onnx
from onnx import helper as h

TOOLS, XF_PY = sys.argv[1:4], sys.argv[4]
RNG = np.random.default_rng(5)
F = np.float32
INTS = ("int4", "uint4", "int2", "uint2")
SHORT = {"int4": "i4", "uint4": "u4", "int2": "i2", "uint2": "u2", "float4_e2m1fn": "f4e2m1"}
FOURS = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.5, -1, -1.5, -2, -3, -4, -6], F)


def small(name):
    return np.dtype(getattr(ml_dtypes, name))


def of_type(x):
    return h.np_dtype_to_tensor_dtype(x.dtype)


def model(nodes, inputs, outputs, constants=()):
    """Inputs have open dims: how many bytes they take is known when the model runs."""
    return h.make_model(h.make_graph(
        nodes, "g",
        [h.make_tensor_value_info(n, of_type(x), [f"{n}_{d}" for d in range(x.ndim)]) for n, x in inputs.items()],
        [h.make_tensor_value_info(n, of_type(x), [None] * x.ndim) for n, x in outputs.items()],
        [onnx.numpy_helper.from_array(x, n) for n, x in dict(constants).items()]),
        opset_imports=[h.make_opsetid("", 25)], ir_version=13)


def run(name, nodes, inputs, outputs, constants=()):
    cases.run(name, model(nodes, inputs, outputs, constants), [(list(inputs.values()), list(outputs.values()))])


def cast(name, to):
    return h.make_node("Cast", ["x"], ["y"], to=h.np_dtype_to_tensor_dtype(small(to) if isinstance(to, str) else np.dtype(to)))


def numbers(name, *shape):
    if name not in INTS:
        return RNG.choice(FOURS, shape).astype(small(name))
    i = ml_dtypes.iinfo(small(name))
    return RNG.integers(int(i.min), int(i.max), shape, endpoint=True).astype(small(name))


# ---- in and out, with every number of elements in the last byte ----

for name in SHORT:
    for shape in ((), (1,), (2,), (3,), (3, 5), (0, 3), (5, 7, 11)):
        x = numbers(name, *shape)
        wide = x.astype(np.float32)
        run(f"{name} {shape}", [h.make_node("Identity", ["x"], ["same"]), cast("x", np.float32),
                                h.make_node("Transpose", ["x"], ["turned"]), h.make_node("Identity", ["same"], ["again"])],
            {"x": x}, {"same": x, "y": wide, "turned": x.T.copy(), "again": x})
    x, table = np.array([4, 0, 3, 3], np.int64), numbers(name, 5, 3)
    run(f"rows of {name}", [h.make_node("Gather", ["table", "x"], ["y"])], {"x": x}, {"y": table[x]}, {"table": table})
    run(f"a constant {name}", [h.make_node("Identity", ["table"], ["y"]), h.make_node("Identity", ["x"], ["z"])], {"x": x}, {"y": table, "z": x},
        {"table": table})

# ---- quantized ----

for name in INTS:
    i, x = ml_dtypes.iinfo(small(name)), RNG.normal(0, 3, (3, 7)).astype(F)
    zero, scale = numbers(name, 3), np.array([0.5, 1, 2], F)
    q = np.clip(np.rint(x / scale[:, None]) + zero.astype(F)[:, None], int(i.min), int(i.max)).astype(small(name))
    run(f"to {name}", [h.make_node("QuantizeLinear", ["x", "s", "z"], ["y"], axis=0)], {"x": x, "z": zero}, {"y": q}, {"s": scale})
    back = (q.astype(F) - zero.astype(F)[:, None]) * scale[:, None]
    run(f"from {name}", [h.make_node("DequantizeLinear", ["x", "s", "z"], ["y"], axis=0)], {"x": q, "z": zero}, {"y": back}, {"s": scale})
x = np.array([0.24, 0.25, 0.26, 0.75, 1.25, 1.75, 2.5, 3.5, 5, 5.01, 7, 1e9, np.inf, -np.inf, -0.3, -2.6, 0], F)
run("to float4", [cast("x", "float4_e2m1fn")], {"x": x}, {"y": x.astype(small("float4_e2m1fn"))})

tiny = np.array([0x400000, 0x400001, 1, 0x600000, 0, 0x800000, 0xC00000, 0x7F000000, 0x7F400000, 0x7F400001, 0x7F7FFFFF, 0x7F800000, 0x7FC00000], np.uint32)
x = np.concatenate([tiny.view(F), F([1, 1.5, 1.4999, 1.5001, 3, 0.75, 100, 2.0**-20])])
for mode in ("up", "down", "nearest"):
    for saturate in (1, 0):
        y = onnx.numpy_helper.to_float8e8m0(x, bool(saturate), mode)
        run(f"to float8e8m0, {mode}, {saturate}", [h.make_node("Cast", ["x"], ["y"], to=onnx.TensorProto.FLOAT8E8M0, round_mode=mode, saturate=saturate)],
            {"x": x}, {"y": y})
x, scale = np.array([[1, 300, 1000, -1e5, 448, 464.1], [1, 2, 3000, np.inf, np.nan, -0.1]], F), np.array([1, 2], F)
for name in ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"):
    run(f"to {name} and beyond", [h.make_node("QuantizeLinear", ["x", "s", "z"], ["y"], axis=0, saturate=0)], {"x": x},
        {"y": (x / scale[:, None]).astype(small(name))}, {"s": scale, "z": np.zeros(2, small(name))})
    for block in (4, 3, 6):
        each = (RNG.random((2, -(-6 // block))) + 0.5).astype(F)
        run(f"to {name} and beyond, in blocks of {block}", [h.make_node("QuantizeLinear", ["x", "s", "z"], ["y"], axis=1, block_size=block, saturate=0)],
            {"x": x, "s": each}, {"y": (x / each.repeat(block, 1)[:, :6]).astype(small(name))}, {"z": np.zeros(each.shape, small(name))})


# ---- what hosts see ----

def expect(name, good):
    if not good:
        fail(name, "wrong")


def said(so, *arguments):
    done = subprocess.run([TOOLS[2], so, *arguments], capture_output=True, timeout=60)
    return (done.stdout + done.stderr).decode()


def session(xf, name, folder):
    so, x = os.path.join(folder, "model.so"), numbers(name, 5, 3)
    m = model([h.make_node("Identity", ["x"], ["y"]), h.make_node("Transpose", ["x"], ["z"])], {"x": x}, {"y": x, "z": x})
    subprocess.run([TOOLS[1], "-q", ONE_ISA, write_model(folder, m), "-o", so], check=True, timeout=120)
    with xf.InferenceSession(so) as s:
        y, z = s.run(None, {"x": x})
        expect(f"xf.py: {name}", y.dtype == x.dtype and np.array_equal(y, x) and np.array_equal(z, x.T))
        mine = np.zeros((5, 3), x.dtype)
        s.run(["y"], {"x": x}, out={"y": mine})
        expect(f"xf.py: {name} in memory of the caller", np.array_equal(mine, x))
        expect(f"xf.py: {name} declared", s.get_inputs()[0].type == f"tensor({name})" and s.signature["inputs"][0]["dtype"] == name)
        for wrong in (np.full((5, 3), 16), x.astype(F)):
            try:
                s.run(None, {"x": wrong})
                fail(f"xf.py: {name}", f"takes {wrong.dtype}")
            except xf.Error as e:
                expect(f"xf.py: {name} refuses", name in str(e))
    file = os.path.join(folder, "x.npy")
    np.save(file, x.view(np.uint8) & 15 if name == "float4_e2m1fn" else x.astype(np.int8 if name[0] == "i" else np.uint8))
    expect(f"xf-run: {name} of a file", "ok" in said(so, f"--input=x=@{file}", f"--expected=y=@{file}", f"--output=y=@{folder}/y.npy"))
    expect(f"xf-run: {name} to a file", np.array_equal(np.load(folder + "/y.npy"), np.load(file)))
    expect(f"xf-run: {name} lists", f": {SHORT[name]}[x_0" in said(so, "--list"))
    expect(f"xf-run: {name} in place", "= 1, 0, 1" in said(so, "--input=x=1x3=1 0 1") and "is no" in said(so, "--input=x=1x3=1 16 1"))
    expect(f"xf-run: one {name} for all", f"{SHORT[name]}[3, 3] = 1, 1, 1, 1, 1, 1, 1, 1, ... (min 1" in said(so, f"--input=x=3x3x{SHORT[name]}=1") or
           name == "float4_e2m1fn")
    np.save(file, np.full((1, 3), 16, np.uint8))
    expect(f"xf-run: {name} that does not fit", "is no" in said(so, f"--input=x=@{file}"))


for name in SHORT:
    with tempfile.TemporaryDirectory() as folder:
        session(load_xf(XF_PY), name, folder)

end()
