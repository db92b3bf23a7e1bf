#!/usr/bin/env python3
"""What the importer takes apart itself, against numpy: Einsum, If, sequences, NonZero, slice assignment, sizes computed in
floats, dims that turn out to be equal, and onnxruntime's fused operators. Each case runs with fixed dims and with symbols.

decompose.py EVAL_ONNX. Exit code 0, 1, or 77 (skipped) where the onnx package is missing.
"""
import re
import subprocess
import sys
import tempfile

try:
    import numpy as np
    from onnx import TensorProto as T
    from onnx import helper as h
    from onnx import numpy_helper

    from cases import write_case
except ImportError:
    print("SKIP: the onnx package (onnx==1.22.0) is not installed")
    sys.exit(77)

TOOL = sys.argv[1] if len(sys.argv) == 2 else None
RNG = np.random.default_rng(7)
NODE = h.make_node
ran = failed = 0


def const(name, data):
    return numpy_helper.from_array(np.asarray(data), name)


def tensor(name, array, dims):
    return h.make_tensor_value_info(name, h.np_dtype_to_tensor_dtype(np.asarray(array).dtype), dims)


def model_of(nodes, inputs, n_out, initializers=(), opset=18, out_type=None):
    outputs = [h.make_tensor_value_info(f"y{i}", out_type[i] if out_type else T.FLOAT, None) for i in range(n_out)]
    graph = h.make_graph(nodes, "g", inputs, outputs, list(initializers))
    return h.make_model(graph, opset_imports=[h.make_opsetid("", opset), h.make_opsetid("com.microsoft", 1)], ir_version=9)


def run(name, model, inputs, outputs, args=(), code=0, message=None, data=False):
    """Runs one model; code and message: how it must be refused, when it is read or (data) when it is run."""
    global ran, failed
    ran += 1
    with tempfile.TemporaryDirectory() as folder:
        path, folder = write_case(folder, model, inputs, outputs)
        done = subprocess.run([TOOL, "--verify", "--rtol", "1e-4", "--atol", "1e-5", *args, path, *([folder] if data or not code else [])],
                              capture_output=True, timeout=120)
    text = (done.stdout + done.stderr).decode("utf-8", "replace").strip()
    if done.returncode != code or (message and not re.search(message, text)):
        failed += 1
        print(f"FAIL {name}: exit code {done.returncode}, expected {code}: {text[:400]}")


def both(name, nodes, inputs, outputs, initializers=(), names=None, **kw):
    """With fixed dims, and with a symbol for each dim: `names` maps an input to its dims, else each has its own."""
    n = len(outputs)
    types = [h.np_dtype_to_tensor_dtype(np.asarray(o).dtype) for o in outputs]
    for symbolic in (False, True):
        infos = [tensor(k, v, (names or {}).get(k, [f"{k}_{i}" for i in range(v.ndim)]) if symbolic else v.shape)
                 for k, v in inputs.items()]
        run(f"{name} ({'symbolic' if symbolic else 'fixed'})", model_of(nodes, infos, n, initializers, out_type=types, **kw),
            list(inputs.values()), outputs)


# ---- Einsum ----

def einsum(equation, *shapes):
    """A dim that broadcasts is written as a number of its own: 1 where others have more."""
    arrays = {f"x{i}": RNG.standard_normal(s).astype(np.float32) for i, s in enumerate(shapes)}
    want = np.asarray(np.einsum(equation.replace(" ", ""), *arrays.values()), np.float32)
    names = {}
    spellings = equation.replace(" ", "").split("->")[0].split(",")
    for i, (k, a) in enumerate(arrays.items()):
        letters, hidden = spellings[i].replace("...", "."), a.ndim - len(spellings[i].replace("...", ""))
        labels = [c for l in letters for c in ([f"e{hidden - j}" for j in range(hidden)] if l == "." else [f"l_{l}"])]
        names[k] = [1 if d == 1 else label for d, label in zip(a.shape, labels)]
    both(f"einsum {equation} of {shapes}", [NODE("Einsum", list(arrays), ["y0"], equation=equation)], arrays, [want], names=names)


def einsums():
    einsum("ij->ji", (2, 3))
    einsum("ij->", (2, 3))
    einsum("ij->j", (2, 3))
    einsum("ii->i", (3, 3))
    einsum("ii", (3, 3))
    einsum("iji->j", (3, 2, 3))
    einsum("iii->i", (3, 3, 3))
    einsum("iijj->ij", (2, 2, 3, 3))
    einsum("...ii->...i", (2, 4, 3, 3))
    einsum("ij,jk", (2, 3), (3, 4))
    einsum("ij,jk->ik", (2, 3), (3, 4))
    einsum("ij,jk->ki", (2, 3), (3, 4))
    einsum("i,i->", (3,), (3,))
    einsum("i,j->ij", (3,), (2,))
    einsum("i,i->i", (3,), (3,))
    einsum("bhqd,bhkd->bhqk", (2, 3, 4, 5), (2, 3, 6, 5))
    einsum("bqhd,bkhd->bhqk", (2, 4, 3, 5), (2, 6, 3, 5))
    einsum("bhqk,bkhd,hdc->bqc", (2, 3, 4, 6), (2, 6, 3, 5), (3, 5, 7))
    einsum("bsc,chd->bshd", (2, 3, 4), (4, 2, 5))
    einsum("ibh,hnd->ibnd", (3, 2, 4), (4, 2, 5))
    einsum("ijbs,ibns->bnij", (3, 4, 2, 5), (3, 2, 6, 5))
    einsum("bseh,ehc->bsec", (2, 3, 4, 5), (4, 5, 6))
    einsum("abc,cd,def->abf", (2, 3, 4), (4, 5), (5, 6, 7))
    einsum("...ij,...jk->...ik", (2, 3, 4), (2, 4, 5))
    einsum("...ij,...jk->...ik", (2, 3, 4), (4, 5))
    einsum("...ij,jk->...ik", (5, 2, 3, 4), (4, 2))
    einsum("i...,i...->...", (3, 2), (3, 2))
    einsum("...,...->...", (2, 3), (2, 3))
    einsum("...a,b...->ab...", (2, 3), (4, 2))
    einsum("ij,kl->jl", (2, 3), (4, 5))          # what only one has is summed first
    einsum("ij,jk->ik", (2, 1), (3, 4))          # 1 broadcasts over what is summed
    einsum("bij,bjk->bik", (1, 2, 3), (4, 3, 5))  # and over a batch
    einsum("iij,jk->ik", (2, 2, 3), (3, 4))
    einsum("Ab,bA->A", (2, 3), (3, 2))
    einsum("bA", (2, 3))                         # an implicit output is sorted, capitals first
    einsum("ij,jk->ik", (2, 0), (0, 4))
    einsum("ij,jk->ik", (0, 3), (3, 4))
    einsum(" i j , j k -> i k ", (2, 3), (3, 4))
    a = np.arange(6, dtype=np.int32).reshape(2, 3)
    both("einsum of integers", [NODE("Einsum", ["a", "b"], ["y0"], equation="ij,kj->ik")], {"a": a, "b": a + 1}, [a @ (a + 1).T],
         names={"a": ["n", "k"], "b": ["m", "k"]})
    x = tensor("x", np.zeros((2, 3), np.float32), (2, 3))
    for equation, message in (("ij,jk->ik", "more operands"), ("i->i", "another rank"), ("ij->k", "no operand has"), ("ij->ii", "twice"),
                              ("i1->i", "unexpected character"), ("i.j->i", "unexpected character"), ("...->", "no ellipsis"),
                              ("ii->i", "not equal"), ("abcdefghi->a", "more labels")):
        run(f"einsum {equation}", model_of([NODE("Einsum", ["x"], ["y0"], equation=equation)], [x], 1), [], [], code=1, message=message)
    run("einsum without equation", model_of([NODE("Einsum", ["x"], ["y0"])], [x], 1), [], [], code=1, message="no equation")
    run("einsum of unequal dims", model_of([NODE("Einsum", ["x", "x"], ["y0"], equation="ij,jk->ik")], [x], 1), [], [], code=1,
        message="not equal")


