#!/usr/bin/env python3
"""factors.py - one layer as a dense product against the same in a dense and a sparse factor, both compiled by xfc.

    tests/bench/factors.py [--bin build/release/bin] [--sizes 768x3072,3072x768] [--ratios 2,2.8] [--tokens 1,16,128,1024]
                           [--per 2] [--threads 1] [--rounds 3] [--lossy]

Method. x [T, m] @ W [m, n] against x @ D [m, r] @ S [r, n] with s nonzeros in each column of S at random places: of the
r and s that give the ratio in bytes (f32 values, u8 rows up to r = 256, else u16; D in whole panels of 48 columns), those that
--lossy=dsformer tries with so many atoms an entry (per). `xf-run --bench` runs the two in turn, rounds times; of each the
fastest run counts, which what else the machine does disturbs least. Outputs are compared with numpy's first. "no" stands
where xfc finds so many tokens slower by the nonzeros and multiplies by the zeros, too. An entry's cost in multiplications of
the dense product, from both times, is what passes/sparse/matrix.c estimates.
--lossy: instead, W is any matrix and the other program what `xfc --lossy=dsformer:ratio=` makes of it, which is what a user
gets: the factors (or none) that xfc takes for so many tokens. Nothing is compared then, since W is not such a product.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools"))
import xf


def choose(m, n, ratio, per=2):
    """The largest r = s * per, r then filled up, of which 4 m r' + (4 + i) s n are at most 4 m n / ratio bytes, r' whole panels."""
    def size(r, s):
        return 4 * m * -(-r // 48) * 48 + (5 if r <= 256 else 6) * s * n

    s = max((s for s in range(1, min(m, n) // per + 1) if size(s * per, s) <= 4 * m * n / ratio), default=0)
    r = max((r for r in range(s * per, min(m, n) + 1) if size(r, s) <= 4 * m * n / ratio), default=0) if s else 0
    return r, s, 1 if r <= 256 else 2


def sparse(rng, r, n, s):
    w = np.zeros((r, n), np.float32)
    at = np.argsort(rng.random((r, n)), axis=0)[:s]
    np.put_along_axis(w, at, rng.standard_normal((s, n)).astype(np.float32), 0)
    return w


def build(xfc, folder, name, tokens, weights, *options):
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
    done = subprocess.run([xfc, "--explain", path + ".onnx", "-o", path + ".so", *options], check=True, capture_output=True, text=True)
    return path + ".so", done.stderr


def timed(a, so, work):
    """Microseconds of the fastest run."""
    runs = max(20, min(400, int(2e8 / (work + 1e5))))
    command = [os.path.join(a.bin, "xf-run"), so, "--bench", f"--threads={a.threads}", f"--iters={runs}", "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["min_ms"] * 1e3


def in_turn(a, dense, factors, work):
    rounds = [(timed(a, dense, work), timed(a, factors, work)) for _ in range(a.rounds)]
    return (min(t[i] for t in rounds) for i in (0, 1))


def by_option(a, folder, m, n, ratio, tokens):
    """What the option makes of a layer without structure."""
    w = np.random.default_rng(7).standard_normal((m, n)).astype(np.float32)
    xfc = os.path.join(a.bin, "xfc")
    dense, _ = build(xfc, folder, "dense", tokens, [w])
    factors, said = build(xfc, folder, "lossy", tokens, [w], f"--lossy=dsformer:ratio={ratio:g},head=on")
    took = re.search(r"node '[^']*': (?:a|an|the)? ?([^\n]*?)(?:: error|\n)", said)
    x, y = in_turn(a, dense, factors, m * n * tokens)
    print(f"| {m}x{n} | {ratio:g} | {took.group(1) if took else ''} | {tokens} | {x:.1f} | {y:.1f} | {x / y:.2f} |", flush=True)


def layer(a, folder, m, n, ratio, tokens):
    rng = np.random.default_rng(7)
    r, s, index = choose(m, n, ratio, a.per)
    if s == 0:
        return
    d, e = rng.standard_normal((m, r)).astype(np.float32) / np.float32(m ** 0.5), sparse(rng, r, n, s)
    feed = {"x": rng.standard_normal((tokens, m)).astype(np.float32)}
    xfc = os.path.join(a.bin, "xfc")
    dense, _ = build(xfc, folder, "dense", tokens, [d @ e])
    factors, said = build(xfc, folder, "factors", tokens, [d, e])
    want = feed["x"].astype(np.float64) @ d.astype(np.float64) @ e.astype(np.float64)
    for so in (dense, factors):
        with xf.InferenceSession(so, threads=a.threads) as session:
            np.testing.assert_allclose(session.run(None, feed)[0], want, atol=1e-4 * np.abs(want).max())
    x, y = in_turn(a, dense, factors, m * n * tokens)
    work, size = m * n / (m * r + s * n), 4 * m * n / (4 * m * r + (4 + index) * s * n)
    cost = f"{(y / x * m * n - m * r) / (s * n):.1f}" if "is done by its" in said else "no"
    print(f"| {m}x{n} | {ratio} | {r}, {s} | {tokens} | {work:.2f} | {size:.2f} | {x:.1f} | {y:.1f} | {x / y:.2f} | {cost} |", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bin", default="build/release/bin")
    p.add_argument("--sizes", default="768x3072,3072x768")
    p.add_argument("--ratios", default="2,2.8")
    p.add_argument("--tokens", default="1,16,128,1024")
    p.add_argument("--per", type=int, default=2)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--lossy", action="store_true")
    a = p.parse_args()
    if a.lossy:
        print("| layer | ratio | what xfc takes | tokens | dense us | factors us | times faster |\n| --- | --: | --- | --: | --: | --: | --: |")
    else:
        print("| layer | ratio | r, s | tokens | fewer multiplications | fewer bytes | dense us | factors us | times faster | an entry costs |")
        print("| --- | --: | --- | --: | --: | --: | --: | --: | --: | --: |")
    with tempfile.TemporaryDirectory() as folder:
        for size in a.sizes.split(","):
            m, n = map(int, size.split("x"))
            for ratio in map(float, a.ratios.split(",")):
                for tokens in map(int, a.tokens.split(",")):
                    (by_option if a.lossy else layer)(a, folder, m, n, ratio, tokens)
    return 0


if __name__ == "__main__":
    sys.exit(main())
