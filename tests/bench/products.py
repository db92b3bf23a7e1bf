#!/usr/bin/env python3
"""products.py - how near the products inside a compiled model come to the FMA peak, by the model's own profile.

    tests/bench/products.py MODEL.so [--batch 8] [--length 128] [--rounds 11] [--isa x86-64-v3] [--all]

Method. One thread, one process. Each round measures the peak (peak.c) for --slice seconds, then profiles runs of the
model for as long, then the
peak again; a kernel's share is its operations by its time over the mean of the two. Printed are medians over the
rounds. The profile
knows wall time only, the peak is by CPU time: where others use the machine, only the last column, from each kernel's
shortest
time of a round, means something. Products are the contractions; attention (two products and a softmax between them) has
a line of its own.
--all: every form of kernel.
"""

import argparse
import collections
import os
import statistics
import sys
import time

import fma_peak

sys.path.insert(0, os.path.join(fma_peak.HERE, "..", "..", "tools"))
import compare_ort
import xf


def measure(session, inputs, seconds):
    """(form, last node), and (form, "") for all of a form -> [seconds a run, of its shortest run, GFLOP a run]."""
    session.profile_start()
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop:
        session.run(None, inputs)
    profile, out = session.profile(), collections.defaultdict(lambda: [0.0, 0.0, 0.0])
    for step in profile["steps"] + profile.get("equal_steps", []):
        for key in ((step["form"], ""), (step["form"], step["nodes"][-1] if step["nodes"] else "?")):
            out[key][0] += step["total_ns"] * 1e-9 / profile["runs"]
            out[key][1] += step["min_ns"] * 1e-9
            out[key][2] += step["flops"] * 1e-9 / profile["runs"]
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("so")
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--length", type=int, default=128)
    p.add_argument("--rounds", type=int, default=11)
    p.add_argument("--slice", type=float, default=0.3)
    p.add_argument("--isa")
    p.add_argument("--all", action="store_true")
    a = p.parse_args()
    peak, session = fma_peak.load(), xf.InferenceSession(a.so, threads=1, isa=a.isa)
    inputs = compare_ort.make_inputs(session.get_inputs(), a.batch, a.length)
    session.run(None, inputs)
    rounds = []
    before = peak(a.slice, session.metadata("isa"))
    for _ in range(a.rounds):
        steps = measure(session, inputs, a.slice)
        after = peak(a.slice, session.metadata("isa"))
        rounds.append(((before + after) / 2, steps))
        before = after
    median = lambda f: statistics.median(f(g, s) for g, s in rounds)
    print(
        f"{session.metadata('isa')}, {a.batch}x{a.length}, one thread: FMA peak {median(lambda g, s: g):.0f} GFLOP/s\n"
    )
    print("| kernels | ms | GFLOP/s | share of peak | share, shortest times |\n|---|--:|--:|--:|--:|")
    for key in sorted(rounds[0][1], key=lambda k: (k[1] != "", k)):
        form, node = key
        if (a.all and node) or (not a.all and form != "contract" and key != ("attention", "")):
            continue
        row = [f"{'all ' + form if not node else node}", f"{median(lambda g, s: s[key][0]) * 1e3:.3f}", "", "", ""]
        if rounds[0][1][key][2]:
            row[2] = f"{median(lambda g, s: s[key][2] / s[key][0]):.0f}"
            row[3:] = [f"{median(lambda g, s: s[key][2] / s[key][i] / g):.1%}" for i in (0, 1)]
        print(f"| {' | '.join(row)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
