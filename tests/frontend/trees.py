#!/usr/bin/env python3
"""Estimators of ai.onnx.ml. Ensembles of trees: random ones of every mode, aggregate and transform, as TreeEnsemble and as the two older operators, in
the interpreter and compiled, against a walk in Python that follows the definition; linear models and what stands in front of
them, against numpy; all also against onnxruntime where that is installed.

trees.py EVAL_ONNX XFC XF_RUN; exit code 77 without the onnx package."""
import itertools
import math
import sys

import numpy as np

from cases import check, end, fail, run
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

try:
    import onnxruntime
except ImportError:
    onnxruntime = None

RNG = np.random.default_rng(5)
MODES = ["LEQ", "LT", "GTE", "GT", "EQ", "NEQ", "MEMBER"]
LEAST = 1  # members of a set; onnxruntime takes no empty ones
HOLDS = [lambda x, v: x <= v, lambda x, v: x < v, lambda x, v: x >= v, lambda x, v: x > v, lambda x, v: x == v, lambda x, v: x != v, lambda x, v: x in v]


class Node:
    """leaf: {target: weight}; else (yes, no), which ask whether the feature holds."""

    def __init__(self, leaf=None, feature=0, mode=0, value=0.0, missing=False, yes=None, no=None):
        self.leaf, self.feature, self.mode, self.value, self.missing, self.yes, self.no = leaf, feature, mode, value, missing, yes, no

    def reach(self, x, ne_is_nan):
        at = self
        while at.leaf is None:
            v = float(x[at.feature])
            holds = at.missing or (ne_is_nan and at.mode == 5) if math.isnan(v) else HOLDS[at.mode](v, at.value)
            at = at.yes if holds else at.no
        return at.leaf


def made(depth, features, modes, leaf, chain=False):
    if depth == 0:
        return Node(leaf())
    mode = int(RNG.choice(modes))
    value = frozenset(float(v) for v in RNG.integers(-2, 4, RNG.integers(LEAST, 9))) if mode == 6 else float(RNG.integers(-2, 3))
    no = 0 if chain else RNG.integers(0, depth)
    return Node(None, int(RNG.integers(features)), mode, value, bool(RNG.integers(2)), made(depth - 1, features, modes, leaf, chain), made(no, features, modes, leaf, chain))


def walk(trees, x, targets, aggregate, ne_is_nan):
    """Scores in f64, [rows, targets]."""
    out = np.zeros((len(x), targets))
    for i, row in enumerate(x):
        votes = [tree.reach(row, ne_is_nan) for tree in trees]
        for k in range(targets):
            given = [v[k] for v in votes if k in v]
            if given:
                out[i, k] = {"SUM": sum(given), "AVERAGE": sum(given) / len(trees), "MIN": min(given), "MAX": max(given)}[aggregate]
    return out


def softmax(v):
    e = np.exp(v - v.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def softmax_zero(v):
    e = np.where(np.abs(v) > 1e-7, np.exp(v - v.max(1, keepdims=True)), 0)
    s = e.sum(1, keepdims=True)
    return np.where(s == 0, 0.5, e / np.where(s == 0, 1, s))


def probit(v):
    x = 2 * v - 1
    log = np.log((1 - x) * (1 + x))
    a = 2 / (math.pi * 0.147) + log / 2
    return math.sqrt(2) * np.where(x < 0, -1, 1) * np.sqrt(np.sqrt(a * a - log / 0.147) - a)


POSTS = {"NONE": lambda v: v, "SOFTMAX": softmax, "LOGISTIC": lambda v: 1 / (1 + np.exp(-v)), "SOFTMAX_ZERO": softmax_zero, "PROBIT": probit}


def model(op, version, attrs, dtype, outputs, features, rows="n"):
    node = h.make_node(op, ["x"], [o[0] for o in outputs], domain="ai.onnx.ml", name="forest", **attrs)
    graph = h.make_graph([node], "g", [h.make_tensor_value_info("x", dtype, [rows, features])],
                         [h.make_tensor_value_info(name, t, dims) for name, t, dims in outputs])
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17), h.make_opsetid("ai.onnx.ml", version)], ir_version=10)