# ---- If ----

def branch(name, nodes, outputs, initializers=()):
    infos = [h.make_tensor_value_info(o, T.FLOAT, None) for o in outputs]
    return h.make_graph(nodes, name, [], infos, list(initializers))


def ifs():
    x = RNG.standard_normal((2, 3)).astype(np.float32)
    negative = branch("t", [NODE("Neg", ["x"], ["t0"])], ["t0"])
    shifted = branch("e", [NODE("Add", ["x", "one"], ["e0"])], ["e0"], [const("one", np.float32(1))])
    choose = NODE("If", ["c"], ["y0"], then_branch=negative, else_branch=shifted)
    for c in (True, False):
        want = -x if c else x + 1
        both(f"if {c} at run time", [choose], {"x": x, "c": np.array(c)}, [want])
        both(f"if {c} of a constant", [choose], {"x": x}, [want], [const("c", np.array([c]))])
        nested = branch("n", [NODE("If", ["c"], ["n0"], then_branch=negative, else_branch=shifted)], ["n0"])
        outer = NODE("If", ["c"], ["y0"], then_branch=nested, else_branch=nested)
        both(f"if {c} in an if", [outer], {"x": x, "c": np.array(c)}, [want])
    # The condition follows from shapes; the branch that is not taken could not be imported.
    unknown = branch("u", [NODE("Frobnicate", ["x"], ["u0"])], ["u0"])
    shapes = [NODE("Shape", ["x"], ["s"]), NODE("Shape", ["z"], ["r"]), NODE("Equal", ["s", "r"], ["q"]), NODE("Cast", ["q"], ["i"], to=T.INT64),
              NODE("ReduceMin", ["i"], ["m"], keepdims=0), NODE("Cast", ["m"], ["c"], to=T.BOOL)]
    both("if of shapes", [NODE("Neg", ["x"], ["z"])] + shapes + [NODE("If", ["c"], ["y0"], then_branch=negative, else_branch=unknown)],
         {"x": x}, [-x])
    # What a branch uses may stand behind it in the file; its names may repeat those of the other branch.
    same = branch("s", [NODE("Abs", ["late"], ["t0"])], ["t0"])
    both("if uses what comes later", [NODE("If", ["c"], ["y0"], then_branch=negative, else_branch=same), NODE("Neg", ["x"], ["late"])],
         {"x": x, "c": np.array(False)}, [np.abs(x)])
    both("if gives a value from around it", [NODE("If", ["c"], ["y0"], then_branch=branch("p", [], ["x"]), else_branch=negative)],
         {"x": x, "c": np.array(True)}, [x])
    info = [tensor("x", x, ("n", "m")), h.make_tensor_value_info("c", T.BOOL, ())]
    # Only the branch that is taken must be able to run.
    rows = branch("r", [NODE("Gather", ["x", "i"], ["r0"])], ["r0"])
    for c, i in ((True, [1, 0]), (False, [7, -9])):
        both(f"if {c} with an index", [NODE("If", ["c"], ["y0"], then_branch=rows, else_branch=negative)],
             {"x": x, "i": np.array(i), "c": np.array(c)}, [x[[1, 0]] if c else -x])
    square = branch("q", [NODE("MatMul", ["x", "x"], ["q0"]), NODE("Add", ["q0", "x"], ["q1"])], ["q1"])
    picky = model_of([NODE("If", ["c"], ["y0"], then_branch=square, else_branch=negative)],
                     [tensor("x", x, ("n", "m")), h.make_tensor_value_info("c", T.BOOL, ())], 1)
    run("if of shapes that fit only when taken", picky, [x, np.array(False)], [-x])
    run("if of shapes that do not fit", picky, [x, np.array(True)], [x], code=1, data=True, message="the inner dims of matmul are .* but must be equal")
    # Other sizes in each branch; what stands behind works on either.
    flat = branch("f", [NODE("Flatten", ["x"], ["f0"], axis=0)], ["f0"])
    for c in (True, False):
        both(f"if {c} gives other sizes", [NODE("If", ["c"], ["y0"], then_branch=negative, else_branch=flat)], {"x": x, "c": np.array(c)},
             [-x if c else x.reshape(1, 6)])
        both(f"if {c} of other sizes", [NODE("If", ["c"], ["t"], then_branch=negative, else_branch=flat), NODE("Exp", ["t"], ["u"]), NODE("ReduceSum", ["u"], ["y0"], keepdims=0)],
             {"x": x, "c": np.array(c)}, [np.exp(-x if c else x).sum(dtype=np.float32)])
    flat = branch("f", [NODE("Unsqueeze", ["x", "zero"], ["f0"])], ["f0"], [const("zero", np.array([0]))])
    for name, node, code, message in (
            ("shapes", NODE("If", ["c"], ["y0"], name="choose", then_branch=negative, else_branch=flat), 3, r"'choose'.*f32\[n, m\] in one branch and f32\[1, n, m\]"),
            ("unknown branch", NODE("If", ["c"], ["y0"], then_branch=negative, else_branch=unknown), 3, "Frobnicate is not supported"),
            ("one branch", NODE("If", ["c"], ["y0"], then_branch=negative), 1, "'else_branch' is missing"),
            ("outputs", NODE("If", ["c"], ["y0", "z0"], then_branch=negative, else_branch=flat), 1, "0 inputs and 1 outputs, not 0 and 2"),
            ("own output", NODE("If", ["c"], ["y0"], name="self", then_branch=branch("l", [NODE("Neg", ["y0"], ["l0"])], ["l0"]), else_branch=flat), 1, "cycle: 'self' needs 'self'"),
            ("nobody", NODE("If", ["c"], ["y0"], then_branch=branch("l", [NODE("Neg", ["nobody"], ["l0"])], ["l0"]), else_branch=flat), 1, "'nobody' is produced by no node"),
            ("condition", NODE("If", ["x"], ["y0"], then_branch=negative, else_branch=flat), 1, "must be one bool")):
        run(f"if: {name}", model_of([node], info, 1), [], [], code=code, message=message)


