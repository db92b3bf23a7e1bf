#!/usr/bin/env python3
"""Models whose size is a number: each kind grows what once made time or memory grow faster than the file.

models.py KIND N FILE writes one; models.py lists the kinds.
"""

import sys

from onnx import TensorProto as T
from onnx import helper as h

KINDS = {}


def kind(function):
    KINDS[function.__name__] = function
    return function


def value(name, shape, dtype=T.FLOAT):
    return h.make_tensor_value_info(name, dtype, shape)


def ints(name, numbers):
    return h.make_tensor(name, T.INT64, [len(numbers)], numbers)


def model(nodes, inputs, outputs, initializers=(), functions=(), domains=()):
    graph = h.make_graph(nodes, "g", inputs, outputs, list(initializers))
    opsets = [h.make_opsetid("", 17)] + [h.make_opsetid(d, 1) for d in domains]
    return h.make_model(graph, opset_imports=opsets, ir_version=8, functions=list(functions))


def chain_of(n, node, first="x", last="y"):
    """n nodes, each on the result of the one before it."""
    names = [first] + [f"t{i}" for i in range(n - 1)] + [last]
    return [node(names[i], names[i + 1], i) for i in range(n)]


@kind
def chain(n):
    return model(chain_of(n, lambda a, b, i: h.make_node(("Relu", "Neg")[i % 2], [a], [b])),
                 [value("x", ["n"])], [value("y", ["n"])])


@kind
def fan(n):
    """n nodes on one value, and one that takes all their results."""
    nodes = [h.make_node("Mul", ["x", "x"], [f"t{i}"], name=f"m{i}") for i in range(n)]
    nodes.append(h.make_node("Sum", [f"t{i}" for i in range(n)], ["y"]))
    return model(nodes, [value("x", ["n"])], [value("y", ["n"])])


@kind
def outputs(n):
    nodes = [h.make_node("Neg", ["x"], [f"y{i}"]) for i in range(n)]
    return model(nodes, [value("x", ["n"])], [value(f"y{i}", ["n"]) for i in range(n)])


@kind
def slices(n):
    """x[1:-1] again and again: each size names the one before it twice."""
    return model(chain_of(n, lambda a, b, i: h.make_node("Slice", [a, "one", "end"], [b])),
                 [value("x", ["n"])], [value("y", None)], [ints("one", [1]), ints("end", [-1])])


@kind
def crops(n):
    """Every other element, then one less in front, and an element-wise node between, so that nothing is one view."""
    nodes = chain_of(n, lambda a, b, i: h.make_node("Slice", [a, "one", "end"], [b]) if i % 2 else
                     h.make_node("Sigmoid", [a], [b]))
    return model(nodes, [value("x", ["n"])], [value("y", None)], [ints("one", [1]), ints("end", [-1])])


@kind
def pools(n):
    nodes = chain_of(n, lambda a, b, i: h.make_node("MaxPool", [a], [b], kernel_shape=[2, 2], strides=[2, 2],
                                                    ceil_mode=1))
    return model(nodes, [value("x", ["b", 1, "h", "w"])], [value("y", None)])


@kind
def pads(n):
    """Reflection: each index is a minimum of two of the index behind it."""
    nodes = chain_of(n, lambda a, b, i: h.make_node("Pad", [a, "p"], [b], mode="reflect"))
    return model(nodes, [value("x", ["n"])], [value("y", None)], [ints("p", [1, 1])])


@kind
def dims(n):
    """n inputs, each with a dim of its own."""
    return model([h.make_node("Neg", [f"x{i}"], [f"y{i}"]) for i in range(n)],
                 [value(f"x{i}", [f"d{i}"]) for i in range(n)], [value(f"y{i}", [f"d{i}"]) for i in range(n)])


@kind
def equal_dims(n):
    """n dims that the model needs to be equal, one pair after the other."""
    nodes = [h.make_node("MatMul", [f"x{i}", f"x{i + 1}"], [f"y{i}"]) for i in range(n)]
    return model(nodes, [value(f"x{i}", [f"r{i}", f"c{i}"]) for i in range(n + 1)],
                 [value(f"y{i}", None) for i in range(n)])


@kind
def sum_dims(n):
    """One Sum of n vectors, each with a dim of its own."""
    return model([h.make_node("Sum", [f"x{i}" for i in range(n)], ["y"])],
                 [value(f"x{i}", [f"d{i}"]) for i in range(n)], [value("y", None)])


