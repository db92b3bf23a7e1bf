"""Names that nobody likes: paths.py XFC XF_RUN XF_DUMP

Folders, models, external data, outputs, weights beside them, tensors and TMPDIR are called so; everything works, messages stay on
one line, and the model's own files stay as they are. Needs onnx and numpy (exit code 77).
"""

import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    from onnx import TensorProto as T, helper as h, numpy_helper
except ImportError as e:
    print("SKIP:", e)
    sys.exit(77)

XFC, XF_RUN, XF_DUMP = (os.fsencode(os.path.abspath(p)) for p in sys.argv[1:])
NAMES = [
    "mit Leer, 'q' \"Q\" $HOME `id` %s%n;&[a]*? Größe 模型=2".encode(),
    b"@\xff\xfe\nnext\ttab\\",
    b"-o",
]
wrong = []


def run(what, code, *command, **more):
    done = subprocess.run(command, capture_output=True, timeout=120, check=False, **more)
    if done.returncode != code:
        wrong.append(f"{what}: ended with {done.returncode}, not {code}: {done.stderr[:400]}")
    if code and done.stderr.count(b"\n") != 1:
        wrong.append(f"{what}: not one line: {done.stderr[:400]}")
    return done


def save(path, array):
    with open(path, "wb") as f:
        np.save(f, array)


def write_model(folder, name):
    weight = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
    data = b"w " + name
    tensor = T(name="w", data_type=T.FLOAT, data_location=T.EXTERNAL, dims=[4, 3])
    try:
        tensor.external_data.add(key="location", value=data.decode())
        with open(os.path.join(folder, data), "wb") as f:
            f.write(weight.tobytes())
    except UnicodeDecodeError:  # protobuf's strings are UTF-8
        tensor = numpy_helper.from_array(weight, "w")
    x, y = (h.make_tensor_value_info(n, T.FLOAT, ["n", d]) for n, d in (("x", 4), ("y", 3)))
    graph = h.make_graph([h.make_node("MatMul", ["x", "w"], ["y"], "müßig\n")], "g", [x], [y], [tensor])
    with open(os.path.join(folder, name), "wb") as f:
        f.write(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8).SerializeToString())
    return weight, os.path.join(folder, data) if tensor.external_data else None


def check(outer, name):
    folder = os.path.join(outer, name)
    temporary = os.path.join(folder, b"t " + name)
    os.makedirs(temporary)
    weight, data = write_model(folder, name)
    model = os.path.join(folder, name)
    environment = {**os.environ, "TMPDIR": os.fsdecode(temporary)}
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    tensors = [os.path.join(folder, part + name + b".npy") for part in (b"x ", b"y ")]
    save(tensors[0], x)
    for how in (b"embed", b"sidecar"):
        so = model + b" " + how + b".so"
        run(f"{name} {how}", 0, XFC, model, b"-q", b"-march=x86-64-v2", b"-o", so, b"--weights=" + how, env=environment)
        run(f"{name} {how}", 0, XF_RUN, so, b"--input=x=@" + tensors[0], b"--output=y=@" + tensors[1])
        run(f"{name} {how}", 0, XF_DUMP, so)
        y = np.load(tensors[1])
        if not np.allclose(y, x @ weight, rtol=1e-5, atol=1e-6):
            wrong.append(f"{name} {how}: {y}")
        os.unlink(tensors[1])
    if os.listdir(temporary):
        wrong.append(f"{name}: left {os.listdir(temporary)}")
    inside = [b"./" + os.path.basename(p) for p in (model, so)]
    if data:
        kept = open(data, "rb").read()
        run(f"{name} over its data", 2, XFC, model, b"-o", data, env=environment)
        if open(data, "rb").read() != kept:
            wrong.append(f"{name}: its external data was lost")
        os.unlink(data)
        run(f"{name} without its data", 4, XFC, inside[0], b"-o", b"./x.so", cwd=folder)
    run(f"{name} as an unknown option", 2, XFC, b"--no" + name, model)
    run(f"{name} as no model", 4, XF_RUN, inside[1] + b".none", cwd=folder)
    run(f"{name} relative", 0, XF_RUN, b"--list", b"--", os.path.basename(so), cwd=folder)


with tempfile.TemporaryDirectory() as outer_folder:
    for each in NAMES:
        check(os.fsencode(outer_folder), each)
print("\n".join(wrong) or "all names work")
sys.exit(1 if wrong else 0)
