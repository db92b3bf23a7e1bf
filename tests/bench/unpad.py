#!/usr/bin/env python3
"""unpad.py - what padding removal gains: compiled models beside onnxruntime, OpenVINO and their own padded builds.

    tests/bench/unpad.py XFC [--minilm MODEL.onnx] [--cases bert32,uniform,sentences,full]
                         [--rounds 9,bert32=11,uniform:512=3] [--folder DIR] [--cpu N] [--slice 0.5]
                         [--layers 12 --width 768 --heads 12] [--static] [--chart FILE.svg]

    bert32          BERT-base, 32 texts of 5 to 256 tokens padded to 256; the peers also get the texts one by one,
                    without padding
    uniform:S       BERT-base, 16 texts of uniform length in [0.2 S, S] padded to S, S = 64, 128, 256, 512
    sentences:ORDER the quick start's model, 200 real sentences in batches of 32, each as wide as its longest; `asis`,
                    `sorted` by length
    full:MODEL:BxS  nothing is padded: what looking for padding costs

Method. One thread each, pinned to one CPU. Every program measured is a process of its own; never two at once: those
that do not measure are stopped. A round measures all of a case once, every other round in reverse order; a measurement
repeats its run for --slice seconds (a run that takes longer is done once) and gives the median. Tables show medians
over the rounds, and median and range of the ratios within a round: above 1, the packed build of xfc is faster. All
compute all outputs in fp32 (OpenVINO is told so: it would take bf16 where the CPU has it), and what they compute is
compared at the valid positions before anything is printed. BERT is make_bert.py's.

--packed and --padded give the options of xfc for the two builds. --static: OpenVINO is given the shape of each case
when it compiles. --chart draws bert32. A peer that is not installed is named and left out. Times on shared machines
mean little; ratios do.
"""
import argparse
import ctypes
import importlib.util
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

import chart
from peer import Peer
from session import PEERS, open_session, version_of

HERE = os.path.dirname(os.path.abspath(__file__))
SENTENCES = os.path.join(HERE, "..", "data", "sentences.tsv")

TEXTS = [5, 5, 6, 7, 8, 10, 11, 11, 11, 14, 14, 15, 17, 17, 18, 19, 20, 20, 21, 23, 23, 31, 32, 43, 45, 51, 55, 56, 57,
         60, 61, 256]
CASES = (["bert32"] + [f"uniform:{s}" for s in (64, 128, 256, 512)] + ["sentences:asis", "sentences:sorted"] +
         ["full:bert:16x128", "full:minilm:1x128", "full:minilm:32x64"])
PACKED, PADDED = "packed", "padded"  # the builds of xfc
PR_SET_PDEATHSIG = 1


# --- what is run -----------------------------------------------------------------------------------

def rows_of(case):
    """(rows of ids a batch, the width of each batch or None: its longest row) for each batch of a case."""
    kind, _, rest = case.partition(":")
    random = np.random.default_rng(1)
    if kind == "sentences":
        with open(SENTENCES, encoding="utf-8") as f:
            rows = [list(map(int, line.split("\t")[1].split())) for line in f]
        rows.sort(key=len if rest == "sorted" else lambda row: 0)
        return [(rows[i:i + 32], None) for i in range(0, len(rows), 32)]
    if kind == "bert32":
        lengths, width = TEXTS, 256
    elif kind == "uniform":
        width = int(rest)
        lengths = random.integers(math.ceil(0.2 * width), width + 1, 16).tolist()
    else:
        batch, width = map(int, rest.split(":")[1].split("x"))
        lengths = [width] * batch
    return [([random.integers(1000, 30000, n).tolist() for n in lengths], width)]


def lengths_of(case):
    """The lengths of all rows, and the width each is padded to."""
    rows = [(len(row), width or max(map(len, rows))) for rows, width in rows_of(case) for row in rows]
    return [r[0] for r in rows], [r[1] for r in rows]


def feeds(case, single, names):
    """The inputs of each run of a case; single: every row is a batch of its own, without padding."""
    for rows, width in rows_of(case):
        for part in ([row] for row in rows) if single else [rows]:
            shape = (len(part), max(map(len, part)) if single or not width else width)
            feed = {name: np.zeros(shape, np.int64) for name in names}
            for i, row in enumerate(part):
                feed["input_ids"][i, :len(row)] = row
                feed["attention_mask"][i, :len(row)] = 1
            yield feed


