#!/usr/bin/env python3
"""norms.py - what converting the norms of a pre-norm network gains: the time of its norms before and after.

    tests/bench/norms.py XFC XF_RUN [--rounds 9] [--iters 5] [--shapes 1x197,8x197] [--layers 4 --width 768 --heads 12]
                         [--norm op|spelled] [--march x86-64-v3] [--cpu N] [--xfc=OPTION ...]

The model is a decoder-like encoder with the norm in front of each branch (make_bert.py's parts in another order;
ViT-B's width by default), its writers' biases with a mean that is not 0. It is compiled twice, with --pre-rmsnorm=off
and as by default, and both programs are profiled one after the other in each round, in turns, on one thread that is
pinned to one CPU. The time of norms is that of the kernels which hold a norm and no product: the residual sum and the
norm behind it are one such kernel. Tables show medians over the rounds of the shortest time of each kernel, and median
and range of the ratios within a round. The outputs of both are compared first.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper

import make_bert

BUILDS = (("layer norms", ["--pre-rmsnorm=off"]), ("converted", []),
          ("converted, affine kept", ["--fold-ln-affine=off"]))


def model(a):
    """Embeddings, blocks of norm, attention, sum, norm, MLP, sum, and a norm and a linear at the end."""
    o = make_bert.options(["-", "--layers", str(a.layers), "--width", str(a.width), "--heads", str(a.heads),
                           "--vocab", "2000", "--norm", a.norm])
    w, spelled = make_bert.Writer(o.seed), a.norm == "spelled"
    words, positions = (w.normal(f"{name}.weight", (rows, o.width), 0.5, 0.2)
                        for name, rows in (("word", o.vocab), ("position", o.positions)))
    ids = w.tensor("position_ids", np.arange(o.positions, dtype=np.int64)[None])
    ids = w.node("Slice", [ids, w.constant([0]), w.dim("input_ids", 1), w.constant([1])])
    x = w.node("Add", [w.node("Gather", [words, "input_ids"]), w.node("Gather", [positions, ids])])
    mask = w.constant(0.0, np.float32)
    for i in range(o.layers):
        name = w.scope = f"layer.{i}"
        normed = w.norm(x, f"{name}.norm1", o.width, spelled)
        x = w.node("Add", [make_bert.attention(w, o, f"{name}.attention", normed, mask), x])
        normed = w.norm(x, f"{name}.norm2", o.width, spelled)
        inner = make_bert.gelu(w, w.linear(normed, f"{name}.inner", o.width, o.inner))
        x = w.node("Add", [w.linear(inner, f"{name}.output", o.inner, o.width), x])
    w.scope = "head"
    head = w.linear(w.norm(x, "norm", o.width, spelled), "head", o.width, 16)
    graph = helper.make_graph(w.nodes + [helper.make_node("Identity", [head], ["y"])], "pre_norm",
                              [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "sequence", 16])],
                              w.initializers)
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


def run(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"norms: {' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def profile(a, so, shape, out):
    """(seconds in kernels with a norm and no product, seconds in all kernels) of the shortest runs."""
    run(a.xf_run, so, "--bench", "--warmup=0ms", f"--iters={a.iters}", "--threads=1", f"--shape=input_ids={shape}",
        f"--profile={out}")
    with open(out, encoding="utf-8") as f:
        steps = json.load(f)["steps"]
    norms = [s for s in steps if s["form"] != "contract" and any("Norm" in n or "ReduceMean" in n for n in s["nodes"])]
    return sum(s["min_ns"] for s in norms) * 1e-9, sum(s["min_ns"] for s in steps) * 1e-9, len(norms)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("xfc")
    p.add_argument("xf_run")
    for name, value in (("rounds", 9), ("iters", 5), ("layers", 4), ("width", 768), ("heads", 12), ("cpu", -1)):
        p.add_argument(f"--{name}", type=int, default=value)
    p.add_argument("--shapes", default="1x197,8x197")
    p.add_argument("--march", default="x86-64-v3")
    p.add_argument("--norm", choices=("op", "spelled"), default="op")
    p.add_argument("--xfc", dest="more", action="append", default=[], metavar="OPTION")
    a = p.parse_args()
    cpu = a.cpu if a.cpu >= 0 else max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpu})
    with tempfile.TemporaryDirectory(prefix="xfc-bench-") as folder:
        path = os.path.join(folder, "model.onnx")
        onnx.save(model(a), path)
        so = [os.path.join(folder, f"{i}.so") for i in range(len(BUILDS))]
        for file, (name, options) in zip(so, BUILDS):
            said = run(a.xfc, path, "-o", file, "--explain", f"-march={a.march}", *options, *a.more)
            notes = [line.split("] ", 1)[1] for line in said.splitlines() if "[pre-rmsnorm]" in line]
            print(f"{name}: {'; '.join(notes) or 'nothing done'}")
        for shape in a.shapes.split(","):
            expected = os.path.join(folder, "y.npy")
            run(a.xf_run, so[0], f"--shape=input_ids={shape}", f"--output=y=@{expected}")
            for file in so[1:]:
                run(a.xf_run, file, f"--shape=input_ids={shape}", f"--expected=y=@{expected}", "--rtol=1e-3",
                    "--atol=1e-3")
        print("\n| batch x length | build | norm kernels | norms, ms | all kernels, ms | norms: times faster (range) "
              "| all (range) |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for shape in a.shapes.split(","):
            times = [[] for _ in BUILDS]
            for r in range(a.rounds):
                for i in sorted(range(len(BUILDS)), reverse=r % 2 == 1):
                    times[i].append(profile(a, so[i], shape, os.path.join(folder, "profile.json")))
            for (name, _), mine in zip(BUILDS, times):
                cells = [f"{statistics.median(t[k] for t in mine) * 1e3:.3f}" for k in (0, 1)]
                for k in (0, 1):
                    ratios = [base[k] / t[k] for base, t in zip(times[0], mine)]
                    cells.append(f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")
                print(f"| {shape} | {name} | {mine[0][2]} | {' | '.join(cells)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
