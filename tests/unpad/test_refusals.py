#!/usr/bin/env python3
"""test_refusals.py XFC [--mode=auto|off] [NAME of a test] - what padding removal must leave alone, and the small changes that it must see through.

Each case is a small encoder with something of its own behind, in or before the layers. Where removing padding would change what is computed,
--unpad=require fails with exit code 1, writes nothing and names the node at fault, and --unpad=auto gives the padded build's bits on ragged
masks of all kinds. Where it changes nothing, the padding is removed and the results at real tokens agree. --mode=off runs the second half of
each case on the padded build, to check the cases.
"""
import os
import sys
import unittest

# First: it skips aloud where packages are missing.
from encoders import MARCH, Model, difference, has_tokens, make_bert, make_feed, prefixes, run, run_into, same_bits, suffixes, temporary, xf
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

XFC = os.path.abspath(sys.argv[1])
MODE = next((a.split("=")[1] for a in sys.argv[2:] if a.startswith("--mode=")), "auto")
WIDTH, HEADS = 24, 2
SMALL = dict(layers=1, width=WIDTH, heads=HEADS, vocab=50, positions=64, pooling="none")
MODEL = Model(vocabulary=50, longest=32)


class Edit:
    """A model with more nodes. Sizes: "batch", "sequence", numbers; None: not told."""

    def __init__(self, **options):
        self.model = make_bert.make(make_bert.options(["-"], **dict(SMALL, **options)))
        self.graph, self.flags = self.model.graph, []

    def constant(self, name, value, dtype=np.int64):
        self.graph.initializer.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def node(self, op, inputs, out, at=None, **attributes):
        node = helper.make_node(op, inputs, [out], name=f"{out}_node", **attributes)
        self.graph.node.insert(len(self.graph.node) if at is None else at, node)
        return out

    def input(self, name, kind, shape):
        self.graph.input.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name, shape, kind=TensorProto.FLOAT):
        self.graph.output.append(helper.make_tensor_value_info(name, kind, shape))
        return self

    def index(self, out):
        return next(i for i, node in enumerate(self.graph.node) if out in node.output)

    def find(self, op, part, last=False):
        found = [node for node in self.graph.node if node.op_type == op and part in node.name]
        return found[-1 if last else 0]

    def value(self, name, array):
        """Changes a constant."""
        old = next(t for t in self.graph.initializer if t.name == name)
        old.CopyFrom(numpy_helper.from_array(np.array(array, numpy_helper.to_array(old).dtype), name))

    def drop_output(self, name):
        self.graph.output.remove(next(o for o in self.graph.output if o.name == name))
        return self


def tail(op, out, shape, more=(), drop=True, **attributes):
    """The hidden state through one more op."""
    def make():
        e = Edit()
        e.node(op, ["last_hidden_state", *(e.constant(f"c{i}", c) for i, c in enumerate(more))], out, **attributes)
        e.output(out, shape)
        return e.drop_output("last_hidden_state") if drop else e
    return make


def convolution():
    e = Edit()
    e.node("Transpose", ["last_hidden_state"], "columns", perm=[0, 2, 1])
    e.constant("kernel", np.random.default_rng(2).standard_normal((WIDTH, WIDTH, 3)) / 8, np.float32)
    e.node("Conv", ["columns", "kernel"], "mixed", pads=[1, 1])
    return e.output("mixed", ["batch", WIDTH, "sequence"]).drop_output("last_hidden_state")


def sequence_concat():
    """Tokens shifted by one: the neighbour of a token may be padding."""
    e = Edit()
    cut = ["last_hidden_state", *(e.constant(f"c{i}", c) for i, c in enumerate(([1], [1 << 31], [1])))]
    head = ["last_hidden_state", *(e.constant(f"d{i}", c) for i, c in enumerate(([0], [1], [1])))]
    e.node("Concat", [e.node("Slice", cut, "rest"), e.node("Slice", head, "head")], "shifted", axis=1)
    return e.output("shifted", ["batch", "sequence", WIDTH]).drop_output("last_hidden_state")


def reverse():
    e = Edit()
    cut = ["last_hidden_state", *(e.constant(f"c{i}", c) for i, c in enumerate(([-1], [-(1 << 31)], [1], [-1])))]
    e.node("Slice", cut, "reversed")
    return e.output("reversed", ["batch", "sequence", WIDTH]).drop_output("last_hidden_state")


