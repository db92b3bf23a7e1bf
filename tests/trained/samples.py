#!/usr/bin/env python3
"""samples.py - reads the sets of the trained models, feeds a compiled model with them and scores it. NumPy only.

    samples.py npz digits calib DIR [--n=32] [--batch=1]        writes DIR/000.npz ..: what --calib=DIR reads
    samples.py score MODEL.so digits eval [--n=500]             prints one number; more is better: what --eval runs
    samples.py score MODEL.so sentences eval --exact=EXACT.so

A set is `calib`, for whatever chooses, or `eval`, for whatever judges; no image, definition or sentence is in both, and
training saw neither. The score is the accuracy in per cent (digits, topics), and minus the perplexity of a character
(letters). `sentences` are for a trained encoder of text, that of the quick start: the score is how alike a model ranks them
to the exact one, the mean of Spearman's correlation times 100.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
NAMES = ("digits", "letters", "topics")
CHARACTERS = " abcdefghijklmnopqrstuvwxyz0123456789.,;:'()-\n"  # of letters, by their number


def enlarged(images):
    """[n, 8, 8] of 0..16 to [n, 1, 16, 16] of -1..1, bilinear between the centres of pixels; exact in f32."""
    x = images.astype(np.float32) / 8 - 1
    for axis in (1, 2):
        n = x.shape[axis]
        before, after = (np.take(x, np.clip(np.arange(n) + d, 0, n - 1), axis) for d in (-1, 1))
        pair = np.stack([0.25 * before + 0.75 * x, 0.75 * x + 0.25 * after], axis + 1)
        x = pair.reshape(*x.shape[:axis], 2 * n, *x.shape[axis + 1:])
    return x[:, None]


def topic_feed(ids):
    """[n, 24] padded with 0, cut to the longest row."""
    ids = ids[:, :max(1, int((ids != 0).sum(1).max()))].astype(np.int64)
    return {"input_ids": ids, "attention_mask": (ids != 0).astype(np.int64)}


def padded(rows):
    ids = np.zeros((len(rows), max(map(len, rows))), np.int64)
    for i, row in enumerate(rows):
        ids[i, :len(row)] = row
    return {"input_ids": ids, "attention_mask": (ids != 0).astype(np.int64)}


FEED = {"digits": lambda rows: {"images": enlarged(rows)},
        "letters": lambda rows: {"input_ids": rows[:, :-1].astype(np.int64)},
        "topics": topic_feed,
        "sentences": padded}


def model_of(name):
    return HERE / name / "model.onnx"


def spread(rows, n):
    """n of them, from all over: a set may stand in the order of its labels."""
    return rows if n is None else [rows[i * len(rows) // n] for i in range(n)]


def read(name, part, n=None):
    """(rows, labels) of n of a set; a row of letters holds its own labels, sentences have none."""
    if name == "sentences":
        lines = (HERE / "sentences.tsv").read_text(encoding="utf-8").splitlines()
        lines = spread(lines[:150] if part == "calib" else lines[150:], n)
        return [list(map(int, line.split("\t")[1].split())) for line in lines], np.zeros(len(lines))
    with np.load(HERE / name / "sets.npz") as sets:
        rows = np.asarray(spread(sets[part], n))
        return rows, rows[:, 1:] if name == "letters" else np.asarray(spread(sets[part + "_labels"], n))


def batches(name, part, batch=50, n=None):
    """(feed, labels) of each batch."""
    rows, labels = read(name, part, n)
    for i in range(0, len(rows), batch):
        yield FEED[name](rows[i:i + batch]), labels[i:i + batch].astype(np.int64)


def score(name, run, part="eval", batch=50, n=None):
    """run(feed) gives the logits, as InferenceSession.run does in a list."""
    total = count = 0
    for feed, labels in batches(name, part, batch, n):
        logits = np.asarray(run(feed), np.float64).reshape(*labels.shape, -1)
        count += labels.size
        if name == "letters":
            logits -= logits.max(-1, keepdims=True)
            log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
            total += np.take_along_axis(log_p, labels[..., None], -1).sum()
        else:
            total += (logits.argmax(-1) == labels).sum()
    return -float(np.exp(-total / count)) if name == "letters" else 100.0 * float(total) / count


def ranking(run, exact, part="eval", batch=50, n=None):
    """(mean Spearman, part of agreement on the nearest) of the ranks of all others for each sentence, by cosine."""
    likeness = []
    for embed in (run, exact):
        x = np.concatenate([np.asarray(embed(feed), np.float64) for feed, _ in batches("sentences", part, batch, n)])
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        likeness.append((x @ x.T)[~np.eye(len(x), dtype=bool)].reshape(len(x), -1))
    a, b = likeness
    return float(np.mean([spearman(*pair) for pair in zip(a, b)])), float((a.argmax(1) == b.argmax(1)).mean())


def spearman(a, b):
    """The correlation of the ranks of two rows of numbers, equal ones sharing their mean rank."""
    ranks = []
    for x in (np.asarray(a, np.float64), np.asarray(b, np.float64)):
        values, place, count = np.unique(x, return_inverse=True, return_counts=True)
        ranks.append((np.cumsum(count) - (count + 1) / 2)[place])
    return float(np.corrcoef(*ranks)[0, 1]) if len(values) > 1 else float("nan")


def write_npz(name, part, folder, n=32, batch=1):
    """One file a batch, an array an input."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for i, (feed, _) in enumerate(batches(name, part, batch, n)):
        np.savez(folder / f"{i:03}.npz", **feed)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    npz, scored = actions.add_parser("npz"), actions.add_parser("score")
    scored.add_argument("so")
    scored.add_argument("--exact")
    for p in (npz, scored):
        p.add_argument("name", choices=(*NAMES, "sentences"))
        p.add_argument("part", choices=("calib", "eval"))
        p.add_argument("--n", type=int)
    npz.add_argument("folder")
    npz.add_argument("--batch", type=int, default=1)
    args = parser.parse_args()
    if args.action == "npz":
        write_npz(args.name, args.part, args.folder, args.n, args.batch)
        return
    sys.path.insert(0, str(HERE.parents[1] / "tools"))
    import xf

    with xf.InferenceSession(args.so) as session:
        if args.name != "sentences":
            print(f"{score(args.name, lambda feed: session.run(None, feed)[0], args.part, n=args.n):.4f}")
            return
        with xf.InferenceSession(args.exact) as exact:  # the last output is the embedding
            rho, _ = ranking(*(lambda feed, s=s: s.run(None, feed)[-1] for s in (session, exact)), args.part, n=args.n)
            print(f"{100 * rho:.4f}")


if __name__ == "__main__":
    main()
