#!/usr/bin/env python3
"""Runs ONNX's own conformance suite (the data of the onnx wheel), in the interpreter or compiled.

conformance.py EVAL_ONNX EXPECTED [--only REGEX] [--update] [-j N]
conformance.py EVAL_ONNX EXPECTED --compiled XFC_MANY XF_RUN [--open OPEN] ...

EXPECTED lists the cases that the importer or the interpreter does not pass, one a line: "NAME: reason". The list may only
shrink: a case that is not listed must pass, a listed case that passes must be taken off, and the reason must be what the
tool says. --compiled takes the other cases through xfc (xfc_many.c) and xf-run. With --open their inputs have no fixed dims: each
dim gets a name of its own; then OPEN lists those that are refused, in the same way. A wrong result is never expected.
--update rewrites the list. Exit code 0 or 1; 77 (skipped) without the suite.
"""

import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile
import threading


SUITES = ("node", "simple", "pytorch-converted", "pytorch-operator")  # of cases with names of their own


def find_data():
    try:
        import onnx
    except ImportError:
        return None
    path = os.path.join(os.path.dirname(onnx.__file__), "backend", "test", "data")
    return path if os.path.isdir(os.path.join(path, SUITES[0])) else None


def find_cases(data):
    """The folder of each case, by its name."""
    return {n: os.path.join(data, s, n) for s in SUITES for n in os.listdir(os.path.join(data, s))}


def outcome(code, said, folder):
    """None, or (exit code, first line of what was said)."""
    if code == 0:
        return None
    text = said.decode("utf-8", "replace").strip().splitlines()
    first = text[0].replace(os.path.join(folder, ""), "") if text else "no message"
    return code, re.sub(r"^\S+: error: ", "", first)


def call(command, folder):
    try:
        done = subprocess.run(command, capture_output=True, timeout=120)
    except subprocess.TimeoutExpired:
        return 1, "timeout"
    return outcome(done.returncode, done.stdout + done.stderr, folder)


def reason(said):
    code, first = said
    if code not in (1, 3, 4, 5):
        return f"CRASH (exit code {code}): {first}"
    return f"{'unsupported' if code == 3 else 'fails'}: {first}"


def sets_of(folder):
    return sorted(os.path.join(folder, d) for d in os.listdir(folder) if d.startswith("test_data_set"))


def open_dims(path, to):
    """The model with a name of its own for every dim of an input, and nothing said of its outputs' dims."""
    import onnx

    model = onnx.load(path)
    fixed = {t.name for t in model.graph.initializer}
    for value in model.graph.input:
        if value.name in fixed or not value.type.HasField("tensor_type"):
            continue
        for i, dim in enumerate(value.type.tensor_type.shape.dim):
            dim.dim_param = f"{value.name}.{i}"
    for value in model.graph.output:
        for dim in value.type.tensor_type.shape.dim if value.type.HasField("tensor_type") else []:
            dim.Clear()
    del model.graph.value_info[:]
    onnx.save(model, to)
    return to


class Interpreted:
    def __init__(self, tool):
        self.tool = tool

    def close(self):
        pass

    def run(self, folder):
        """None when the case passes, else why not."""
        said = call([self.tool, "--verify", os.path.join(folder, "model.onnx"), *sets_of(folder)], folder)
        return reason(said) if said else None


class Compiled:
    def __init__(self, xfc_many, xf_run, is_open):
        self.xfc_many, self.xf_run, self.is_open = xfc_many, xf_run, is_open
        self.of_thread, self.servers = threading.local(), []

    def xfc(self, *words, said, folder):
        """A call of the process of this thread."""
        if not hasattr(self.of_thread, "server"):
            self.of_thread.server = subprocess.Popen([self.xfc_many], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            self.servers.append(self.of_thread.server)
        server = self.of_thread.server
        print(said, *words, sep="\t", file=server.stdin, flush=True)
        code = int(server.stdout.readline() or 70)
        with open(said, "rb") as f:
            return outcome(code, f.read(), folder)

    def close(self):
        for server in self.servers:
            server.communicate()

    def run(self, folder):
        with tempfile.TemporaryDirectory() as made:
            model, so = os.path.join(folder, "model.onnx"), os.path.join(made, "model.so")
            if self.is_open:
                model = open_dims(model, os.path.join(made, "model.onnx"))
            said = self.xfc("-q", "-march=native", model, "-o", so, said=os.path.join(made, "said"), folder=os.path.dirname(model))
            if said:
                return reason(said)
            for data in sets_of(folder):
                said = call([self.xf_run, so, "--test-data=" + data], folder)
                if said:
                    return f"WRONG: {said[1]}"
        return None


def read_list(path):
    listed = {}
    if path and os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            for line in f:
                name, _, why = line.rstrip("\n").partition(": ")
                if name and not name.startswith("#"):
                    listed[name] = why
    return listed


def write_list(path, failures):
    with open(path, "w", encoding="utf-8") as f:
        f.write("# ONNX conformance cases (onnx 1.22.0) that do not pass yet, and why; see conformance.py. "
                "This list may only shrink.\n")
        for name in sorted(failures):
            f.write(f"{name}: {failures[name]}\n")


def compare(names, failures, expected, path):
    bad = 0
    for name in names:
        why = failures.get(name)
        if why and ("CRASH" in why or "WRONG" in why or name not in expected):
            print(f"FAIL {name}: {why}")
        elif why and why != expected[name]:
            print(f"OTHER REASON {name}: {why}, listed: {expected[name]}")
        elif not why and name in expected:
            print(f"PASSES {name}: take it off {os.path.basename(path)}")
        else:
            continue
        bad += 1
    return bad


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tool")
    parser.add_argument("expected")
    parser.add_argument("--compiled", nargs=2, metavar=("XFC", "XF_RUN"))
    parser.add_argument("--open", metavar="OPEN")
    parser.add_argument("--data", default=find_data())
    parser.add_argument("--only", default="")
    parser.add_argument("--update", action="store_true")
    parser.add_argument("-j", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    if not args.data:
        print("SKIP: the onnx wheel with its test data (onnx==1.22.0) is not installed")
        return 77
    folders = find_cases(args.data)
    names = sorted(n for n in folders if re.search(args.only, n))
    path, way = args.expected, Interpreted(args.tool)
    if args.compiled:
        known = read_list(args.expected)
        names = [n for n in names if n not in known]
        path, way = args.open, Compiled(*args.compiled, bool(args.open))
    with concurrent.futures.ThreadPoolExecutor(args.j) as pool:
        results = dict(zip(names, pool.map(lambda n: way.run(folders[n]), names)))
    way.close()
    failures = {n: why for n, why in results.items() if why is not None}
    print(f"{len(names) - len(failures)} of {len(names)} cases pass")
    if args.update and path:
        write_list(path, failures)
        return 0
    return 1 if compare(names, failures, read_list(path), path) else 0


if __name__ == "__main__":
    sys.exit(main())