def softmax_over_tokens():
    e = Edit()
    e.node("Softmax", ["last_hidden_state"], "over", axis=1)
    return e.output("over", ["batch", "sequence", WIDTH]).drop_output("last_hidden_state")


def small_mask():
    """-1 is no mask: what it marks still counts."""
    e = Edit()
    mul = e.find("Mul", "mask")
    e.value(mul.input[1], -1.0)
    return e


def positive_mask():
    """Of the wrong sign: what it marks counts most."""
    e = Edit()
    e.value(e.find("Mul", "mask").input[1], 1e4)
    return e


def two_masks():
    """The layers do not agree on what is padding."""
    e = Edit(layers=2)
    at = e.index(e.find("Add", "layer.1").output[0])
    e.node("Unsqueeze", [e.node("Cast", ["token_type_ids"], "types", at, to=TensorProto.FLOAT), e.constant("axes", [1, 2])], "types4", at + 1)
    e.node("Mul", ["types4", e.constant("low", -1e9, np.float32)], "other", at + 2)
    softmax = e.find("Softmax", "layer.1")
    add = next(node for node in e.graph.node if softmax.input[0] in node.output)
    add.input[1] = "other"
    return e


def query_dependent():
    """Each token sees what has its own type: no padding."""
    e = Edit()
    at = e.index(e.find("Unsqueeze", "mask").output[0])
    rows = e.node("Unsqueeze", ["token_type_ids", e.constant("a1", [1, 3])], "rows", at)
    columns = e.node("Unsqueeze", ["token_type_ids", e.constant("a2", [1, 2])], "columns", at + 1)
    same = e.node("Cast", [e.node("Equal", [rows, columns], "same", at + 2)], "same_float", at + 3, to=TensorProto.FLOAT)
    e.find("Sub", "mask").input[1] = same
    return e


def weights_seen():
    """The attention weights are an output: those of padding, too."""
    e = Edit()
    return e.output(e.find("Softmax", "layer.0").output[0], ["batch", HEADS, "sequence", "sequence"])


def mixed_batch():
    """Sequences read each other."""
    e = Edit()
    e.node("ReduceMean", ["last_hidden_state"], "average", axes=[0], keepdims=1)
    return e.output("average", [1, "sequence", WIDTH]).drop_output("last_hidden_state")


def sorted_tokens():
    """As many reads as there are positions."""
    e = Edit()
    at = e.node("Expand", [e.node("Unsqueeze", ["token_type_ids", e.constant("a", [2])], "types3"),
                           e.node("Shape", ["last_hidden_state"], "shape")], "at")
    e.node("GatherElements", ["last_hidden_state", at], "sorted", axis=1)
    return e.output("sorted", ["batch", "sequence", WIDTH]).drop_output("last_hidden_state")


def best_token():
    """A position that is not known before the layers have run."""
    e = Edit()
    values = e.node("Gather", ["last_hidden_state", e.constant("channel", 3)], "values", axis=2)
    best = e.node("ArgMax", [e.node("Mul", [values, e.node("Cast", ["attention_mask"], "kept", to=TensorProto.FLOAT)], "real")],
                  "best", axis=1, keepdims=0)
    e.node("GatherND", ["last_hidden_state", e.node("Unsqueeze", [best, e.constant("a", [1])], "tuples")], "pooled", batch_dims=1)
    return e.output("pooled", ["batch", WIDTH]).drop_output("last_hidden_state")


def weights_by(fill):
    """A mean of the tokens by a softmax over positions."""
    def make():
        e = Edit()
        scores = e.node("ReduceMax", ["last_hidden_state"], "scores", axes=[2], keepdims=0)
        if fill is not None:
            kept = e.node("Cast", ["attention_mask"], "kept", to=TensorProto.BOOL)
            scores = e.node("Where", [kept, scores, e.constant("fill", fill, np.float32)], "filled")
        weights = e.node("Unsqueeze", [e.node("Softmax", [scores], "weights", axis=1), e.constant("a", [2])], "weights3")
        e.node("ReduceSum", [e.node("Mul", [weights, "last_hidden_state"], "parts"), e.constant("positions", [1])], "pooled", keepdims=0)
        return e.output("pooled", ["batch", WIDTH]).drop_output("last_hidden_state")
    return make


