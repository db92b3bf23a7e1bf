#!/usr/bin/env python3
"""--cache=inplace: outputs that lie in the memory of the inputs that they continue.

caches.py XFC XF_RUN XF_PY: caches in many layouts and types, step by step in memory with room, beside it, and in the context's
own, against NumPy; what does not fit is refused. Memory holds NaN behind the rows, which must stay, and pages of a past cannot
be written while it runs. Exit code 0, 1, or 77 (skipped) without onnx.
"""
import contextlib
import ctypes
import mmap
import subprocess
import sys
import tempfile

from cases import check, end, load_xf, outcome, write_model, write_set

import numpy as np
from onnx import TensorProto as T
from onnx import helper as h

XFC, XF_RUN = sys.argv[1:3]
xf = load_xf(sys.argv[3])
R = np.random.default_rng(7)
libc = ctypes.CDLL(None, use_errno=True)


def model_of(axis, dims, kind=T.FLOAT, joined=1):
    """present = past with `joined` times the new rows, sum = sums over the axis of all of them."""
    def value(name, rows):
        return h.make_tensor_value_info(name, kind, [rows if d == axis else n for d, n in enumerate(dims)])

    nodes = [h.make_node("Concat", ["past"] + ["new"] * joined, ["present"], axis=axis),
             h.make_node("Cast", ["present"], ["wide"], to=T.FLOAT),
             h.make_node("ReduceSum", ["wide", "axes"], ["sum"], keepdims=0)]
    graph = h.make_graph(nodes, "g", [value("past", "p"), value("new", "s")],
                         [value("present", None), h.make_tensor_value_info("sum", T.FLOAT, None)],
                         [h.make_tensor("axes", T.INT64, [1], [axis])])
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)


def compiled(folder, model, *options):
    path = write_model(folder, model)
    done = subprocess.run([XFC, path, "-v", "-march=native", "-o", folder + "/m.so", *options], capture_output=True, text=True, timeout=120)
    return (xf.InferenceSession(folder + "/m.so", threads=2) if done.returncode == 0 else None), done.stdout + done.stderr


def noise(shape, dtype):
    return (10 * R.standard_normal(shape)).astype(dtype)


def rows(array, axis, n, first=0):
    return array[tuple(slice(first, n) if d == axis else slice(None) for d in range(array.ndim))]


def steps(session, axis, shape, dtype, name, joined=1):
    """A prompt and steps in one memory."""
    capacity = 23
    memory = np.full([capacity if d == axis else n for d, n in enumerate(shape)], np.nan if dtype != np.int8 else 99, dtype)
    behind, past = memory.copy(), 0
    want = rows(memory, axis, 0)
    for n in (5, 1, 0, 1, 3):
        new = noise([n if d == axis else k for d, k in enumerate(shape)], dtype)
        want = np.concatenate([want] + [new] * joined, axis)
        n *= joined
        for out in ({"present": rows(memory, axis, past + n)}, None, {"present": np.empty_like(want, order="C")}):
            given = rows(memory, axis, past) if out and out["present"].base is not None else rows(want, axis, past)
            got = session.run(["present", "sum"], {"past": given, "new": new}, out)
            same = got[0].tobytes() == want.tobytes() and np.allclose(got[1], want.astype(np.float32).sum(axis), 1e-3, 1e-2)
            check(same, f"{name}: step of {n} behind {past} {'' if out else 'in memory of the context'}")
        past += n
        left = rows(memory, axis, capacity, past)
        check(left.tobytes() == rows(behind, axis, capacity, past).tobytes(), f"{name}: what is behind {past} rows stays")


