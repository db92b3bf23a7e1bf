#!/usr/bin/env python3
"""decode.py - one step of decoding with a cache, or a prompt: compiled models beside onnxruntime and OpenVINO, those that are installed.

    tests/bench/decode.py XFC [--cases gpt2:896,whisper:200:8,gpt2:0:1:1024] [--threads 1] [--rounds 11] [--slice 0.5]
                          [--folder DIR] [--small] [--flags=...] [--cpu-time] [--json FILE]

The models are make_decoder.py's, at full size unless --small; a case is a family, how many tokens the cache holds, the batch
and how many tokens are new, if either is not 1: a step has one, a prompt many.

Method. As compare_ort.py: every program measured is a process of its own, never two at once, rounds alternate their
order, a measurement repeats the step for --slice seconds and gives the median. What is compiled is measured twice, on
one build. fenced: no memory is mapped around the inputs and outputs, as behind a fresh allocation. touched: they lie in
the middle of memory that was written to. The two should be equal: no code looks outside of a tensor. Tables show
medians over the rounds, and median and range of the ratios within a round: the time of the faster peer through xfc's
(fenced), and fenced through touched. in place: the model compiled with --cache=inplace, its caches in fenced memory with room for
more rows, and the time of the faster peer through that. What the programs compute is compared before anything is printed. --cpu-time measures what
a step takes of all its threads' CPUs instead of what passes until it is done, which says more on a machine that others use.
"""
import argparse
import ctypes
import importlib.util
import json
import mmap
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

import make_decoder
from peer import Peer
from session import PEERS, open_session

GAP = 1 << 20
PLACES = ("fenced", "touched", "in place")
ROOM = 64  # rows that fit behind a cache that is written in place
ENCODER = {"whisper": 1500, "t5": 128}
SMALL = {"layers": 2, "width": 96, "heads": 3, "inner": 128, "vocab": 300}
TOLERANCE = 1e-3  # of the largest value of an output


# --- memory ----------------------------------------------------------------------------------------