def weights_by_sum():
    """The mask added to the scores, weights for each channel."""
    e = Edit()
    e.node("Cast", ["attention_mask"], "kept", to=TensorProto.FLOAT)
    low = e.node("Mul", [e.node("Sub", [e.constant("one", 1.0, np.float32), "kept"], "padding"), e.constant("low", -1e9, np.float32)], "low1")
    scores = e.node("Add", ["last_hidden_state", e.node("Unsqueeze", [low, e.constant("a", [2])], "low3")], "scores")
    weights = e.node("Softmax", [scores], "weights", axis=1)
    e.node("ReduceSum", [e.node("Mul", [weights, "last_hidden_state"], "parts"), e.constant("positions", [1])], "pooled", keepdims=0)
    return e.output("pooled", ["batch", WIDTH])


def mean_by_product():
    """The mask as the left side of a product."""
    e = Edit()
    kept = e.node("Unsqueeze", [e.node("Cast", ["attention_mask"], "kept", to=TensorProto.FLOAT), e.constant("a", [1])], "kept3")
    e.node("MatMul", [kept, "last_hidden_state"], "pooled")
    return e.output("pooled", ["batch", 1, WIDTH])


def any_positions(flat):
    """Two tokens a text, at positions between -1 and the last that have nothing to do with padding."""
    def make():
        e = Edit()
        one = e.constant("one", [1])
        at = e.node("Sub", [e.node("ReduceSum", ["token_type_ids", one], "ones", keepdims=1), one], "at")
        at = e.node("Concat", [at, e.node("Div", [at, e.constant("two", [2])], "half")], "both", axis=1)
        if flat:
            e.node("Gather", [e.node("Reshape", ["last_hidden_state", e.constant("rows", [-1, WIDTH])], "flat"), at], "pooled", axis=0)
        else:
            e.node("GatherND", ["last_hidden_state", e.node("Unsqueeze", [at, e.constant("a", [2])], "tuples")], "pooled", batch_dims=1)
        return e.output("pooled", ["batch", 2, WIDTH])
    return make


def last_token_of_ids():
    """A classifier of texts: the last id that is no padding, which is no input of its own."""
    e = Edit()
    e.constant("matrix", np.random.default_rng(3).standard_normal((WIDTH, 3)), np.float32)
    is_text = e.node("Cast", [e.node("Equal", ["input_ids", e.constant("pad", 0)], "pads")], "pads64", to=TensorProto.INT64)
    length = e.node("Gather", [e.node("Shape", ["input_ids"], "sizes"), e.constant("one", 1)], "length", axis=0)
    before = e.node("Sub", [e.node("ArgMax", [is_text], "pad_at", axis=1, keepdims=0), "one"], "before")
    at = e.node("Mod", [before, length], "at")
    e.node("GatherND", [e.node("MatMul", ["last_hidden_state", "matrix"], "logits"),
                        e.node("Unsqueeze", [at, e.constant("a", [1])], "tuples")], "class", batch_dims=1)
    return e.output("class", ["batch", 3]).drop_output("last_hidden_state")


def nameless_dims(*flags):
    """Every input has dims of its own, which broadcasting alone does not make equal."""
    def make():
        e = Edit()
        for value in list(e.graph.input) + list(e.graph.output):
            for dim in value.type.tensor_type.shape.dim:
                dim.ClearField("dim_param")
        e.flags += flags
        return e
    return make


REFUSED = {
    "mean without mask": tail("ReduceMean", "pooled", ["batch", WIDTH], axes=[1], keepdims=0),
    "largest without mask": tail("ReduceMax", "pooled", ["batch", WIDTH], axes=[1], keepdims=0),
    "sum without mask": tail("ReduceSum", "pooled", ["batch", WIDTH], more=([1],), keepdims=0),
    "two positions": tail("Slice", "two", ["batch", 2, WIDTH], more=([0], [2], [1])),
    "running sum": tail("CumSum", "running", ["batch", "sequence", WIDTH], more=(1,)),
    "softmax over tokens": softmax_over_tokens,
    "convolution over tokens": convolution,
    "neighbours": sequence_concat,
    "reversed": reverse,
    "average over the batch": mixed_batch,
    "mask of -1": small_mask,
    "mask of the wrong sign": positive_mask,
    "two masks": two_masks,
    "mask by query": query_dependent,
    "attention weights are an output": weights_seen,
    "in an order that data gives": sorted_tokens,
    "the token with the largest value": best_token,
    "weights of a softmax that sees padding": weights_by(None),
    "weights of a softmax with a small fill": weights_by(-50),
}


