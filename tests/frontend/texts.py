#!/usr/bin/env python3
"""Tensors of strings: what moves them, compares, joins, splits and encodes them, against Python and onnx.reference; interpreter
and compiled code, then sessions of xf.py, which must go on after each error.

texts.py EVAL_ONNX XFC XF_RUN XF_PY; exit code 77 without the onnx package."""
import os
import random
import re
import subprocess
import sys
import tempfile

import numpy as np

from cases import ONE_ISA, check, end, load_xf, run, write_model
import ml_dtypes
from onnx import TensorProto as T
from onnx import helper as h
from onnx.reference import ReferenceEvaluator

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools"))
import unicodedata  # noqa: E402

import gen_case  # noqa: E402
from gen_case import simple  # noqa: E402

NODE = h.make_node
RANDOM = random.Random(3)


def texts(*values, shape=None):
    a = np.array(values, object)
    return a.reshape(shape) if shape is not None else a


def strings(name, dims):
    return h.make_tensor_value_info(name, T.STRING, dims)


def value(name, t, dims=None):
    return h.make_tensor_value_info(name, t, dims)


def constant(name, t, dims, data):
    return h.make_tensor(name, t, dims, data)


def model(nodes, inputs, outputs, constants=()):
    graph = h.make_graph(nodes, "g", inputs, outputs, list(constants))
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 20), h.make_opsetid("ai.onnx.ml", 4)], ir_version=10)


def as_reference(name, m, *feeds):
    names = [i.name for i in m.graph.input]
    run(name, m, [(list(f), [np.asarray(o) for o in ReferenceEvaluator(m).run(None, dict(zip(names, f)))]) for f in feeds])


X = texts("a", "", "näh", "bc", "a", "的", shape=(2, 3))


def moves():
    x, i64, idx = strings("x", ("n", "m")), T.INT64, np.int64([[1, 0], [-1, 0]])
    ints = [constant("two", i64, [1], [2]), constant("one", i64, [1], [1]), constant("zero", i64, [1], [0]), constant("flat", i64, [1], [-1])]
    words = constant("w", T.STRING, [3], [b"a", b"", b"z"])
    for name, nodes, want, dims in (
            ("identity", [NODE("Identity", ["x"], ["y"])], X, 2), ("transpose", [NODE("Transpose", ["x"], ["y"])], X.T, 2),
            ("reshape", [NODE("Reshape", ["x", "flat"], ["y"])], X.ravel(), 1), ("unsqueeze", [NODE("Unsqueeze", ["x", "zero"], ["y"])], X[None], 3),
            ("slice", [NODE("Slice", ["x", "one", "two", "one"], ["y"])], X[:, 1:2], 2), ("gather", [NODE("Gather", ["x", "zero"], ["y"], axis=1)], X[:, :1], 2),
            ("concat", [NODE("Concat", ["x", "x", "x"], ["y"], axis=0)], np.concatenate([X] * 3), 2),
            ("concat with a constant", [NODE("Reshape", ["x", "flat"], ["f"]), NODE("Concat", ["w", "f", "w"], ["y"], axis=0)], np.concatenate([texts("a", "", "z"), X.ravel(), texts("a", "", "z")]), 1),
            ("constants", [NODE("Constant", [], ["c"], value_strings=["u", "v"]), NODE("Constant", [], ["d"], value_string="t"), NODE("Unsqueeze", ["d", "zero"], ["e"]), NODE("Concat", ["c", "e"], ["y"], axis=0)], texts("u", "v", "t"), 1),
            ("tile", [NODE("Concat", ["two", "one"], ["r"], axis=0), NODE("Tile", ["x", "r"], ["y"])], np.tile(X, (2, 1)), 2),
            ("shape", [NODE("Shape", ["x"], ["y"])], np.int64([2, 3]), 1), ("size", [NODE("Size", ["x"], ["y"])], np.int64(6), 0)):
        out = value("y", T.STRING if want.dtype == object else T.INT64, [None] * dims)
        run(f"moves: {name}", model(nodes, [x], [out], [*ints, words]), [([X], [want])])
    c = np.array([[True, False, True], [False, False, True]])
    run("where", model([NODE("Where", ["c", "x", "w"], ["y"])], [x, value("c", T.BOOL, ("n", "m"))], [strings("y", (None, None))], [words]),
        [([X, c], [np.where(c, X, texts("a", "", "z"))])])
    run("gather elements", model([NODE("GatherElements", ["x", "i"], ["y"], axis=1)], [x, value("i", T.INT64, ("n", "k"))], [strings("y", (None, None))]),
        [([X, idx], [np.take_along_axis(X, idx, 1)])])
    run("compress", model([NODE("Compress", ["x", "c"], ["y"], axis=1)], [x, value("c", T.BOOL, ("k",))], [strings("y", (None, None))]), [([X, c[0]], [X[:, c[0]]])])
    run("split", model([NODE("Split", ["x"], ["y", "z"], axis=1, num_outputs=2)], [strings("x", ("n", 4))], [strings("y", (None, 2)), strings("z", (None, 2))]),
        [([np.array([["a", "b", "c", "d"]], object)], [texts("a", "b", shape=(1, 2)), texts("c", "d", shape=(1, 2))])])
    arms = [h.make_graph(n, name, [], [strings(name, None)]) for name, n in (("t", [NODE("Identity", ["x"], ["t"])]), ("e", [NODE("StringConcat", ["x", "x"], ["e"])]))]
    run("if", model([NODE("If", ["c"], ["y"], then_branch=arms[0], else_branch=arms[1])], [x, value("c", T.BOOL, ())], [strings("y", (None, None))]),
        [([X, np.True_], [X]), ([X, np.False_], [X + X])])


