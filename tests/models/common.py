"""common.py - what the tests on whole models share."""
import importlib.util
import os
import subprocess

ISAS = ("x86-64-v2", "x86-64-v3", "x86-64-v4")
SKIP = 77
ONE_ISA = "-march=native"  # code for the variant that runs here anyway: less to compile where no test is of the others
_FLAGS = {"x86-64-v2": {"sse4_2", "popcnt", "cx16", "ssse3"},
          "x86-64-v3": {"avx2", "fma", "bmi1", "bmi2", "f16c", "movbe", "abm"},
          "x86-64-v4": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}}


def cpu_isas():
    """The variants that can run here, worst first."""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
        flags = next((set(line.split(":")[1].split()) for line in f if line.startswith("flags")), set())
    found = []
    for isa in ISAS:
        if not _FLAGS[isa] <= flags:
            break
        found.append(isa)
    return found


def run(*command, timeout=500, **more):
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=timeout, **more)


def load_xf(path):
    spec = importlib.util.spec_from_file_location("xf", path)
    xf = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(xf)
    return xf