class Fenced:
    """Arrays that end where a page without access begins, with another one in front."""

    def __init__(self):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.mmap.restype = ctypes.c_void_p
        self.libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int,
                                   ctypes.c_long]
        self.libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

    def array(self, shape, dtype):
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        pages = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        fence = 16 * GAP
        start = self.libc.mmap(None, pages + 2 * fence, 0, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
        if start in (None, ctypes.c_void_p(-1).value) or self.libc.mprotect(start + fence, pages, 3):
            sys.exit(f"decode: no memory: {os.strerror(ctypes.get_errno())}")
        data = (ctypes.c_char * size).from_address(start + fence + pages - size)
        return np.frombuffer(data, dtype).reshape(shape)


class Touched:
    """Arrays in one block that was written to, GAP apart."""

    def __init__(self):
        self.block, self.at = np.ones(512 * GAP, np.uint8), 16 * GAP

    def array(self, shape, dtype):
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        data = self.block[self.at:self.at + size]
        self.at += -(-(size + GAP) // 64) * 64
        return data.view(dtype).reshape(shape)


# --- what is measured ------------------------------------------------------------------------------

def make_inputs(model, family, past, batch, new, place):
    """New tokens behind `past` ones; the same numbers wherever they lie."""
    sizes = {"batch": batch, "sequence": new, "past": past, "encoder": ENCODER.get(family, 0), "past + sequence": past + new}
    random, out = np.random.default_rng(0), {}
    for node in make_decoder.onnx.load(model).graph.input:
        dims = node.type.tensor_type.shape.dim
        shape = [sizes[d.dim_param] if d.dim_param else d.dim_value for d in dims]
        if node.name == "position_ids":
            values = np.broadcast_to(past + np.arange(new), shape)
        elif "mask" in node.name:
            values = np.ones(shape, np.int64)
        elif node.name == "input_ids":
            values = random.integers(0, 200, shape, dtype=np.int64)
        else:
            values = random.standard_normal(shape, dtype=np.float32)
        out[node.name] = place.array(shape, values.dtype) if place else np.empty(shape, values.dtype)
        out[node.name][...] = values
    return out


def in_memory_of_past(session, inputs, new, place):
    """Moves caches to memory with room; answers where their outputs are."""
    out = {}
    for node in session.signature["outputs"]:
        past, axis = inputs.get(node.get("appends_to")), node.get("axis")
        if past is None:
            continue
        shape, front = list(past.shape), [slice(None)] * past.ndim
        shape[axis] += max(ROOM, new)
        memory, front[axis] = place.array(shape, past.dtype), slice(past.shape[axis])
        memory[...] = np.nan
        memory[tuple(front)] = past
        inputs[node["appends_to"]] = memory[tuple(front)]
        front[axis] = slice(past.shape[axis] + new)
        out[node["name"]] = memory[tuple(front)]
    return out


def worker(kind, folder, threads, family, past, batch, new, clock):
    """Writes the outputs to the file in the first line; then each line is seconds, answered by the median in ms."""
    clock = getattr(time, clock)
    place = {"fenced": Fenced, "touched": Touched, "in place": Fenced}.get(kind, lambda: None)()
    model = os.path.join(folder, f"{family}.onnx")
    so = model[:-4] + ("in_place.so" if kind == "in place" else "so")
    session = open_session(kind, model, threads) if kind in PEERS else open_session("xf", so, threads)
    inputs = make_inputs(model, family, past, batch, new, place)
    first, more = session.run(None, inputs), {}
    if place:
        more["out"] = in_memory_of_past(session, inputs, new, place) if kind == "in place" else {}
        for node, x in zip(session.get_outputs(), first):
            more["out"].setdefault(node.name, place.array(x.shape, x.dtype))
        first = session.run(None, inputs, **more)
    np.savez(sys.stdin.readline().strip(), *first)
    print("ready", flush=True)
    for line in sys.stdin:
        times, stop = [], time.perf_counter() + float(line)
        while time.perf_counter() < stop or len(times) < 3:
            start = clock()
            session.run(None, inputs, **more)
            times.append(clock() - start)
        print(statistics.median(times) * 1e3, flush=True)


class Measured(Peer):
    """With the outputs of its first step."""

    def __init__(self, kind, folder, results, *how):
        super().__init__(kind, folder, *how)
        self.ask(results)
        with np.load(results) as saved:
            self.outputs = [saved[name] for name in saved.files]


def check(peers):
    """All compute the same, fenced and touched to the bit."""
    want = next(iter(peers.values())).outputs
    for name, peer in peers.items():
        for i, (got, right) in enumerate(zip(peer.outputs, want)):
            if np.abs(got - right).max(initial=0) > TOLERANCE * np.abs(right).max(initial=1):
                sys.exit(f"decode: output {i} of {name} is wrong")
    if any(a.tobytes() != b.tobytes() for a, b in zip(peers["fenced"].outputs, peers["touched"].outputs)):
        sys.exit("decode: results depend on where the tensors lie")


def run_case(a, folder, family, past, batch, new, threads):
    kinds = [p for p, package in PEERS.items() if importlib.util.find_spec(package.lower())] + list(PLACES)
    results = os.path.join(folder, "results.npz")
    how = threads, family, past, batch, new, "process_time" if a.cpu_time else "perf_counter"
    peers = {kind: Measured(kind, folder, results, *how) for kind in kinds}
    check(peers)
    rounds = [{kind: float(peers[kind].ask(a.slice)) for kind in (kinds if i % 2 else kinds[::-1])}
              for i in range(a.rounds)]
    for peer in peers.values():
        peer.close()
    return rounds


def build(a, folder, family):
    model = os.path.join(folder, f"{family}.onnx")
    if not os.path.exists(model):
        more = {"family": family, **(SMALL if a.small else {})}
        make_decoder.onnx.save(make_decoder.make(make_decoder.options([model], **more)), model)
    for so, more in (("so", []), ("in_place.so", ["--cache=inplace"])):
        subprocess.run([a.xfc, model, "-o", os.path.join(folder, f"{family}.{so}"), *a.flags.split(), *more], check=True)


# --- tables ----------------------------------------------------------------------------------------

def spread(rounds, over, under):
    """Of the least of the times `over` through `under`; those that were not measured do not count."""
    over = [kind for kind in over if kind in rounds[0]]
    if not over:
        return "-", "-"
    ratios = sorted(min(r[kind] for kind in over) / r[under] for r in rounds)
    return f"{statistics.median(ratios):.2f}", f"{ratios[0]:.2f}..{ratios[-1]:.2f}"


def row(case, threads, rounds):
    middle = [f"{statistics.median(r[k] for r in rounds):.2f}" if k in rounds[0] else "-"
              for k in (*PEERS, *PLACES)]
    return [case, str(threads), *middle, *spread(rounds, PEERS, "fenced"), *spread(rounds, ["fenced"], "touched"),
            *spread(rounds, PEERS, "in place")]


def options():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("xfc")
    p.add_argument("--cases", default="gpt2:896,whisper:200,t5:200", help="family:past[:batch[:new]]")
    p.add_argument("--threads", default="1")
    p.add_argument("--rounds", type=int, default=11)
    p.add_argument("--slice", type=float, default=0.5)
    p.add_argument("--folder", help="keep the models there, and use those that are")
    p.add_argument("--small", action="store_true")
    p.add_argument("--flags", default="", help="more options for xfc")
    p.add_argument("--cpu-time", action="store_true")
    p.add_argument("--json", help="write every measurement there")
    return p.parse_args()


def main():
    if len(sys.argv) > 1 and sys.argv[1] == "--worker":
        kind, folder, threads, family, past, batch, new, clock = sys.argv[2:]
        return worker(kind, folder, int(threads), family, int(past), int(batch), int(new), clock)
    a = options()
    with tempfile.TemporaryDirectory() as own:
        folder, everything = a.folder or own, {}
        cases = [(case, *f"{case}:1:1".split(":")[:4]) for case in a.cases.split(",")]
        for family in sorted({case[1] for case in cases}):
            build(a, folder, family)
        print(f"| case | threads | {' | '.join(f'{name} ms' for name in PEERS.values())} | fenced ms | touched ms | in place ms | "
              "faster peer / fenced | range | fenced / touched | range | faster peer / in place | range |\n"
              "|---|--:|--:|--:|--:|--:|--:|--:|---|--:|---|--:|---|")
        for threads in map(int, a.threads.split(",")):
            for case, family, past, batch, new in cases:
                rounds = everything[f"{case} {threads}"] = run_case(a, folder, family, int(past), int(batch), int(new), threads)
                print(f"| {' | '.join(row(case, threads, rounds))} |", flush=True)
    if a.json:
        with open(a.json, "w", encoding="utf-8") as f:
            json.dump(everything, f)
    return 0


if __name__ == "__main__":
    sys.exit(main())
