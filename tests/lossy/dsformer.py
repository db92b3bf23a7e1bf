#!/usr/bin/env python3
"""dsformer.py XFC XF.py [--minilm MODEL.onnx] [--ratios 1.5,2,2.8] - what factors cost, against the SVD of as many bytes.

For the small decoder of tests/trained (perplexity) and, where its file is given, the sentence encoder of the quick start
(Spearman's correlation of its rankings with the exact model's, and how often both name the same nearest sentence), a table in
Markdown: weights in the best factors and in a singular value decomposition alone, fitted with samples and without; with
samples also the best factors where each layer is fitted to inputs of the exact network. What is measured shares nothing with
the samples. Fails where the best factors lose to one of the others by more than a little noise,
or where a network is fitted to its own losses by a handful of samples.
"""
import argparse
import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "trained"), str(HERE.parent / "models")]
from common import ONE_ISA, SKIP, load_xf, run  # noqa: E402

try:
    import samples
except ImportError as e:
    print(f"SKIP: {e}")
    sys.exit(SKIP)


class Case:
    """A model, its samples, and how good a compiled one is: numbers of which more is better, and their text."""

    def __init__(self, tools, folder, name, model):
        self.tools, self.folder, self.name, self.model = tools, Path(folder), name, model
        samples.write_npz(name, "calib", self.folder / name, n=64)
        self.exact = self.compiled()
        self.bytes = (self.folder / "exact.so").stat().st_size

    def compiled(self, *words):
        so = self.folder / ("factors.so" if words else "exact.so")
        done = run(self.tools["xfc"], "-q", self.model, ONE_ISA, *words, "-o", so, timeout=3600)
        assert done.returncode == 0, done.stderr
        return self.tools["xf"].InferenceSession(str(so))

    def score(self, session):
        def answer(one):
            return lambda feed: one.run(None, feed)[-1]

        if self.name == "letters":
            perplexity = -samples.score("letters", answer(session))
            return (-perplexity,), f"{perplexity:.2f}"
        rho, nearest = samples.ranking(answer(session), answer(self.exact))
        return (rho, nearest), f"{100 * rho:.1f}, {100 * nearest:.1f} %"

    def factored(self, words, calibrated):
        with self.compiled(f"--lossy=dsformer:{words}", *([f"--calib={self.folder / self.name}"] if calibrated else [])) as session:
            return *self.score(session), self.bytes - (self.folder / "factors.so").stat().st_size


def check_few(tools, folder):
    """Of two samples to fit by, which are 128 rows, layers of up to 512 inputs learn nothing of those in front of them."""
    for n, few in ((4, True), (64, False)):
        samples.write_npz("letters", "calib", folder / str(n), n=n)
        done = run(tools["xfc"], "--explain", samples.model_of("letters"), "-march=native", "--lossy=dsformer:ratio=1.5,factors=svd",
                   f"--calib={folder / str(n)}", "-o", folder / "few.so", timeout=3600)
        assert done.returncode == 0, done.stderr
        assert ("fewer rows than twice" in done.stderr) == few, done.stderr


def table(case, ratios, more):
    """Prints it; answers whether the best factors are as good as the SVD everywhere."""
    print(f"{case.name}: {case.score(case.exact)[1]} exactly\n\n| ratio | samples | svd | exact inputs | best | bytes fewer |\n| --- | --- | --- | --- | --- | --- |")
    good = True
    for ratio in ratios:
        for calibrated in (True, False):
            words = ("factors=svd", "inputs=exact", "factors=best") if calibrated else ("factors=svd", "factors=best")
            *others, best = (case.factored(f"ratio={ratio},{kind}{more}", calibrated) for kind in words)
            told = [other[1] for other in others] + [""] * (2 - len(others))
            print(f"| {ratio:g} | {'with' if calibrated else 'without'} | {' | '.join(told)} | {best[1]} | {best[2]} |", flush=True)
            good &= all(b >= s - 0.01 * abs(s) for other in others for b, s in zip(best[0], other[0]))
    print()
    return good


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("xfc")
    p.add_argument("xf")
    p.add_argument("--minilm")
    p.add_argument("--ratios", default="1.5,2,2.8")
    p.add_argument("--words", default="", help="more keys of dsformer: ,values=f16")
    p.add_argument("--only", default="letters,sentences")
    a = p.parse_args()
    tools, good = {"xfc": a.xfc, "xf": load_xf(a.xf)}, True
    with tempfile.TemporaryDirectory() as folder:
        check_few(tools, Path(folder))
    models = {"letters": samples.model_of("letters"), "sentences": a.minilm}
    for name, model in models.items():
        if not model or name not in a.only.split(",") or not os.path.exists(model):
            continue
        with tempfile.TemporaryDirectory() as folder:
            good &= table(Case(tools, folder, name, model), map(float, a.ratios.split(",")), a.words)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