def flops(lengths, widths, layers, width):
    """Operations of the products of a padded and of a packed run of BERT."""
    work = lambda sizes: layers * (24 * sum(sizes) * width**2 + 4 * width * sum(n * n for n in sizes))
    return work(widths), work(lengths)


# --- a process that runs one program ---------------------------------------------------------------

class Runner:
    """One model in one program: input names `names`, and call, which maps a feed to a list of outputs."""

    def __init__(self, kind, path):
        self.kind, self.session = kind, open_session(kind, path, 1)
        self.names = [node.name for node in self.session.get_inputs()]

    def call(self, feed):
        return self.session.run(None, feed)

    def prints(self, work):
        """Two numbers for each output over the valid positions: the sum of magnitudes, and one that depends on every
        sign and place."""
        sums = []
        for feed in work:
            for i, out in enumerate(self.call(feed)):
                mask = feed["attention_mask"] != 0
                values = out[mask] if out.shape[:2] == mask.shape else out
                values = np.asarray(values, np.float64).ravel()
                sums.extend([[0.0, 0.0]] if i == len(sums) else [])
                sums[i][0] += float(np.abs(values).sum())
                sums[i][1] += float(values @ np.cos(np.arange(values.size) % 1009))
        return sums

    def measure(self, case, single, seconds, static, first):
        work = list(feeds(case, single, self.names))
        if self.kind == "ov":
            self.session.compile(work[0]["input_ids"].shape if static and len(work) == 1 else None)
        answer, times = {"prints": self.prints(work) if first else None}, []
        stop = time.perf_counter() + seconds
        while not times or time.perf_counter() < stop:
            start = time.perf_counter()
            for feed in work:
                self.call(feed)
            times.append(time.perf_counter() - start)
            if len(times) == 1 and times[0] < seconds / 2 and not first:
                times, first = [], True  # that was for the caches
        return dict(answer, ms=statistics.median(times) * 1e3)


def worker(kind, path):
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # a stopped process would stay for ever
    runner = Runner(kind, path)
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(runner.measure(**json.loads(line))), flush=True)


class Measured(Peer):
    def __init__(self, kind, path):
        super().__init__(kind, path)
        self.first = set()
        self.answer()

    def measure(self, case, single, seconds, static):
        first = (case, single) not in self.first
        self.first.add((case, single))
        return json.loads(self.ask(json.dumps(dict(case=case, single=single, seconds=seconds, static=static, first=first))))


# --- cases -----------------------------------------------------------------------------------------

def model_of(case):
    return "minilm" if "minilm" in case or case.startswith("sentences") else "bert"


def entries_of(case, peers):
    """What a case measures: (label, one by one)."""
    if case.startswith("full"):
        return [(PACKED, False), (PADDED, False)]
    both = [(peer, False) for peer in peers]
    if case == "bert32":
        return [(PACKED, False)] + both + [(peer, True) for peer in peers]
    return [(PACKED, False), (PADDED, False)] + both


def compare(case, prints):
    """All entries must have computed the same: sums over all values, to 1e-4 of the sum of magnitudes."""
    want = prints[(PACKED, False)]
    for (label, single), got in prints.items():
        if len(got) != len(want):
            sys.exit(f"unpad.py: {case}: {label} has {len(got)} outputs, xfc {len(want)}")
        places = (0,) if single else (0, 1)  # places differ one by one
        for i, (g, w) in enumerate(zip(got, want)):
            if not all(abs(g[k] - w[k]) <= 1e-4 * w[0] for k in places):
                sys.exit(f"unpad.py: {case}: output {i} of {label} differs at valid positions: {g} against {w}")


def run_case(case, opened, entries, rounds, a):
    """For each round: milliseconds of each entry."""
    result, prints = [], {}
    for i in range(rounds):
        times = {}
        for label, single in entries[:: -1 if i % 2 else 1]:
            answer = opened[label].measure(case, single, a.slice, a.static)
            times[label, single] = answer["ms"]
            if answer["prints"]:
                prints[label, single] = answer["prints"]
        if i == 0:
            compare(case, prints)
        result.append(times)
    return result


