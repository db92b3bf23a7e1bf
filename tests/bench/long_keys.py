#!/usr/bin/env python3
"""long_keys.py XFC [OTHER_XFC] - one row of attention over a long cache: how parts of keys pay.

    tests/bench/long_keys.py build/release/bin/xfc [--heads 12:12:64,14:2:64,8:1:256,1:1:64] [--pasts 896,4096,16384] [--threads 1,2] [--rounds 41]

The model is one Attention of opset 23 with a cache, for heads:heads of keys:width. xfc writes its caches in place
(--cache=inplace); onnxruntime copies them, as it must. With OTHER_XFC, an older build, that one is measured as well. All take turns;
printed are medians and least times in microseconds of CPU (of time that passed with more than one thread), Python's call included,
some 20 of them.
"""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
from onnx import TensorProto, helper
from session import open_session

ROOM = 64


def model(heads, shared, width):
    def value(name, *dims):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)

    inputs = [value("q", "b", heads, "s", width)] + [value(n, "b", shared, "s", width) for n in "kv"]
    inputs += [value(n, "b", shared, "p", width) for n in ("pk", "pv")]
    outputs = [value("y", "b", heads, "s", width)] + [value(n, "b", shared, "t", width) for n in ("nk", "nv")]
    node = helper.make_node("Attention", ["q", "k", "v", "", "pk", "pv"], ["y", "nk", "nv"], is_causal=1)
    return helper.make_model(helper.make_graph([node], "g", inputs, outputs), opset_imports=[helper.make_opsetid("", 23)], ir_version=10)


def calls(folder, programs, heads, shared, width, past, threads):
    """A call of each, and what it gives."""
    random, out = np.random.default_rng(0), {}
    new = {"q": (1, heads, 1, width), "k": (1, shared, 1, width), "v": (1, shared, 1, width)}
    feed = {name: random.standard_normal(shape, np.float32) for name, shape in new.items()}
    caches = {name: random.standard_normal((1, shared, past + ROOM, width), np.float32) for name in ("pk", "pv")}
    for i, program in enumerate(programs):
        so, memory = f"{folder}/{i}.so", {name: x.copy() for name, x in caches.items()}
        subprocess.run([program, f"{folder}/m.onnx", "--cache=inplace", "-o", so], check=True, stderr=subprocess.DEVNULL)
        session = open_session("xf", so, threads)
        given = feed | {name: x[:, :, :past] for name, x in memory.items()}
        result = {"n" + name[1]: x[:, :, :past + 1] for name, x in memory.items()}
        out[("xfc", "other")[i]] = lambda s=session, g=given, r=result: s.run(["y", "nk", "nv"], g, out=r)[0]
    session = open_session("ort", f"{folder}/m.onnx", threads)
    given = feed | {name: np.ascontiguousarray(x[:, :, :past]) for name, x in caches.items()}
    out["onnxruntime"] = lambda: session.run(["y", "nk", "nv"], given)[0]
    return out


def measure(run, rounds, clock):
    times, first = {name: [] for name in run}, {name: call() for name, call in run.items()}
    for name, y in first.items():
        if not np.allclose(y, first["onnxruntime"], rtol=1e-3, atol=1e-4):
            sys.exit(f"long_keys: {name} gives something else")
    for _ in range(rounds):
        for name, call in run.items():
            start, n = clock(), 0
            while clock() - start < 0.01:
                call()
                n += 1
            times[name].append((clock() - start) / n * 1e6)
    return times


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("xfc")
    p.add_argument("other", nargs="?")
    p.add_argument("--heads", default="12:12:64,14:2:64,8:1:256,1:1:64")
    p.add_argument("--pasts", default="896,4096,16384")
    p.add_argument("--threads", default="1,2")
    p.add_argument("--rounds", type=int, default=41)
    a = p.parse_args()
    programs = [os.path.abspath(x) for x in (a.xfc, a.other) if x]
    print("| heads | of keys | width | past | threads |", *(f"{n} |" for n in ["xfc", "other"][:len(programs)] + ["onnxruntime"]))
    print("|", "--: | " * (6 + len(programs)))
    for shape in a.heads.split(","):
        heads, shared, width = map(int, shape.split(":"))
        for past in map(int, a.pasts.split(",")):
            for threads in map(int, a.threads.split(",")):
                with tempfile.TemporaryDirectory() as folder:
                    onnx.save(model(heads, shared, width), f"{folder}/m.onnx")
                    run = calls(folder, programs, heads, shared, width, past, threads)
                    times = measure(run, a.rounds, time.thread_time if threads == 1 else time.perf_counter)
                print(f"| {heads} | {shared} | {width} | {past} | {threads} |",
                      *(f"{statistics.median(x):.0f} ({min(x):.0f}) |" for x in times.values()), flush=True)


main()