def new_attrs(trees, targets, aggregate, post, dtype):
    """TreeEnsemble: inner nodes and leaves in lists of their own, leaves with one vote each."""
    nodes, leaves, members, roots = [], [], [], []

    def add(node):
        if node.leaf is not None:
            leaves.append(next(iter(node.leaf.items())))
            return len(leaves) - 1, 1
        at = len(nodes)
        nodes.append(None)
        yes, no = add(node.yes), add(node.no)
        nodes[at] = (node, yes, no)
        return at, 0

    for tree in trees:
        at, leaf = add(tree)
        if leaf:  # a tree of one leaf is a node whose branches are the same
            nodes.append((Node(), (at, 1), (at, 1)))
        roots.append(len(nodes) - 1 if leaf else at)
    for node, _, _ in nodes:
        if node.mode == 6:
            members += [*node.value, math.nan]
    tensor = lambda name, values, t=dtype: numpy_helper.from_array(np.array(values, t), name)  # noqa: E731
    attrs = {"n_targets": targets, "aggregate_function": ["AVERAGE", "SUM", "MIN", "MAX"].index(aggregate), "post_transform": list(POSTS).index(post), "tree_roots": roots,
             "nodes_splits": tensor("s", [0 if n.mode == 6 else n.value for n, _, _ in nodes]), "nodes_modes": tensor("m", [n.mode for n, _, _ in nodes], np.uint8),
             "nodes_featureids": [n.feature for n, _, _ in nodes], "nodes_missing_value_tracks_true": [int(n.missing) for n, _, _ in nodes],
             "nodes_truenodeids": [y[0] for _, y, _ in nodes], "nodes_trueleafs": [y[1] for _, y, _ in nodes],
             "nodes_falsenodeids": [n[0] for _, _, n in nodes], "nodes_falseleafs": [n[1] for _, _, n in nodes],
             "leaf_targetids": [v[0] for v in leaves], "leaf_weights": tensor("w", [v[1] for v in leaves])}
    if members:
        attrs["membership_values"] = tensor("v", members)
    return attrs


def old_attrs(trees, prefix, wide):
    """The older operators: leaves are nodes, with any number of votes."""
    rows, votes = [], []
    for number, tree in enumerate(trees):
        order, stack = {}, [tree]
        while stack:
            node = stack.pop()
            order[node] = len(order)
            stack += [node.no, node.yes] if node.leaf is None else []
        for node, at in order.items():
            leaf = node.leaf is not None
            rows.append((number + 3, at, 0 if leaf else node.feature, "LEAF" if leaf else "BRANCH_" + MODES[node.mode], 0.0 if leaf else node.value,
                         int(node.missing), 0 if leaf else order[node.yes], 0 if leaf else order[node.no]))
            votes += [(number + 3, at, k, w) for k, w in (node.leaf or {}).items()]
    names = ["treeids", "nodeids", "featureids", "modes", "values", "missing_value_tracks_true", "truenodeids", "falsenodeids"]
    attrs = {f"nodes_{name}": list(column) for name, column in zip(names, zip(*rows))}
    attrs.update({f"{prefix}_{name}": list(column) for name, column in zip(["treeids", "nodeids", "ids", "weights"], zip(*votes))})
    for name in ("nodes_values", f"{prefix}_weights") if wide else ():
        attrs[name + "_as_tensor"] = numpy_helper.from_array(np.array(attrs.pop(name)), name)
    return attrs


def rows_of(count, features, dtype, nan=True):
    x = RNG.integers(-3, 5, (count, features)).astype(dtype)
    if nan and np.issubdtype(dtype, np.floating):
        x[RNG.random(x.shape) < 0.15] = np.nan
    return x