class Result:
    """The rounds of a case."""

    def __init__(self, case, rounds):
        self.case, self.rounds = case, rounds
        self.lengths, self.widths = lengths_of(case)
        self.fill = sum(self.lengths) / sum(self.widths)

    def ms(self, label, single=False):
        return statistics.median(r[label, single] for r in self.rounds)

    def ratios(self, label, single=False):
        return sorted(r[label, single] / r[PACKED, False] for r in self.rounds)

    def better(self, peers, single=False):
        """The ratio to whichever peer was faster in each round."""
        if not peers:
            return math.nan
        return statistics.median(min(r[p, single] for p in peers) / r[PACKED, False] for r in self.rounds)


def row(*cells):
    print(f"| {' | '.join(cells)} |", flush=True)


def spread(ratios):
    return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f}..{ratios[-1]:.2f})"


def print_bert32(results, peers, a):
    r = results[0]
    print(f"\n32 texts padded to 256, fill {r.fill:.3f}, BERT of {a.layers} layers, width {a.width}\n")
    row("program", "input", "ms", "times as long as xfc (range)")
    row("---", "---", "--:", "---")
    packed = flops(r.lengths, r.widths, a.layers, a.width)[1]
    row("xfc", "padded", f"{r.ms(PACKED):.0f}",
        f"1 ({packed / r.ms(PACKED) * 1e-6:.0f} GFLOP/s of {sum(r.lengths)} tokens)")
    for single in (False, True):
        for peer in peers:
            row(PEERS[peer], "one by one" if single else "padded", f"{r.ms(peer, single):.0f}",
                spread(r.ratios(peer, single)))
        row("the better of both" if len(peers) == 2 else "the only peer", "one by one" if single else "padded", "",
            f"**{r.better(peers, single):.2f}**")
    if a.chart:
        draw(r, peers, a)


def draw(r, peers, a):
    bars = [("xfc, padded", 1, f"1 ({r.ms(PACKED):.0f} ms)", True)]
    for single in (False, True):
        for peer in peers:
            times = r.ratios(peer, single)
            label = f"{PEERS[peer]}, {'one by one' if single else 'padded'}"
            bars.append((label, statistics.median(times), spread(times), False))
    versions = ", ".join(version_of(p) for p in peers)
    chart.write(a.chart, f"32 texts of 5 to 256 tokens, BERT of {a.layers} layers: how many times as long as xfc",
                f"one thread; {chart.machine()}; {versions}; median and range", [("", bars)])


def print_uniform(results, peers, a):
    print(f"\n16 texts, lengths uniform in [0.2 S, S], padded to S, BERT of {a.layers} layers, width {a.width}\n")
    row("S", "fill", "FLOP bound", "xfc ms", "over own padded build (range)", "of the bound",
        *(f"over {PEERS[p]}" for p in peers), "over the better")
    row("--:", "--:", "--:", "--:", "---", "--:", *("---" for _ in peers), "--:")
    for r in results:
        padded, packed = flops(r.lengths, r.widths, a.layers, a.width)
        own = r.ratios(PADDED)
        row(str(r.widths[0]), f"{r.fill:.3f}", f"{padded / packed:.2f}", f"{r.ms(PACKED):.0f}", spread(own),
            f"**{statistics.median(own) * packed / padded:.1%}**", *(spread(r.ratios(p)) for p in peers),
            f"**{r.better(peers):.2f}**")


def print_sentences(results, peers, _):
    print("\n200 sentences in batches of 32: sentences per second\n")
    row("order", "fill", "xfc", "its padded build", *(PEERS[p] for p in peers), "over own padded build (range)",
        "over the better peer")
    row("---", "--:", "--:", "--:", *("--:" for _ in peers), "---", "--:")
    for r in results:
        speeds = (f"{len(r.lengths) / r.ms(label) * 1e3:.0f}" for label in (PACKED, PADDED, *peers))
        row("as they come" if "asis" in r.case else "sorted by length", f"{r.fill:.3f}", *speeds,
            spread(r.ratios(PADDED)), f"**{r.better(peers):.2f}**")


def print_full(results, _, __):
    print("\nNothing padded: time of the packed build over that of the padded build\n")
    row("model", "batch x length", "padded ms", "packed ms", "cost (range)")
    row("---", "---", "--:", "--:", "---")
    for r in results:
        cost = sorted(1 / x - 1 for x in r.ratios(PADDED))
        row(*r.case.split(":")[1:], f"{r.ms(PADDED):.2f}", f"{r.ms(PACKED):.2f}",
            f"**{statistics.median(cost):+.1%}** ({cost[0]:+.1%}..{cost[-1]:+.1%})")


# --- the whole -------------------------------------------------------------------------------------

