#!/usr/bin/env python3
"""Files that are no ONNX models: the message says what they are and what to do.

foreign.py EVAL_ONNX. Exit code 0, 1, or 77 (skipped) where the onnx package is missing.
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
        problems += [pointer_as_data(tool, folder), model_that_begins_as_a_text(tool, folder)]
    problems = [p for p in problems if p]
    print("\n".join(problems) or f"{len(FILES) + 2} files are recognised")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
