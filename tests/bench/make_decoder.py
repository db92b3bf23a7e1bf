#!/usr/bin/env python3
"""make_decoder.py - decoders with a cache, with random weights as ONNX, as exporters spell them.

    tests/bench/make_decoder.py OUT.onnx --family gpt2|whisper|t5 [--layers N] [--width N] [--heads N] [--inner N]
                                [--vocab N] [--seed 0]

The defaults are the full sizes: GPT-2 small, the decoder of Whisper-tiny, the decoder of T5-small. One step takes
input_ids [batch, sequence], position_ids (not t5), attention_mask [batch, past + sequence] (gpt2) or
encoder_attention_mask (t5), and for each layer what was computed before: past.N.key and past.N.value
[batch, heads, past, head], for whisper and t5 also cross.N.key and cross.N.value of the encoder. It answers logits and
present.N.key, present.N.value: past and now joined. The table of tokens is also the last weight. All sizes but those of
the model are dynamic. The same options make the same bytes.
"""
import argparse
import math
import os
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import make_bert

FAMILIES = {
    "gpt2": {"layers": 12, "width": 768, "heads": 12, "inner": 3072, "vocab": 50257, "positions": 1024},
    "whisper": {"layers": 4, "width": 384, "heads": 6, "inner": 1536, "vocab": 51865, "positions": 448},
    "t5": {"layers": 6, "width": 512, "heads": 8, "inner": 2048, "vocab": 32128, "positions": 0},
}
BUCKETS, FAR = 32, 128  # of t5's positions


class Decoder(make_bert.Writer):
    def __init__(self, a):
        super().__init__(a.seed)
        self.a, self.inputs, self.outputs = a, [], []
        self.head = a.width // a.heads

    def input(self, name, kind, shape):
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name, shape):
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return name

    def plain(self, x, name, columns, rows, bias):
        if bias:
            return self.linear(x, name, columns, rows)
        return self.node("MatMul", [x, self.normal(f"{name}.weight", (columns, rows), 1 / math.sqrt(columns))])

    def scaled(self, x, name):
        if self.a.family != "t5":
            return self.norm(x, name, self.a.width, False)
        square = self.node("Pow", [x, self.constant(2.0, np.float32)])
        mean = self.node("ReduceMean", [square], axes=[-1])
        root = self.node("Sqrt", [self.node("Add", [mean, self.constant(1e-6, np.float32)])])
        return self.node("Mul", [self.node("Div", [x, root]), self.normal(f"{name}.weight", self.a.width, 0.1, 1.0)])

    def split(self, x):
        heads = self.constant([0, 0, self.a.heads, self.head])
        return self.node("Transpose", [self.node("Reshape", [x, heads])], perm=[0, 2, 1, 3])

    def cached(self, x, layer, part):
        sizes = ["batch", self.a.heads, "past", self.head]
        past = self.input(f"past.{layer}.{part}", TensorProto.FLOAT, sizes)
        out = self.output(f"present.{layer}.{part}", ["batch", self.a.heads, "past + sequence", self.head])
        return self.node("Concat", [past, self.split(x)], out, axis=2)

    def attend(self, q, k, v, bias, name):
        scores = self.node("MatMul", [q, self.node("Transpose", [k], perm=[0, 1, 3, 2])])
        if self.a.family != "t5":
            scores = self.node("Mul", [scores, self.constant(1 / math.sqrt(self.head), np.float32)])
        if bias:
            scores = self.node("Add", [scores, bias])
        mix = self.node("MatMul", [self.node("Softmax", [scores], axis=-1), v])
        together = self.node("Reshape", [self.node("Transpose", [mix], perm=[0, 2, 1, 3]),
                                         self.constant([0, 0, self.a.width])])
        return self.plain(together, f"{name}.out", self.a.width, self.a.width, self.a.family != "t5")

    def self_attention(self, x, layer, bias):
        name, width, biased = f"layer.{layer}.self", self.a.width, self.a.family != "t5"
        if self.a.family == "gpt2":
            joined = self.linear(x, f"{name}.qkv", width, 3 * width)
            parts = [f"{self.scope}/part_{layer}_{i}" for i in range(3)]
            sizes = self.constant([width] * 3)
            self.nodes.append(helper.make_node("Split", [joined, sizes], parts, name=f"{name}_split", axis=2))
        else:
            parts = [self.plain(x, f"{name}.{part}", width, width, biased) for part in ("q", "k", "v")]
        k, v = (self.cached(y, layer, part) for y, part in zip(parts[1:], ("key", "value")))
        return self.attend(self.split(parts[0]), k, v, bias, name)

    def cross_attention(self, x, layer, bias):
        name, sizes = f"layer.{layer}.cross", ["batch", self.a.heads, "encoder", self.head]
        q = self.plain(x, f"{name}.q", self.a.width, self.a.width, self.a.family != "t5")
        k, v = (self.input(f"cross.{layer}.{part}", TensorProto.FLOAT, sizes) for part in ("key", "value"))
        return self.attend(self.split(q), k, v, bias, name)

    def feed_forward(self, x, layer):
        a, name, biased = self.a, f"layer.{layer}.mlp", self.a.family != "t5"
        inner = self.plain(x, f"{name}.in", a.width, a.inner, biased)
        if a.family == "t5":
            inner = self.node("Relu", [inner])
        elif a.family == "whisper":
            inner = make_bert.gelu(self, inner)
        else:
            cube = self.node("Mul", [self.node("Pow", [inner, self.constant(3.0, np.float32)]),
                                     self.constant(0.044715, np.float32)])
            arg = self.node("Mul", [self.node("Add", [inner, cube]),
                                    self.constant(math.sqrt(2 / math.pi), np.float32)])
            one = self.node("Add", [self.node("Tanh", [arg]), self.constant(1.0, np.float32)])
            inner = self.node("Mul", [self.node("Mul", [inner, self.constant(0.5, np.float32)]), one])
        return self.plain(inner, f"{name}.out", a.inner, a.width, biased)


