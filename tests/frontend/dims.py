#!/usr/bin/env python3
"""Sizes that are known at run time only: models whose dims meet, vanish or are 1 for some calls, run for many sizes.

dims.py EVAL_ONNX [XFC XF_RUN]: each call of each model must give what numpy does, or end with a message that names what
is wrong; first in the interpreter, then compiled. Exit code 0, 1, or 77 (skipped) where the onnx package is missing.
"""

import subprocess
import sys
import tempfile

try:
    import numpy as np
    from onnx import TensorProto as T
    from onnx import helper as h
    from onnx import numpy_helper

    from cases import ONE_ISA, run_calls, write_model
except ImportError:
    print("SKIP: the onnx package (onnx==1.22.0) is not installed")
    sys.exit(77)

CASES = []
RANDOM = np.random.default_rng(7)
NODE = h.make_node


def case(*arguments):
    """Declares a case: a function that returns a model and its calls, each (inputs, outputs, or a pattern of the error)."""

    def add(function):
        CASES.append((function, list(arguments)))
        return function

    return add


def value(name, *dims, dtype=T.FLOAT):
    return h.make_tensor_value_info(name, dtype, dims)


def const(name, data, dtype=np.int64):
    return numpy_helper.from_array(np.asarray(data, dtype), name)


def noise(*dims):
    return RANDOM.standard_normal(dims).astype(np.float32)


def model_of(nodes, inputs, outputs, initializers=(), opset=17):
    graph = h.make_graph(nodes, "g", inputs, outputs, list(initializers))
    return h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], ir_version=11 if opset > 22 else 8)


# --- a size that may be 0 meets one that may be 1 ---


@case()
def expand_to_nothing():
    nodes = [
        NODE("Shape", ["r"], ["s"]),
        NODE("Mod", ["s", "three"], ["k"]),
        NODE("Concat", ["k", "width"], ["es"], axis=0),
        NODE("Expand", ["x", "es"], ["y"]),
    ]
    model = model_of(nodes, [value("x", "m", 4), value("r", "n")], [value("y", "k", 4)],
                     [const("three", [3]), const("width", [4])])
    x = noise(1, 4)
    return model, [([x, noise(n)], [np.repeat(x, n % 3, 0)]) for n in (0, 1, 2, 3, 5)]


def padded_to_pairs(frame):
    """Zipformer's downsampling: copies of the last frame pad the time to a multiple, pairs are weighed; later the result
    is repeated and cut to the old length."""
    t, d = "t", 4
    nodes = [
        NODE("Shape", ["x"], ["s"]),
        NODE("Gather", ["s", "i0"], ["t"]),
        NODE("Add", [t, "less"], ["t1"]),
        NODE("Div", ["t1", "frame"], ["groups"]),
        NODE("Mul", ["groups", "frame"], ["whole"]),
        NODE("Sub", ["whole", t], ["pad"]),
        NODE("Slice", ["x", "minus1", "end", "a0"], ["last"]),
        NODE("Unsqueeze", ["pad", "a0"], ["pad1"]),
        NODE("Concat", ["pad1", "width"], ["es"], axis=0),
        NODE("Expand", ["last", "es"], ["extra"]),
        NODE("Concat", ["x", "extra"], ["xp"], axis=0),
        NODE("Unsqueeze", ["groups", "a0"], ["groups1"]),
        NODE("Concat", ["groups1", "frames", "width"], ["rs"], axis=0),
        NODE("Reshape", ["xp", "rs"], ["xr"]),
        NODE("Mul", ["xr", "w"], ["xw"]),
        NODE("ReduceSum", ["xw", "a1"], ["down"], keepdims=0),
        NODE("Unsqueeze", ["down", "a1"], ["u"]),
        NODE("Expand", ["u", "rs"], ["ue"]),
        NODE("Reshape", ["ue", "flat"], ["up"]),
        NODE("Unsqueeze", [t, "a0"], ["tv"]),
        NODE("Slice", ["up", "a0", "tv", "a0"], ["cut"]),
        NODE("Add", ["cut", "x"], ["y"]),
    ]
    w = noise(1, frame, 1)
    constants = [
        const("i0", 0), const("less", frame - 1), const("frame", frame), const("frames", [frame]), const("width", [d]),
        const("minus1", [-1]), const("end", [2**63 - 1]), const("a0", [0]), const("a1", [1]), const("flat", [-1, d]),
        const("w", w, np.float32),
    ]
    model = model_of(nodes, [value("x", "T", d)], [value("down", "D", d), value("y", "T", d)], constants)
    calls = []
    for length in (1, 2, 3, 4, 5, 8, 9):
        x = noise(length, d)
        whole = np.concatenate([x, np.repeat(x[-1:], -length % frame, 0)])
        down = (whole.reshape(-1, frame, d) * w).sum(1)
        calls.append(([x], [down, np.repeat(down, frame, 0)[:length] + x]))
    return model, calls


