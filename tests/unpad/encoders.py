"""encoders.py - the models that the tests of padding removal run, and how their inputs are made and their outputs compared."""
import os
import sys
import tempfile

try:
    import numpy as np
    import onnx
except ImportError as e:
    print(f"SKIP: padding removal is not tested: {e}")
    sys.exit(77)

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = os.path.join(HERE, "..", "models")
sys.path[:0] = [MODELS, os.path.join(HERE, "..", "bench"), os.path.join(HERE, "..", "..", "tools")]
import make_bert  # noqa: E402
import xf  # noqa: E402
from common import cpu_isas, run  # noqa: E402

MARCH = f"-march={cpu_isas()[-1]}"  # one variant: the rest have tests of their own


class Model:
    """What a test must know of a model beside the file.

    reads: None, or (mask, ids) -> the position of each text that the pooled output reads, so that only masks with a one there are packed.
    reads_padding: the model itself lets ids in front of a token (left padding, holes) matter, because it derives positions or lengths
    from them. prefix: the mask is read as lengths, so that only masks whose padding comes last are packed. ends: the last token of a
    text has an id of its own, the largest."""

    def __init__(self, reads=None, reads_padding=False, prefix=False, ends=False, pad=0, vocabulary=200, longest=64, made=None):
        self.reads, self.reads_padding, self.prefix, self.ends, self.pad, self.made = reads, reads_padding, prefix, ends, pad, made
        self.vocabulary, self.longest = vocabulary, longest

    def file(self, name, folder):
        if not self.made:
            return os.path.join(MODELS, name, "model.onnx")
        path = os.path.join(folder, name + ".onnx")
        onnx.save(make_bert.make(make_bert.options([path], **self.made)), path)
        return path


def first(mask, ids):
    return np.zeros(len(mask), np.int64)


def last(mask, ids):
    """-1 of an empty text is the last position."""
    return mask.astype(np.int64).sum(axis=1) - 1


def end(mask, ids):
    return ids.argmax(axis=1)


def any_token(mask, ids):
    return mask.argmax(axis=1)


def made(reads, ends=False, **options):
    lengths = options.get("attention") == "fused"
    return Model(reads, lengths, lengths, ends, vocabulary=100, longest=256, made=dict(vocab=100, positions=256, **options))


ALL = {
    # Made here: head sizes that fill no vector, more than one block of rows, other types of mask.
    "made_cls": made(first, layers=2, width=64, heads=2, pooling="cls"),
    "made_mean": made(None, layers=2, width=72, heads=3, pooling="mean", norm="spelled", mask="bool"),
    "made_tokens": made(None, layers=3, width=60, heads=3, pooling="none", mask="float32"),
    "made_lengths": made(None, layers=2, width=64, heads=2, pooling="mean", attention="fused"),
    "made_lengths_cls": made(first, layers=1, width=48, heads=4, pooling="cls", mask="bool", attention="fused"),
    "made_int32": made(first, layers=1, width=48, heads=1, pooling="cls", norm="spelled", mask="int32"),
    "made_last": made(last, layers=2, width=48, heads=2, pooling="last"),
    "made_last_bool": made(last, layers=1, width=40, heads=2, pooling="last", mask="bool"),
    "made_end": made(end, ends=True, layers=2, width=64, heads=4, pooling="end", mask="float32"),
    "made_weighted": made(any_token, layers=2, width=56, heads=2, pooling="weighted", norm="spelled"),
    # The committed exports.
    "bert": Model(first),
    "bert_external_data": Model(first),
    "bert_initializer_inputs": Model(first),
    "bert_local_functions": Model(first),
    "bert_odd_names": Model(first),
    "bert_opset10": Model(first),
    "bert_opset23": Model(first),
    "bloom": Model(),
    "cross_encoder": Model(first),
    "deberta": Model(),
    "distilbert": Model(),
    "electra": Model(),
    "question_answering": Model(),
    "roberta": Model(first, reads_padding=True, pad=1),
    "sentence_encoder": Model(),
    "xlmr": Model(first, reads_padding=True, pad=1),
}


def input_named(session, part):
    """The one input whose name contains part; None."""
    return next((node for node in session.get_inputs() if part in node.name), None)


def make_feed(session, model, mask, seed=0, ids=None):
    """ids: what stands at padded positions (default: the model's padding id)."""
    random = np.random.default_rng(seed)
    mask = np.asarray(mask)
    words = random.integers(3, model.vocabulary - model.ends, mask.shape, dtype=np.int64)
    if model.ends and mask.size:
        words[np.arange(len(mask)), mask.shape[1] - 1 - (mask[:, ::-1] != 0).argmax(axis=1)] = model.vocabulary - 1
    words = np.where(mask != 0, words, model.pad if ids is None else ids)
    feed = {input_named(session, "input_ids").name: words}
    node = input_named(session, "mask")
    feed[node.name] = mask.astype(node.dtype)
    types = input_named(session, "type")
    if types:
        feed[types.name] = random.integers(0, 2, mask.shape, dtype=np.int64)
    return feed


def prefixes(lengths, width):
    """Masks of texts that begin at position 0."""
    return (np.arange(width)[None] < np.array(lengths, np.int64).reshape(-1, 1)).astype(np.int64)


def suffixes(lengths, width):
    """Left padding."""
    return prefixes(lengths, width)[:, ::-1].copy()


def run_into(session, feed):
    """All outputs, written into arrays that held something else: what is not written shows."""
    sizes, out = {}, {}
    for node in session.get_inputs():
        sizes.update(zip(node.shape, feed[node.name].shape))
    for node in session.get_outputs():
        shape = [d if isinstance(d, int) else sizes.get(d) for d in node.shape]
        if None not in shape:
            out[node.name] = np.full(shape, 77 if node.dtype.kind != "f" else np.nan, node.dtype)
    return session.run(None, feed, out)


def has_tokens(session, node):
    """An output with an element or row for each token."""
    return len(node.shape) >= 2 and node.shape[:2] == input_named(session, "mask").shape


def difference(got, want, usual=0.0):
    """The largest difference in units of the row's largest value. Where a row is but a value or two, as logits are, in units
    of the largest of all, or of `usual`: a logit near 0 is a sum whose terms cancelled, and its error is that of the terms."""
    if got.shape != want.shape or got.dtype != want.dtype:
        return float("inf")
    if not want.size:
        return 0.0
    rows = want.ndim >= 2 and want.shape[-1] >= 8
    scale = np.maximum(np.abs(want).max(axis=-1, keepdims=True) if rows else max(np.abs(want).max(), usual), np.finfo(want.dtype).tiny)
    worst = (np.abs(got - want) / scale).max()
    return float("inf") if np.isnan(worst) else float(worst)


def same_bits(got, want):
    """NaN equals NaN, whatever its bits."""
    if (got.shape, got.dtype) != (want.shape, want.dtype):
        return False
    nan = np.isnan(want) if want.dtype.kind == "f" else np.zeros(want.shape, bool)
    return np.array_equal(nan, np.isnan(got) if got.dtype.kind == "f" else nan) and got[~nan].tobytes() == want[~nan].tobytes()


def temporary():
    return tempfile.TemporaryDirectory(prefix="xfc-test-")
