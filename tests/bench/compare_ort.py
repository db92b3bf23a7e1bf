#!/usr/bin/env python3
"""compare_ort.py - times a compiled model beside onnxruntime (or OpenVINO) on the same inputs and prints a table of ratios.

    tests/bench/compare_ort.py MODEL.onnx MODEL.so [--threads 1,2] [--cases 1x16,1x128,8x128,32x64] [--rounds 11]
                               [--peer ort|ov] [--peak] [--chart FILE.svg]

Method. Every measurement is a worker process of its own with exactly the threads asked for; never two at once. Rounds
alternate the peers (A B, B A, ...), each worker call repeats its run until it has lasted --slice seconds and reports the
median of its runs. The table shows the median over the rounds and the median of the per-round ratios (above 1: the
compiled model is faster). --peak: the FMA peak of one thread (peak.c) is measured in the same rounds. Times on shared
machines mean little; ratios do. Both compute all outputs. --chart draws how fast each is, the peer being 1.
"""

import argparse
import statistics
import sys
import time

import numpy as np

import chart
from peer import Peer
from session import PEERS, open_session, version_of


def make_inputs(nodes, batch, length, max_id=1000):
    """A full batch for the integer inputs of a text encoder: ones for masks, zeros for token types, else ids."""
    rng, out = np.random.default_rng(0), {}
    for node in nodes:
        shape = (batch, length)
        out[node.name] = (
            np.ones(shape, np.int64)
            if "mask" in node.name
            else np.zeros(shape, np.int64) if "type" in node.name else rng.integers(0, max_id, shape, dtype=np.int64)
        )
    return out


def worker(kind, path, threads):
    """Reads lines `batch length seconds` from stdin, answers with the median run time in ms."""
    session = open_session(kind, path, threads)
    for line in sys.stdin:
        batch, length, seconds = line.split()
        inputs = make_inputs(session.get_inputs(), int(batch), int(length))
        for _ in range(2):
            session.run(None, inputs)
        times, stop = [], time.perf_counter() + float(seconds)
        while time.perf_counter() < stop or len(times) < 3:
            start = time.perf_counter()
            session.run(None, inputs)
            times.append(time.perf_counter() - start)
        print(statistics.median(times) * 1e3, flush=True)


def run_case(paths, threads, batch, length, rounds, seconds, peak):
    peers, result = {kind: Peer(kind, path, threads) for kind, path in paths.items()}, []
    for i in range(rounds):
        times = {kind: float(peers[kind].ask(f"{batch} {length} {seconds}")) for kind in list(peers)[:: 1 if i % 2 else -1]}
        if peak:
            times["peak"] = peak(0.2)
        result.append(times)
    for peer in peers.values():
        peer.close()
    return result


def main():
    if len(sys.argv) > 1 and sys.argv[1] == "--worker":
        return worker(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("so")
    p.add_argument("--threads", default="1,2")
    p.add_argument("--cases", default="1x16,1x128,8x128,32x64")
    p.add_argument("--rounds", type=int, default=11)
    p.add_argument("--slice", type=float, default=0.5)
    p.add_argument("--peer", choices=PEERS, default="ort")
    p.add_argument("--peak", action="store_true")
    p.add_argument("--chart", metavar="FILE.svg")
    a = p.parse_args()
    peak = None
    if a.peak:
        import fma_peak
        peak = fma_peak.load()
    print(
        f"| threads | batch x length | {PEERS[a.peer]} ms | xfc ms | ratio (median of rounds) | ratio min..max |"
        + (" FMA peak GF/s |" if a.peak else "")
    )
    print("|--:|---|--:|--:|--:|---|" + ("--:|" if a.peak else ""))
    groups = []
    for threads in map(int, a.threads.split(",")):
        bars = [(PEERS[a.peer], 1, "1", False)]
        groups.append((f"{threads} thread{'s' * (threads > 1)}", bars))
        for case in a.cases.split(","):
            batch, length = map(int, case.split("x"))
            rounds = run_case({a.peer: a.model, "xf": a.so}, threads, batch, length, a.rounds, a.slice, peak)
            ratios = sorted(r[a.peer] / r["xf"] for r in rounds)
            med = lambda k: statistics.median(r[k] for r in rounds)
            print(f"| {threads} | {case} | {med(a.peer):.2f} | {med('xf'):.2f} | {statistics.median(ratios):.2f} | "
                  f"{ratios[0]:.2f}..{ratios[-1]:.2f} |" + (f" {med('peak'):.0f} |" if a.peak else ""), flush=True)
            ratio = statistics.median(ratios)
            bars.append((f"xfc, {case}", ratio, f"{ratio:.2f} ({ratios[0]:.2f}..{ratios[-1]:.2f})", True))
    print(f"\n{chart.machine()}; {version_of(a.peer)}; medians of {a.rounds} rounds")
    if a.chart:
        note = f"batch x length; {chart.machine()}; {version_of(a.peer)}; median and range"
        chart.write(a.chart, f"Times as fast as {PEERS[a.peer]}, same padded batch, fp32", note, groups)
    return 0


if __name__ == "__main__":
    sys.exit(main())
