#!/usr/bin/env python3
"""make_vit.py - a vision transformer with random weights as ONNX, as PyTorch's exporter spells it.

    tests/bench/make_vit.py OUT.onnx [--layers 12] [--width 768] [--heads 12] [--image 224] [--patch 16] [--classes 1000]
                            [--special 1] [--head token|both|mean|mean-all|tokens] [--scales] [--batch N] [--merge R]
                            [--keep N] [--seed 0]

The defaults are ViT-B/16; --width=384 --heads=6 is DeiT-S. The input is pixel_values, whose batch is open unless given.
special: tokens in front of the patches (of the class; of distillation, too). head: logits from the first token, from the
first two, from the mean of the patches or of all tokens; or no logits but all tokens, normalised ("tokens"). scales: a
learned factor for each channel of each branch. merge: R tokens merge in each block, spelled in ops of ONNX as an export of the usual
code has it, with at most one special token; what --lossy=token-merge:r=R does to the model without. keep: the encoder of a masked autoencoder,
which sees the N patches of each image whose input noise is least, in that order. The weights have the scale of trained ones; keys of tokens differ.
"""
import argparse
import math
import sys

import numpy as np
import onnx
from make_bert import Writer, gelu
from onnx import TensorProto, helper


def visible(w, a, x):
    """The patches that an autoencoder sees, behind special tokens with positions of their own."""
    n, batch = (a.image // a.patch) ** 2, w.dim("pixel_values", 0)
    x = w.node("Add", [x, w.normal("positions.patches", (1, n, a.width), 0.5)])
    w.nodes.append(helper.make_node("TopK", ["noise", w.constant([n])], ["noise_sorted", "order"], name="order", axis=1, largest=0))
    kept = w.node("Slice", ["order", w.constant([0]), w.constant([a.keep]), w.constant([1])])
    sizes = w.node("Concat", [batch, w.constant([a.keep, a.width])], axis=0)
    x = w.node("GatherElements", [x, w.node("Expand", [w.node("Unsqueeze", [kept, w.constant([2])]), sizes])], axis=1)
    sizes = w.node("Concat", [batch, w.constant([1, a.width])], axis=0)
    tokens = [w.node("Expand", [w.normal(f"token.{i}", (1, 1, a.width), 0.5), sizes]) for i in range(a.special)]
    return w.node("Concat", [*tokens, x], axis=1) if tokens else x


def patches(w, a):
    w.scope = "patches"
    weight = w.normal("patches.weight", (a.width, 3, a.patch, a.patch), 1 / math.sqrt(3 * a.patch * a.patch))
    grid = w.node("Conv", ["pixel_values", weight, w.normal("patches.bias", a.width, 0.1)],
                  strides=[a.patch, a.patch], kernel_shape=[a.patch, a.patch])
    x = w.node("Transpose", [w.node("Reshape", [grid, w.constant([0, a.width, -1])])], perm=[0, 2, 1])
    if a.keep:
        return visible(w, a, x), a.keep + a.special
    count = (a.image // a.patch) ** 2 + a.special
    if a.special:
        sizes = w.node("Concat", [w.dim("pixel_values", 0), w.constant([1, a.width])], axis=0)
        tokens = [w.node("Expand", [w.normal(f"token.{i}", (1, 1, a.width), 0.5), sizes]) for i in range(a.special)]
        x = w.node("Concat", [*tokens, x], axis=1)
    return w.node("Add", [x, w.normal("positions", (1, count, a.width), 0.5)]), count


def attention(w, a, name, x, count, size=None):
    """And the keys."""
    head = a.width // a.heads
    parts = w.node("Reshape", [w.linear(x, f"{name}.qkv", a.width, 3 * a.width), w.constant([0, count, 3, a.heads, head])])
    parts = w.node("Transpose", [parts], perm=[2, 0, 3, 1, 4])
    q, k, v = (w.node("Gather", [parts, w.constant(i)], axis=0) for i in range(3))
    q = w.node("Mul", [q, w.constant(1 / math.sqrt(head), np.float32)])
    scores = w.node("MatMul", [q, w.node("Transpose", [k], perm=[0, 1, 3, 2])])
    if size:
        logarithm = w.node("Transpose", [w.node("Log", [size])], perm=[0, 2, 1])
        scores = w.node("Add", [scores, w.node("Unsqueeze", [logarithm, w.constant([1])])])
    together = w.node("Transpose", [w.node("MatMul", [w.node("Softmax", [scores], axis=-1), v])], perm=[0, 2, 1, 3])
    together = w.node("Reshape", [together, w.constant([0, count, a.width])])
    return w.linear(together, f"{name}.out", a.width, a.width), k


def every_second(w, x, first):
    return w.node("Slice", [x, w.constant([first]), w.constant([2**63 - 1]), w.constant([1]), w.constant([2])])


def merge(w, a, x, keys, count, size):
    """x and sizes with r tokens fewer."""
    r, even = min(a.merge, (count - a.special) // 2), (count + 1) // 2
    if r <= 0:
        return x, count, size
    metric = w.node("ReduceMean", [keys], axes=[1], keepdims=0)
    metric = w.node("Div", [metric, w.node("ReduceL2", [metric], axes=[-1])])
    scores = w.node("MatMul", [every_second(w, metric, 0), w.node("Transpose", [every_second(w, metric, 1)], perm=[0, 2, 1])])
    if a.special:
        mine = w.constant(np.arange(even)[None, :, None] == 0, bool)
        scores = w.node("Where", [mine, w.constant(-np.inf, np.float32), scores])
    best, partner = w.node("ReduceMax", [scores], axes=[-1], keepdims=0), w.node("ArgMax", [scores], axis=-1, keepdims=0)
    order = f"{best}_order"
    w.nodes.append(helper.make_node("TopK", [best, w.constant([even])], [f"{order}_best", order], name=order, axis=1))
    goes = w.node("Slice", [order, w.constant([0]), w.constant([r]), w.constant([1])])
    stays = w.node("Slice", [order, w.constant([r]), w.constant([even]), w.constant([1])])
    w.nodes.append(helper.make_node("TopK", [stays, w.constant([even - r])], [f"{stays}_sorted", f"{stays}_places"], name=f"{stays}_sort",
                                    axis=1, largest=0))
    to = w.node("GatherElements", [partner, goes], axis=1)

    def merged(t, width):
        source, target, batch = every_second(w, t, 0), every_second(w, t, 1), w.dim(t, 0)

        def rows(index, n):
            sizes = w.node("Concat", [batch, w.constant([n, width])], axis=0)
            return w.node("Expand", [w.node("Unsqueeze", [index, w.constant([2])]), sizes])

        kept = w.node("GatherElements", [source, rows(f"{stays}_sorted", even - r)], axis=1)
        moved = w.node("GatherElements", [source, rows(goes, r)], axis=1)
        target = w.node("ScatterElements", [target, rows(to, r), moved], axis=1, reduction="add")
        return w.node("Concat", [kept, target], axis=1)

    if not size:
        sizes = w.node("Concat", [w.dim(x, 0), w.constant([count, 1])], axis=0)
        size = w.node("Expand", [w.constant(1.0, np.float32), sizes])
    x, size = merged(w.node("Mul", [x, size]), a.width), merged(size, 1)
    return w.node("Div", [x, size]), count - r, size


def scaled(w, a, name, x):
    return w.node("Mul", [x, w.normal(f"{name}.scale", a.width, 0.1, 0.7)]) if a.scales else x


def layer(w, a, i, x, count, size):
    name = w.scope = f"layer.{i}"
    out, keys = attention(w, a, f"{name}.attention", w.norm(x, f"{name}.norm1", a.width, False), count, size)
    x = w.node("Add", [x, scaled(w, a, f"{name}.attention", out)])
    x, count, size = merge(w, a, x, keys, count, size)
    inner = gelu(w, w.linear(w.norm(x, f"{name}.norm2", a.width, False), f"{name}.inner", a.width, 4 * a.width))
    out = w.linear(inner, f"{name}.mlp", 4 * a.width, a.width)
    return w.node("Add", [x, scaled(w, a, f"{name}.mlp", out)]), count, size


def head(w, a, x):
    w.scope = "head"
    x = w.norm(x, "norm", a.width, False, "tokens" if a.head == "tokens" else None)
    if a.head == "tokens":
        return
    if a.head == "mean":
        x = w.node("Slice", [x, w.constant([a.special]), w.constant([2**63 - 1]), w.constant([1])])
    if a.head in ("mean", "mean-all"):
        x = w.node("ReduceMean", [x], axes=[1], keepdims=0)
    else:
        first = [w.node("Gather", [x, w.constant(i)], axis=1) for i in range(2 if a.head == "both" else 1)]
        x = w.node("Add", first) if len(first) == 2 else first[0]
    weight = w.normal("head.weight", (a.width, a.classes), 1 / math.sqrt(a.width))
    w.node("Gemm", [x, weight, w.normal("head.bias", a.classes, 0.1)], "logits")


def options(argv=(), **more):
    """The options as an object; more overrides by name."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out")
    for name, value in (("layers", 12), ("width", 768), ("heads", 12), ("image", 224), ("patch", 16), ("classes", 1000),
                        ("special", 1), ("batch", 0), ("merge", 0), ("keep", 0), ("seed", 0)):
        p.add_argument(f"--{name}", type=int, default=value)
    p.add_argument("--head", choices=("token", "both", "mean", "mean-all", "tokens"), default="token")
    p.add_argument("--scales", action="store_true")
    a = p.parse_args(argv)
    for name, value in more.items():
        setattr(a, name, value)
    if a.width % a.heads or a.image % a.patch or min(a.layers, a.width, a.heads, a.patch, a.classes) < 1:
        p.error("every size must be at least 1, the width a multiple of the heads, the image one of the patch")
    if a.merge and (a.special > 1 or a.head != "token"):
        p.error("--merge is for the head 'token' and at most one special token")
    return a


def make(a):
    """The model as a ModelProto."""
    w = Writer(a.seed)
    x, count = patches(w, a)
    left, size = count, None
    for i in range(a.layers):
        x, left, size = layer(w, a, i, x, left, size)
    head(w, a, x)
    batch = a.batch or "batch"
    image = helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, [batch, 3, a.image, a.image])
    sizes = [batch, count, a.width] if a.head == "tokens" else [batch, a.classes]
    output = helper.make_tensor_value_info("tokens" if a.head == "tokens" else "logits", TensorProto.FLOAT, sizes)
    inputs = [image]
    if a.keep:
        inputs.append(helper.make_tensor_value_info("noise", TensorProto.FLOAT, [batch, (a.image // a.patch) ** 2]))
    graph = helper.make_graph(w.nodes, "vit", inputs, [output], w.initializers)
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)], producer_name="make_vit")


def main():
    a = options(sys.argv[1:])
    model = make(a)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, a.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