@case()
def pairs_of_frames():
    return padded_to_pairs(2)


@case()
def groups_of_frames():
    return padded_to_pairs(4)


@case()
def a_border_of_either_sign():
    """Half of what is missing to 9 on each side, as torch writes it: of a longer axis that much is cut off."""
    nodes = [
        NODE("Shape", ["x"], ["s"]),
        NODE("Sub", ["nine", "s"], ["more"]),
        NODE("Div", ["more", "two"], ["before"]),
        NODE("Sub", ["more", "before"], ["after"]),
        NODE("Concat", ["before", "after"], ["pads"], axis=0),
        NODE("Pad", ["x", "pads"], ["y"]),
    ]
    model = model_of(nodes, [value("x", "n")], [value("y", 9)], [const("nine", [9]), const("two", [2])])
    calls = []
    for n in (4, 9, 12, 31):
        x, more = noise(n), 9 - n
        before = int(more / 2)
        y = np.pad(x, (max(before, 0), max(more - before, 0)))
        calls.append(([x], [y[max(-before, 0):][:9]]))
    return model, calls


@case()
def windows_of_a_padded_image():
    """Swin's partition: both sides are padded to a multiple of the window with zeros, joined again and cut back."""
    window = 3

    def size_of(side, axis):
        return [
            NODE("Gather", ["s", f"i{axis}"], [side]),
            NODE("Mod", [side, "w"], [side + "m"]),
            NODE("Sub", ["w", side + "m"], [side + "r"]),
            NODE("Mod", [side + "r", "w"], [side + "p"]),
            NODE("Add", [side, side + "p"], [side + "w"]),
            NODE("Div", [side + "w", "w"], [side + "n"]),
        ]

    nodes = [NODE("Shape", ["x"], ["s"]), *size_of("h", 0), *size_of("v", 1)]
    nodes += [
        NODE("Concat", ["zero", "zero", "zero", "hp", "vp", "zero"], ["pads"], axis=0),
        NODE("Pad", ["x", "pads"], ["p"]),
        NODE("Concat", ["hn", "w", "vn", "w", "two"], ["split"], axis=0),
        NODE("Reshape", ["p", "split"], ["q"]),
        NODE("Transpose", ["q"], ["t"], perm=[0, 2, 1, 3, 4]),
        NODE("ReduceMax", ["t"], ["m"], axes=[2, 3], keepdims=1),
        NODE("Sub", ["t", "m"], ["d"]),
        NODE("Transpose", ["d"], ["b"], perm=[0, 2, 1, 3, 4]),
        NODE("Concat", ["hw", "vw", "two"], ["joined"], axis=0),
        NODE("Reshape", ["b", "joined"], ["j"]),
        NODE("Concat", ["h", "v"], ["ends"], axis=0),
        NODE("Slice", ["j", "zeros", "ends"], ["y"]),
    ]
    constants = [const("i0", [0]), const("i1", [1]), const("w", [window]), const("zero", [0]), const("two", [2]),
                 const("zeros", [0, 0])]
    model = model_of(nodes, [value("x", "h", "v", 2)], [value("y", "h", "v", 2)], constants)
    calls = []
    for h_, v in ((3, 6), (1, 1), (4, 2), (6, 5), (7, 9)):
        x = noise(h_, v, 2)
        p = np.pad(x, ((0, -h_ % window), (0, -v % window), (0, 0)))
        t = p.reshape(p.shape[0] // window, window, -1, window, 2)
        calls.append(([x], [(t - t.max((1, 3), keepdims=True)).reshape(p.shape)[:h_, :v]]))
    return model, calls


# --- a rank that hangs on sizes ---


def squeezed_everywhere(*shapes):
    """Squeeze without axes, and the result with a dim in front."""
    nodes = [NODE("Squeeze", ["x"], ["s"], name="the_squeeze"), NODE("Unsqueeze", ["s", "zero"], ["y"])]
    model = model_of(nodes, [value("x", "n", 1, "m")], [value("y", *[None] * 3)], [const("zero", [0])])
    calls = []
    for shape in shapes:
        x = noise(*shape)
        calls.append(([x], [np.squeeze(x)[None]]))
    return model, calls


ONE = "the_squeeze.*%s is 1.*--dim"


@case()
def squeeze_of_what_is_not_one():
    model, calls = squeezed_everywhere((2, 1, 3), (5, 1, 2), (0, 1, 4))
    calls += [([noise(1, 1, 3)], ONE % "n"), ([noise(2, 1, 1)], ONE % "m"), ([noise(1, 1, 1)], ONE % "[nm]")]
    return model, calls


@case("--dim=n=1", "--dim=m=2..9")
def squeeze_of_a_dim_fixed_at_one():
    return squeezed_everywhere((1, 1, 3), (1, 1, 9))


@case("--dim=n=1..9", "--dim=m=2..9")
def squeeze_within_a_range():
    model, calls = squeezed_everywhere((2, 1, 3), (9, 1, 2))
    return model, calls + [([noise(1, 1, 3)], ONE % "n")]


@case()
def squeeze_of_a_size_that_is_computed():
    nodes = [NODE("Concat", ["x", "x", "z"], ["c"], axis=0), NODE("Squeeze", ["c"], ["y"], name="the_squeeze")]
    model = model_of(nodes, [value("x", "n"), value("z", "m")], [value("y", None)])
    x, z = noise(3), noise(2)
    return model, [([x, z], [np.concatenate([x, x, z])]), ([noise(0), noise(1)], ONE % ".*")]


# --- what is known when dims are fixed ---


@case("--dim=h=3", "--dim=w=4")
def scales_from_fixed_dims():
    """Exporters below opset 11 divide the size that they want by the one there is."""
    nodes = [
        NODE("Shape", ["x"], ["s"]),
        NODE("Cast", ["s"], ["f"], to=T.FLOAT),
        NODE("Div", ["wanted", "f"], ["scales"]),
        NODE("Resize", ["x", "", "scales"], ["y"], mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
    ]
    model = model_of(nodes, [value("x", 1, 2, "h", "w")], [value("y", *[None] * 4)], [const("wanted", [1, 2, 6, 8], np.float32)])
    x = noise(1, 2, 3, 4)
    return model, [([x], [x.repeat(2, 2).repeat(2, 3)])]


# --- names of dims that are none ---


def open_image(*dims):
    nodes = [NODE("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2])]
    x = noise(3, 1, 4, 6)
    pooled = x.reshape(3, 1, 2, 2, 3, 2).max((3, 5))
    return model_of(nodes, [value("x", *dims)], [value("y", *[None] * 4)]), [([x], [pooled])]


@case()
def unknown_dims():
    return open_image("?", 1, "?", "?")


@case()
def unknown_dims_by_a_word():
    return open_image("None", 1, "none", "None")


@case()
def unknown_dims_by_a_number():
    return open_image("-1", 1, "-1", "-1")


@case()
def unknown_dims_without_text():
    return open_image("", 1, "", "")


@case()
def a_word_for_all_dims():
    return open_image("Dynamic", 1, "Dynamic", "Dynamic")


@case("--shape=x=?x1x?x?")
def one_name_taken_apart():
    return open_image("d", 1, "d", "d")


@case("--dim=x_dim2=4", "--dim=x_dim3=2..8", "--shape=x=?x1x?x?")
def unknown_dims_have_names_of_their_own():
    return open_image("?", 1, "?", "?")


@case()
def unknown_dim_beside_one_with_its_name():
    """The name that xfc would give to x's first dim is that of another dim."""
    nodes = [NODE("Neg", ["x"], ["y"]), NODE("Neg", ["r"], ["z"])]
    model = model_of(nodes, [value("x", "?", 2), value("r", "x_dim0")], [value("y", "?", 2), value("z", "?")])
    x, r = noise(3, 2), noise(4)
    return model, [([x, r], [-x, -r])]


@case("--shape=x=?x1..8")
def a_name_still_binds():
    nodes = [NODE("Add", ["x", "r"], ["y"])]
    model = model_of(nodes, [value("x", "n", "m"), value("r", "n", "m")], [value("y", "n", "m")])
    x, r = noise(3, 2), noise(3, 2)
    return model, [([x, r], [x + r]), ([x, noise(2, 2)], "3"), ([noise(3, 9), noise(3, 9)], r"limit of 8|1\.\.8")]


def cached(layers, mask):
    """Attention over a cache for each layer, whose dims exporters name one by one; the mask is cut to the keys of each."""
    nodes, consts, x = [], [const("none", [0]), const("last", [3])], "q"
    for i in range(layers):
        nodes += [NODE("Concat", [f"past{i}", "new"], [f"k{i}"], axis=2), NODE("Shape", [f"k{i}"], [f"n{i}"], start=2, end=3),
                  NODE("Slice", ["mask", "none", f"n{i}", "last"], [f"m{i}"]), NODE("Transpose", [f"k{i}"], [f"t{i}"], perm=[0, 1, 3, 2]),
                  NODE("MatMul", [x, f"t{i}"], [f"s{i}"]), NODE("Add", [f"s{i}", f"m{i}"], [f"b{i}"]), NODE("Softmax", [f"b{i}"], [f"p{i}"], axis=-1),
                  NODE("MatMul", [f"p{i}", f"k{i}"], [f"y{i}"])]
        x = f"y{i}"
    inputs = [value("q", "b", 2, "s", 8), value("new", "b", 2, "s", 8), value("mask", "b", 1, "s", mask)]
    return model_of(nodes, inputs + [value(f"past{i}", "b", 2, f"p{i}", 8) for i in range(layers)], [value(x, "b", 2, "s", 8)], consts)


def attended(q, new, mask, *pasts):
    for past in pasts:
        k = np.concatenate([past, new], 2)
        s = q @ np.swapaxes(k, 2, 3) + mask[..., :k.shape[2]]
        e = np.exp(s - s.max(-1, keepdims=True))
        q = e / e.sum(-1, keepdims=True) @ k
    return q


def cached_calls(*lengths):
    """(rows, mask, pasts)"""
    for s, t, *pasts in lengths:
        x = [noise(2, 2, s, 8), noise(2, 2, s, 8), noise(2, 1, s, t), *(noise(2, 2, p, 8) for p in pasts)]
        yield x, [attended(*x)]


@case()
def a_mask_cut_to_the_keys():
    calls = list(cached_calls((3, 3, 0), (1, 6, 5), (2, 9, 5), (2, 1, 4), (0, 4, 4)))
    return cached(1, "t"), calls + [([*calls[1][0][:2], noise(2, 1, 1, 4), calls[1][0][3]], "4|6")]


@case()
def caches_with_dims_of_their_own():
    return cached(2, "t"), list(cached_calls((3, 3, 0, 0), (1, 6, 5, 5), (2, 9, 5, 3), (2, 1, 4, 2)))


def programs_where_dims_agree(xfc):
    """Decoders get a program whose attention is one kernel, since the lengths of masks and caches agree when they are called. None, or
    what is wrong."""
    for layers in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            command = [xfc, ONE_ISA, write_model(folder, cached(layers, "t")), "-o", folder + "/m.so", "--explain", "--print-ir-after=raise"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=120)
            said = done.stdout + done.stderr
            if done.returncode or "run a program of their own" not in said or said.count("= attention ") != layers:
                return f"attention of {layers} layers with dims of their own: exit code {done.returncode}: {said}"
    return None


def demanded_where_dims_agree(xfc):
    """What is demanded may hold only where dims agree: then that program stays, and the notes say so. None, or what is wrong."""
    weights = [const(f"{n}{i}", noise(*d), np.float32) for i in range(3) for n, d in (("w", (8, 8)), ("g", (8,)), ("b", (8,)))]
    nodes = [NODE("MatMul", ["x", "w0"], ["h"]), NODE("LayerNormalization", ["h", "g1", "b1"], ["n1"]), NODE("MatMul", ["n1", "w1"], ["y"]),
             NODE("Add", ["h", "m"], ["t"]), NODE("LayerNormalization", ["t", "g2", "b2"], ["n2"]), NODE("MatMul", ["n2", "w2"], ["z"])]
    model = model_of(nodes, [value("x", "i", "j", 8), value("m", "k", "l", 1)], [value("y", "i", "j", 8), value("z", None, None, 8)], weights)
    with tempfile.TemporaryDirectory() as folder:
        command = [xfc, ONE_ISA, write_model(folder, model), "-o", folder + "/m.so", "--explain"]
        for choice, kept in (("auto", False), ("force", True)):
            done = subprocess.run([*command, "--pre-rmsnorm=" + choice], capture_output=True, text=True, timeout=120)
            if done.returncode or kept != ("run a program of their own" in done.stderr) or kept != ("2 norms of 8 channels converted" in done.stderr):
                return f"--pre-rmsnorm={choice}: exit code {done.returncode}: {done.stderr}"
    return None


@case()
def sliced_to_a_billion():
    nodes = [NODE("Slice", ["m", "front", "billion"], ["all"]), NODE("Add", ["x", "all"], ["y"]),
             NODE("Slice", ["m", "last", "before", "one", "back"], ["z"])]
    constants = [const("front", [-10**9, 0]), const("billion", [10**9, 10**9]), const("last", [10**9]), const("before", [-10**9]), const("one", [1]),
                 const("back", [-1])]
    model = model_of(nodes, [value("x", "i", "j"), value("m", "k", "l")], [value("y", "i", "j"), value("z", "k", "l")], constants)
    calls = [(noise(2, 3), noise(2, 3)), (noise(4, 1), noise(1, 1)), (noise(0, 3), noise(1, 3))]
    return model, [([x, m], [x + m, m[:, ::-1]]) for x, m in calls]


def slices_to_a_billion_are_whole(xfc):
    """None, or what is wrong: a cut that no dim reaches must not make another size of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_model(folder, sliced_to_a_billion()[0])
        done = subprocess.run([xfc, ONE_ISA, path, "-o", folder + "/m.so", "-v"], capture_output=True, text=True, timeout=120)
    return None if done.returncode == 0 and "dims 'j' and 'l' meet" in done.stderr and "sizes 1000000000" not in done.stderr else done.stderr


def run_case(tools, make, arguments):
    with tempfile.TemporaryDirectory() as folder:
        problems = run_calls(tools, folder, *make(), arguments)
    for p in problems:
        print(f"FAIL {make.__name__}: {p}")
    return not problems


def main():
    if len(sys.argv) not in (2, 4):
        print(__doc__)
        return 2
    passed = sum(run_case(sys.argv[1:], *c) for c in CASES)
    print(f"{passed} of {len(CASES)} models are right for every size")
    problem = len(sys.argv) == 4 and (demanded_where_dims_agree(sys.argv[2]) or slices_to_a_billion_are_whole(sys.argv[2]) or
                                     programs_where_dims_agree(sys.argv[2]))
    if problem:
        print(f"FAIL {problem}")
    return 1 if problem or passed < len(CASES) else 0


if __name__ == "__main__":
    sys.exit(main())
