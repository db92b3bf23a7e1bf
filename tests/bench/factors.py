#!/usr/bin/env python3
"""factors.py - one layer as a dense product against the same in a dense and a sparse factor, both compiled by xfc.

    tests/bench/factors.py [--xfc build/release/bin/xfc] [--sizes 768x3072,3072x768] [--ratios 2,2.8] [--tokens 1,16,128,1024]
                           [--threads 1] [--rounds 15]

Method. x [T, m] @ W [m, n] against x @ D [m, r] @ S [r, n] with s nonzeros in each column of S at random places: of the
r and s that give the ratio in bytes (f32 values, u8 rows up to r = 256, else u16), those with s = r / 2 at most. The two
models run in turn, a slice of time each, in one process; the ratio is the median over the rounds of time by time, in
which what else the machine does cancels as far as it can. Outputs are compared with numpy's first.
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
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools"))
import xf


def choose(m, n, ratio, per=2):
    """r and s = r / per so that 4 m r + (4 + i) s n are 4 m n / ratio bytes."""
    index = 1 if 4 * m * n / ratio / (4 * m + 5 * n / per) <= 256 else 2
    r = int(4 * m * n / ratio / (4 * m + (4 + index) * n / per))
    return r, r // per, index


def sparse(rng, r, n, s):
    w = np.zeros((r, n), np.float32)
    at = np.argsort(rng.random((r, n)), axis=0)[:s]
    np.put_along_axis(w, at, rng.standard_normal((s, n)).astype(np.float32), 0)
    return w


def build(xfc, folder, name, tokens, weights):
    m, n = weights[0].shape[0], weights[-1].shape[1]
    nodes, x = [], "x"
    for i in range(len(weights)):
        y = "y" if i + 1 == len(weights) else f"t{i}"
        nodes.append(helper.make_node("MatMul", [x, f"w{i}"], [y]))
        x = y
    graph = helper.make_graph(nodes, "layer", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [tokens, m])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, [tokens, n])],
                              [numpy_helper.from_array(w, f"w{i}") for i, w in enumerate(weights)])
    path = os.path.join(folder, name)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path + ".onnx")
    subprocess.run([xfc, path + ".onnx", "-o", path + ".so"], check=True, stderr=subprocess.DEVNULL)
    return path + ".so"


def timed(session, feed, seconds):
    runs, start = 0, time.perf_counter()
    while True:
        session.run(None, feed)
        runs += 1
        spent = time.perf_counter() - start
        if spent >= seconds:
            return spent / runs


def layer(a, folder, m, n, ratio, tokens):
    rng = np.random.default_rng(7)
    r, s, index = choose(m, n, ratio)
    d, e = rng.standard_normal((m, r)).astype(np.float32) / np.float32(m ** 0.5), sparse(rng, r, n, s)
    feed = {"x": rng.standard_normal((tokens, m)).astype(np.float32)}
    dense = xf.InferenceSession(build(a.xfc, folder, "dense", tokens, [d @ e]), threads=a.threads)
    factors = xf.InferenceSession(build(a.xfc, folder, "factors", tokens, [d, e]), threads=a.threads)
    want = feed["x"].astype(np.float64) @ d.astype(np.float64) @ e.astype(np.float64)
    for session in (dense, factors):
        np.testing.assert_allclose(session.run(None, feed)[0], want, atol=1e-4 * np.abs(want).max())
    times = [(timed(dense, feed, a.slice), timed(factors, feed, a.slice)) for _ in range(a.rounds)]
    gain = statistics.median(x / y for x, y in times)
    us = [min(t[i] for t in times) * 1e6 for i in (0, 1)]
    work, size = m * n / (m * r + s * n), 4 * m * n / (4 * m * r + (4 + index) * s * n)
    print(f"| {m}x{n} | {ratio} | {r}, {s} | {tokens} | {work:.2f} | {size:.2f} | {us[0]:.1f} | {us[1]:.1f} | {gain:.2f} |",
          flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--xfc", default="build/release/bin/xfc")
    p.add_argument("--sizes", default="768x3072,3072x768")
    p.add_argument("--ratios", default="2,2.8")
    p.add_argument("--tokens", default="1,16,128,1024")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--rounds", type=int, default=15)
    p.add_argument("--slice", type=float, default=0.05)
    a = p.parse_args()
    print("| layer | ratio | r, s | tokens | fewer multiplications | fewer bytes | dense us | factors us | times faster |")
    print("| --- | --: | --- | --: | --: | --: | --: | --: | --: |")
    with tempfile.TemporaryDirectory() as folder:
        for size in a.sizes.split(","):
            m, n = map(int, size.split("x"))
            for ratio in map(float, a.ratios.split(",")):
                for tokens in map(int, a.tokens.split(",")):
                    layer(a, folder, m, n, ratio, tokens)
    return 0


if __name__ == "__main__":
    sys.exit(main())