# ---- sequences ----

def sequences():
    x = RNG.standard_normal((4, 3)).astype(np.float32)
    last = const("last", np.int64(-1))
    both("split to rows, pick one", [NODE("SplitToSequence", ["x"], ["s"], axis=1, keepdims=0), NODE("SequenceAt", ["s", "last"], ["y0"])],
         {"x": x}, [x[:, 2]], [last], names={"x": ["n", 3]})
    both("split by two, join", [NODE("SplitToSequence", ["x", "two"], ["s"], axis=1), NODE("ConcatFromSequence", ["s"], ["y0"], axis=0)],
         {"x": x[:, :2]}, [x[:, :2]], [const("two", np.int64(2))], names={"x": ["n", 2]})
    both("split into sizes", [NODE("SplitToSequence", ["x", "sizes"], ["s"]), NODE("SequenceAt", ["s", "last"], ["y0"]), NODE("SequenceLength", ["s"], ["y1"])],
         {"x": x}, [x[1:], np.array(2)], [last, const("sizes", np.int64([1, 3]))])
    both("build, insert, erase, stack",
         [NODE("SequenceEmpty", [], ["e"]), NODE("SequenceInsert", ["e", "x"], ["a"]), NODE("Neg", ["x"], ["n"]), NODE("Abs", ["x"], ["b"]),
          NODE("SequenceInsert", ["a", "n", "zero"], ["c"]), NODE("SequenceInsert", ["c", "b"], ["d"]), NODE("SequenceErase", ["d", "last"], ["f"]),
          NODE("SequenceConstruct", ["x", "n"], ["g"]), NODE("ConcatFromSequence", ["f"], ["y0"], axis=1, new_axis=1),
          NODE("ConcatFromSequence", ["g"], ["y1"], axis=-1)],
         {"x": x}, [np.stack([-x, x], 1), np.concatenate([x, -x], 1)], [last, const("zero", np.int64(0))])
    info = [tensor("x", x, ("n", 3))]
    for name, nodes, code, message in (
            ("types", [NODE("Cast", ["x"], ["h"], to=10), NODE("SequenceConstruct", ["x", "h"], ["s"]), NODE("SequenceLength", ["s"], ["y0"])], 1, "a sequence of f32 and f16"),
            ("operand", [NODE("SequenceConstruct", ["x"], ["s"]), NODE("Neg", ["s"], ["y0"])], 3, "is a sequence, which this operator does not take"),
            ("position", [NODE("SequenceConstruct", ["x"], ["s"]), NODE("SequenceAt", ["s", "two"], ["y0"])], 1, "outside a sequence of 1"),
            ("no sequence", [NODE("SequenceAt", ["x", "two"], ["y0"])], 1, "is not a sequence"),
            ("erase", [NODE("SequenceEmpty", [], ["s"]), NODE("SequenceErase", ["s"], ["t"]), NODE("SequenceLength", ["t"], ["y0"])], 1, "empty sequence"),
            ("optional", [NODE("Optional", ["x"], ["o"]), NODE("SequenceLength", ["o"], ["y0"])], 1, "'o' is not a sequence"),
            ("parts of no size", [NODE("SplitToSequence", ["x", "none"], ["s"]), NODE("SequenceLength", ["s"], ["y0"])], 1, "parts of size 0")):
        run(f"sequence: {name}", model_of(nodes, info, 1, [const("two", np.int64(2)), const("none", np.int64(0))]), [], [], code=code, message=message)


# ---- sizes that an operator needs to agree ----

def clash(name, nodes, inputs, sizes, opset=18):
    """Each dim of each input is a symbol of its own. The node refuses these inputs and says these two sizes; where it needs
    two dims to be one, they have become one, and the input does."""
    infos = [tensor(k, v, [f"{k}_{i}" for i in range(v.ndim)]) for k, v in inputs.items()]
    run(f"clash: {name}", model_of(nodes, infos, 1, opset=opset), list(inputs.values()), [], code=1, data=True,
        message="|".join(rf"{nodes[-1].op_type}.* are {a} and {b} but must be equal:|of input .* is {a} but must be {b}:" for a, b in (sizes, sizes[::-1])))