def layouts():
    for axis, dims, shape in ((2, ["b", 3, None, 8], (2, 3, 0, 8)), (1, ["b", None, 3, 8], (2, 0, 3, 8)), (0, [None, "b", 5], (0, 2, 5)),
                              (3, ["b", 2, 8, None], (2, 2, 8, 0)), (1, ["b", None], (3, 0)), (2, ["b", 1, None, 8], (1, 1, 0, 8))):
        for kind, joined in ((T.FLOAT, 1), (T.FLOAT16, 2), (T.INT8, 1)) if axis == 2 else ((T.FLOAT, 1),):
            dtype, name = h.tensor_dtype_to_np_dtype(kind), f"axis {axis} of {dims} {kind}"
            model = model_of(axis, dims, kind, joined)
            with tempfile.TemporaryDirectory() as folder:
                session, said = compiled(folder, model, "--cache=inplace")
                check(session and "1 outputs continue inputs" in said, f"{name}: compiles: {said}")
                if session:
                    steps(session, axis, shape, dtype, name, joined)
                past, new = noise([4 if d == axis else n for d, n in enumerate(shape)], dtype), noise([2 if d == axis else n for d, n in enumerate(shape)], dtype)
                want = np.concatenate([past] + [new] * joined, axis)
                data = write_set(folder, "set", [past, new], [want, want.astype(np.float32).sum(axis)])
                problem = outcome([XF_RUN, folder + "/m.so", "--test-data=" + data, "--rtol=1e-3", "--atol=1e-2"], None)
                check(not problem, f"{name}: {problem}")


@contextlib.contextmanager
def read_only(memory, n):
    """The first n bytes of memory, whole pages, cannot be written."""
    start, size = ctypes.c_void_p(memory.ctypes.data), ctypes.c_size_t(n)
    libc.mprotect(start, size, 1)
    yield
    libc.mprotect(start, size, 3)


def untouched():
    """No byte of the past is written, nor read by anyone but who reads the cache."""
    page = mmap.PAGESIZE // 4
    with tempfile.TemporaryDirectory() as folder:
        session, _ = compiled(folder, model_of(1, ["b", None, page]), "--cache=inplace")
        block = mmap.mmap(-1, 8 * mmap.PAGESIZE)
        memory = np.frombuffer(block, np.float32).reshape(1, 8, page)
        memory[:] = noise(memory.shape, np.float32)
        past, new = memory[:, :6].copy(), noise((1, 1, page), np.float32)
        with read_only(memory, 6 * mmap.PAGESIZE):
            got = session.run(["present", "sum"], {"past": memory[:, :6], "new": new}, {"present": memory[:, :7]})
        want = np.concatenate([past, new], 1)
        check(np.array_equal(got[0], want) and np.allclose(got[1], want.sum(1), atol=1e-3), "the past is not written")
        session.close()
        del memory, got