def key_and_query(w):
    """Positions [1, past + sequence] of the keys and [sequence, 1] of the queries."""
    past, now = w.dim("past.0.key", 2), w.dim("input_ids", 1)
    ends = [w.node("Squeeze", [x]) for x in (past, w.node("Add", [past, now]))]
    key = w.node("Range", [w.constant(0), ends[1], w.constant(1)])
    query = w.node("Range", [ends[0], ends[1], w.constant(1)])
    return w.node("Unsqueeze", [key, w.constant([0])]), w.node("Unsqueeze", [query, w.constant([1])])


def additive(w, mask):
    """0 where a mask [batch, n] of integers is 1, else the lowest number: [batch, 1, 1, n]."""
    mask = w.node("Cast", [w.node("Unsqueeze", [mask, w.constant([1, 2])])], to=TensorProto.FLOAT)
    return w.node("Mul", [w.node("Sub", [w.constant(1.0, np.float32), mask]),
                          w.constant(make_bert.LOWEST, np.float32)])


def causal(w):
    key, query = key_and_query(w)
    seen = w.node("LessOrEqual", [key, query])
    return w.node("Where", [seen, w.constant(0.0, np.float32), w.constant(make_bert.LOWEST, np.float32)])


def relative(w):
    """T5's bias [1, heads, sequence, past + sequence] by logarithmic buckets of the distance."""
    key, query = key_and_query(w)
    near, last = BUCKETS // 2, w.constant(BUCKETS - 1)
    distance = w.node("Max", [w.node("Sub", [query, key]), w.constant(0)])
    ratio = w.node("Div", [w.node("Cast", [distance], to=TensorProto.FLOAT), w.constant(float(near), np.float32)])
    ratio = w.node("Max", [ratio, w.constant(1.0, np.float32)])
    steps = w.node("Mul", [w.node("Log", [ratio]), w.constant(near / math.log(FAR / near), np.float32)])
    far = w.node("Add", [w.node("Cast", [steps], to=TensorProto.INT64), w.constant(near)])
    bucket = w.node("Where", [w.node("Less", [distance, w.constant(near)]), distance, w.node("Min", [far, last])])
    bias = w.node("Gather", [w.normal("relative.weight", (BUCKETS, w.a.heads), 0.5), bucket])
    bias = w.node("Unsqueeze", [w.node("Transpose", [bias], perm=[2, 0, 1]), w.constant([0])])
    return w.node("Add", [bias, causal(w)])


def make(a):
    w = Decoder(a)
    w.scope = "decoder"
    ids = w.input("input_ids", TensorProto.INT64, ["batch", "sequence"])
    table = w.normal("tokens.weight", (a.vocab, a.width), 0.05)
    x, cross = w.node("Gather", [table, ids]), None
    if a.positions:
        at = w.input("position_ids", TensorProto.INT64, ["batch", "sequence"])
        x = w.node("Add", [x, w.node("Gather", [w.normal("positions.weight", (a.positions, a.width), 0.05), at])])
    bias = relative(w) if a.family == "t5" else causal(w)
    if a.family == "gpt2":
        bias = w.node("Add", [bias, additive(w, w.input("attention_mask", TensorProto.INT64,
                                                        ["batch", "past + sequence"]))])
    if a.family == "t5":
        cross = additive(w, w.input("encoder_attention_mask", TensorProto.INT64, ["batch", "encoder"]))
    for i in range(a.layers):
        w.scope = f"layer.{i}"
        x = w.node("Add", [w.self_attention(w.scaled(x, f"{w.scope}.norm1"), i, bias), x])
        if a.family != "gpt2":
            x = w.node("Add", [w.cross_attention(w.scaled(x, f"{w.scope}.norm2"), i, cross), x])
        x = w.node("Add", [w.feed_forward(w.scaled(x, f"{w.scope}.norm3"), i), x])
    w.scope = "head"
    x = w.scaled(x, "head.norm")
    out = w.output("logits", ["batch", "sequence", a.vocab])
    w.node("MatMul", [x, w.node("Transpose", [table], perm=[1, 0])], out)
    graph = helper.make_graph(w.nodes, a.family, w.inputs, w.outputs, w.initializers)
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)],
                             producer_name="make_decoder")


def options(argv=(), **more):
    """The options as an object; more overrides by name."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out")
    p.add_argument("--family", choices=FAMILIES, default="gpt2")
    for name in FAMILIES["gpt2"]:
        p.add_argument(f"--{name}", type=int)
    p.add_argument("--seed", type=int, default=0)
    a = p.parse_args(argv)
    for name, value in more.items():
        setattr(a, name, value)
    for name, value in FAMILIES[a.family].items():
        if getattr(a, name) is None:
            setattr(a, name, value)
    if a.width % a.heads:
        p.error("the width must be a multiple of the heads")
    return a


def main():
    a = options(sys.argv[1:])
    onnx.save(make(a), a.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