def pairs():
    x, y = strings("x", ("n", "m")), strings("y", ("k",))
    other = texts("a", "b", "的")
    run("equal", model([NODE("Equal", ["x", "y"], ["z"])], [x, y], [value("z", T.BOOL, (None, None))]), [([X, other], [X == other]), ([X[:0], other], [X[:0] == other])])
    run("equal to a constant", model([NODE("Equal", ["x", "w"], ["z"])], [x], [value("z", T.BOOL, (None, None))], [constant("w", T.STRING, [], [b"a"])]), [([X], [X == "a"])])
    run("concat", model([NODE("StringConcat", ["x", "y"], ["z"])], [x, y], [strings("z", (None, None))]), [([X, other], [X + other]), ([X, texts("s")], [X + "s"]), ([X[:0], other], [X[:0]])])
    run("concat of concats", model([NODE("StringConcat", ["x", "y"], ["a"]), NODE("StringConcat", ["y", "a"], ["b"]), NODE("Equal", ["a", "b"], ["z"])], [x, y], [strings("b", (None, None)), value("z", T.BOOL, (None, None))]),
        [([X, other], [other + (X + other), (X + other) == other + (X + other)])])


def padded(lists, shape):
    most = max(map(len, lists), default=0)
    return np.array([p + [""] * (most - len(p)) for p in lists], object).reshape(*shape, most), np.int64([len(p) for p in lists]).reshape(shape)


def splits():
    for delimiter in (None, ",", "aa", "的"):
        given = [texts(*("".join(RANDOM.choice(["a", "b", ",", " ", "\t", "的"]) for _ in range(RANDOM.randrange(12))) for _ in range(6)), shape=(2, 3)) for _ in range(4)]
        for most in (None, 0, 2):
            attrs = {k: v for k, v in (("delimiter", delimiter), ("maxsplit", most)) if v is not None}
            m = model([NODE("StringSplit", ["x"], ["y", "n"], **attrs)], [strings("x", ("a", "b"))], [strings("y", (None,) * 3), value("n", T.INT64, (None, None))])
            run(f"split at {delimiter!r}, {most}", m, [([g], list(padded([s.split(delimiter or None, -1 if most is None else most) for s in g.ravel()], g.shape))) for g in [*given, given[0][:0]]])
    m = model([NODE("StringSplit", ["x"], ["y", "n"], delimiter="-"), NODE("Gather", ["y", "zero"], ["f"], axis=1), NODE("StringConcat", ["f", "x"], ["z"])], [strings("x", ("a",))], [strings("z", (None,))],
              [constant("zero", T.INT64, [], [0])])
    run("the first piece and the whole", m, [([texts("ab-c", "-", "d")], [texts("abab-c", "-", "dd")])])