def first_and_tokens():
    return tail("Gather", "first", ["batch", WIDTH], more=(0,), axis=1, drop=False)()


def first_by_slice():
    return tail("Slice", "first", ["batch", 1, WIDTH], more=([0], [1], [1]), drop=False)()


def classifier():
    """A value for each token."""
    e = Edit()
    e.constant("matrix", np.random.default_rng(3).standard_normal((WIDTH, 3)), np.float32)
    e.node("Softmax", [e.node("MatMul", ["last_hidden_state", "matrix"], "logits")], "probabilities", axis=-1)
    e.node("ArgMax", ["probabilities"], "best", axis=-1, keepdims=0)
    return e.output("probabilities", ["batch", "sequence", 3]).output("best", ["batch", "sequence"], TensorProto.INT64)


def transposed_output():
    """Tokens are the last dim."""
    e = Edit()
    e.node("Transpose", ["last_hidden_state"], "columns", perm=[0, 2, 1])
    return e.output("columns", ["batch", WIDTH, "sequence"])


def constant_mask(value):
    def make():
        e = Edit()
        e.value(e.find("Mul", "mask").input[1], value)
        return e
    return make


def where_mask():
    e = Edit()
    cast = e.find("Cast", "mask")
    at = e.index(cast.output[0])
    kept = e.node("Cast", [cast.input[0]], "kept", at, to=TensorProto.BOOL)
    mask = e.find("Mul", "mask")
    zero, low = e.constant("zero", 0.0, np.float32), e.constant("lowest", -np.inf, np.float32)
    e.node("Where", [kept, zero, low], "bias", at + 1)
    for node in e.graph.node:
        for i, name in enumerate(node.input):
            if name == mask.output[0]:
                node.input[i] = "bias"
    return e


def inner_output():
    """A hidden state on the way is an output as well."""
    e = Edit(layers=2)
    return e.output(e.find("LayerNormalization", "layer.0", last=True).output[0], ["batch", "sequence", WIDTH])


def embeddings_read_twice():
    """What no attention has touched may be read whatever its place is: its mean is that of all positions."""
    e = Edit()
    e.node("ReduceMean", [e.find("LayerNormalization", "embeddings").output[0]], "average", axes=[1], keepdims=0)
    return e.output("average", ["batch", WIDTH])


CONVERTED = {
    "first token and tokens": first_and_tokens,
    "first token by a slice": first_by_slice,
    "classifier": classifier,
    "last position": tail("Gather", "last", ["batch", WIDTH], more=(-1,), axis=1),
    "position 1": tail("Gather", "second", ["batch", WIDTH], more=(1,), axis=1),
    "last position by indices": tail("GatherElements", "chosen", ["batch", 1, 1], more=([[[-1]]],), axis=1),
    "any positions": any_positions(False),
    "any positions of the first text": any_positions(True),
    "last token of ids": last_token_of_ids,
    "mean by a product": mean_by_product,
    "weights of a softmax": weights_by(-1e9),
    "weights of a softmax, -inf": weights_by(-np.inf),
    "weights of a softmax, mask added": weights_by_sum,
    "masked mean": lambda: Edit(pooling="mean"),
    "mask of -10000": constant_mask(-1e4),
    "mask of -1e9": constant_mask(-1e9),
    "mask by Where of -inf": where_mask,
    "inner output": inner_output,
    "mean of embeddings": embeddings_read_twice,
    "dims without names": nameless_dims(),
    "dims without names, said to be the same": nameless_dims("--dim=same"),
    "tokens last": transposed_output,
}
# May be left alone, but then with a reason, and never computed wrongly.
EITHER = {"tokens last", "mean of embeddings", "first token by a slice"}


