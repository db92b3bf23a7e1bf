#!/usr/bin/env python3
"""Runs ONNX's own node conformance suite (the data of the onnx wheel) through importer and interpreter.

conformance.py EVAL_ONNX EXPECTED [--data DIR] [--only REGEX] [--update] [-j N]

EXPECTED lists the cases that may fail, one a line: "NAME: reason". The list may only shrink: a case that is not listed
must pass,
and a listed case that passes must be taken off. --update rewrites the list. Exit code 0 or 1; 77 (skipped) without the
suite.
"""

import argparse
import concurrent.futures
import os
import re
import subprocess
import sys


def find_data():
    try:
        import onnx
    except ImportError:
        return None
    path = os.path.join(os.path.dirname(onnx.__file__), "backend", "test", "data", "node")
    return path if os.path.isdir(path) else None


def run_case(tool, data, name):
    """None when the case passes, else why not."""
    folder = os.path.join(data, name)
    sets = sorted(os.path.join(folder, d) for d in os.listdir(folder) if d.startswith("test_data_set"))
    try:
        done = subprocess.run(
            [tool, "--verify", os.path.join(folder, "model.onnx"), *sets], capture_output=True, timeout=120
        )
    except subprocess.TimeoutExpired:
        return "timeout"
    if done.returncode == 0:
        return None
    text = (done.stdout + done.stderr).decode("utf-8", "replace").strip().splitlines()
    first = text[0].replace(os.path.join(folder, ""), "") if text else "no message"
    first = re.sub(r"^\S+: error: ", "", first)
    if done.returncode not in (1, 3, 4, 5):
        return f"CRASH (exit code {done.returncode}): {first}"
    return f"{'unsupported' if done.returncode == 3 else 'fails'}: {first}"


def read_expected(path):
    expected = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            for line in f:
                name, _, reason = line.rstrip("\n").partition(": ")
                if name and not name.startswith("#"):
                    expected[name] = reason
    return expected


def write_expected(path, failures):
    with open(path, "w", encoding="utf-8") as f:
        f.write(
            "# ONNX node conformance cases (onnx 1.22.0) that xfc does not pass yet, and why. "
            "This list may only shrink:\n"
        )
        f.write(
            "# tests/frontend/conformance.py fails on a case that is not listed and does not pass, "
            "and on a listed one that does.\n"
        )
        for name in sorted(failures):
            f.write(f"{name}: {failures[name]}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tool")
    parser.add_argument("expected")
    parser.add_argument("--data", default=find_data())
    parser.add_argument("--only", default="")
    parser.add_argument("--update", action="store_true")
    parser.add_argument("-j", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    if not args.data:
        print("SKIP: the onnx wheel with its test data (onnx==1.22.0) is not installed")
        return 77
    names = sorted(n for n in os.listdir(args.data) if re.search(args.only, n))
    with concurrent.futures.ThreadPoolExecutor(args.j) as pool:
        results = dict(zip(names, pool.map(lambda n: run_case(args.tool, args.data, n), names)))
    failures = {n: why for n, why in results.items() if why is not None}
    print(f"{len(names) - len(failures)} of {len(names)} cases pass")
    if args.update:
        write_expected(args.expected, failures)
        return 0
    expected = read_expected(args.expected)
    bad = 0
    for name in names:
        if name in failures and (name not in expected or "CRASH" in failures[name]):
            print(f"FAIL {name}: {failures[name]}")
            bad += 1
        if name not in failures and name in expected:
            print(f"PASSES {name}: take it off {os.path.basename(args.expected)}")
            bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