def normalised():
    x = texts("Monday", "tuesday", "", "MONDAY", "Friday")
    for action in ("NONE", "LOWER", "UPPER"):
        change = {"NONE": str, "LOWER": str.lower, "UPPER": str.upper}[action]
        for exact in (0, 1):
            for stop in ([], ["monday"], ["Monday", "tuesday", "", "MONDAY", "Friday", "friday"]):
                low = {w if exact else w.lower() for w in stop}
                want = [change(w) for w in x if (w if exact else w.lower()) not in low] or [""]
                attrs = {"stopwords": stop} if stop else {}
                node = NODE("StringNormalizer", ["x"], ["y"], case_change_action=action, is_case_sensitive=exact, name="tidy", **attrs)
                run(f"normalised {action} {exact} {stop}", model([node], [strings("x", ("n",))], [strings("y", (None,))]), [([x], [texts(*want)])])
                if stop and not exact:
                    run(f"normalised {action} {stop} in a row", model([node], [strings("x", (1, "n"))], [strings("y", (1, None))]), [([x[None]], [texts(*want)[None]])])
    letters = [chr(c) for c in range(0x80, 0x1ff00) if not 0xd800 <= c < 0xe000]
    words = ["Straße", "ÉCOLE", "ǅ", "İstanbul", "ıI", "ΣΊΣΥΦΟΣ", "Москва", "ßẞ", "ⱥȺ", "ſK", "ﬁ", "𐐨𐐀", "日本", "aé" * 9, "ﾀ", "ᾳᾼ", *("".join(letters[i:i + 97]) for i in range(0, len(letters), 97))]
    change = lambda w, upper: "".join(simple(c, upper) for c in w)  # noqa: E731
    for action in ("LOWER", "UPPER"):
        m = model([NODE("StringNormalizer", ["x"], ["y"], case_change_action=action, is_case_sensitive=1)], [strings("x", ("n",))], [strings("y", (None,))])
        run(f"{action} beyond ASCII", m, [([texts(*w)], [texts(*(change(v, action == "UPPER") for v in w))]) for w in (words, words[:1], words[3:6])])
    with open(gen_case.PATH, encoding="utf-8") as f:
        table = f.read()
    if f"by Unicode {unicodedata.unidata_version}:" in table:
        check(table == gen_case.text(), "case.def is what tools/gen_case.py writes")
    m = model([NODE("StringNormalizer", ["x"], ["y"], case_change_action="UPPER", stopwords=["ÉCOLE", "москва"])], [strings("x", ("n",))], [strings("y", (None,))])
    run("stop words beyond ASCII", m, [([texts("école", "Straße", "МОСКВА", "École!")], [texts("STRAßE", "ÉCOLE!")])])
    parts = model([NODE("StringSplit", ["x"], ["p", "k"], delimiter="-"), NODE("Reshape", ["p", "all"], ["f"]), NODE("StringNormalizer", ["f"], ["y"], case_change_action="LOWER", is_case_sensitive=1)],
                  [strings("x", ("n",))], [strings("y", (None,))], [constant("all", T.INT64, [1], [-1])])
    run("parts of texts in lower case", parts, [([texts("É-Ⱥb", "C-ÄÖ")], [texts("é", "ⱥb", "c", "äö")])])


PATTERNS = ("", "a", "a*", "(?:a|b)*c?", "[^a-c]+", "a{2,3}", "a{2}?b{0}", "x*|y+?|", ".*", "(?s).*", "\\d+(\\.\\d*)?", "\\w+@\\w+\\.(com|org)", "[\\[-]+\\]", "^ab$|\\Aba\\Z",
            "[\\d\\s-]*", "(?P<one>ab)(?:c)", "a(?i:Bc)d", "[^\\W\\d]+", "é|[à-ü]+", "[\\x41-\\x43]{1,}", "\\x2a\\052", "(a|b|)+", "(a*)*", "b^a|a$b", "()", "[à-的😀]+", "{", "((a{1,3}b){2}|[^ab]){3}", "\\b(a|é)+\\b", ".*\\Bb\\B.*", "(\\b|a)(^|\\B)[ab]+\\b\\b.?", "\\B.*\\b.*", "(.\\b.|\\B.)*", "\\b", "\\n", ".的.")


