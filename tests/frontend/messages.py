#!/usr/bin/env python3
"""What is no model, what is one that xfc cannot compile, and options for another one: the message says what it is and what
to do.

messages.py EVAL_ONNX. Exit code 0, 1, or 77 (skipped) where the onnx package is missing.
"""

import gzip
import io
import os
import pickle
import struct
import sys
import tarfile
import tempfile
import zipfile

try:
    import numpy as np
    from onnx import TensorProto as T
    from onnx import helper as h
    from onnx import numpy_helper

    from cases import outcome
except ImportError:
    print("SKIP: the onnx package (onnx==1.22.0) is not installed")
    sys.exit(77)

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345678\n"


def zipped(*names):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name in names:
            z.writestr(name, b"data")
    return out.getvalue()


def tarred(name):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        info = tarfile.TarInfo(name)
        info.size = 4
        t.addfile(info, io.BytesIO(b"data"))
    return out.getvalue()


def array():
    out = io.BytesIO()
    np.save(out, np.zeros(3))
    return out.getvalue()


SAFETENSORS = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
FILES = [
    (POINTER, "a Git LFS pointer.*git lfs pull"),
    (b"<!DOCTYPE html>\n<html><head><title>Sign in</title>", r"web page.*<!DOCTYPE html>.*download"),
    (b"\xef\xbb\xbf\r\n  <html lang='fran\xc3\xa7ais'>", "web page"),
    (b"<?xml version='1.0'?><net name='m'>", "HTML or XML"),
    (b"Entry not found", "a text .'Entry not found'.; download"),
    (b'{\n  "architectures": ["BertModel"]\n}', "a text"),
    (zipped("model/model.onnx"), "a zip archive; unpack"),
    (zipped("archive/data.pkl", "archive/data/0"), r"a PyTorch file;.*torch\.onnx\.export"),
    (pickle.dumps({"w": [1.0]}, protocol=2), "a Python pickle"),
    (pickle.dumps({"w": [1.0]}, protocol=4), "a Python pickle"),
    (struct.pack("<Q", len(SAFETENSORS)) + SAFETENSORS + bytes(4), "a safetensors file.*export the model"),
    (b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "a GGUF file"),
    (b"\x7fELF\x02\x01\x01" + bytes(57), "a compiled library or program.*xf-run"),
    (b"\x89HDF\r\n\x1a\n" + bytes(64), "HDF5.*tf2onnx"),
    (b"\x1c\0\0\0TFL3" + bytes(64), "TensorFlow Lite"),
    (b"\x1c\0\0\0ORTM" + bytes(64), "onnxruntime's own format"),
    (array(), "a NumPy array"),
    (gzip.compress(b"model"), "a gzip archive"),
    (tarred("model.onnx"), "a tar archive"),
]


OPERATORS = [
    ("", "Frobnicate", "replace it by operators of docs/support.md"),
    ("", "RandomNormalLike", "make the random numbers an input"),
    ("com.microsoft", "QLinearFrobnicate", "as it was before quantisation"),
    ("com.microsoft", "BeamSearch", "export the decoder alone"),
    ("com.microsoft", "Frobnicate", "before onnxruntime's optimiser"),
    ("ai.onnx.ml", "DictVectorizer", "maps are none"),
    ("ai.onnx.ml", "Frobnicate", "no neural network"),
    ("com.example", "Relu", "export the model without operators of this domain"),
]


def model_of(nodes, inputs, initializers=()):
    graph = h.make_graph(nodes, "g", inputs, [h.make_tensor_value_info("y", T.FLOAT, None)], list(initializers))
    opsets = [h.make_opsetid(d, 1) for d in {n.domain for n in nodes if n.domain}]
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17), *opsets], ir_version=8).SerializeToString()


def unsupported(domain, op):
    x = h.make_tensor_value_info("x", T.FLOAT, [2])
    return model_of([h.make_node(op, ["x"], ["y"], domain=domain, name="odd")], [x])


def squeezed_if_one(condition, inputs, initializers=()):
    """torch's squeeze of a dim: another rank where it is 1."""
    unknown = h.make_tensor_value_info("o", T.FLOAT, None)
    then = h.make_graph([h.make_node("Squeeze", ["x", "axis"], ["o"])], "then", [], [unknown])
    other = h.make_graph([h.make_node("Identity", ["x"], ["o"])], "else", [], [unknown])
    nodes = [*condition, h.make_node("If", ["c"], ["y"], name="squeeze", then_branch=then, else_branch=other)]
    constants = [numpy_helper.from_array(np.array([v]), name) for name, v in (("axis", 1), ("one", 1))]
    return model_of(nodes, inputs, [*constants, *initializers])


def by_size():
    x = h.make_tensor_value_info("x", T.FLOAT, ["n", "t"])
    return squeezed_if_one([h.make_node("Shape", ["x"], ["s"], start=1), h.make_node("Greater", ["s", "one"], ["c"])], [x])


