#!/usr/bin/env python3
"""make_bert.py - a text encoder of BERT's architecture with random weights as ONNX, as PyTorch's exporter spells it.

    tests/bench/make_bert.py OUT.onnx [--layers 12] [--width 768] [--heads 12] [--norm op|spelled]
                             [--attention spelled|fused] [--pooling cls|mean|last|end|weighted|none]
                             [--mask int64|int32|bool|float32] [--vocab 30522] [--positions 512] [--inner N] [--seed 0]
                             [--type f32|f16]

The defaults are BERT-base: 435 MB, weights inside the file. Batch and sequence are dynamic; the inputs are input_ids,
attention_mask and token_type_ids, the outputs last_hidden_state and pooled: tanh of a linear of the first token (cls),
the mean over the mask, the token at the sum of the mask less 1 (last), the first token with the largest id of its text
(end), or a mean by learned weights. Attention, gelu and the mask, (1 - mask) * -3.4028235e38, are spelled out; so are
the norms with --norm=spelled. --attention=fused writes onnxruntime's Attention, as its optimiser does: the mask is
summed to one length a text.

--type=f16: converted by onnxruntime, inputs and outputs too. The weights have the scale of trained ones, so that the computation is not degenerate: linears keep the variance,
scores are about N(0, 1), no bias is zero, no scale of a norm is one. The same options make the same bytes.
"""
import argparse
import math
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MOST_BYTES = 2**31 - 2**24  # of one protobuf message, less room for the nodes
LOWEST = np.finfo(np.float32).min
MASKS = {"int64": TensorProto.INT64, "int32": TensorProto.INT32, "bool": TensorProto.BOOL, "float32": TensorProto.FLOAT}


class Writer:
    """Nodes and initializers in order; every method returns the name of the value it makes."""

    def __init__(self, seed):
        self.nodes, self.initializers, self.scope, self.bytes = [], [], "", 0
        self.random, self.constants = np.random.default_rng(seed), {}

    def node(self, op, inputs, out=None, **attributes):
        out = out or f"{self.scope}/{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [out], name=out + "_node", **attributes))
        return out

    def tensor(self, name, array):
        self.bytes += array.nbytes
        if self.bytes > MOST_BYTES:
            sys.exit("make_bert: the weights do not fit into one file (2 GB): make the model smaller")
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def constant(self, value, dtype=np.int64):
        key = (repr(value), np.dtype(dtype).name)
        if key not in self.constants:
            self.constants[key] = self.tensor(f"constant_{len(self.constants)}", np.array(value, dtype))
        return self.constants[key]

    def normal(self, name, shape, deviation, mean=0.0):
        values = self.random.standard_normal(shape, dtype=np.float32)
        return self.tensor(name, values * np.float32(deviation) + np.float32(mean))

    def linear(self, x, name, columns, rows):
        weight = self.normal(f"{name}.weight", (columns, rows), 1 / math.sqrt(columns))
        product = self.node("MatMul", [x, weight])
        return self.node("Add", [self.normal(f"{name}.bias", rows, 0.1), product])

    def norm(self, x, name, width, spelled, out=None):
        gamma, beta = self.normal(f"{name}.weight", width, 0.1, 1.0), self.normal(f"{name}.bias", width, 0.1)
        if not spelled:
            return self.node("LayerNormalization", [x, gamma, beta], out, axis=-1, epsilon=1e-12)
        centred = self.node("Sub", [x, self.node("ReduceMean", [x], axes=[-1])])
        square = self.node("Pow", [centred, self.constant(2.0, np.float32)])
        variance = self.node("Add", [self.node("ReduceMean", [square], axes=[-1]), self.constant(1e-12, np.float32)])
        scaled = self.node("Mul", [self.node("Div", [centred, self.node("Sqrt", [variance])]), gamma])
        return self.node("Add", [scaled, beta], out)

    def dim(self, x, axis):
        """Dim `axis` of x as a tensor of one element."""
        size = self.node("Gather", [self.node("Shape", [x]), self.constant(axis)], axis=0)
        return self.node("Unsqueeze", [size, self.constant([0])])