def matched():
    given = ["", "a", "b", "aa", "ab", "ba", "aaa", "abc", "aBCd", "ABC", "12.5", "1", "me@x.org", "me@x,org", "é", "äü", "的", "x的y", "😀", "a{,2}", "{", "a\n", "\n", "**", "1-2 3", "]", "-", "aabab的", "abaaab ", "q"]
    given += ["".join(RANDOM.choice("ab1é的 ") for _ in range(RANDOM.randrange(8))) for _ in range(40)]
    x = texts(*given, shape=(2, -1))
    nodes = [NODE("RegexFullMatch", ["x"], [f"y{i}"], pattern=p.replace("\\Z", "\\z")) for i, p in enumerate(PATTERNS)]
    m = model(nodes, [strings("x", ("n", "m"))], [value(f"y{i}", T.BOOL, (None, None)) for i in range(len(nodes))])
    find = [re.compile(p, re.ASCII).fullmatch for p in PATTERNS]
    run("matched", m, [([g], [np.array([bool(f(s)) for s in g.ravel()], bool).reshape(g.shape) for f in find]) for g in (x, x[:, :0])])
    others = [  # what Python says otherwise
        ("\\Qa.b\\E*", ["a.", "a.bb"], ["a", "axb"]), ("(?i)kS", ["ks", "\u212aſ"], ["k", "kk"]), ("(?U)a+", ["aa", "a"], ["b", ""]), ("[[:alpha:]_]+", ["a_Z", "_"], ["é", "1"]), ("[[:^digit:]]", ["é", "a"], ["1", "ab"]),
        ("\\x{1F600}", ["😀"] * 2, ["é", ""]), ("a(?i)b", ["aB", "ab"], ["AB", "Ab"]), ("(a(?i))b", ["ab"] * 2, ["aB", "A"]), ("a{,2}", ["a{,2}"] * 2, ["a", ""])]
    nodes = [NODE("RegexFullMatch", [f"x{i}"], [f"y{i}"], pattern=p) for i, (p, _, _) in enumerate(others)]
    m = model(nodes, [strings(f"x{i}", ("n",)) for i in range(len(nodes))], [value(f"y{i}", T.BOOL, (None,)) for i in range(len(nodes))])
    run("matched otherwise", m, [([texts(*some, *none) for _, some, none in others], [np.array([True, True, False, False])] * len(others))])