def narrow_inside():
    """A cache that is wide at the border and narrow inside: what is read of it has the same bits, its old rows are left as
    they were given, and nothing is written there."""
    for kind, n in ((T.FLOAT16, 24), (T.BFLOAT16, 24), (T.FLOAT16, mmap.PAGESIZE // 4)):
        model = model_of(1, ["b", None, n], joined=2)
        joined = model.graph.node[0]
        model.graph.node[1].input[0] = joined.output[0] = "whole"
        joined.input[:] = ["narrow", "row", "row"]
        for name, to, out in (("whole", T.FLOAT, "present"), ("new", kind, "row"), ("past", kind, "narrow")):
            model.graph.node.insert(name == "whole", h.make_node("Cast", [name], [out], to=to))
        with tempfile.TemporaryDirectory() as folder:
            plain, inplace = both(folder, model)
            block = mmap.mmap(-1, 9 * mmap.PAGESIZE)
            memory = np.frombuffer(block, np.float32)[:9 * n].reshape(1, 9, n)
            memory[:] = np.nan
            memory[:, :6] = noise((1, 6, n), np.float32)
            feed = {"past": memory[:, :6].copy(), "new": noise((1, 1, n), np.float32)}
            want, total = plain.run(["present", "sum"], feed)
            with read_only(memory, 6 * n * 4 // mmap.PAGESIZE * mmap.PAGESIZE):
                got, seen = inplace.run(["present", "sum"], feed | {"past": memory[:, :6]}, {"present": memory[:, :8]})
            beside = inplace.run(["present", "sum"], feed)
            for out, sums in ((got, seen), beside):
                check(np.array_equal(out[:, :6], feed["past"]) and np.array_equal(out[:, 6:], want[:, 6:]), f"narrow inside {kind} {n}: the cache")
                check(sums.tobytes() == total.tobytes(), f"narrow inside {kind} {n}: what reads it")
            check(not np.array_equal(want[:, :6], feed["past"]), f"narrow inside {kind} {n}: without the option it is rounded")
            check(np.isnan(memory[:, 8:]).all(), f"narrow inside {kind} {n}: what is behind the rows stays")
            inplace.close()
            del memory, got, out


def merged_model(first, nested=False):
    """As exporters merge a decoder with its first run: an If whose branches append to the past and hand on what is made of the
    encoder, or make both. first: the branch without a past stands first."""
    def value(name, shape, kind=T.FLOAT):
        return h.make_tensor_value_info(name, kind, shape)

    def body(name, nodes):
        return h.make_graph(nodes, name, [], [value(f"{name}_rows", None), value(f"{name}_kept", None)])

    old = body("old", [h.make_node("Concat", ["past", "new"], ["old_rows"], axis=2), h.make_node("Identity", ["cross"], ["old_kept"])])
    made = body("made", [h.make_node("Neg", ["new"], ["made_rows"]), h.make_node("Neg", ["encoder"], ["made_kept"])])
    if nested:
        old = body("outer", [h.make_node("If", ["yes"], ["outer_rows", "outer_kept"], then_branch=old, else_branch=body("made2", [
            h.make_node("Abs", ["new"], ["made2_rows"]), h.make_node("Abs", ["encoder"], ["made2_kept"])]))])
    choose = h.make_node("If", ["no" if first else "cached"], ["present", "kept"], then_branch=made if first else old, else_branch=old if first else made)
    nodes = [h.make_node("Not", ["cached"], ["no"])] * first + [choose]
    for name, out in (("present", "sum"), ("kept", "total")):
        nodes.append(h.make_node("ReduceSum", [name, "axes"], [out], keepdims=0))
    graph = h.make_graph(nodes, "g", [value("past", ["b", 3, "p", 8]), value("cross", ["b", 3, "e", 8]), value("new", ["b", 3, "s", 8]),
                                      value("encoder", ["b", 3, "e", 8]), value("cached", [1], T.BOOL)]
                         + [value("yes", [1], T.BOOL)] * nested,
                         [value(n, None) for n in ("present", "kept", "sum", "total")], [h.make_tensor("axes", T.INT64, [1], [2])])
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)


def merged():
    """Caches that a branch answers: a step after a prompt, beside memory with NaN; a prompt where a past lies already."""
    for first, nested, batch in ((False, False, 2), (True, False, 1), (False, True, 2)):
        name, capacity = f"merged, first {first}, nested {nested}", 23
        with tempfile.TemporaryDirectory() as folder:
            session, said = compiled(folder, merged_model(first, nested), "--cache=inplace")
            check(session and "2 outputs continue inputs" in said, f"{name}: compiles: {said}")
            if not session:
                continue
            memory, kept = np.full((batch, 3, capacity, 8), np.nan, np.float32), np.full((batch, 3, 4, 8), np.nan, np.float32)
            want, cross, past = rows(memory, 2, 0), None, 0
            for n, cached in ((0, True), (5, False), (1, True), (3, True), (0, True), (4, False), (1, True)):
                new, encoder = noise((batch, 3, n, 8), np.float32), noise((batch, 3, 4, 8), np.float32)
                cross = cross if cached and past else -encoder
                if not past:
                    kept[:] = cross
                before, held = want, past
                want = np.concatenate([before, new], 2) if cached else -new
                feed = {"new": new, "encoder": encoder, "cached": np.array([cached])} | ({"yes": np.array([True])} if nested else {})
                wide, past = held + n, want.shape[2]
                outs = [None, {"present": np.full((batch, 3, wide, 8), np.nan, np.float32)}]
                if past == wide:  # else a slice has fewer rows than the run may make
                    outs.append({"present": np.full((batch, 3, capacity, 8), np.nan, np.float32)[:, :, :wide]})
                outs.append({"present": memory[:, :, :wide], "kept": kept})
                for out in outs:
                    here = out is outs[-1]
                    given = {"past": memory[:, :, :held] if here else before, "cross": kept if here else kept.copy()}
                    got = session.run(None, feed | given, out)
                    same = got[0].tobytes() == want.tobytes() and got[1].tobytes() == cross.tobytes()
                    sums = all(np.allclose(g, w.sum(2), 1e-3, 1e-2) for g, w in zip(got[2:], (want, cross)))
                    check(same and sums, f"{name}: {n} rows, cached {cached}, behind {held}, {list(out or [])} {here}: {got[0].shape}")
                check(np.isnan(memory[:, :, max(wide, past):]).all(), f"{name}: what is behind {past} rows stays")
                memory[:, :, past:] = np.nan
            session.close()


def untouched_merged():
    """Neither what is appended to nor what is handed on is written."""
    page = mmap.PAGESIZE // 4
    with tempfile.TemporaryDirectory() as folder:
        model = merged_model(False)
        for value in list(model.graph.input)[:4]:
            dims = value.type.tensor_type.shape.dim
            dims[1].dim_value, dims[3].dim_value = 1, page
        session, _ = compiled(folder, model, "--cache=inplace")
        block = mmap.mmap(-1, 12 * mmap.PAGESIZE)
        memory = np.frombuffer(block, np.float32).reshape(1, 1, 12, page)
        memory[:] = noise(memory.shape, np.float32)
        past, cross, new = memory[:, :, 4:10], memory[:, :, :4], noise((1, 1, 1, page), np.float32)
        want = [np.concatenate([past, new], 2), cross.copy()]
        with read_only(memory, 10 * mmap.PAGESIZE):
            got = session.run(None, {"past": past, "cross": cross, "new": new, "encoder": noise(cross.shape, np.float32), "cached": np.array([True])},
                              {"present": memory[:, :, 4:11], "kept": cross})
        check(all(np.array_equal(g, w) for g, w in zip(got, want)) and got[1].ctypes.data == memory.ctypes.data, "a branch writes no past")
        session.close()
        del memory, past, cross, got


def operator(op, domain, version, ins, outs, **attributes):
    """ins: name, element type and dims of each."""
    graph = h.make_graph([h.make_node(op, [i[0] for i in ins], outs, name="node", domain=domain, **attributes)], "g",
                         [h.make_tensor_value_info(*i) for i in ins if i[0]], [h.make_tensor_value_info(o, T.FLOAT, None) for o in outs])
    domains = [h.make_opsetid("", 24)] + ([h.make_opsetid(domain, version)] if domain else [])
    return h.make_model(graph, opset_imports=domains, ir_version=10)


def both(folder, model):
    """Compiled without the option and with it."""
    with tempfile.TemporaryDirectory() as other:
        return [compiled(f, model, *o)[0] for f, o in ((other, ()), (folder, ("--cache=inplace",)))]


def group_query():
    """As onnxruntime-genai does it: one buffer of a fixed size is past and present; NaN beyond what is in use. And rows appended
    to sequences of different lengths, with zeros behind the shorter ones."""
    for growing in (False, True):
        held, total = ("p" if growing else "c"), "t"
        ins = [("q", T.FLOAT, ["b", "s", 64]), ("k", T.FLOAT, ["b", "s", 32]), ("v", T.FLOAT, ["b", "s", 32]),
               ("pk", T.FLOAT, ["b", 2, held, 16]), ("pv", T.FLOAT, ["b", 2, held, 16]), ("lengths", T.INT32, ["b"])]
        model = operator("GroupQueryAttention", "com.microsoft", 1, ins + [("total", T.INT32, [])], ["y", "ok", "ov"], num_heads=4, kv_num_heads=2)
        model.graph.input.pop()  # total_sequence_length is a size, as genai has it
        model.graph.input.append(h.make_tensor_value_info("mask", T.INT64, ["b", total]))
        model.graph.node.insert(0, h.make_node("Shape", ["mask"], ["size"], start=1, end=2))
        model.graph.node.insert(1, h.make_node("Cast", ["size"], ["total_"], to=T.INT32))
        model.graph.node.insert(2, h.make_node("Squeeze", ["total_"], ["total"]))
        with tempfile.TemporaryDirectory() as folder:
            plain, inplace = both(folder, model)
            room = 12
            buffers = {n: np.full((2, 2, room, 16), np.nan, np.float32) for n in ("pk", "pv")}
            state, past, lengths = {n: np.empty((2, 2, 0, 16), np.float32) for n in buffers}, 0, np.int32([0, 0])
            for n in (3, 1, 1):
                feed = {"q": noise((2, n, 64), np.float32) / 10, "k": noise((2, n, 32), np.float32) / 10, "v": noise((2, n, 32), np.float32)}
                lengths = lengths + n - (past > 0) * np.int32([0, n])  # the second sequence stays behind
                lengths[1] += past > 0
                feed |= {"lengths": lengths - 1, "mask": np.ones((2, past + n), np.int64)}
                want = plain.run(None, feed | state)
                given = {k: rows(b, 2, past) if growing else b for k, b in buffers.items()}
                out = {o: rows(b, 2, past + n) if growing else b for o, b in zip(("ok", "ov"), buffers.values())}
                got = inplace.run(None, feed | given, out)
                past += n
                check(np.allclose(got[0], want[0], 1e-4, 1e-5), f"GroupQueryAttention, growing {growing}, {past} rows")
                for a, w in zip(got[1:], want[1:]):
                    check(np.array_equal(rows(a, 2, past), rows(w, 2, past)), f"GroupQueryAttention, growing {growing}, cache of {past}")
                    check(growing or np.isnan(rows(a, 2, room, past)).all(), "GroupQueryAttention: rows beyond stay")
                state = dict(zip(buffers, want[1:]))


def few_bits():
    """A cache of 8 bits, or of 4, as one buffer that is past and present."""
    for bits, kind, dtype in ((8, T.INT8, np.int8), (4, T.UINT8, np.uint8)):
        width = 16 * bits // 8
        ins = [("q", T.FLOAT, ["b", "s", 64]), ("k", T.FLOAT, ["b", "s", 32]), ("v", T.FLOAT, ["b", "s", 32]), ("pk", kind, ["b", 2, "c", width]), ("pv", kind, ["b", 2, "c", width]),
               ("lengths", T.INT32, ["b"]), ("mask", T.INT64, ["b", "t"])]
        nodes = [h.make_node("Shape", ["mask"], ["size"], start=1, end=2), h.make_node("Cast", ["size"], ["total"], to=T.INT32),
                 h.make_node("GroupQueryAttention", ["q", "k", "v", "pk", "pv", "lengths", "total", "", "", "", "", "", "scale", "scale"], ["y", "ok", "ov"], domain="com.microsoft", num_heads=4,
                             kv_num_heads=2, kv_cache_bit_width=bits, k_quant_type="PER_TENSOR", v_quant_type="PER_TENSOR")]
        graph = h.make_graph(nodes, "g", [h.make_tensor_value_info(*i) for i in ins], [h.make_tensor_value_info("y", T.FLOAT, None), *(h.make_tensor_value_info(o, kind, None) for o in ("ok", "ov"))],
                             [h.make_tensor("scale", T.FLOAT, [1], [0.02 if bits == 8 else 0.3])])
        model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17), h.make_opsetid("com.microsoft", 1)], ir_version=8)
        with tempfile.TemporaryDirectory() as folder:
            plain, inplace = both(folder, model)
            check(inplace is not None, f"a cache of {bits} bits in place")
            buffers, past = {n: np.full((2, 2, 12, width), 99, dtype) for n in ("pk", "pv")}, 0
            state = {n: b.copy() for n, b in buffers.items()}
            for n in (3, 1, 1) if inplace else ():
                feed = {k: noise((2, n, w), np.float32) / 10 for k, w in (("q", 64), ("k", 32), ("v", 32))}
                feed |= {"lengths": np.full(2, past + n - 1, np.int32), "mask": np.ones((2, past + n), np.int64)}
                want, got = plain.run(None, feed | state), inplace.run(None, feed | buffers, dict(zip(("ok", "ov"), buffers.values())))
                past += n
                check(np.allclose(got[0], want[0], 1e-4, 1e-5), f"a cache of {bits} bits, {past} rows")
                check(all(np.array_equal(rows(a, 2, past), rows(w, 2, past)) and (rows(a, 2, 12, past) == 99).all() for a, w in zip(got[1:], want[1:])), f"rows of {bits} bits, {past}")
                state = dict(zip(buffers, want[1:]))