def peer(name, m, x, want):
    """What onnxruntime says, where it has the operator for these types."""
    if onnxruntime is None:
        return
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    got = onnxruntime.InferenceSession(m.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(None, {"x": x})
    for g, w in zip(got, want):
        if not (np.array_equal(g, w) if w.dtype == object or w.dtype == np.int64 else np.allclose(g, w, 1e-4, 1e-4, equal_nan=True)):
            fail(name, f"onnxruntime says otherwise: {g} and not {w}")


def vote(targets, most=None):
    """A leaf's: one target, or several."""
    if most is None:
        return lambda: {int(RNG.integers(targets)): float(RNG.integers(-20, 20)) / 8}
    return lambda: {int(k): float(RNG.integers(-20, 20)) / 8 for k in RNG.permutation(targets)[:RNG.integers(0, most + 1)]}


def ensembles():
    for depth in (0, 1, 2, 5, 12):
        for dtype, t in ((np.float32, T.FLOAT), (np.float64, T.DOUBLE)):
            trees = [made(depth, 6, range(7), vote(4), chain=depth > 5) for _ in range(1 + 2 * depth)]
            for aggregate in ("SUM", "AVERAGE", "MIN", "MAX"):
                m = model("TreeEnsemble", 5, new_attrs(trees, 4, aggregate, "NONE", dtype), t, [("y", t, ["n", 4])], 6)
                calls = [([x], [walk(trees, x, 4, aggregate, True).astype(dtype)]) for x in (rows_of(c, 6, dtype) for c in (17, 1, 0))]
                run(f"ensemble of depth {depth}, {aggregate}, {np.dtype(dtype)}", m, calls)
                if aggregate == "SUM" and depth:  # of others it has 0 for no vote, too, but one target is special
                    peer(f"ensemble of depth {depth}", m, *calls[0][0], calls[0][1])
    for post, behind in POSTS.items():
        for targets in (3, 1):
            trees = [made(3, 4, range(7), lambda k=targets: {int(RNG.integers(k)): float(RNG.random() / 4)}) for _ in range(4)]
            x = rows_of(30, 4, np.float32)
            m = model("TreeEnsemble", 5, new_attrs(trees, targets, "SUM", post, np.float32), T.FLOAT, [("y", T.FLOAT, ["n", targets])], 4)
            with np.errstate(all="ignore"):
                run(f"ensemble behind {post}, {targets}", m, [([x], [behind(walk(trees, x, targets, "SUM", True)).astype(np.float32)])])
    global LEAST
    LEAST = 0
    trees = [made(4, 4, range(7), vote(2)) for _ in range(3)] + [Node(None, 1, 6, frozenset(), True, Node({0: 3.0}), Node({1: 5.0}))]
    LEAST = 1
    x = rows_of(9, 4, np.float16)
    run("ensemble of f16", model("TreeEnsemble", 5, new_attrs(trees, 2, "SUM", "NONE", np.float16), T.FLOAT16, [("y", T.FLOAT16, ["n", 2])], 4),
        [([x], [walk(trees, x, 2, "SUM", True).astype(np.float16)])])


def regressors():
    for aggregate in ("SUM", "AVERAGE", "MIN", "MAX"):
        for dtype, t in ((np.float32, T.FLOAT), (np.float64, T.DOUBLE), (np.int64, T.INT64), (np.int32, T.INT32)):
            trees = [made(int(RNG.integers(0, 7)), 5, range(6), vote(3, 3)) for _ in range(7)]
            base = [0.5, -1.0, 2.0]
            m = model("TreeEnsembleRegressor", 3, {**old_attrs(trees, "target", dtype == np.float64), "n_targets": 3, "aggregate_function": aggregate, "base_values": base},
                      t, [("y", T.FLOAT, ["n", 3])], 5)
            run(f"regressor {aggregate} {np.dtype(dtype)}", m, [([x], [(walk(trees, x, 3, aggregate, False) + base).astype(np.float32)]) for x in (rows_of(11, 5, dtype), rows_of(0, 5, dtype))])
    trees = [made(5, 5, [0], vote(1)) for _ in range(20)]
    x = rows_of(40, 5, np.float32, nan=False)
    want = [walk(trees, x, 1, "AVERAGE", False).astype(np.float32)]
    m = model("TreeEnsembleRegressor", 1, {**old_attrs(trees, "target", False), "n_targets": 1, "aggregate_function": "AVERAGE"}, T.FLOAT, [("y", T.FLOAT, ["n", 1])], 5)
    run("regressor of one target", m, [([x], want)])
    peer("regressor of one target", m, x, want)
    lone = {"nodes_treeids": [0, 0, 0], "nodes_nodeids": [0, 1, 2], "nodes_featureids": [0, 0, 0], "nodes_modes": ["LEAF", "BRANCH_LT", "LEAF"], "nodes_values": [0.0] * 3,
            "nodes_truenodeids": [0, 2, 0], "nodes_falsenodeids": [0, 2, 0], "target_treeids": [0, 0], "target_nodeids": [2, 0], "target_ids": [0, 0], "target_weights": [7.0, 2.5]}
    run("a root that is a leaf, and a node that nobody reaches", model("TreeEnsembleRegressor", 3, lone, T.FLOAT, [("y", T.FLOAT, ["n", 1])], 5), [([x], [np.full((40, 1), 2.5, np.float32)])])
    fixed = model("TreeEnsembleRegressor", 1, {**old_attrs(trees, "target", False), "n_targets": 1}, T.FLOAT, [("y", T.FLOAT, [40, 1])], 5, 40)
    run("regressor of fixed size", fixed, [([x], [walk(trees, x, 1, "SUM", False).astype(np.float32)])])


def classifiers():
    numbers, words = {"classlabels_int64s": [7, -2, 30]}, {"classlabels_strings": ["ab", "", "näh"]}
    for post, behind in POSTS.items():
        for labels, t in ((numbers, T.INT64), (words, T.STRING)):
            trees = [made(4, 5, range(6), lambda: {k: float(RNG.random() / 9) for k in range(3)}) for _ in range(6)]
            names = np.array(next(iter(labels.values())), np.int64 if t == T.INT64 else object)
            x = rows_of(21, 5, np.float32)
            scores = walk(trees, x, 3, "SUM", False)
            with np.errstate(all="ignore"):
                want = [names[scores.argmax(1)], behind(scores).astype(np.float32)]
            m = model("TreeEnsembleClassifier", 3, {**old_attrs(trees, "class", False), **labels, "post_transform": post}, T.FLOAT, [("y", t, ["n"]), ("z", T.FLOAT, ["n", 3])], 5)
            run(f"classifier {post}", m, [([x], want), ([x[:0]], [w[:0] for w in want])])
            clean = rows_of(21, 5, np.float32, nan=False)
            scores = walk(trees, clean, 3, "SUM", False)
            peer(f"classifier {post}", m, clean, [names[scores.argmax(1)], behind(scores).astype(np.float32)])
    for post, sign, target, base in itertools.product(("NONE", "LOGISTIC"), (1, -1), (0, 1), ([], [0.125])):
        if target and base:
            continue
        trees = [made(3, 5, range(6), lambda s=sign, k=target: {k: float(RNG.random() - (s < 0) / 2) / 5}) for _ in range(6)]
        x = rows_of(33, 5, np.float32, nan=False)
        s = walk(trees, x, 2, "SUM", False)[:, target:target + 1] + sum(base)
        other = np.zeros_like(s) if target else 1 - s if sign > 0 and post == "NONE" else -s
        want = [np.array([4, 9])[(s > (0.5 if sign > 0 else 0)).astype(int)[:, 0]], POSTS[post](np.concatenate([other, s], 1)).astype(np.float32)]
        m = model("TreeEnsembleClassifier", 3, {**old_attrs(trees, "class", False), "classlabels_int64s": [4, 9], "post_transform": post, **({"base_values": base} if base else {})},
                  T.FLOAT, [("y", T.INT64, ["n"]), ("z", T.FLOAT, ["n", 2])], 5)
        run(f"two classes by {target}, {post} {sign} {base}", m, [([x], want)])
        peer(f"two classes by {target}, {post} {sign} {base}", m, x, want)
    for post, base in (("SOFTMAX", []), ("NONE", [0.5, 0.25])):
        trees = [made(2, 5, range(6), lambda: {0: 0.25})]
        m = model("TreeEnsembleClassifier", 3, {**old_attrs(trees, "class", False), "classlabels_int64s": [4, 9], "post_transform": post, **({"base_values": base} if base else {})},
                  T.FLOAT, [("y", T.INT64, ["n"]), ("z", T.FLOAT, ["n", 2])], 5)
        run(f"two classes by one behind {post} {base}", m, [([x], "'forest'.*votes for one of its two classes.*give each class its votes")], sys.argv[1:2])


def linear():
    x = rows_of(9, 5, np.float32, nan=False)
    x[4] = 0
    w, b = RNG.standard_normal((3, 5)).astype(np.float32), RNG.standard_normal(3).astype(np.float32)
    scores, flat = x @ w.T + b, {"coefficients": w.ravel().tolist(), "intercepts": b.tolist()}
    labels = {T.INT64: ("classlabels_ints", [7, -2, 30]), T.STRING: ("classlabels_strings", ["ab", "", "näh"])}

    def case(op, version, attrs, x, want, dims=5):
        outs = [(f"y{i}", h.np_dtype_to_tensor_dtype(v.dtype) if v.dtype != object else T.STRING, ["n", *v.shape[1:]]) for i, v in enumerate(want)]
        kind = T.STRING if x.dtype == object else h.np_dtype_to_tensor_dtype(x.dtype)
        m = model(op, version, attrs, kind, outs, dims)
        run(f"{op} {list(attrs)}", m, [([x], want), ([x[:1]], [v[:1] for v in want])])
        peer(op, m, x, want)

    for post, behind in POSTS.items():
        if post != "PROBIT":
            case("LinearRegressor", 1, {**flat, "targets": 3, "post_transform": post}, x, [behind(scores).astype(np.float32)])
        for kind, (name, names) in labels.items():
            want = [np.array(names, np.int64 if kind == T.INT64 else object)[scores.argmax(1)], behind(scores).astype(np.float32)]
            if post != "PROBIT":
                case("LinearClassifier", 1, {**flat, name: names, "post_transform": post}, x, want)
    case("LinearRegressor", 1, {"coefficients": w[0].tolist()}, x, [x @ w[:1].T])
    case("Scaler", 1, {"offset": w[0].tolist(), "scale": w[1].tolist()}, x, [(x - w[0]) * w[1]])
    case("Scaler", 1, {"offset": [0.5], "scale": [2.0]}, x.astype(np.int64), [(x.astype(np.int64).astype(np.float32) - np.float32(0.5)) * 2])
    for norm, size in (("L1", np.abs(x).sum(1)), ("L2", np.sqrt((x ** 2).sum(1))), ("MAX", x.max(1))):
        case("Normalizer", 1, {"norm": norm}, x, [x / np.where(size == 0, 1, size)[:, None]])
    holes = x.copy()
    holes[::2, 1] = np.nan
    case("Imputer", 1, {"imputed_value_floats": w[0].tolist(), "replaced_value_float": math.nan}, holes, [np.where(np.isnan(holes), w[0], x)])
    case("Imputer", 1, {"imputed_value_floats": [3.0], "replaced_value_float": 0.0}, x, [np.where(x == 0, np.float32(3), x)])
    for kind in (np.int64, np.int32):
        whole = x.astype(kind)
        m = model("Imputer", 1, {"imputed_value_int64s": [7, 8, 9, -1, 2], "replaced_value_int64": -2}, h.np_dtype_to_tensor_dtype(np.dtype(kind)),
                  [("y", h.np_dtype_to_tensor_dtype(np.dtype(kind)), ["n", 5])], 5)
        want = [np.where(whole == -2, np.array([7, 8, 9, -1, 2]), whole).astype(kind)]
        run(f"Imputer of {np.dtype(kind)}", m, [([whole], want)])
        if kind == np.int64:
            peer("Imputer of integers", m, whole, want)
    cats = np.array([[4], [-1], [9]])
    case("OneHotEncoder", 1, {"cats_int64s": [9, 4]}, cats, [(cats[..., None] == [9, 4]).astype(np.float32)], 1)
    words = np.array([["b"], ["näh"], [""]], object)
    case("OneHotEncoder", 1, {"cats_strings": ["näh", "a", "b"]}, words, [np.float32([[[0, 0, 1]], [[1, 0, 0]], [[0, 0, 0]]])], 1)
    strict = model("OneHotEncoder", 1, {"cats_int64s": [9, 4], "zeros": 0}, T.INT64, [("y", T.FLOAT, ["n", 1, 2])], 1)
    run("an unknown category", strict, [([cats[2:]], [np.float32([[[1, 0]]])]), ([cats], "sizes|range|within|not fit|-1")])


def vectorizer():
    parts = {"a": RNG.standard_normal((3, 2)).astype(np.float32), "b": RNG.standard_normal((3, 1)).astype(np.float32)}
    node = h.make_node("FeatureVectorizer", list(parts), ["y"], domain="ai.onnx.ml", inputdimensions=[2, 1])
    graph = h.make_graph([node], "g", [h.make_tensor_value_info(k, T.FLOAT, ["n", v.shape[1]]) for k, v in parts.items()], [h.make_tensor_value_info("y", T.FLOAT, None)])
    m = h.make_model(graph, opset_imports=[h.make_opsetid("", 17), h.make_opsetid("ai.onnx.ml", 1)], ir_version=10)
    want = np.concatenate(list(parts.values()), 1)
    run("FeatureVectorizer", m, [(list(parts.values()), [want])])
    if onnxruntime:
        got = onnxruntime.InferenceSession(m.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, parts)
        check(np.array_equal(got[0], want), "FeatureVectorizer in onnxruntime")


# ---- support vector machines ----

def kernel(x, vectors, kind, params):
    gamma, shift, degree = params
    if kind == "RBF":
        return np.exp(-gamma * ((x[:, None] - vectors[None]) ** 2).sum(-1))
    product = x @ vectors.T
    return {"LINEAR": product, "POLY": (gamma * product + shift) ** degree, "SIGMOID": np.tanh(gamma * product + shift)}[kind]


def coupled(pairs, k):
    """Probabilities of classes [k] of those of pairs [k, k], as libsvm makes them."""
    q = np.zeros((k, k), np.float32)
    for i, j in itertools.permutations(range(k), 2):
        q[i, i] += pairs[j, i] ** 2
        q[i, j] = -pairs[j, i] * pairs[i, j]
    p = np.full(k, 1 / k, np.float32)
    for _ in range(100):
        slope = q @ p
        form = p @ slope
        if np.abs(slope - form).max() < 0.005 / k:
            break
        for i in range(k):
            diff = (form - slope[i]) / q[i, i]
            p[i] += diff
            form = (form + diff * (diff * q[i, i] + 2 * slope[i])) / (1 + diff) ** 2
            slope, p = (slope + diff * q[i]) / (1 + diff), p / (1 + diff)
    return p


def machines():
    def case(name, op, attrs, outs, x, want):
        m = model(op, 1, attrs, h.np_dtype_to_tensor_dtype(x.dtype), outs, x.shape[1])
        run(name, m, [([x], want), ([x[:1]], [v[:1] for v in want])], rtol=1e-3, atol=1e-4)
        peer(name, m, x, want)

    x, params = RNG.standard_normal((11, 4)).astype(np.float32), [0.5, 0.25, 3.0]
    plain = {"kernel_type": "LINEAR", "kernel_params": [0.0, 0.0, 0.0]}  # without which onnxruntime refuses
    for kind in ("LINEAR", "POLY", "RBF", "SIGMOID"):
        vectors, weights = RNG.standard_normal((6, 4)).astype(np.float32), RNG.standard_normal(6).astype(np.float32)
        y = kernel(x, vectors, kind, params) @ weights[:, None] + np.float32(0.3)
        attrs = {"kernel_type": kind, "kernel_params": params, "support_vectors": vectors.ravel().tolist(), "coefficients": weights.tolist(), "rho": [0.3], "n_supports": 6}
        case(f"SVMRegressor {kind}", "SVMRegressor", attrs, [("y", T.FLOAT, ["n", 1])], x, [y.astype(np.float32)])
        case(f"SVMRegressor {kind} of one class", "SVMRegressor", {**attrs, "one_class": 1}, [("y", T.FLOAT, ["n", 1])], x, [np.where(y > 0, 1, -1).astype(np.float32)])
    case("SVMRegressor without vectors", "SVMRegressor", {"coefficients": weights[:4].tolist(), "rho": [0.3], "n_supports": 0, **plain}, [("y", T.FLOAT, ["n", 1])], x, [x @ weights[:4, None] + np.float32(0.3)])
    for k, kind, post, probable in [(k, kind, "NONE", p) for k in (2, 3, 5) for kind in ("LINEAR", "RBF", "POLY", "SIGMOID") for p in (False, True)] + \
            [(k, "RBF", post, False) for k in (2, 4) for post in ("LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO")] + [(3, "RBF", "SOFTMAX", True)]:
        per = [int(v) for v in RNG.integers(1, 4, k)]
        first, pairs = np.cumsum([0] + per), list(itertools.combinations(range(k), 2))
        vectors, weights, rho = RNG.standard_normal((sum(per), 4)).astype(np.float32), RNG.standard_normal((k - 1, sum(per))).astype(np.float32), RNG.standard_normal(len(pairs)).astype(np.float32)
        by = kernel(x, vectors, kind, params)
        of = lambda i, row: by[:, first[i]:first[i + 1]] @ weights[row, first[i]:first[i + 1]]  # noqa: E731
        scores = np.stack([of(i, j - 1) + of(j, i) + rho[n] for n, (i, j) in enumerate(pairs)], 1)
        won = np.zeros((len(x), k))
        for n, (i, j) in enumerate(pairs):
            won[np.arange(len(x)), np.where(scores[:, n] > 0, i, j)] += 1
        attrs = {"kernel_type": kind, "kernel_params": params, "support_vectors": vectors.ravel().tolist(), "coefficients": weights.ravel().tolist(), "rho": rho.tolist(),
                 "vectors_per_class": per, "classlabels_ints": [10 - i for i in range(k)], "post_transform": post}
        if probable:
            a, b = -RNG.random(len(pairs)).astype(np.float32) - 0.5, RNG.standard_normal(len(pairs)).astype(np.float32) / 4
            attrs |= {"prob_a": a.tolist(), "prob_b": b.tolist()}
            table = np.zeros((len(x), k, k), np.float32)
            for n, (i, j) in enumerate(pairs):
                table[:, i, j] = np.clip(1 / (1 + np.exp(scores[:, n] * a[n] + b[n])), 1e-7, 1 - 1e-7)
                table[:, j, i] = 1 - table[:, i, j]
            z = POSTS[post](np.stack([coupled(t, k) for t in table]))
        elif k == 2:
            z = np.concatenate([-scores if post in ("NONE", "LOGISTIC") else 1 - scores, scores], 1)
            z = POSTS[post](z) if post == "LOGISTIC" else z
        else:
            z = POSTS[post](scores)
        case(f"SVMClassifier of {k}, {kind} {post} {probable}", "SVMClassifier", attrs, [("y", T.INT64, ["n"]), ("z", T.FLOAT, None)], x,
             [np.int64([10 - i for i in won.argmax(1)]), z.astype(np.float32)])
    w = RNG.standard_normal((3, 4)).astype(np.float32)
    scores = x @ w.T + np.float32(0.5)
    case("SVMClassifier without vectors", "SVMClassifier", {"coefficients": w.ravel().tolist(), "rho": [0.5], "classlabels_strings": ["a", "b", "c"], "post_transform": "SOFTMAX", **plain},
         [("y", T.STRING, ["n"]), ("z", T.FLOAT, ["n", 3])], x, [np.array(["a", "b", "c"], object)[scores.argmax(1)], softmax(scores)])
    bad = model("SVMClassifier", 1, {"coefficients": w[:2].ravel().tolist(), "rho": [0.5], "classlabels_ints": [1, 2]}, T.FLOAT, [("y", T.INT64, ["n"]), ("z", T.FLOAT, None)], 4)
    run("two classes without vectors", bad, [([x], "of two use LinearClassifier")], sys.argv[1:2])


ensembles()
regressors()
classifiers()
linear()
vectorizer()
machines()
end()