def by_data():
    inputs = [h.make_tensor_value_info("x", T.FLOAT, ["n", "t"]), h.make_tensor_value_info("k", T.INT64, [1])]
    return squeezed_if_one([h.make_node("Equal", ["k", "one"], ["c"])], inputs)


def rank_from_data():
    inputs = [h.make_tensor_value_info("x", T.FLOAT, ["n"]), h.make_tensor_value_info("k", T.INT64, ["r"])]
    return model_of([h.make_node("Reshape", ["x", "k"], ["y"], name="r")], inputs)


def identity(**dims):
    inputs = [h.make_tensor_value_info(name, T.FLOAT, shape) for name, shape in dims.items()]
    return model_of([h.make_node("Neg", [inputs[0].name], ["y"])], inputs)


IDS = {"input_ids": ["batch", "sequence"], "attention_mask": ["batch", "sequence"]}
MODELS = [(unsupported(domain, op), [], rf"'odd'.*{op} is not supported; .*{advice}") for domain, op, advice in OPERATORS] + [
    (by_size(), [], r"'squeeze'.*f32\[n\] in one branch and f32\[n, t\].*all sizes of 't'.* --dim t=8 or --dim t=2"),
    (by_data(), [], r"'squeeze'.*known at run time only; export with the condition fixed"),
    (rank_from_data(), [], r"'r'.*operand 'k' has a length that is not known, so that nobody can know the rank of the result"),
    (identity(**IDS), ["--shape", "input_id=1x2"], "no such input; it has 'input_ids', 'attention_mask'; did you mean 'input_ids'"),
    (identity(**IDS), ["--shape", "zz=1x2"], "no such input; it has 'input_ids', 'attention_mask'$"),
    (identity(**IDS), ["--shape", "input_ids=1x2", "--shape", "input_ids=1x3"], "was given before"),
    (identity(**IDS), ["--shape", "input_ids=8"], "the input has 2 dims, not 1"),
    (identity(x=[2, "n"]), ["--shape", "x=3x4"], "the model fixes dim 0 at 2"),
    (identity(**IDS), ["--dim", "sequense=8"], "no such dim; it has 'batch', 'sequence'; did you mean 'sequence'"),
    (identity(**IDS), ["--dim", "batch=sequenc"], "no such dim; it has 'batch', 'sequence'; did you mean 'sequence'"),
]


def model_refused(tool, folder, data, options, pattern):
    path = os.path.join(folder, "model.onnx")
    with open(path, "wb") as f:
        f.write(data)
    return outcome([tool, *options, path], "(?m)model.onnx: error: .*" + pattern)


def refused(tool, folder, data, pattern):
    path = os.path.join(folder, "model.onnx")
    with open(path, "wb") as f:
        f.write(data)
    return outcome([tool, path], "model.onnx: error: not a readable ONNX file: it is .*" + pattern)


def pointer_as_data(tool, folder):
    """The model came, its weights did not."""
    w = T(name="w", data_type=T.FLOAT, data_location=T.EXTERNAL, dims=[1000])
    w.external_data.add(key="location", value="weights.bin")
    x = h.make_tensor_value_info("x", T.FLOAT, [1000])
    model = h.make_model(h.make_graph([h.make_node("Add", ["x", "w"], ["y"])], "g", [x], [h.make_tensor_value_info("y", T.FLOAT, [1000])], [w]),
                         opset_imports=[h.make_opsetid("", 17)], ir_version=8)
    for name, data in (("weights.bin", POINTER), ("outer.onnx", model.SerializeToString())):
        with open(os.path.join(folder, name), "wb") as f:
            f.write(data)
    return outcome([tool, os.path.join(folder, "outer.onnx")], "external data 'weights.bin' is a Git LFS pointer.*git lfs pull")


def model_that_begins_as_a_text(tool, folder):
    """A field order that nobody writes, but that is valid: the description first, all of it letters."""
    x, y = (h.make_tensor_value_info(name, T.FLOAT, [1]) for name in "xy")
    model = h.make_model(h.make_graph([h.make_node("Neg", ["x"], ["y"])], "g", [x], [y]), opset_imports=[h.make_opsetid("", 17)], ir_version=8)
    text = b"All of this describes the model, which follows behind it, in plain letters"
    path = os.path.join(folder, "model.onnx")
    with open(path, "wb") as f:
        f.write(b"2" + bytes([len(text)]) + text + model.SerializeToString())
    return outcome([tool, path], None)


def main():
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    tool = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        problems = [refused(tool, folder, *row) for row in FILES]
        problems += [model_refused(tool, folder, *row) for row in MODELS]
        problems += [pointer_as_data(tool, folder), model_that_begins_as_a_text(tool, folder)]
    problems = [p for p in problems if p]
    print("\n".join(problems) or f"{len(FILES) + len(MODELS) + 2} messages say what to do")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
