#!/usr/bin/env python3
"""Damaged and changed copies of many small models end in a planned graph or a clean error: damaged.py FUZZ_ONNX_CORPUS

Takes every eighth model of ONNX's node suite (the onnx wheel), which covers every kind of message, and two whole
encoders of tests/models. Meant to run under sanitizers. SEED=N in the environment makes other copies.
"""

import os
import subprocess
import sys

try:
    import onnx
except ImportError:
    print("SKIP: the onnx package (onnx==1.22.0) is not installed")
    sys.exit(77)


def main():
    data = os.path.join(os.path.dirname(onnx.__file__), "backend", "test", "data", "node")
    if not os.path.isdir(data):
        print("SKIP: this onnx package holds no test data (onnx==1.22.0 does)")
        return 77
    models = [os.path.join(data, name, "model.onnx") for name in sorted(os.listdir(data))[::8]]
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "models")
    models += [os.path.join(here, name, "model.onnx") for name in ("bert_external_data", "decoder")]
    return subprocess.run([sys.argv[1], *models], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