def tensor_scatter():
    ins = [("past", T.FLOAT, ["b", 2, "c", 4]), ("new", T.FLOAT, ["b", 2, "s", 4]), ("at", T.INT64, ["b"])]
    with tempfile.TemporaryDirectory() as folder:
        plain, inplace = both(folder, operator("TensorScatter", "", 24, ins, ["y"]))
        feed = {"past": noise((3, 2, 9, 4), np.float32), "new": noise((3, 2, 2, 4), np.float32), "at": np.int64([7, 0, 3])}
        want = plain.run(None, feed)[0]
        check(np.array_equal(inplace.run(None, feed)[0], want), "TensorScatter")
        got = inplace.run(None, feed, {"y": feed["past"]})[0]
        check(got is feed["past"] and np.array_equal(got, want), "TensorScatter in place")
        refused(inplace, "out of range", *(feed | {"at": np.int64([8, 0, 3])}).values(), 8, "at")


def placed_model(kind):
    """A cache of a fixed length whose rows are written at positions, as exporters spell index_copy: `elements` and `each` by
    ScatterElements, with places for all sequences or for each; `front` by ScatterND between transposes; `first` without."""
    def value(name, dims, what=T.FLOAT):
        return h.make_tensor_value_info(name, what, dims)

    ends, elements = ([], ["b", 4]) if kind == "first" else (["b", 2], [4]), kind in ("elements", "each")
    perm, back = ([2, 0, 1, 3], [1, 2, 0, 3]) if kind == "front" else (None, None)
    past, new = (["turned", "rows"] if perm else ["past", "new"])
    nodes = [h.make_node("Transpose", [i], [o], perm=perm) for i, o in (("past", past), ("new", new)) if perm]
    nodes += [h.make_node("Unsqueeze", ["at", "ones"], ["column"])]
    nodes += [h.make_node("Shape", ["new"], ["size"]), h.make_node("Expand", ["column", "size"], ["index"])] if elements else []
    nodes += [h.make_node("ScatterElements", [past, "index", new], ["present"], axis=2) if elements else
              h.make_node("ScatterND", [past, "column", new], ["updated" if perm else "present"])]
    nodes += [h.make_node("Transpose", ["updated"], ["present"], perm=back)] if perm else []
    nodes += [h.make_node("ReduceSum", ["present", "axes"], ["sum"], keepdims=0)]
    ones = {"elements": [0, 1, 3], "each": [1, 3]}.get(kind, [1])
    graph = h.make_graph(nodes, "g", [value("past", ends[0] + ["c"] + ends[1]), value("new", ends[0] + ["s"] + ends[1]),
                                      value("at", ["b", "s"] if kind == "each" else ["s"], T.INT64)], [value("present", None), value("sum", None)],
                         [h.make_tensor("ones", T.INT64, [len(ones)], ones), h.make_tensor("axes", T.INT64, [1], [len(ends[0])])])
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 18)], ir_version=8)