def clashes():
    f = lambda *s: np.ones(s, np.float32)
    ms = {"domain": "com.microsoft"}
    clash("Expand", [NODE("Shape", ["s"], ["d"]), NODE("Expand", ["x", "d"], ["y0"])], {"x": f(6), "s": f(5)}, (5, 6))
    clash("Where", [NODE("Where", ["c", "x", "z"], ["y0"])], {"c": np.ones(4, bool), "x": f(4), "z": f(3)}, (3, 4))
    clash("Sum of three", [NODE("Sum", ["a", "b", "c"], ["y0"])], {"a": f(4), "b": f(1), "c": f(3)}, (3, 4))
    clash("Gemm, C of more rows", [NODE("Gemm", ["a", "b", "c"], ["y0"])], {"a": f(1, 3), "b": f(3, 2), "c": f(5, 2)}, (1, 5))
    clash("PRelu, more slopes", [NODE("PRelu", ["x", "s"], ["y0"])], {"x": f(2, 1), "s": f(3)}, (1, 3))
    clash("LayerNormalization", [NODE("LayerNormalization", ["x", "s"], ["y0"])], {"x": f(2, 1), "s": f(3)}, (1, 3))
    for size in (1, 4):
        p = f(size)
        clash(f"BatchNormalization, {size}", [NODE("BatchNormalization", ["x", "s", "s", "s", "s"], ["y0"])], {"x": f(1, 3, 5), "s": p}, (3, size))
        clash(f"InstanceNormalization, {size}", [NODE("InstanceNormalization", ["x", "s", "s"], ["y0"])], {"x": f(1, 3, 5), "s": p}, (3, size))
        clash(f"GroupNormalization, {size}", [NODE("GroupNormalization", ["x", "s", "s"], ["y0"], num_groups=3)], {"x": f(1, 6, 5), "s": p}, (3, size))
        clash(f"GroupNormalization 21, {size}", [NODE("GroupNormalization", ["x", "s", "s"], ["y0"], num_groups=3)], {"x": f(1, 6, 5), "s": p},
              (6, size), opset=21)
    clash("Concat", [NODE("Concat", ["a", "b"], ["y0"], axis=0)], {"a": f(2, 3), "b": f(2, 4)}, (3, 4))
    clash("Einsum", [NODE("Einsum", ["a", "b"], ["y0"], equation="ij,jk->ik")], {"a": f(2, 3), "b": f(4, 2)}, (3, 4))
    clash("Einsum of a batch", [NODE("Einsum", ["a", "b"], ["y0"], equation="bij,bjk->bik")], {"a": f(2, 2, 3), "b": f(4, 3, 2)}, (2, 4))
    clash("GatherElements", [NODE("GatherElements", ["x", "i"], ["y0"], axis=1)], {"x": f(2, 3), "i": np.zeros((4, 1), np.int64)}, (2, 4))
    clash("BiasGelu", [NODE("BiasGelu", ["x", "b"], ["y0"], **ms)], {"x": f(2, 1), "b": f(3)}, (1, 3))
    clash("SkipLayerNormalization", [NODE("SkipLayerNormalization", ["x", "s", "g"], ["y0"], **ms)],
          {"x": f(1, 2, 4), "s": f(3, 2, 4), "g": f(4)}, (1, 3))
    qkv = {"q": f(1, 3, 8), "k": f(1, 5, 8), "v": f(1, 5, 8)}
    mha = lambda *more: [NODE("MultiHeadAttention", ["q", "k", "v", *more], ["y0"], num_heads=2, scale=0.5, **ms)]
    clash("MultiHeadAttention, mask", mha("", "m"), {**qkv, "m": np.ones((1, 4), np.int32)}, (4, 5))
    clash("MultiHeadAttention, values", mha(), {**qkv, "v": f(1, 4, 8)}, (4, 5))
    clash("MultiHeadAttention, bias", mha("b"), {**qkv, "b": f(23)}, (23, 24))
    clash("MultiHeadAttention, added bias", mha("", "", "b"), {**qkv, "b": f(1, 2, 4, 5)}, (3, 4))
    past = {"q": f(1, 2, 1, 4), "k": f(1, 2, 1, 4), "v": f(1, 2, 1, 4), "m": f(1, 1, 1, 5), "pk": f(1, 2, 3, 4), "pv": f(1, 2, 3, 4)}
    attention = lambda **kw: [NODE("Attention", ["q", "k", "v", "m", "pk", "pv"], ["y0"], scale=0.5, **kw)]
    clash("Attention, mask over a past", attention(), past, (4, 5), opset=23)
    clash("Attention, a past of fewer values", attention(), {**past, "m": f(1, 1, 1, 4), "pv": f(1, 2, 2, 4)}, (4, 3), opset=23)
    clash("Attention, mask of a capped softmax", attention(softcap=2.0), {**past, "m": f(1, 1, 5, 4)}, (1, 5), opset=23)


# ---- NonZero, scatters ----

def places():
    for shape in ((5,), (2, 3), (2, 3, 2), (0, 3)):
        x = (RNG.random(shape) < 0.5).astype(np.float32)
        for dtype in (np.float32, np.int64, np.bool_):
            # Each column times its number: the sum knows what was found and in which order.
            found = np.array(np.nonzero(x)).astype(np.int64)
            both(f"nonzero of {shape} {dtype.__name__}",
                 [NODE("NonZero", ["x"], ["f"]), NODE("Shape", ["f"], ["s"]), NODE("Gather", ["s", "one"], ["y1"]), NODE("Range", ["zero", "y1", "one"], ["r"]),
                  NODE("Add", ["f", "one"], ["a"]), NODE("Mul", ["a", "r"], ["m"]), NODE("ReduceSum", ["m", "axes"], ["y0"], keepdims=0)],
                 {"x": x.astype(dtype)}, [((found + 1) * np.arange(found.shape[1])).sum(1), np.array(found.shape[1])],
                 [const("zero", np.int64(0)), const("one", np.int64(1)), const("axes", np.int64([1]))])
            both(f"nonzero of {shape} {dtype.__name__} as an output", [NODE("NonZero", ["x"], ["y0"])], {"x": x.astype(dtype)}, [found])
    x = RNG.standard_normal((3, 2)).astype(np.float32)
    rows = model_of([NODE("NonZero", ["k"], ["i"]), NODE("Squeeze", ["i", "zero"], ["j"]), NODE("Gather", ["x", "j"], ["r"]), NODE("Transpose", ["x"], ["t"]),
        NODE("MatMul", ["t", "r"], ["y0"])], [tensor("x", x, ("n", 2)), h.make_tensor_value_info("k", T.BOOL, ("n",))], 1, [const("zero", np.int64([0]))])
    run("as many as there are rows", rows, [x, np.array([True] * 3)], [x.T @ x])
    run("fewer than there are rows", rows, [x, np.array([True, False, True])], [], code=1, data=True, message="MatMul.*the inner dims of matmul are 3 and 2 but must be equal")
    both("nonzero of a constant", [NODE("NonZero", ["w"], ["a"]), NODE("Gather", ["a", "one"], ["i"]), NODE("Gather", ["x", "i"], ["y0"], axis=1)],
         {"x": x}, [x[:, [1, 0]]], [const("w", np.float32([[0, 2], [3, 0]])), const("one", np.int64(1))])
    both("a range spelled as nonzero", [NODE("Shape", ["x"], ["s"]), NODE("ConstantOfShape", ["s"], ["o"], value=const("", np.int64([1]))),
                                        NODE("NonZero", ["o"], ["y0"])], {"x": x}, [np.array(np.nonzero(np.ones((3, 2)))).astype(np.int64)])
    both("rows that are kept", [NODE("NonZero", ["k"], ["i"]), NODE("Squeeze", ["i", "zero"], ["j"]), NODE("Gather", ["x", "j"], ["r"]),
                                NODE("Neg", ["r"], ["n"]), NODE("Unsqueeze", ["j", "last"], ["u"]), NODE("ScatterND", ["x", "u", "n"], ["y0"])],
         {"x": x, "k": np.array([True, False, True])}, [x * np.float32([[-1], [1], [-1]])],
         [const("zero", np.int64([0])), const("last", np.int64([-1]))], names={"x": ["n", "m"], "k": ["n"]})


