#!/usr/bin/env python3
"""compile_time.py XFC - how long compiling small models takes, and where the time goes.

    tests/bench/compile_time.py build/release/bin/xfc [--models add,bert,vit,t5,whisper] [--isas 1,3] [--rounds 15] [-j N]

One Add, and exports of the tests: a text encoder whose padding is removed, a vision transformer, a merged decoder of T5 and one
of Whisper with its cache; each for one kind of CPU and for three. Rounds take all cases in turn, so that a noisy minute
falls on all. Printed are the least and the median of the processor time of xfc, its children and the linker, of the time
that passed, and the number of distinct kernels; then where the time of the run with the least processor time went, as --time-passes
tells: LLVM's three parts (its IR is made, optimised, and becomes code) are processor time, the others are time that passed.
"""
import argparse
import os
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

import onnx
from onnx import TensorProto, helper

ROOT = Path(__file__).resolve().parents[2]
MODELS = {"bert": "bert", "vit": "exports/vit__ts9_t113", "t5": "exports/t5s2s__optimum_decoder_model_merged",
          "whisper": "exports/whispers2s__optimum_decoder_with_past_model"}
ISAS = {1: "x86-64-v3", 3: "x86-64-v2,x86-64-v3,x86-64-v4"}


def write_add(path):
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 64]) for name in "abc"]
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["c"])], "add", values[:2], values[2:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def compiled(command, log):
    """Processor time and time passed in milliseconds, and what it said."""
    start, child = time.monotonic(), os.fork()
    if child == 0:
        to = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(to, 1)
        os.dup2(to, 2)
        os.execv(command[0], command)
    _, status, usage = os.wait4(child, 0)
    passed, said = time.monotonic() - start, Path(log).read_text()
    if status:
        sys.exit(f"compile_time: {' '.join(command)}: {said}")
    return 1e3 * (usage.ru_utime + usage.ru_stime), 1e3 * passed, said


def where(said):
    """Milliseconds by part, those of several programs or kinds of CPU together."""
    parts = {}
    for line in said.splitlines():
        for pattern in (r"^  (import|link) +([0-9.]+) ms", r"^// (total) +([0-9.]+) ms", r"(IR|optimised|code) ([0-9.]+)(?=,|$)"):
            for part, ms in re.findall(pattern, line):
                part = "passes" if part == "total" else part
                parts[part] = parts.get(part, 0) + float(ms)
    return parts


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("xfc")
    p.add_argument("--models", default="add," + ",".join(MODELS))
    p.add_argument("--isas", default="1,3")
    p.add_argument("--rounds", type=int, default=15)
    p.add_argument("-j", default=None)
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: ROOT / "tests/models" / at / "model.onnx" for name, at in MODELS.items()}
        paths["add"], so, log = Path(folder, "add.onnx"), Path(folder, "model.so"), Path(folder, "log")
        write_add(paths["add"])
        cases = [(name, int(isas)) for name in a.models.split(",") for isas in a.isas.split(",")]
        runs = {case: [] for case in cases}
        jobs = ["-j", a.j] if a.j else []
        for _ in range(a.rounds):
            for name, isas in cases:
                command = [a.xfc, str(paths[name]), f"-march={ISAS[isas]}", "--time-passes", *jobs, "-o", str(so)]
                runs[name, isas].append(compiled(command, log))
        start = [compiled([a.xfc, "--version"], log)[:2] for _ in range(a.rounds)]
    print("| model | ISAs | CPU ms, least | median | ms passed, least | median | where |\n| --- | --: | --: | --: | --: | --: | --- |")
    for (name, isas), of_case in [*runs.items(), (("xfc --version", 0), [(*s, "") for s in start])]:
        cpu, passed, _ = zip(*of_case)
        parts = ", ".join(f"{part} {ms:.0f}" for part, ms in where(min(of_case)[2]).items())
        print(f"| {name} | {isas or ''} | {min(cpu):.0f} | {statistics.median(cpu):.0f} | {min(passed):.0f} | "
              f"{statistics.median(passed):.0f} | {parts} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