def embeddings(w, a):
    w.scope = "embeddings"
    length = w.dim("input_ids", 1)
    ids = w.tensor("embeddings.position_ids", np.arange(a.positions, dtype=np.int64)[None])
    ids = w.node("Slice", [ids, w.constant([0]), length, w.constant([1])])
    words, positions, types = (w.normal(f"embeddings.{name}.weight", (rows, a.width), 0.05)
                               for name, rows in (("word", a.vocab), ("position", a.positions), ("type", 2)))
    x = w.node("Add", [w.node("Gather", [words, "input_ids"]), w.node("Gather", [types, "token_type_ids"])])
    x = w.node("Add", [x, w.node("Gather", [positions, ids])])
    return w.norm(x, "embeddings.norm", a.width, a.norm == "spelled")


def length_mask(w):
    w.scope = "mask"
    return w.node("ReduceSum", [w.node("Cast", ["attention_mask"], to=TensorProto.INT32), w.constant([1])], keepdims=0)


def additive_mask(w):
    w.scope = "mask"
    mask = w.node("Unsqueeze", [w.node("Unsqueeze", ["attention_mask", w.constant([1])]), w.constant([2])])
    mask = w.node("Cast", [mask], to=TensorProto.FLOAT)
    return w.node("Mul", [w.node("Sub", [w.constant(1.0, np.float32), mask]), w.constant(LOWEST, np.float32)])


def attention(w, a, name, x, mask):
    head = a.width // a.heads
    heads = w.constant([0, 0, a.heads, head])
    q, k, v = (w.node("Reshape", [w.linear(x, f"{name}.{part}", a.width, a.width), heads])
               for part in ("query", "key", "value"))
    q, k, v = (w.node("Transpose", [t], perm=perm)
               for t, perm in ((q, [0, 2, 1, 3]), (k, [0, 2, 3, 1]), (v, [0, 2, 1, 3])))
    scores = w.node("Div", [w.node("MatMul", [q, k]), w.constant(math.sqrt(head), np.float32)])
    weights = w.node("Softmax", [w.node("Add", [scores, mask])], axis=-1)
    together = w.node("Transpose", [w.node("MatMul", [weights, v])], perm=[0, 2, 1, 3])
    return w.linear(w.node("Reshape", [together, w.constant([0, 0, a.width])]), f"{name}.output", a.width, a.width)


def fused_attention(w, a, name, x, lengths):
    weight = w.normal(f"{name}.qkv.weight", (a.width, 3 * a.width), 1 / math.sqrt(a.width))
    inputs = [x, weight, w.normal(f"{name}.qkv.bias", 3 * a.width, 0.1), lengths]
    together = w.node("Attention", inputs, domain="com.microsoft", num_heads=a.heads, mask_filter_value=float(LOWEST))
    return w.linear(together, f"{name}.output", a.width, a.width)


def gelu(w, x):
    erf = w.node("Erf", [w.node("Div", [x, w.constant(math.sqrt(2), np.float32)])])
    product = w.node("Mul", [x, w.node("Add", [erf, w.constant(1.0, np.float32)])])
    return w.node("Mul", [product, w.constant(0.5, np.float32)])


def layer(w, a, i, x, mask):
    name = w.scope = f"layer.{i}"
    spelled = a.norm == "spelled"
    attend = fused_attention if a.attention == "fused" else attention
    x = w.norm(w.node("Add", [attend(w, a, f"{name}.attention", x, mask), x]), f"{name}.attention.norm", a.width,
               spelled)
    inner = gelu(w, w.linear(x, f"{name}.inner", a.width, a.inner))
    out = w.node("Add", [w.linear(inner, f"{name}.output", a.inner, a.width), x])
    return w.norm(out, f"{name}.norm", a.width, spelled, "last_hidden_state" if i == a.layers - 1 else None)


def pool(w, a, x):
    w.scope = "pooling"
    if a.pooling == "cls":
        first = w.node("Gather", [x, w.constant(0)], axis=1)
        w.node("Tanh", [w.linear(first, "pooling", a.width, a.width)], "pooled")
    if a.pooling == "mean":
        mask = w.node("Expand", [w.node("Unsqueeze", ["attention_mask", w.constant([-1])]), w.node("Shape", [x])])
        mask = w.node("Cast", [mask], to=TensorProto.FLOAT)
        total = w.node("ReduceSum", [w.node("Mul", [x, mask]), w.constant([1])], keepdims=0)
        count = w.node("Clip", [w.node("ReduceSum", [mask, w.constant([1])], keepdims=0), w.constant(1e-9, np.float32)])
        w.node("Div", [total, count], "pooled")
    if a.pooling in ("last", "end"):
        pool_token(w, a, x)
    if a.pooling == "weighted":
        pool_weighted(w, a, x)