def assignments():
    """y[a:b, c:d] = u, the indices as torch exports them: ranges, sliced, expanded and stacked."""
    x = RNG.standard_normal((4, 5)).astype(np.float32)
    for rows, columns in (((0, None), (0, None)), ((0, None), (0, 2)), ((1, 3), (0, None)), ((1, 3), (2, 4)), ((-2, None), (0, 1))):
        part = x[slice(*rows), slice(*columns)]
        want = x.copy()
        want[slice(*rows), slice(*columns)] = -part
        nodes, c = [NODE("Shape", ["x"], ["s"])], [const("zero", np.int64(0)), const("one", np.int64(1)), const("minus", np.int64([-1]))]
        for axis, (lo, hi) in enumerate((rows, columns)):
            c += [const(f"lo{axis}", np.int64([lo])), const(f"hi{axis}", np.int64([2**63 - 1 if hi is None else hi])), const(f"ax{axis}", np.int64([axis])),
                  const(f"at{axis}", np.int64(axis)), const(f"shape{axis}", np.int64([-1, 1] if axis == 0 else [1, -1])), const(f"z{axis}", np.int64([0]))]
            nodes += [NODE("Gather", ["s", f"at{axis}"], [f"d{axis}"]), NODE("Range", ["zero", f"d{axis}", "one"], [f"r{axis}"]),
                      NODE("Slice", [f"r{axis}", f"lo{axis}", f"hi{axis}", f"z{axis}"], [f"p{axis}"]), NODE("Reshape", [f"p{axis}", f"shape{axis}"], [f"q{axis}"])]
        nodes += [NODE("Add", ["q0", "q1"], ["sum"]), NODE("Shape", ["sum"], ["full"])]
        for axis in (0, 1):
            nodes += [NODE("Expand", [f"q{axis}", "full"], [f"e{axis}"]), NODE("Unsqueeze", [f"e{axis}", "minus"], [f"u{axis}"])]
        nodes += [NODE("Concat", ["u0", "u1"], ["i"], axis=-1), NODE("Slice", ["x", "lo0", "hi0", "ax0"], ["x0"]), NODE("Slice", ["x0", "lo1", "hi1", "ax1"], ["x1"]),
                  NODE("Neg", ["x1"], ["v"]), NODE("ScatterND", ["x", "i", "v"], ["y0"])]
        both(f"assignment to {rows}, {columns}", nodes, {"x": x}, [want], c)
    both("scatter of a transposed block", [NODE("ScatterND", ["x", "i", "u"], ["y0"])], {"x": x[:2, :2], "u": x[:2, :2]}, [x[:2, :2].T],
         [const("i", np.int64([[[0, 0], [1, 0]], [[0, 1], [1, 1]]]))], names={"x": ["n", "m"], "u": [2, 2]})


# ---- sizes ----

def sizes():
    x = RNG.standard_normal((2, 7)).astype(np.float32)
    length = [NODE("Shape", ["x"], ["s"]), NODE("Gather", ["s", "one"], ["n"])]
    c = [const("one", np.int64(1)), const("zero", np.int64(0)), const("two", np.float32(2)), const("half", np.float32(0.5)), const("three", np.float32(3))]
    floats = length + [NODE("Cast", ["n"], ["f"], to=T.FLOAT)]
    for op, want in (("Ceil", 4), ("Floor", 3)):
        both(f"a range up to {op} of half the length", floats + [NODE("Div", ["f", "two"], ["h"]), NODE(op, ["h"], ["r"]), NODE("Cast", ["r"], ["k"], to=T.INT64),
             NODE("Range", ["zero", "k", "one"], ["y0"])], {"x": x}, [np.arange(want)], c)
    both("halves and back", floats + [NODE("Div", ["f", "two"], ["a"]), NODE("Mul", ["f", "half"], ["b"]), NODE("Add", ["a", "b"], ["d"]),
         NODE("Sub", ["d", "a"], ["e"]), NODE("Mul", ["e", "two"], ["g"]), NODE("Cast", ["g"], ["k"], to=T.INT64), NODE("Range", ["zero", "k", "one"], ["y0"])],
         {"x": x}, [np.arange(7)], c)
    both("a third, rounded", floats + [NODE("Div", ["f", "three"], ["a"]), NODE("Ceil", ["a"], ["b"]), NODE("Cast", ["b"], ["k"], to=T.INT64),
         NODE("Range", ["zero", "k", "one"], ["y0"])], {"x": x}, [np.arange(3)], c)
    both("the last of a range", length + [NODE("Range", ["zero", "n", "one"], ["r"]), NODE("Cast", ["r"], ["f"], to=T.FLOAT), NODE("Gather", ["f", "last"], ["l"]),
         NODE("Cast", ["l"], ["k"], to=T.INT64), NODE("Range", ["zero", "k", "one"], ["y0"])], {"x": x}, [np.arange(6)], c + [const("last", np.int64(-1))])
    both("a product divided by a factor", length + [NODE("Gather", ["s", "zero"], ["m"]), NODE("Mul", ["n", "m"], ["p"]), NODE("Div", ["p", "m"], ["q"]),
         NODE("Range", ["zero", "q", "one"], ["y0"])], {"x": x}, [np.arange(7)], c)
    both("a size like a float", length + [NODE("CastLike", ["two", "n"], ["k"]), NODE("Range", ["zero", "n", "k"], ["y0"])], {"x": x}, [np.arange(0, 7, 2)], c)
    both("what floats do with thirds", floats + [NODE("Div", ["f", "three"], ["a"]), NODE("Add", ["a", "a"], ["b"]), NODE("Cast", ["b"], ["k"], to=T.INT64),
         NODE("Range", ["zero", "k", "one"], ["y0"])], {"x": x}, [np.arange(4)], c)
    both("a size from data", [NODE("Cast", ["x"], ["k"], to=T.INT64), NODE("Range", ["zero", "k", "one"], ["y0"])], {"x": np.array(3.7, np.float32)}, [np.arange(3)], c)


# ---- dims that are equal ----

def equal_dims():
    a, b = RNG.standard_normal((2, 3)).astype(np.float32), RNG.standard_normal((3, 4)).astype(np.float32)
    infos = [tensor("a", a, ("n", "k")), tensor("b", b, ("p", "m"))]
    product = [NODE("MatMul", ["a", "b"], ["y0"])]
    run("inner dims", model_of(product, infos, 1), [a, b], [a @ b])
    run("inner dims that differ", model_of(product, infos, 1), [a, b[:2]], [a], code=1, data=True, message=r"input 'b': dim 0 is 2|'b'.*2.*3")
    # The size of p is that of k: a branch that asks for it is decided, and the reshape needs no condition.
    same = [NODE("Shape", ["a"], ["s"], start=1), NODE("Shape", ["b"], ["t"], end=1), NODE("Equal", ["s", "t"], ["c"])]
    choice = NODE("If", ["c"], ["y0"], then_branch=branch("t", [NODE("MatMul", ["a", "b"], ["t0"])], ["t0"]),
                  else_branch=branch("e", [NODE("Frobnicate", ["a"], ["e0"])], ["e0"]))
    run("no branch is decided in the first round", model_of(same + [choice], infos, 1), [], [], code=3, message="Frobnicate")
    run("dims that are said to be equal", model_of(same + [choice], infos, 1), [a, b], [a @ b], args=["--dim", "p=k"])
    run("a dim that is a sum", model_of([NODE("Concat", ["a", "c"], ["d"], axis=1), NODE("MatMul", ["d", "b"], ["y0"])],
        [tensor("a", a, ("n", "k")), tensor("c", a, ("n", "j")), tensor("b", b, ("p", "m"))], 1),
        [a, a[:, :2], RNG.standard_normal((5, 4)).astype(np.float32)][:2] + [np.ones((5, 4), np.float32)],
        [np.concatenate([a, a[:, :2]], 1) @ np.ones((5, 4), np.float32)])
    run("a dim that is a number", model_of([NODE("MatMul", ["a", "w"], ["y0"])], infos[:1], 1, [const("w", b)]), [a], [a @ b])
    run("broadcasting keeps dims apart", model_of([NODE("Add", ["a", "b"], ["y0"])], [infos[0], tensor("b", a, ("p", "q"))], 1), [a, a[:1]], [a + a[:1]])
    for text, message in (("p=zz", "no such dim"), ("zz=p", "no such dim"), ("p=p", "is that one already"), ("p=", "expected NAME=")):
        run(f"--dim {text}", model_of(product, infos, 1), [], [], args=["--dim", text], code=1, message=message)
    run("--dim in a circle", model_of(product, infos, 1), [], [], args=["--dim", "p=k", "--dim", "k=p"], code=1, message="is that one already")


