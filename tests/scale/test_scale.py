#!/usr/bin/env python3
"""Models that grow in one way each are checked, compiled or refused within memory that grows with the file.

test_scale.py XFC: exit code 0, 1, or 77 (skipped) where the onnx package is missing. What is asserted is that each ends, with
which exit code, and within how much address space; the time-out is there for what grows like 2^n or n^3, not to judge speed.
"""

import os
import resource
import subprocess
import sys
import tempfile

try:
    import models
except ImportError:
    print("SKIP: the onnx package (onnx==1.22.0) is not installed")
    sys.exit(77)

TIMEOUT = 240
BASE, NODE = 512 << 20, 100 << 10  # address space: the programs and their libraries, and what a node may take

# kind, n, exit code, compiled (else only checked)
CASES = [
    ("chain", 10000, 0, False),
    ("fan", 4000, 0, True),
    ("max_of", 4000, 0, True),
    ("outputs", 4000, 0, True),
    ("split", 500, 0, True),
    ("slices", 25, 0, True),
    ("slices", 1000, 0, True),
    ("slices", 20000, 1, False),  # deeper than names may stand in names: refused with the node
    ("crops", 40, 0, True),
    ("pools", 16, 0, True),
    ("pads", 24, 0, True),
    ("dims", 3000, 0, True),
    ("equal_dims", 3000, 0, False),
    ("equal_dims", 300, 0, True),
    ("sum_dims", 60, 0, True),
    ("sum_dims", 600, 0, False),
    ("concat", 2000, 0, True),
    ("concat_same", 500, 0, True),
    ("concat_dims", 1000, 0, False),
    ("concat_dims", 300, 0, True),
    ("squares", 14, 0, True),
    ("squares", 200, 0, False),
    ("products", 400, 0, True),
    ("bombs", 12, 1, False),
    ("ifs", 6, 0, False),
    ("ifs", 20, 1, False),
]


def limited(bytes_):
    return lambda: resource.setrlimit(resource.RLIMIT_AS, (bytes_, bytes_))


def run(xfc, kind, n, path, out, compiled):
    command = [xfc, path, "-q"] + (["-o", out, "-march=x86-64-v3"] if compiled else ["--check"])
    memory = BASE + NODE * n + 3 * os.path.getsize(path)
    try:
        p = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, preexec_fn=limited(memory))
    except subprocess.TimeoutExpired:
        return None, f"no end within {TIMEOUT} s"
    return p.returncode, p.stderr


def main():
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        path, out = os.path.join(folder, "m.onnx"), os.path.join(folder, "m.so")
        for kind, n, code, compiled in CASES:
            with open(path, "wb") as f:
                f.write(models.KINDS[kind](n).SerializeToString())
            got, said = run(sys.argv[1], kind, n, path, out, compiled)
            ok = got == code
            bad += not ok
            print(f"{'ok' if ok else 'FAIL'} {kind} {n}: exit code {got}", flush=True)
            if not ok:
                print(said[:400])
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