def placed():
    for kind, b in (("elements", 2), ("each", 3), ("front", 2), ("first", 3)):
        axis, name = (0 if kind == "first" else 2), f"placed, {kind}"
        with tempfile.TemporaryDirectory() as folder:
            session, said = compiled(folder, placed_model(kind), "--cache=inplace")
            check(session and "1 outputs continue inputs" in said, f"{name}: compiles: {said}")
            if not session:
                continue
            memory = noise((9, b, 4) if axis == 0 else (b, 2, 9, 4), np.float32)
            want = memory.copy()
            for places in ([0, 1, 2, 3, 4], [5], [], [-1], [3, 7, 3], [8, -9]):
                at = np.int64(places)
                at = np.stack([np.roll(at, i) for i in range(b)]) if kind == "each" else at
                new = noise([len(places) if d == axis else n for d, n in enumerate(memory.shape)], np.float32)
                before = want.copy()
                for i in np.ndindex(at.shape):
                    where = (i[0], slice(None)) if kind == "each" else (slice(None),) * axis
                    want[where + (at[i],)] = new[where + (i[-1],)]
                for out in (None, {"present": memory}):
                    got = session.run(["present", "sum"], {"past": memory if out else before, "new": new, "at": at}, out)
                    check(np.array_equal(got[0], want) and np.allclose(got[1], want.sum(axis), 1e-4, 1e-4), f"{name}: {places} {bool(out)}")
            at[..., 0] = 9
            refused(session, "index", memory, new, at, 8, "at")
            got = session.run(["present"], {"past": want, "new": new, "at": at * 0})[0]
            check(np.isfinite(got).all(), f"{name}: a run behind a refused one")


