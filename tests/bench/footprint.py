#!/usr/bin/env python3
"""footprint.py - what a compile takes: peak memory of xfc, its time, and the size of the .so, over the model's size.

    tests/bench/footprint.py [--build build/release] [--scale 1] [--keep FOLDER] [--options OPTIONS] [KIND ...]

Makes models with random weights and compiles each in a process of its own; without KIND all of them:

    bert       an encoder as make_bert.py makes it, weights inside the file
    gpt        a decoder of GPT-2's architecture whose word table is its output projection too (Transpose, MatMul)
    gpt-copy   the same where the exporter stored the transposed table once more
    llama      RMSNorm, grouped heads and gated layers, a large tied table, weights in a file beside the model
    resnet     residual convolutions with BatchNormalization behind each
    mobilevit  depthwise convolutions with attention between

--scale multiplies the number of layers. Peak memory is the largest resident size that the kernel saw (ru_maxrss), so
it counts pages of mapped files that were in memory. --keep leaves the models and .so files in FOLDER.
"""
import argparse
import math
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

sys.path.insert(0, str(Path(__file__).resolve().parent))
import make_bert  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


class Writer(make_bert.Writer):
    """With the layers that decoders and convolutional nets have."""

    def tensor(self, name, array):
        self.bytes = 0  # external data: no limit
        return super().tensor(name, array)

    def conv(self, x, name, rows, columns, kernel, stride=1, group=1, norm=True):
        deviation = math.sqrt(2 / (columns // group * kernel * kernel))
        weight = self.normal(f"{name}.weight", (rows, columns // group, kernel, kernel), deviation)
        x = self.node("Conv", [x, weight], strides=[stride] * 2, pads=[kernel // 2] * 4, group=group)
        if norm:
            parts = [self.normal(f"{name}.{part}", rows, 0.1, mean) for part, mean in (("scale", 1), ("b", 0), ("m", 0))]
            variance = self.tensor(f"{name}.v", np.abs(self.random.standard_normal(rows, dtype=np.float32)) + 1)
            x = self.node("BatchNormalization", [x, *parts, variance])
        return x

    def attend(self, x, name, width, heads, kv_heads, causal):
        head = width // heads
        q, k, v = (self.node("Transpose", [self.node("Reshape", [self.linear(x, f"{name}.{part}", width, n * head),
                                                                 self.constant([0, 0, n, head])])], perm=[0, 2, 1, 3])
                   for part, n in (("q", heads), ("k", kv_heads), ("v", kv_heads)))
        if kv_heads != heads:
            k, v = (self.repeat(t, kv_heads, heads // kv_heads, head) for t in (k, v))
        scores = self.node("MatMul", [q, self.node("Transpose", [k], perm=[0, 1, 3, 2])])
        scores = self.node("Mul", [scores, self.constant(1 / math.sqrt(head), np.float32)])
        if causal:
            scores = self.node("Add", [scores, causal])
        heads_out = self.node("MatMul", [self.node("Softmax", [scores], axis=-1), v])
        joined = self.node("Reshape", [self.node("Transpose", [heads_out], perm=[0, 2, 1, 3]),
                                       self.constant([0, 0, width])])
        return self.linear(joined, f"{name}.out", width, width)

    def repeat(self, x, kv_heads, times, head):
        """Each head of keys or values `times` times."""
        sizes = [self.dim(x, 0), self.constant([kv_heads]), self.constant([times]), self.dim(x, 2),
                 self.constant([head])]
        x = self.node("Expand", [self.node("Unsqueeze", [x, self.constant([2])]), self.node("Concat", sizes, axis=0)])
        return self.node("Reshape", [x, self.constant([0, kv_heads * times, -1, head])])

    def causal(self):
        """0 where a token may look, a large negative number elsewhere."""
        length = self.node("Squeeze", [self.dim("input_ids", 1)])
        row = self.node("Range", [self.constant(0), length, self.constant(1)])
        allowed = self.node("LessOrEqual", [row, self.node("Unsqueeze", [row, self.constant([1])])])
        return self.node("Where", [allowed, self.constant(0.0, np.float32), self.constant(-1e9, np.float32)])

    def head(self, x, table, width, vocab, copy):
        """The output projection: the word table, transposed."""
        if copy:
            source = next(t for t in self.initializers if t.name == table)
            turned = self.tensor("head.weight", np.ascontiguousarray(onnx.numpy_helper.to_array(source).T))
        else:
            turned = self.node("Transpose", [table], perm=[1, 0])
        return self.node("MatMul", [x, turned], "logits")


def text_model(w, vocab):
    inputs = [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "sequence", vocab])]
    return inputs, outputs


def gpt(w, layers, copy=False, width=768, vocab=50257, heads=12):
    words = w.normal("wte", (vocab, width), 0.05)
    positions = w.node("Range", [w.constant(0), w.node("Squeeze", [w.dim("input_ids", 1)]), w.constant(1)])
    x = w.node("Add", [w.node("Gather", [words, "input_ids"]),
                       w.node("Gather", [w.normal("wpe", (1024, width), 0.05), positions])])
    mask = w.causal()
    for i in range(layers):
        name = w.scope = f"h.{i}"
        x = w.node("Add", [w.attend(w.norm(x, f"{name}.ln_1", width, False), f"{name}.attn", width, heads, heads, mask), x])
        inner = w.linear(w.norm(x, f"{name}.ln_2", width, False), f"{name}.fc", width, 4 * width)
        x = w.node("Add", [w.linear(make_bert.gelu(w, inner), f"{name}.proj", 4 * width, width), x])
    w.scope = "head"
    w.head(w.norm(x, "ln_f", width, False), words, width, vocab, copy)
    return text_model(w, vocab)


def rms_norm(w, x, name, width):
    square = w.node("ReduceMean", [w.node("Pow", [x, w.constant(2.0, np.float32)])], axes=[-1])
    root = w.node("Sqrt", [w.node("Add", [square, w.constant(1e-6, np.float32)])])
    return w.node("Mul", [w.normal(f"{name}.weight", width, 0.1, 1.0), w.node("Div", [x, root])])


def llama(w, layers, width=896, inner=4864, vocab=65536):
    words = w.normal("embed", (vocab, width), 0.05)
    x, mask = w.node("Gather", [words, "input_ids"]), w.causal()
    for i in range(layers):
        name = w.scope = f"layers.{i}"
        attended = w.attend(rms_norm(w, x, f"{name}.norm1", width), f"{name}.attn", width, 14, 2, mask)
        x = w.node("Add", [x, attended])
        normed = rms_norm(w, x, f"{name}.norm2", width)
        gate = w.linear(normed, f"{name}.gate", width, inner)
        gated = w.node("Mul", [w.node("Mul", [gate, w.node("Sigmoid", [gate])]),
                               w.linear(normed, f"{name}.up", width, inner)])
        x = w.node("Add", [x, w.linear(gated, f"{name}.down", inner, width)])
    w.scope = "head"
    w.head(rms_norm(w, x, "norm", width), words, width, vocab, False)
    return text_model(w, vocab)


def image_model(w, x, width):
    pooled = w.node("Flatten", [w.node("GlobalAveragePool", [x])])
    w.scope = "head"
    weight, bias = w.normal("fc.weight", (1000, width), 1 / math.sqrt(width)), w.normal("fc.bias", 1000, 0.1)
    w.node("Gemm", [pooled, weight, bias], "logits", transB=1)
    return ([helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 224, 224])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1000])])


def resnet(w, layers):
    x = w.node("MaxPool", [w.node("Relu", [w.conv("image", "stem", 64, 3, 7, 2)])], kernel_shape=[3, 3],
               strides=[2, 2], pads=[1] * 4)
    columns = 64
    for stage, blocks in enumerate((3, 4, 6, 3)):
        for i in range(max(1, round(blocks * layers))):
            name, inner = f"stage.{stage}.{i}", 64 << stage
            w.scope, stride = name, 2 if stage and not i else 1
            y = w.node("Relu", [w.conv(x, f"{name}.1", inner, columns, 1)])
            y = w.node("Relu", [w.conv(y, f"{name}.2", inner, inner, 3, stride)])
            y = w.conv(y, f"{name}.3", 4 * inner, inner, 1)
            x = w.node("Relu", [w.node("Add", [y, x if i else w.conv(x, f"{name}.skip", 4 * inner, columns, 1,
                                                                     stride)])])
            columns = 4 * inner
    return image_model(w, x, columns)


def mobilevit(w, layers):
    def swish(x):
        return w.node("Mul", [x, w.node("Sigmoid", [x])])

    x, columns = swish(w.conv("image", "stem", 16, 3, 3, 2)), 16
    for stage, (rows, width, blocks) in enumerate(((32, 0, 0), (64, 0, 0), (96, 144, 2), (128, 192, 4), (160, 240, 3))):
        name = w.scope = f"stage.{stage}"
        y = swish(w.conv(x, f"{name}.expand", 4 * columns, columns, 1))
        y = swish(w.conv(y, f"{name}.depthwise", 4 * columns, 4 * columns, 3, 2 if stage else 1, 4 * columns))
        x, columns = w.conv(y, f"{name}.project", rows, 4 * columns, 1), rows
        if width:
            local = w.conv(swish(w.conv(x, f"{name}.local", rows, rows, 3)), f"{name}.in", width, rows, 1, norm=False)
            size = 112 >> stage
            t = w.node("Transpose", [w.node("Reshape", [local, w.constant([0, width, size * size])])], perm=[0, 2, 1])
            for i in range(max(1, round(blocks * layers))):
                n = w.scope = f"{name}.block.{i}"
                t = w.node("Add", [w.attend(w.norm(t, f"{n}.norm1", width, False), n, width, 4, 4, None), t])
                inner = swish(w.linear(w.norm(t, f"{n}.norm2", width, False), f"{n}.fc1", width, 2 * width))
                t = w.node("Add", [w.linear(inner, f"{n}.fc2", 2 * width, width), t])
            w.scope = name
            t = w.node("Reshape", [w.node("Transpose", [t], perm=[0, 2, 1]), w.constant([0, width, size, size])])
            x = swish(w.conv(w.node("Concat", [x, w.conv(t, f"{name}.out", rows, width, 1)], axis=1), f"{name}.fuse",
                             rows, 2 * rows, 3))
    return image_model(w, swish(w.conv(x, "last", 640, columns, 1)), 640)


KINDS = {
    "bert": None,
    "gpt": lambda w, scale: gpt(w, max(1, round(12 * scale))),
    "gpt-copy": lambda w, scale: gpt(w, max(1, round(12 * scale)), True),
    "llama": lambda w, scale: llama(w, max(1, round(12 * scale))),
    "resnet": resnet,
    "mobilevit": mobilevit,
}


def build(function, *arguments, **options):
    """The model that gpt or another of its kind describes."""
    w = Writer(0)
    inputs, outputs = function(w, *arguments, **options)
    graph = helper.make_graph(w.nodes, function.__name__, inputs, outputs, w.initializers)
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


def model_of(kind, path, scale):
    if kind == "bert":
        return make_bert.make(make_bert.options([str(path)], layers=max(1, round(12 * scale))))
    return build(KINDS[kind], scale)


def write_apart(make, path, external=False):
    """Writes the model that make() returns, in a process of its own: what it leaves in memory would count for whom this
    one starts. Answers the bytes of its files."""
    child = os.fork()
    if child == 0:
        if external:
            onnx.save(make(), path, save_as_external_data=True, location=path.name + ".data")
        else:
            onnx.save(make(), path)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit(f"footprint: {path} cannot be made")
    return model_bytes(path)


def model_bytes(path):
    return sum(f.stat().st_size for f in (path, path.with_name(path.name + ".data")) if f.exists())


def measured(command):
    """Peak memory in bytes and seconds of a command that must succeed."""
    start, child = time.monotonic(), os.fork()
    if child == 0:
        os.execv(command[0], command)
    _, status, usage = os.wait4(child, 0)
    if status:
        sys.exit(f"footprint: {' '.join(command)}: status {status}")
    return usage.ru_maxrss * 1024, time.monotonic() - start


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("kinds", nargs="*", metavar="KIND")
    p.add_argument("--build", default=str(ROOT / "build/release"))
    p.add_argument("--scale", type=float, default=1)
    p.add_argument("--keep")
    p.add_argument("--options", default="", help="more options for xfc")
    a = p.parse_args()
    if unknown := set(a.kinds) - set(KINDS):
        p.error(f"no such model: {', '.join(sorted(unknown))}")
    xfc = next(f for f in (Path(a.build) / "bin/xfc", Path(a.build) / "tools/xfc") if f.exists())
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(a.keep or temporary)
        folder.mkdir(exist_ok=True)
        print(f"{'model':<10} {'MB':>7} {'peak MB':>8} {'over':>5} {'above 1.5':>9} {'so':>6} {'seconds':>8}")
        for kind in a.kinds or KINDS:
            path = folder / f"{kind}.onnx"
            size = model_bytes(path) or write_apart(lambda: model_of(kind, path, a.scale), path, kind == "llama")
            so = folder / f"{kind}.so"
            peak, seconds = measured([str(xfc), str(path), "-o", str(so), "-q", *a.options.split()])
            print(f"{kind:<10} {size / 1e6:7.1f} {peak / 1e6:8.1f} {peak / size:5.2f} {(peak - 1.5 * size) / 1e6:9.1f} "
                  f"{so.stat().st_size / size:6.3f} {seconds:8.1f}", flush=True)
            if not a.keep:
                for f in folder.glob(kind + ".*"):
                    f.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