def casts():
    """To strings and back: each type once in one model, so that little is compiled."""
    kinds = {T.FLOAT: np.float32, T.DOUBLE: np.float64, T.FLOAT16: np.float16, T.INT8: np.int8, T.INT16: np.int16, T.INT32: np.int32, T.INT64: np.int64,
             T.UINT8: np.uint8, T.UINT16: np.uint16, T.UINT32: np.uint32, T.UINT64: np.uint64, T.BOOL: np.bool_}
    def numbers(dtype):
        if dtype == np.bool_:
            return np.array([[True, False, True], [False, True, True]])
        if np.issubdtype(dtype, np.integer):
            i = np.iinfo(dtype)
            return np.array([[i.min, i.max, 0], [1, 100, i.max // 3]], dtype)
        f = np.finfo(dtype)
        most = 999 if dtype == np.float16 else f.max  # beyond, numpy is not plain
        return np.array([[0.1, -2.5, most], [f.smallest_subnormal, 1e-3, -234.5]], dtype)
    nodes, inputs, outputs, x, want = [], [], [], [], []
    for t, dtype in kinds.items():
        nodes += [NODE("Cast", [f"x{t}"], [f"s{t}"], to=T.STRING), NODE("Cast", [f"s{t}"], [f"y{t}"], to=t)]
        inputs.append(value(f"x{t}", t, ("n", 3)))
        outputs += [strings(f"s{t}", ("n", 3)), value(f"y{t}", t, ("n", 3))]
        x.append(numbers(dtype))
        want += [np.array([[str(e) for e in row] for row in x[-1]], object), x[-1]]
    run("casts to strings and back", model(nodes, inputs, outputs), [(x, want), ([a[:0] for a in x], [a[:0] for a in want])])
    s = texts("3.14", "1000", "1e-5", "1E8", "+INF", "-inf", "NaN", "-0", ".5", "1e400", "100.5")
    like = constant("like", T.FLOAT16, [], [0])
    m = model([NODE("Cast", ["s"], ["a"], to=T.FLOAT), NODE("Cast", ["s"], ["b"], to=T.DOUBLE), NODE("CastLike", ["s", "like"], ["c"]), NODE("Cast", ["s"], ["d"], to=T.BFLOAT16), NODE("Cast", ["d"], ["e"], to=T.FLOAT), NODE("Cast", ["s"], ["f"], to=T.STRING),
               NODE("CastLike", ["a", "s"], ["g"]), NODE("Cast", ["e"], ["d2"], to=T.BFLOAT16), NODE("Cast", ["d2"], ["h"], to=T.STRING)], [strings("s", ("n",))],
              [value("a", T.FLOAT, ("n",)), value("b", T.DOUBLE, ("n",)), value("c", T.FLOAT16, ("n",)), value("e", T.FLOAT, ("n",)), strings("f", ("n",)), strings("g", ("n",)), strings("h", ("n",))], [like])
    floats = np.array([float(t) for t in s])
    with np.errstate(over="ignore"):
        near = floats.astype(np.float32)
        names = ["3.14", "1000.0", "1e-05", "100000000.0", "INF", "-INF", "NaN", "-0.0", "0.5", "INF", "100.5"]
        short = floats.astype(ml_dtypes.bfloat16).astype(np.float32)
        run("numbers of all looks", m, [([s], [near, floats, floats.astype(np.float16), short, s, texts(*names), texts(*names)])])
    bad = "Cast.*the strings that are no numbers of the type they are cast to"
    two = constant("two", T.INT64, [1], [2])
    few = [NODE("Cast", ["s"], ["i"], to=T.INT4), NODE("Cast", ["i"], ["y"], to=T.INT32)]
    run("integers of 4 bits", model(few, [strings("s", ("n",))], [value("y", T.INT32, ("n",))]), [([texts("7", "-8", "1.9")], [np.int32([7, -8, 1])]), ([texts("8")], bad), ([texts()], [np.int32([])])])
    m = model([NODE("Slice", ["s", "zero", "two"], ["t"]), NODE("Cast", ["t"], ["y"], to=T.INT8, name="count")], [strings("s", ("n",))], [value("y", T.INT8, (None,))],
              [two, constant("zero", T.INT64, [1], [0])])
    run("only what is cast counts", m, [([texts("1", "-128", "no")], [np.int8([1, -128])]), ([texts("1", "no")], bad), ([texts("128")], bad), ([texts("")], bad), ([texts("5")], [np.int8([5])])])


def encoded():
    words, ints, floats = ["a", "", "的", "a"], [5, -1, 7, 5], [0.5, float("nan"), -2.0, 0.5]
    kinds = {"strings": (T.STRING, words, object), "int64s": (T.INT64, ints, np.int64), "floats": (T.FLOAT, floats, np.float32)}
    for k, (key_type, keys, key_dtype) in kinds.items():
        for v, (value_type, values, value_dtype) in kinds.items():
            values4 = [*values[:3], {"strings": "last", "int64s": -9, "floats": 8.5}[v]]  # of the key that is there twice
            x = np.array([keys[2], keys[0], {"strings": "no", "int64s": 9, "floats": 9.0}[k], keys[1]], key_dtype).reshape(2, 2)
            other = {"strings": "none", "int64s": 42, "floats": 4.5}[v]
            table = [*zip(keys, values4)][::-1]
            find = lambda e: next((b for a, b in table if a == e or (a != a and e != e)), other)
            attrs = {f"keys_{k}": keys, f"values_{v}": values4, {"strings": "default_string", "int64s": "default_int64", "floats": "default_float"}[v]: other}
            m = model([NODE("LabelEncoder", ["x"], ["y"], domain="ai.onnx.ml", **attrs)], [value("x", key_type, ("n", 2))], [value("y", value_type, (None, 2))])
            run(f"labels {k} to {v}", m, [([x], [np.array([find(e) for e in x.ravel()], value_dtype).reshape(x.shape)])])
    cats = dict(cats_strings=["a", "b"], cats_int64s=[3, 4], domain="ai.onnx.ml")
    run("categories", model([NODE("CategoryMapper", ["x"], ["y"], default_int64=-7, **cats)], [strings("x", ("n",))], [value("y", T.INT64, (None,))]), [([texts("b", "c", "a")], [np.int64([4, -7, 3])])])
    run("back", model([NODE("CategoryMapper", ["x"], ["y"], **cats)], [value("x", T.INT64, ("n",))], [strings("y", (None,))]), [([np.int64([4, 5, 3])], [texts("b", "_Unused", "a")])])


def counted():
    base = dict(ngram_counts=[0, 4, 10], ngram_indexes=[0, 2, 1, 3, 4, 6, 5, 7], min_gram_length=1, max_gram_length=3)
    pool = [2, 3, 5, 4, 5, 6, 7, 8, 6, 7, 2, 2, 3]
    words = [f"w{k}" for k in pool]
    rows = np.array([[2, 2, 3, 5, 6, 7], [7, 8, 6, 7, 8, 2]], np.int64)
    weights = [float(k + 1) for k in range(8)]  # of n-grams in the order of the pool; onnx.reference takes them for those of columns
    by_column = np.zeros(8)
    by_column[base["ngram_indexes"]] = weights
    for least, most in ((1, 3), (2, 2), (1, 1)):
        for skip in (0, 1, 5):
            for mode in (("TF", "IDF", "TFIDF") if skip == 1 else ("TF",)):
                attrs = dict(base, min_gram_length=least, max_gram_length=most, max_skip_count=skip, mode=mode, **({} if mode == "TF" else {"weights": weights}))
                def of_ints(**more):
                    return model([NODE("TfIdfVectorizer", ["x"], ["y"], pool_int64s=pool, **attrs | more)], [value("x", T.INT64, ("n", "c"))], [value("y", T.FLOAT, (None, None))])
                m, feeds = of_ints(), [rows, rows[:, :1], rows[:1]]
                want = [ReferenceEvaluator(of_ints(mode="TF")).run(None, {"x": f})[0] for f in feeds]
                want = [{"TF": c, "IDF": np.where(c > 0, by_column, 0), "TFIDF": c * by_column}[mode].astype(np.float32) for c in want]
                run(f"tf-idf {least} {most} {skip} {mode}", m, [([f], [w]) for f, w in zip(feeds, want)] + [([rows[:, :0]], [np.zeros((2, 8), np.float32)])])
                if skip == 1 and least == 1:
                    named = model([NODE("TfIdfVectorizer", ["x"], ["y"], pool_strings=words, **attrs)], [strings("x", ("n", "c"))], [value("y", T.FLOAT, (None, None))])
                    run(f"tf-idf of words {most} {mode}", named, [([np.array([[f"w{k}" for k in r] for r in f], object)], [w]) for f, w in zip(feeds, want)])
    for mode, given, want in (("TFIDF", [2.0, 3.0, 5.0], [[7, 0, 5]]), ("TFIDF", [], [[3, 0, 1]]), ("IDF", [], [[1, 0, 1]])):  # two share a column
        attrs = dict(ngram_counts=[0], ngram_indexes=[0, 0, 2], min_gram_length=1, max_gram_length=1, max_skip_count=0, mode=mode) | ({"weights": given} if given else {})
        m = model([NODE("TfIdfVectorizer", ["x"], ["y"], pool_int64s=[7, 8, 9], **attrs)], [value("x", T.INT64, ("n", "c"))], [value("y", T.FLOAT, (None, None))])
        run(f"tf-idf of shared columns {mode} {given}", m, [([np.int64([[8, 7, 9, 7]])], [np.float32(want)])])


def python(xfc, xf):
    m = model([NODE("StringConcat", ["x", "y"], ["z"]), NODE("Shape", ["x"], ["s"])], [strings("x", ("n", 2)), strings("y", (2,))], [strings("z", ("n", 2)), value("s", T.INT64, (2,))])
    with tempfile.TemporaryDirectory() as folder:
        so = os.path.join(folder, "m.so")
        subprocess.run([xfc, "-q", ONE_ISA, write_model(folder, m), "-o", so], check=True)
        with xf.InferenceSession(so) as session:
            one = session.get_inputs()[0]
            check((one.name, one.type, one.shape) == ("x", "tensor(string)", ["n", 2]), f"xf: input {one}")
            x, y = texts("a", "é", "", "d", shape=(2, 2)), np.array(["1", "的"])
            for lengths in ([[1, 1], [1, 2]], [[-1, 3], [1, 1]], [[2**62, 2**62], [2**62, 2**62 + 4]]):
                try:
                    session.run(None, {"x": np.frombuffer(b"abcd", np.uint8), "x.lengths": np.int64(lengths), "y": y})
                    check(False, f"xf: lengths {lengths} are taken")
                except xf.Error as e:
                    check("x" in str(e), f"xf: lengths {lengths}: {e}")
                z, s = session.run(None, {"x": x, "y": y})
                check(np.array_equal(z, x + y.astype(object)) and z.dtype == object and s.tolist() == [2, 2], f"xf: {z}")
            z, = session.run("z", {"x": np.array([[b"\xff", b"a"]], object), "y": y})
            check(z.tolist() == [["\udcff1", "a的"]], f"xf: bytes that are no UTF-8: {z}")


if __name__ == "__main__":
    for part in (moves, pairs, splits, normalised, matched, casts, encoded, counted):
        part()
    if len(sys.argv) > 4:
        python(sys.argv[2], load_xf(sys.argv[4]))
    end()