def untouched_placed():
    """Only pages of rows that are written are."""
    page = mmap.PAGESIZE // 8
    with tempfile.TemporaryDirectory() as folder:
        model = placed_model("elements")
        for value in list(model.graph.input)[:2]:
            dims = value.type.tensor_type.shape.dim
            dims[1].dim_value, dims[3].dim_value = 2, page
        session, _ = compiled(folder, model, "--cache=inplace")
        block = mmap.mmap(-1, 8 * mmap.PAGESIZE)
        memory = np.frombuffer(block, np.float32).reshape(1, 2, 8, page)
        memory[:] = noise(memory.shape, np.float32)
        want, new = memory.copy(), noise((1, 2, 1, page), np.float32)
        want[:, :, 4:5] = new
        with read_only(memory, 2 * mmap.PAGESIZE):
            got = session.run(["present"], {"past": memory, "new": new, "at": np.int64([4])}, {"present": memory})
        check(np.array_equal(got[0], want), "only rows that are placed are written")
        session.close()
        del memory, got


def refused(session, what, past, new, present, status, third=None):
    """present: an output, or the third input."""
    try:
        more = {third: present} if third else {}
        session.run(None, {"past": past, "new": new} | more, {} if third else {"present": present})
        check(False, f"is not refused: {what}")
    except xf.Error as e:
        check(what in str(e) and e.status == status, f"/{what}/ {status}: {e.status} {e}")


