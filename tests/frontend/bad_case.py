"""How a bad model is declared, made and refused: what bad_input.py and the cases beside it share."""

import os
import re
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    from onnx import TensorProto as T
    from onnx import helper as h
    from onnx import numpy_helper
except ImportError:
    print("SKIP: the onnx package (onnx==1.22.0) is not installed")
    sys.exit(77)

CASES = []


def case(code, *patterns):
    """Declares a case: a function of its folder that returns the model, its bytes, or the path of a file."""
    def add(function):
        CASES.append((function.__name__, function, code, patterns))
        return function
    return add


def value(name, dtype=T.FLOAT, shape=(2, 3)):
    return h.make_tensor_value_info(name, dtype, shape)


def graph_of(nodes, inputs=None, outputs=None, initializers=()):
    return h.make_graph(nodes, "g", inputs or [value("x")], outputs or [value("y")], list(initializers))


def model_of(nodes, inputs=None, outputs=None, initializers=(), opset=17, **kw):
    graph = graph_of(nodes, inputs, outputs, initializers)
    return h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], ir_version=kw.pop("ir_version", 8), **kw)


def relu(name="relu"):
    return h.make_node("Relu", ["x"], ["y"], name=name)


def with_weight(tensor):
    return model_of([h.make_node("Add", ["x", "w"], ["y"], name="add")], initializers=[tensor])


def raw_weight(dims, data, data_type=T.FLOAT):
    t = T(name="w", data_type=data_type, raw_data=data)
    t.dims.extend(dims)
    return t


def varint(n):
    out = bytearray()
    while True:
        out.append((n & 0x7F) | (0x80 if n > 0x7F else 0))
        n >>= 7
        if not n:
            return bytes(out)


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def run_case(command, name, make, code, patterns):
    with tempfile.TemporaryDirectory() as outer:
        folder = os.path.join(outer, "model")
        os.mkdir(folder)
        made = make(folder)
        made, arguments = made if isinstance(made, tuple) else (made, [])
        path = made if isinstance(made, str) else os.path.join(folder, name + ".onnx")
        if not isinstance(made, str):
            with open(path, "wb") as f:
                f.write(made if isinstance(made, bytes) else made.SerializeToString())
        done = subprocess.run(command + arguments + [path], capture_output=True, timeout=120)
        errors = done.stderr.decode("utf-8", "replace").strip().splitlines()
        problems = []
        if done.returncode != code:
            problems.append(f"exit code {done.returncode}, expected {code}")
        for pattern in patterns:
            if not any(re.search(pattern, line) for line in errors):
                problems.append(f"no line matches /{pattern}/")
        if len(errors) != len(patterns):
            problems.append(f"{len(errors)} lines, expected {len(patterns)}")
        problems += [f"does not name the file: {line}" for line in errors if path not in line]
        if problems:
            print(f"FAIL {name}: {'; '.join(problems)}")
            print("\n".join("    " + line[:300] for line in errors[:5]))
        return not problems