@kind
def concat(n):
    return model([h.make_node("Concat", [f"x{i}" for i in range(n)], ["y"], axis=0)],
                 [value(f"x{i}", [2]) for i in range(n)], [value("y", None)])


@kind
def concat_same(n):
    """A Concat of one value n times."""
    return model([h.make_node("Concat", ["x"] * n, ["y"], axis=0)], [value("x", ["n"])], [value("y", None)])


@kind
def concat_dims(n):
    return model([h.make_node("Concat", [f"x{i}" for i in range(n)], ["y"], axis=0)],
                 [value(f"x{i}", [f"d{i}"]) for i in range(n)], [value("y", None)])


@kind
def split(n):
    names = [f"y{i}" for i in range(n)]
    return model([h.make_node("Split", ["x"], names, axis=0)], [value("x", [3 * n])], [value(y, None) for y in names])


@kind
def max_of(n):
    return model([h.make_node("Max", [f"x{i}" for i in range(n)], ["y"])],
                 [value(f"x{i}", ["n"]) for i in range(n)], [value("y", None)])


@kind
def squares(n):
    """A size of three dims, squared n times."""
    nodes = [h.make_node("Shape", ["x"], ["s"]), h.make_node("ReduceSum", ["s"], ["t"], keepdims=1)]
    nodes += chain_of(n, lambda a, b, i: h.make_node("Mul", [a, a], [b]), "t", "u")
    nodes.append(h.make_node("Expand", ["one", "u"], ["y"]))
    return model(nodes, [value("x", ["a", "b", "c"])], [value("y", None)],
                 [h.make_tensor("one", T.FLOAT, [1], [1.0])])


@kind
def products(n):
    """(a + 1) (b + 2) ... of n dims: a product that has 2^n terms when it is multiplied out."""
    nodes = [h.make_node("Shape", [f"x{i}"], [f"s{i}"]) for i in range(n)]
    nodes += [h.make_node("Add", [f"s{i}", "one"], [f"p{i}"]) for i in range(n)]
    nodes += [h.make_node("Mul", [f"q{i}" if i else "p0", f"p{i + 1}"], [f"q{i + 1}"]) for i in range(n - 1)]
    nodes.append(h.make_node("Expand", ["v", f"q{n - 1}"], ["y"]))
    return model(nodes, [value(f"x{i}", [f"d{i}"]) for i in range(n)], [value("y", None)],
                 [ints("one", [1]), h.make_tensor("v", T.FLOAT, [1], [1.0])])


@kind
def bombs(n):
    """n functions, each of ten calls of the one before it."""
    def function(i):
        call = ("Neg", "") if i == 0 else (f"f{i - 1}", "local")
        names = ["a"] + [f"t{k}" for k in range(9)] + ["z"]
        body = [h.make_node(call[0], [names[k]], [names[k + 1]], domain=call[1]) for k in range(10)]
        return h.make_function("local", f"f{i}", ["a"], ["z"], body, [h.make_opsetid("", 17), h.make_opsetid("local", 1)])

    return model([h.make_node(f"f{n - 1}", ["x"], ["y"], domain="local")], [value("x", [2])], [value("y", [2])],
                 functions=[function(i) for i in range(n)], domains=["local"])


@kind
def ifs(n):
    """An If in an If in an If."""
    def branch(i, name):
        out = f"{name}{i}"
        if i == 0:
            return h.make_graph([h.make_node("Neg", ["x"], [out])], name, [], [value(out, None)])
        inner = h.make_node("If", ["c"], [out], then_branch=branch(i - 1, name + "t"), else_branch=h.make_graph(
            [h.make_node("Abs", ["x"], [name + "e"])], "e", [], [value(name + "e", None)]))
        return h.make_graph([inner], name, [], [value(out, None)])

    node = h.make_node("If", ["c"], ["y"], then_branch=branch(n, "t"), else_branch=h.make_graph(
        [h.make_node("Abs", ["x"], ["e"])], "e", [], [value("e", None)]))
    return model([node], [value("x", ["n"]), value("c", [], T.BOOL)], [value("y", ["n"])])


def main():
    if len(sys.argv) != 4:
        print(" ".join(KINDS))
        return 2
    with open(sys.argv[3], "wb") as f:
        f.write(KINDS[sys.argv[1]](int(sys.argv[2])).SerializeToString())
    return 0


if __name__ == "__main__":
    sys.exit(main())