def wrong():
    with tempfile.TemporaryDirectory() as folder:
        session, _ = compiled(folder, model_of(2, ["b", 3, None, 8]), "--cache=inplace")
        new, memory = noise((2, 3, 1, 8), np.float32), noise((2, 3, 10, 8), np.float32)
        flat = memory.ravel()
        check(session.signature["outputs"][0]["appends_to"] == "past" and session.signature["outputs"][0]["axis"] == 2, "signature")
        check(session.metadata("cache:present") == "past" and session.get_outputs()[0].past == "past", "metadata")
        refused(session, "must have the same strides", flat[:96].reshape(2, 3, 2, 8), new, memory[:, :, :3], 3)
        refused(session, "overlaps input 0 'past'", flat[8:152].reshape(2, 3, 3, 8), new, memory[:, :, :4], 1)
        refused(session, "strides are not dense row-major, even with room", memory[:, :, :2], new, memory[:, :, :6:2], 3)
        refused(session, "strides are not dense row-major, even with room", noise((2, 3, 2, 8), np.float32), new, noise((4, 3, 3, 8), np.float32)[::2], 3)
        refused(session, "strides are not dense row-major, even with room", noise((2, 3, 2, 8), np.float32), new, noise((2, 3, 3, 16), np.float32)[..., :8], 3)
        refused(session, "dim 2 is 4, but this run makes it 3", memory[:, :, :2], new, memory[:, :, :4], 3)
        got = session.run(["present"], {"past": memory[:, :, :2], "new": new}, {"present": memory[:, :, :3]})[0]
        check(np.array_equal(got[:, :, 2:], new), "a run behind refused ones")
        finite = xf.InferenceSession(folder + "/m.so", check_finite=True)
        memory[:, :, 3:] = np.nan
        finite.run(None, {"past": memory[:, :, :2], "new": new}, {"present": memory[:, :, :3]})
        new[1, 2, 0, 3] = np.inf
        try:
            finite.run(None, {"past": memory[:, :, :2], "new": new}, {"present": memory[:, :, :3]})
            check(False, "infinity is found")
        except xf.Error as e:
            check(e.status == 8 and "element 139 is not finite" in str(e), f"infinity is found: {e}")
    with tempfile.TemporaryDirectory() as folder:
        session, _ = compiled(folder, model_of(2, ["b", 3, None, 8]))
        check(session.get_outputs()[0].past is None and "appends_to" not in session.signature["outputs"][0], "without the option")
        none = model_of(2, ["b", 3, None, 8])
        none.graph.node[0].output[:] = ["joined"]
        none.graph.node.insert(1, h.make_node("Neg", ["joined"], ["present"]))
        _, said = compiled(folder, none, "--cache=inplace")
        check("no output is an input with rows appended" in said, f"nothing to do: {said}")


layouts()
untouched()
narrow_inside()
merged()
untouched_merged()
group_query()
few_bits()
tensor_scatter()
placed()
untouched_placed()
wrong()
end()