def build(a, models):
    """{(model, label): file}. What is there already from an earlier run with --folder is made again: it is quick."""
    import make_bert
    files = {}
    for name in models:
        path = a.minilm
        if name == "bert":
            path = os.path.join(a.folder, "bert.onnx")
            sizes = make_bert.options([path], layers=a.layers, width=a.width, heads=a.heads)
            import onnx
            onnx.save(make_bert.make(sizes), path)
        for label, flags in ((PACKED, a.packed), (PADDED, a.padded)):
            files[name, label] = os.path.join(a.folder, f"{name}_{label}.so")
            subprocess.run([a.xfc, path, "-o", files[name, label], "-q", *flags.split()], check=True)
        files.update({(name, peer): path for peer in PEERS})
    return files


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("xfc")
    p.add_argument("--minilm", default="build/models/minilm.onnx")
    p.add_argument("--cases", default="bert32,uniform,sentences,full", help="names, or how they begin")
    p.add_argument("--rounds", default="9", help="a number, and numbers for cases: 9,uniform:512=3")
    p.add_argument("--folder", help="keeps the models there (2 GB)")
    p.add_argument("--cpu", type=int, default=max(os.sched_getaffinity(0)))
    p.add_argument("--slice", type=float, default=0.5)
    for name, value in (("layers", 12), ("width", 768), ("heads", 12)):
        p.add_argument(f"--{name}", type=int, default=value)
    p.add_argument("--packed", default="--unpad=require")
    p.add_argument("--padded", default="--unpad=off")
    p.add_argument("--static", action="store_true")
    p.add_argument("--chart", metavar="FILE.svg", help="draws bert32")
    a = p.parse_args()
    chosen = a.cases.split(",")
    known = [c for c in chosen if any(case.startswith(c) for case in CASES) or c.startswith(("full:", "uniform:"))]
    if known != chosen:
        p.error(f"no such case: {(set(chosen) - set(known)).pop()}; there are {', '.join(CASES)}")
    a.cases = [case for case in CASES if any(case.startswith(c) for c in chosen)]
    a.cases += [c for c in chosen if ":" in c and not any(case.startswith(c) for case in CASES)]
    rounds = [item.split("=") for item in a.rounds.split(",")]
    a.default = next((int(r[0]) for r in rounds if len(r) == 1), 9)
    a.rounds = {r[0]: int(r[1]) for r in rounds if len(r) == 2}
    return a


def main():
    if sys.argv[1:2] == ["--worker"]:
        return worker(*sys.argv[2:4])
    a = parse()
    peers = [peer for peer, name in PEERS.items() if importlib.util.find_spec(name.lower())]
    for peer in sorted(set(PEERS) - set(peers)):
        print(f"LEFT OUT: {PEERS[peer]} is not installed (pip install {PEERS[peer].lower()})")
    if not os.path.exists(a.minilm) and any(model_of(case) == "minilm" for case in a.cases):
        print(f"LEFT OUT: all cases of the quick start's model: {a.minilm} is not there (tests/run fetches it; "
              "--minilm names a copy)")
        a.cases = [case for case in a.cases if model_of(case) != "minilm"]
    with tempfile.TemporaryDirectory(prefix="xfc-bench-") as folder:
        a.folder = a.folder or folder
        os.makedirs(a.folder, exist_ok=True)
        files = build(a, sorted({model_of(case) for case in a.cases}))
        os.sched_setaffinity(0, {a.cpu})  # the workers inherit it
        versions = [version_of(p) for p in peers]
        print(f"{chart.machine()}, one thread on CPU {a.cpu}; {'; '.join(versions)}")
        measure_all(a, files, peers)
    return 0


def measure_all(a, files, peers):
    for group in dict.fromkeys(case.split(":")[0] for case in a.cases):
        results, opened, model = [], {}, None
        for case in (case for case in a.cases if case.split(":")[0] == group):
            entries = entries_of(case, peers)
            if model_of(case) != model:
                model = model_of(case)
                for peer in opened.values():
                    peer.close()
                opened = {label: Measured(label if label in PEERS else "xf", files[model, label])
                          for label in dict(entries)}
            rounds = next((n for name, n in a.rounds.items() if case.startswith(name)), a.default)
            results.append(Result(case, run_case(case, opened, entries, rounds, a)))
        for peer in opened.values():
            peer.close()
        globals()[f"print_{group}"](results, peers, a)


if __name__ == "__main__":
    sys.exit(main())