# ---- what onnxruntime's optimiser writes ----

def gelu(x):
    from math import erf
    return (x * 0.5 * (1 + np.vectorize(erf)(x / np.sqrt(2)))).astype(np.float32)


def layer_norm(x, g, b, eps):
    return ((x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps) * g + b).astype(np.float32)


def attention(q, k, v, heads, seen=None, filter_value=-10000.0):
    def split(x):
        return x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3)
    q, k, v = split(q), split(k), split(v)
    s = q @ k.transpose(0, 1, 3, 2) / np.sqrt(q.shape[-1])
    if seen is not None:
        s = s + np.where(seen, 0, filter_value)
    p = np.exp(s - s.max(-1, keepdims=True))
    y = p / p.sum(-1, keepdims=True) @ v
    return y.transpose(0, 2, 1, 3).reshape(y.shape[0], y.shape[2], -1).astype(np.float32)


def contrib():
    ms = {"domain": "com.microsoft"}
    x, r, g, b = (RNG.standard_normal(s).astype(np.float32) for s in ((2, 3, 8), (2, 3, 8), (8,), (8,)))
    names = {"x": ["b", "s", 8], "r": ["b", "s", 8]}
    w = [const("g", g), const("b", b)]
    both("BiasGelu", [NODE("BiasGelu", ["x", "b"], ["y0"], **ms)], {"x": x}, [gelu(x + b)], w, names=names)
    both("QuickGelu", [NODE("QuickGelu", ["x"], ["y0"], alpha=1.5, **ms)], {"x": x}, [x / (1 + np.exp(-1.5 * x))], names=names)
    both("SkipLayerNormalization", [NODE("SkipLayerNormalization", ["x", "r", "g", "b", "b"], ["y0", "", "", "y1"], epsilon=1e-3, **ms)], {"x": x, "r": r},
         [layer_norm(x + r + b, g, b, 1e-3), x + r + b], w, names=names)
    rms = (x + r) / np.sqrt(((x + r) ** 2).mean(-1, keepdims=True) + 1e-3) * g
    both("SkipSimplifiedLayerNormalization", [NODE("SkipSimplifiedLayerNormalization", ["x", "r", "g"], ["y0"], epsilon=1e-3, **ms)], {"x": x, "r": r}, [rms], w, names=names)
    both("FusedMatMul", [NODE("FusedMatMul", ["x", "r"], ["y0"], alpha=0.5, transB=1, **ms)], {"x": x, "r": r}, [0.5 * x @ r.transpose(0, 2, 1)], names=names)
    moved = x.transpose(1, 0, 2)  # rows of all samples stand together
    both("FusedMatMul, batch moved", [NODE("FusedMatMul", ["m", "r"], ["y0"], transBatchA=1, transB=1, **ms)], {"m": moved, "r": r}, [x @ r.transpose(0, 2, 1)],
         names={"m": ["s", "b", 8], "r": ["b", "s", 8]})
    both("FusedMatMul, all moved", [NODE("FusedMatMul", ["m", "s"], ["y0"], transBatchA=1, transA=1, transBatchB=1, **ms)],
         {"m": x.transpose(2, 0, 1), "s": r.transpose(2, 0, 1)}, [x @ r.transpose(0, 2, 1)])
    both("FusedGemm", [NODE("FusedGemm", ["x", "w", "b"], ["y0"], activation="Tanh", transB=1, **ms)], {"x": x[0]}, [np.tanh(x[0] @ r[0].T + b[:3])],
         [const("w", r[0]), const("b", b[:3])], names={"x": ["n", 8]})
    ids, types, mask = np.int32([[1, 2, 0], [3, 3, 3]]), np.int32([[0, 1, 1], [0, 0, 1]]), np.int32([[1, 1, 0], [1, 1, 1]])
    word, place, kind = (RNG.standard_normal((n, 8)).astype(np.float32) for n in (4, 5, 2))
    both("EmbedLayerNormalization", [NODE("EmbedLayerNormalization", ["i", "t", "w", "p", "k", "g", "b", "m"], ["y0", "y1"], epsilon=1e-3, **ms)],
         {"i": ids, "t": types, "m": mask}, [layer_norm(word[ids] + place[:3] + kind[types], g, b, 1e-3), mask.sum(1, dtype=np.int32)],
         w + [const("w", word), const("p", place), const("k", kind)], names={k: ["b", "s"] for k in "itm"})
    weight, bias = RNG.standard_normal((8, 24)).astype(np.float32), RNG.standard_normal(24).astype(np.float32)
    q, k, v = np.split(x @ weight + bias, 3, -1)
    w = [const("w", weight), const("c", bias)]
    both("Attention", [NODE("Attention", ["x", "w", "c"], ["y0"], num_heads=2, **ms)], {"x": x}, [attention(q, k, v, 2)], w, names=names)
    names["m"] = ["b", "s"]
    both("Attention with a mask", [NODE("Attention", ["x", "w", "c", "m"], ["y0"], num_heads=2, **ms)], {"x": x, "m": mask},
         [attention(q, k, v, 2, mask[:, None, None] > 0)], w, names=names)
    names["m"] = ["b"]
    both("Attention with lengths", [NODE("Attention", ["x", "w", "c", "m"], ["y0"], num_heads=2, **ms)], {"x": x, "m": np.int32([2, 3])},
         [attention(q, k, v, 2, mask[:, None, None] > 0)], w, names=names)
    both("causal Attention", [NODE("Attention", ["x", "w", "c"], ["y0"], num_heads=2, unidirectional=1, **ms)], {"x": x},
         [attention(q, k, v, 2, np.tril(np.ones((3, 3), bool)))], w, names=names)
    names.update(q=["b", "s", 8], k=["b", "t", 8], v=["b", "t", 8], m=["b", "t"])
    both("MultiHeadAttention", [NODE("MultiHeadAttention", ["q", "k", "v", "c", "m"], ["y0"], num_heads=2, mask_filter_value=-100.0, **ms)],
         {"q": x, "k": r, "v": x, "m": mask}, [attention(x + bias[:8], r + bias[8:16], x + bias[16:], 2, mask[:, None, None] > 0, -100.0)], w, names=names)
    info = [tensor("x", x, ("b", "s", 8))]
    for name, node, code, message in (
            ("training outputs", NODE("SkipLayerNormalization", ["x", "x", "g"], ["y0", "mean"], **ms), 3, "not supported"),
            ("heads", NODE("Attention", ["x", "w", "c"], ["y0"], **ms), 1, "num_heads"),
            ("activation", NODE("FusedGemm", ["w", "w"], ["y0"], transA=1, activation="Frob", **ms), 3, "'Frob'")):
        run(f"contrib: {name}", model_of([node], info, 1, w + [const("g", g)]), [], [], code=code, message=message)


