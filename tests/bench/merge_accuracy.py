#!/usr/bin/env python3
"""merge_accuracy.py - how many images a small vision transformer gets right with r tokens fewer in each block.

    tests/bench/merge_accuracy.py XFC [--chart FILE.svg]

The model is that of tests/trained/digits (65 tokens, 6 blocks), judged on the 500 images that nothing was fitted to; one
row for each r, one column for each `by` of --lossy=token-merge.
"""
import argparse
import math
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "trained"))

import chart
import samples
from session import open_session

BY = ("merge", "transform", "attention", "random")
TOKENS, BLOCKS = 65, 6


def left(r):
    n = TOKENS
    for _ in range(BLOCKS):
        n -= min(r, (n - 1) // 2)
    return n


def accuracy(xfc, folder, by, r):
    so = str(folder / f"{by}{r}.so")
    done = subprocess.run([xfc, "-q", "-march=native", str(samples.model_of("digits")), f"--lossy=token-merge:r={r},by={by}", "-o", so],
                          capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    session = open_session("xf", so, 1)
    return samples.score("digits", lambda feed: session.run(None, feed)[0])


def draw(path, most, curves):
    rights = [right for points in curves.values() for _, right in points]
    ticks = list(range(math.floor(min(rights)), math.ceil(max(rights)) + 1))
    chart.lines(path, "Token merging on handwritten digits: images right of 100",
                "Vision transformer of 65 tokens and 6 blocks; 500 images that nothing was fitted to; a standard error is about 1.",
                ("tokens that go in each block (r)", list(range(0, most + 1, 2))), ("percent right", ticks),
                [(f"by={by}", points) for by, points in curves.items()])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("xfc")
    p.add_argument("--most", type=int, default=12, help="largest r")
    p.add_argument("--chart")
    args = p.parse_args()
    curves = {by: [] for by in BY}
    print("r   left  " + "".join(f"{by:>11}" for by in BY))
    with tempfile.TemporaryDirectory() as folder:
        for r in range(args.most + 1):
            for by in BY:
                curves[by].append((r, accuracy(args.xfc, Path(folder), by, r)))
            print(f"{r:<4}{left(r):<6}" + "".join(f"{curves[by][r][1]:11.1f}" for by in BY), flush=True)
    if args.chart:
        draw(args.chart, args.most, curves)
    return 0


if __name__ == "__main__":
    sys.exit(main())