def pool_token(w, a, x):
    """One token a text: by a tuple of indices (last), or by its row in all texts one behind the other (end)."""
    w.scope = "pooling"
    batch = w.node("Range", [w.constant(0), w.node("Squeeze", [w.dim("input_ids", 0)]), w.constant(1)])
    if a.pooling == "last":
        mask = w.node("Cast", ["attention_mask"], to=TensorProto.INT64)
        last = w.node("Sub", [w.node("ReduceSum", [mask, w.constant([1])], keepdims=0), w.constant(1)])
        tuples = [w.node("Unsqueeze", [index, w.constant([1])]) for index in (batch, last)]
        w.node("GatherND", [x, w.node("Concat", tuples, axis=1)], "pooled")
    if a.pooling == "end":
        end = w.node("ArgMax", ["input_ids"], axis=1, keepdims=0)
        row = w.node("Add", [w.node("Mul", [batch, w.dim("input_ids", 1)]), end])
        w.node("Gather", [w.node("Reshape", [x, w.constant([-1, a.width])]), row], "pooled", axis=0)


def pool_weighted(w, a, x):
    w.scope = "pooling"
    scores = w.node("Squeeze", [w.linear(x, "pooling", a.width, 1), w.constant([2])])
    kept = w.node("Cast", ["attention_mask"], to=TensorProto.BOOL)
    weights = w.node("Softmax", [w.node("Where", [kept, scores, w.constant(-1e9, np.float32)])], axis=1)
    product = w.node("MatMul", [w.node("Unsqueeze", [weights, w.constant([1])]), x])
    w.node("Squeeze", [product, w.constant([1])], "pooled")


def options(argv=(), **more):
    """The options as an object; more overrides by name."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out")
    for name, value in (("layers", 12), ("width", 768), ("heads", 12), ("inner", 0), ("vocab", 30522),
                        ("positions", 512), ("seed", 0)):
        p.add_argument(f"--{name}", type=int, default=value)
    p.add_argument("--pooling", choices=("cls", "mean", "last", "end", "weighted", "none"), default="cls")
    p.add_argument("--norm", choices=("op", "spelled"), default="op")
    p.add_argument("--mask", choices=tuple(MASKS), default="int64")
    p.add_argument("--attention", choices=("spelled", "fused"), default="spelled")
    p.add_argument("--type", choices=("f32", "f16"), default="f32")
    a = p.parse_args(argv)
    for name, value in more.items():
        setattr(a, name, value)
    a.inner = a.inner or 4 * a.width
    if a.width % a.heads or min(a.layers, a.width, a.heads, a.vocab, a.positions) < 1:
        p.error("every size must be at least 1, and the width a multiple of the heads")
    return a


def make(a):
    """The model as a ModelProto."""
    w = Writer(a.seed)
    x, mask = embeddings(w, a), length_mask(w) if a.attention == "fused" else additive_mask(w)
    for i in range(a.layers):
        x = layer(w, a, i, x, mask)
    pool(w, a, x)
    sizes = ["batch", "sequence"]
    inputs = [helper.make_tensor_value_info(name, kind, sizes) for name, kind in
              (("input_ids", TensorProto.INT64), ("attention_mask", MASKS[a.mask]),
               ("token_type_ids", TensorProto.INT64))]
    outputs = [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, sizes + [a.width])]
    if a.pooling != "none":
        outputs.append(helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ["batch", a.width]))
    graph = helper.make_graph(w.nodes, "encoder", inputs, outputs, w.initializers)
    opsets = [helper.make_opsetid("", 17)] + [helper.make_opsetid("com.microsoft", 1)] * (a.attention == "fused")
    return helper.make_model(graph, ir_version=8, opset_imports=opsets, producer_name="make_bert")


def narrowed(model, kind):
    """In f16: as onnxruntime's converter writes it, all values but the inputs of integers."""
    if kind == "f32":
        return model
    from onnxruntime.transformers import float16

    return float16.convert_float_to_float16(model, keep_io_types=False)


def main():
    a = options(sys.argv[1:])
    model = make(a)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(narrowed(model, a.type), a.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