def rms(x, eps=1e-5):
    return x / np.sqrt((x ** 2).mean(-1, keepdims=True) + eps)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gates():
    """What stands between the products of newer decoders."""
    x, y, z, g = (RNG.standard_normal(s).astype(np.float32) for s in ((2, 3, 8), (2, 3, 8), (2, 3, 1), (8,)))

    def gate(op, inputs, outputs, names, label="", **attrs):
        node = NODE(op, list(inputs), [f"y{i}" for i in range(len(outputs))], domain="com.microsoft", **attrs)
        both(op + label, [node], inputs, outputs, names=names)

    rows = ["b", "s", 8]
    names = {"x": rows, "y": rows, "z": ["b", "s", 1], "g": [8], "h": [4]}
    gate("GatedAdd", {"x": x, "y": y, "z": z}, [x + y * z], names)
    gate("ScaledSiLU", {"x": x}, [1.5 * x * sigmoid(1.5 * x)], names, alpha=1.5)
    gate("ScaledSiLU", {"x": x, "a": np.float32(0.5)}, [x / 2 * sigmoid(x / 2)], names, " by an operand", alpha=1.5)
    parts = (rms(x.reshape(2, 3, 2, 4), 1e-2) * g[:4]).reshape(x.shape)
    gate("GatedRMSNorm", {"x": x, "h": g[:4], "y": y}, [parts * y * sigmoid(y)], names, epsilon=1e-2)
    gate("GatedRMSNorm", {"x": x, "g": g, "y": y}, [rms(x) * g * sigmoid(y)], names, " and sigmoid", activation="sigmoid")
    gate("LinearAttentionGate", {"x": x, "g": g, "h": -g, "y": y}, [-g * np.log1p(np.exp(x + g)), sigmoid(y)], names | {"h": [8]})
    streams, flat = RNG.standard_normal((2, 3, 4, 8)).astype(np.float32), ["b", "s", 32]
    names |= {"c": ["b", "s", 4, 8], "f": flat, "m": ["b", "s", 4], "w": ["b", "s", 4, 4], "o": rows, "i": rows, "k": [4, 8]}
    f, m, w, k = streams.reshape(2, 3, 32), streams[..., 1], streams[..., :4], streams[0, 0]
    gate("BranchwiseRMSNorm", {"c": streams, "g": g}, [rms(streams) * g], names)
    gate("BranchwiseRMSNorm", {"f": f, "k": k}, [(rms(streams) * k).reshape(f.shape)], names, ", flat", num_branches=4)
    gate("HyperConnectionPreMix", {"c": streams, "m": m}, [(streams * m[..., None]).sum(2) / 2], names, reduction_scale=0.5)
    gate("HyperConnectionPreMix", {"f": f, "n": f}, [(streams ** 2).sum(2)], names | {"n": flat}, ", flat", num_branches=4)
    gate("HyperConnectionPostMix", {"c": streams, "o": x, "m": m, "w": w},
         [w.transpose(0, 1, 3, 2) @ streams + m[..., None] * x[:, :, None]], names)
    gate("HyperConnectionPostMix", {"f": f, "o": x, "c": streams}, [(streams + streams * x[:, :, None]).reshape(f.shape)], names, ", flat", num_branches=4)
    q = streams[::-1].copy()
    dot = (rms(streams) * k * rms(q) * k).sum(-1, keepdims=True) / np.float32(np.sqrt(8))
    v = sigmoid(np.sign(dot) * np.sqrt(np.maximum(np.abs(dot), 1e-6))) * x[:, :, None]
    gate("EngramGate", {"c": streams, "q": q, "x": x, "k": k, "l": k, "n": k}, [v, rms(v) * k], names | {"q": names["c"], "l": [4, 8], "n": [4, 8]})
    infos = [tensor("x", x, rows), tensor("c", streams, names["c"])]
    for label, node, message in (("activation", NODE("GatedRMSNorm", ["x", "g", "x"], ["y0"], domain="com.microsoft", activation="Frob"), "'Frob'"),
                                 ("parts", NODE("GatedRMSNorm", ["x", "p", "x"], ["y0"], domain="com.microsoft"), "parts it divides into"),
                                 ("branches", NODE("BranchwiseRMSNorm", ["x"], ["y0"], domain="com.microsoft", num_branches=3), "num_branches"),
                                 ("its operand", NODE("LinearAttentionGate", ["x", "g", "g"], ["y0", "y1"], domain="com.microsoft"), "no operand b")):
        run(f"gates: {label}", model_of([node], infos, 1, [const("g", g), const("p", g[:3])]), [], [], code=3 if label == "activation" else 1, message=message)


