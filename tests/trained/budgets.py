#!/usr/bin/env python3
"""budgets.py XFC [--triples 30] [--seed 1] [--minilm MODEL.onnx] [--timeout 1800]
           [--json FILE] - does a budget hold on data that xfc never saw?

Draws a trained model, a kind of --lossy, a budget and a number of samples of its calibration set, again and again, until so
many searches have found something. Of each: the report says that the samples to judge by kept the budget; then the model
runs on the evaluation set, all of it, beside the exact one, and NumPy says how much of the budget is used there. Exit code 1
if that is more than all of it in more than one case of 15, or more than 1.5 times in any. A few minutes a dozen.
"""
import argparse
import json
import math
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
from common import SKIP, load_xf, run

try:
    import numpy as np
    import samples
except ImportError as e:
    print(f"SKIP: no budget is tried: {e}")
    sys.exit(SKIP)

MERGES = tuple(f"token-merge:by={by}" for by in ("merge", "transform", "attention", "random"))
KINDS = {"digits": (*MERGES, "prune", "dsformer"), "letters": ("prune", "dsformer"),
         "topics": ("prune", "dsformer"), "sentences": ("prune", "dsformer")}
BUDGETS = {"cos": (3e-4, 3e-2), "rel": (0.02, 0.4), "abs": (0.03, 0.5), "top1": (2, 15), "kl": (1e-3, 0.2)}  # cos: from 1; abs: of the largest
REFUSED = 5


def rows_of(outputs):
    return np.concatenate([o.reshape(-1, o.shape[-1]) for o in outputs])


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def cosine(a, b):
    return float(a.ravel() @ b.ravel() / math.sqrt(float((a * a).sum()) * float((b * b).sum())))


def measured(metric, got, want):
    """Of one output, on all samples: as docs/lossy.md defines them."""
    if metric == "cos":
        return float(np.mean([1 - cosine(a, b) for a, b in zip(got, want)]))
    if metric == "rel":
        return math.sqrt(sum(float(((a - b) ** 2).sum()) for a, b in zip(got, want)) / sum(float((b * b).sum()) for b in want))
    if metric == "abs":
        return max(float(np.abs(a - b).max()) for a, b in zip(got, want))
    got, want = rows_of(got), rows_of(want)
    if metric == "top1":
        return 100 * float((got.argmax(1) != want.argmax(1)).mean())
    p, q = log_softmax(want), log_softmax(got)
    return float((np.exp(p) * (p - q)).sum(1).mean())


class Trained:
    """A model, and what it says exactly on the data to evaluate by."""

    def __init__(self, name, path, xfc, xf, folder, timeout):
        self.name, self.path, self.xf, self.timeout = name, path, xf, timeout
        self.exact = folder / f"{name}.exact.so"
        self.compile(xfc, self.exact)
        self.want = self.outputs(self.exact)
        self.largest = max(float(np.abs(o).max()) for outputs in self.want for o in outputs)

    def compile(self, xfc, so, *options):
        """Done, or refused: as nothing keeps the budget, or as so few samples cannot show it."""
        done = run(xfc, "-q", self.path, "-march=native", "-o", so, *options, timeout=self.timeout)
        refused = done.returncode == REFUSED or "cannot show so little" in done.stderr
        assert done.returncode == 0 or refused, done.stderr
        return refused

    def outputs(self, so):
        """By output, then by sample."""
        with self.xf.InferenceSession(so, threads=1) as session:
            each = [session.run(None, feed) for feed, _ in samples.batches(self.name, "eval", 1)]
        return [[np.asarray(outputs[i], np.float64) for outputs in each] for i in range(len(each[0]))]


def draw(choose, models):
    model = models[choose.choice(sorted(models))]
    kind = choose.choice(KINDS[model.name])
    metric = choose.choice(("abs", "cos", "rel") if model.name == "sentences" else sorted(BUDGETS))
    low, high = (math.log(x) for x in BUDGETS[metric])
    allowed = float(f"{math.exp(choose.uniform(low, high)):.3g}") * (model.largest if metric == "abs" else 1)
    return model, kind, metric, allowed, choose.choice((48, 96, 128))


def limit(metric, allowed):
    return f"{metric}:{1 - allowed if metric == 'cos' else allowed:.6g}"


def write_samples(name, folder, n, seed):
    """Any n of the calibration set, a file each: a set may stand in the order of its labels."""
    rows, _ = samples.read(name, "calib")
    folder.mkdir()
    for i in random.Random(seed).sample(range(len(rows)), n):
        np.savez(folder / f"{i:03}.npz", **samples.FEED[name](rows[i:i + 1]))


def search(xfc, folder, seed, model, kind, metric, allowed, n):
    """What the samples to judge by used, what fresh data use, and what is left of the multiplications; None: refused."""
    calib, so, report = folder / f"calib{seed}", folder / "lossy.so", folder / "report.json"
    write_samples(model.name, calib, n, seed)
    if model.compile(xfc, so, f"--lossy={kind}", f"--calib={calib}", f"--max-error={limit(metric, allowed)}", f"--report={report}"):
        return None
    lossy = json.loads(report.read_text(encoding="utf-8"))["lossy"]
    judged = max(1 - o[metric] if metric == "cos" else o[metric] for o in lossy["outputs"])
    fresh = max(measured(metric, got, want) for got, want in zip(model.outputs(so), model.want))
    return judged / allowed, fresh / allowed, lossy["multiplications"] / lossy["multiplications_exact"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("xfc")
    parser.add_argument("--triples", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minilm")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds that a search may take")
    parser.add_argument("--json")
    args = parser.parse_args()
    xf = load_xf(samples.HERE.parents[1] / "tools" / "xf.py")
    choose, found, refused = random.Random(args.seed), [], 0
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        paths = {name: samples.model_of(name) for name in samples.NAMES} | ({"sentences": args.minilm} if args.minilm else {})
        models = {name: Trained(name, path, args.xfc, xf, folder, args.timeout) for name, path in paths.items()}
        while len(found) < args.triples:
            triple = draw(choose, models)
            model, kind, metric, allowed, n = triple
            used = search(args.xfc, folder, len(found) + refused, *triple)
            what = f"{model.name:9} {kind:25} {limit(metric, allowed):16} {n:4} samples"
            refused += used is None
            print(what, "refused" if used is None else "judged {:.3f}, fresh {:.3f}; {:.0%} left".format(*used), flush=True)
            if used:
                found.append({"model": model.name, "kind": kind, "budget": limit(metric, allowed), "samples": n,
                              "judged": used[0], "fresh": used[1], "left": used[2]})
    held, worst = sum(f["fresh"] <= 1 for f in found), max(f["fresh"] for f in found)
    print(f"seed {args.seed}: {held} of {len(found)} hold on fresh data, the worst is {worst:.3f}; {refused} were refused")
    if args.json:
        Path(args.json).write_text(json.dumps(found, indent=1), encoding="utf-8")
    judged = all(f["judged"] <= 1 + 1e-6 for f in found)
    return 0 if judged and held >= math.floor(len(found) * 28 / 30) and worst <= 1.5 else 1


if __name__ == "__main__":
    sys.exit(main())
