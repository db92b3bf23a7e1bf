#!/usr/bin/env python3
"""few_rows.py XFC - products of few rows against onnxruntime: how long weights take to come from memory.

    tests/bench/few_rows.py build/release/bin/xfc [--size 768x3072] [--layers 16] [--rows 1,2,4,8,16] [--rounds 15]

A chain of products with f32 weights, alternately of the size and turned, that no cache holds; one thread, in turn, by CPU
time. Printed are the weights' GB/s of the fastest run, and the median over the rounds of onnxruntime's time over xfc's.
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
from session import open_session


def chain(m, n, layers):
    rng, nodes, weights = np.random.default_rng(0), [], []
    for i in range(layers):
        shape = (m, n) if i % 2 == 0 else (n, m)
        weights.append(numpy_helper.from_array(rng.standard_normal(shape, np.float32) / np.float32(shape[0] ** 0.5), f"w{i}"))
        nodes.append(helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"x{i + 1}"]))
    ends = [helper.make_tensor_value_info(f"x{i}", TensorProto.FLOAT, ["rows", m if i % 2 == 0 else n]) for i in (0, layers)]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def cpu_time(session, feed):
    start = time.thread_time()
    session.run(None, feed)
    return time.thread_time() - start


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("xfc")
    p.add_argument("--size", default="768x3072")
    p.add_argument("--layers", type=int, default=16)
    p.add_argument("--rows", default="1,2,4,8,16")
    p.add_argument("--rounds", type=int, default=15)
    a = p.parse_args()
    m, n = map(int, a.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        model, so = os.path.join(folder, "chain.onnx"), os.path.join(folder, "chain.so")
        onnx.save(chain(m, n, a.layers), model)
        subprocess.run([a.xfc, "-q", model, "-o", so], check=True)
        sessions = open_session("xf", so, 1), open_session("ort", model, 1)
        print("| rows | GB/s of weights | onnxruntime over xfc |\n| --: | --: | --: |")
        for rows in map(int, a.rows.split(",")):
            feed = {"x0": np.random.default_rng(1).standard_normal((rows, m), np.float32)}
            np.testing.assert_allclose(*(s.run(None, feed)[0] for s in sessions), rtol=0, atol=1e-3)
            times = [[cpu_time(s, feed) for s in sessions] for _ in range(a.rounds + 2)][2:]
            ratio = statistics.median(other / mine for mine, other in times)
            print(f"| {rows} | {4e-9 * a.layers * m * n / min(mine for mine, _ in times):.1f} | {ratio:.2f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