def multimodal_rotary():
    """Each pair of a head takes its angle from one of three positions."""
    x, cos, sin = (RNG.standard_normal(s).astype(np.float32) for s in ((2, 3, 32), (9, 6), (9, 6)))
    at = RNG.integers(0, 9, (3, 2, 3))
    info = {"x": ["b", "s", 32], "p": [3, "b", "s"]}
    for layout, stream in ((0, [0, 0, 1, 1, 1, 2]), (1, [0, 1, 2, 0, 1, 0])):
        section = [2, 3, 1] if layout == 0 else [3, 2, 1]
        for neighbours in (0, 1):
            c, s = (np.stack([t[at[stream[i]], i] for i in range(6)], -1)[:, :, None] for t in (cos, sin))
            head = x.reshape(2, 3, 2, 16)
            a, b = (head[..., 0:12:2], head[..., 1:12:2]) if neighbours else (head[..., :6], head[..., 6:12])
            turned = [a * c - b * s, a * s + b * c]
            turned = np.stack(turned, -1).reshape(2, 3, 2, 12) if neighbours else np.concatenate(turned, -1)
            node = NODE("MRotaryEmbedding", ["x", "p", "c", "s"], ["y0"], domain="com.microsoft", mrope_section=section, mrope_layout=layout,
                        interleaved=neighbours, num_heads=2, rotary_embedding_dim=12)
            both(f"MRotaryEmbedding, layout {layout}, neighbours {neighbours}", [node], {"x": x, "p": at},
                 [np.concatenate([turned, head[..., 12:]], -1).reshape(x.shape)], [const("c", cos), const("s", sin)], names=info)
    wrong = NODE("MRotaryEmbedding", ["x", "p", "c", "s"], ["y0"], domain="com.microsoft", mrope_section=[2, 2, 1], num_heads=2)
    run("MRotaryEmbedding: sections", model_of([wrong], [tensor("x", x, info["x"]), tensor("p", at, info["p"])], 1, [const("c", cos), const("s", sin)]),
        [], [], code=1, message="sections and the tables of angles")


def distances():
    """T5's bias: the formula as its authors wrote it, in numpy."""
    table = RNG.standard_normal((32, 2)).astype(np.float32)
    for way in (0, 1):
        d = np.arange(40)[None] - np.arange(40)[:, None]
        side = 16 if way else 32
        away = np.abs(d) if way else -np.minimum(d, 0)
        far = side // 2 + (np.log(np.float32(np.maximum(away, 1)) / (side // 2)) / np.log(128 / (side // 2)) * (side - side // 2)).astype(int)
        bucket = np.where(away < side // 2, away, np.minimum(far, side - 1)) + (d > 0) * side * way
        node = NODE("RelativePositionBias", ["t", "n", "n"], ["y0"], domain="com.microsoft", max_distance=128, is_bidirectional=way)
        size = [NODE("Shape", ["x"], ["n"], start=1, end=2), node]
        both(f"RelativePositionBias {way}", size, {"x": np.zeros((1, 40), np.float32)}, [table[bucket].transpose(2, 0, 1)[None]],
             [const("t", table.T.reshape(32, 2).copy())], names={"x": [1, "s"]})


def images():
    """Channels behind, and what is made of diffusion models."""
    x, w = (RNG.standard_normal(s).astype(np.float32) for s in ((2, 5, 5, 4), (6, 2, 2, 4)))
    g, b, d = (RNG.standard_normal(s).astype(np.float32) for s in (4, 4, (2, 4)))
    ms, info = {"domain": "com.microsoft"}, {"x": ["b", "h", "w", 4], "d": ["b", 4]}

    def conv(x):
        return sum(x[:, i:4 + i, j:4 + j] @ w[:, i, j].T for i in range(2) for j in range(2))

    both("NhwcConv", [NODE("NhwcConv", ["x", "w"], ["y0"], kernel_shape=[2, 2], **ms)], {"x": x}, [conv(x)], [const("w", w)], names=info)
    both("NhwcFusedConv", [NODE("NhwcFusedConv", ["x", "v", "", "z"], ["y0"], activation="Relu", **ms)], {"x": x, "z": np.float32(conv(x) - 1)},
         [np.maximum(2 * conv(x) - 1, 0)], [const("v", w.transpose(0, 3, 1, 2).copy())], names=info | {"z": ["b", "i", "j", 6]})
    code = RNG.integers(0, 255, (1, 4, 4, 3)).astype(np.uint8)
    both("NhwcMaxPool", [NODE("NhwcMaxPool", ["x"], ["y0"], kernel_shape=[2, 2], strides=[2, 2], **ms)], {"x": code},
         [code.reshape(1, 2, 2, 2, 2, 3).max((2, 4))], names={"x": ["b", "h", "w", 3]})
    scales = [const("s", np.float32(1)), const("z", np.uint8(0)), const("v", np.uint8([[[[1]], [[2]], [[0]]]]))]
    both("QLinearConv", [NODE("QLinearConv", ["x", "s", "z", "v", "s", "z", "s", "z"], ["y0"], channels_last=1, **ms)], {"x": code // 4},
         [(code // 4) @ np.uint8([[1], [2], [0]])], scales, names={"x": ["b", "h", "w", 3]})

    def norm(v):
        r = v.reshape(2, 25, 2, 2)
        r = (r - r.mean((1, 3), keepdims=True)) / np.sqrt(r.var((1, 3), keepdims=True) + 1e-5)
        return r.reshape(v.shape) * g + b

    weights = [const("g", g), const("c", b)]
    both("GroupNorm", [NODE("GroupNorm", ["x", "g", "c"], ["y0"], groups=2, activation=1, **ms)], {"x": x}, [norm(x) * sigmoid(norm(x))], weights, names=info)
    both("GroupNorm, channels second", [NODE("GroupNorm", ["x", "g", "c"], ["y0"], groups=2, activation=0, channels_last=0, **ms)],
         {"x": x.transpose(0, 3, 1, 2).copy()}, [norm(x).transpose(0, 3, 1, 2)], weights, names={"x": ["b", 4, "h", "w"]})
    s = x + d[:, None, None] + b
    both("SkipGroupNorm", [NODE("SkipGroupNorm", ["x", "g", "c", "d", "c"], ["y0", "y1"], groups=2, activation=0, **ms)], {"x": x, "d": d}, [norm(s), s],
         weights, names=info)
    row = x.reshape(2, 25, 4)
    info = {"x": ["b", "s", 4]}
    both("BiasSplitGelu", [NODE("BiasSplitGelu", ["x", "c"], ["y0"], **ms)], {"x": row}, [(row + b)[..., :2] * gelu((row + b)[..., 2:])], weights, names=info)
    both("BiasAdd", [NODE("BiasAdd", ["x", "c", "x"], ["y0"], **ms)], {"x": row}, [2 * row + b], weights, names=info)
    t = row @ w[:4, 0, 0] + b
    both("GemmFastGelu", [NODE("GemmFastGelu", ["x", "w", "c"], ["y0"], **ms)], {"x": row},
         [t / 2 * (1 + np.tanh(np.float32(np.sqrt(2 / np.pi)) * (t + 0.044715 * t ** 3)))], [const("w", w[:4, 0, 0].copy()), const("c", b)], names=info)
    run("GroupNorm: groups", model_of([NODE("GroupNorm", ["x", "g", "c"], ["y0"], groups=3, activation=0, **ms)], [tensor("x", x, x.shape)], 1, weights),
        [], [], code=1, message="groups that divide them")


def main():
    if not TOOL:
        print(__doc__)
        return 2
    for group in (einsums, ifs, sequences, places, assignments, sizes, equal_dims, clashes, contrib, gates, multimodal_rotary, distances, images):
        group()
    print(f"{ran - failed} of {ran} models are taken apart rightly")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