class Cases(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder, cls.made = temporary(), 0

    def compile(self, edit, mode):
        type(self).made += 1  # the loader knows files by name
        path, so = (os.path.join(self.folder.name, f"{self.made}.{end}") for end in ("onnx", "so"))
        onnx.save(edit.model, path)
        return so, run(XFC, path, "-o", so, f"--unpad={mode}", MARCH, *edit.flags)

    def sessions(self, edit, required=None):
        """With what the mode removes (or what --unpad=require has made), and with padding."""
        made = [(required, None)] if required else [self.compile(edit, MODE)]
        made.append(self.compile(edit, "off"))
        for _, done in made:
            self.assertFalse(done and done.returncode, done and done.stderr)
        return [xf.InferenceSession(so, threads=1) for so, _ in made]

    def feeds(self, session):
        random = np.random.default_rng(8)
        for name, mask in (("ragged", prefixes([9, 3, 1, 7], 9)), ("full", prefixes([5, 5], 5)), ("left", suffixes([6, 2], 7)),
                           ("holes", (random.random((3, 20)) < 0.6).astype(np.int64)), ("one", prefixes([1], 2))):
            if name == "holes":
                mask[:, 0] = 1
            yield name, mask, make_feed(session, MODEL, mask)

    def test_refused(self):
        for name, make in REFUSED.items():
            with self.subTest(name):
                edit = make()
                onnx.checker.check_model(edit.model, full_check=True)
                if MODE != "off":
                    so, done = self.compile(edit, "require")
                    self.assertEqual(done.returncode, 1, f"exit code {done.returncode}: {done.stdout}{done.stderr}")
                    self.assertIn("--unpad=require", done.stderr)
                    self.assertFalse(os.path.exists(so))
                packed, padded = self.sessions(edit)
                for what, _, feed in self.feeds(padded):
                    got, want = run_into(packed, feed), run_into(padded, feed)
                    for node, g, w in zip(padded.get_outputs(), got, want):
                        self.assertTrue(same_bits(g, w), f"{what}: {node.name} differs from the padded build")
                        self.assertIsNone(packed.metadata(f"padded-output:{node.name}"))

    def test_converted(self):
        for name, make in CONVERTED.items():
            with self.subTest(name):
                edit, required = make(), None
                onnx.checker.check_model(edit.model, full_check=True)
                if MODE != "off":
                    required, done = self.compile(edit, "require")
                    if done.returncode and name in EITHER:
                        self.assertRegex(done.stderr, "--unpad=require: .+")
                        print(f"left alone: {name}: {done.stderr.strip()}")
                        required = None
                    else:
                        self.assertEqual(done.returncode, 0, done.stderr)
                packed, padded = self.sessions(edit, required)
                for what, mask, feed in self.feeds(padded):
                    got, want = run_into(packed, feed), run_into(padded, feed)
                    for node, g, w in zip(padded.get_outputs(), got, want):
                        self.compare(f"{what}: {node.name}", padded, node, mask, g, w)

    def test_dims_that_may_agree(self):
        """Dims without names: calls in which they agree run one program, others (a mask for all texts) the other one."""
        so, done = self.compile(nameless_dims()(), MODE)
        self.assertEqual(done.returncode, 0, done.stderr)
        session = xf.InferenceSession(so, threads=1)
        mask = prefixes([6, 6, 6], 9)
        feed = make_feed(session, MODEL, mask)
        session.profile_start()
        whole, shared = run_into(session, feed), run_into(session, dict(feed, attention_mask=mask[:1]))
        for node, g, w in zip(session.get_outputs(), shared, whole):
            self.compare(node.name, session, node, mask, g, w)
        profile = session.profile()
        for key in "steps", "equal_steps":
            self.assertEqual(max(step["count"] for step in profile[key]), 1, key)
        with self.assertRaisesRegex(Exception, "do not fit together|must be equal"):
            run_into(session, dict(feed, attention_mask=mask[:2]))

    def compare(self, what, session, node, mask, got, want):
        if node.name in ("first",):
            kept = mask[:, 0] != 0
            got, want = got[kept], want[kept]
        elif got.shape[:2] == mask.shape:
            got, want = got[mask != 0], want[mask != 0]
        elif node.name == "columns":
            got, want = got.transpose(0, 2, 1)[mask != 0], want.transpose(0, 2, 1)[mask != 0]
        if got.dtype.kind == "f":
            self.assertLessEqual(difference(got, want), 1e-5, what)
        else:
            self.assertTrue(same_bits(got, want), what)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + [a for a in sys.argv[2:] if not a.startswith("--mode=")], verbosity=1)
