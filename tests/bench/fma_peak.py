"""fma_peak.py - the fp32 roof of one thread (peak.c), built on the spot and called in this process."""
import ctypes
import os
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
LEVELS = (4, 3, 2)


def load():
    """gflops(seconds, isa=None): multiply-adds per second of code of that x86-64 level; None: of the best one here."""
    with tempfile.TemporaryDirectory() as folder:
        so = os.path.join(folder, "peak.so")
        subprocess.run(
            [os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", "-o", so, os.path.join(HERE, "peak.c")], check=True
        )
        lib = ctypes.CDLL(so)
    lib.xf_peak_gflops.restype, lib.xf_peak_gflops.argtypes = ctypes.c_double, [ctypes.c_int, ctypes.c_double]

    def gflops(seconds, isa=None):
        levels = (int(isa[-1]),) if isa else LEVELS
        return next((g for g in (lib.xf_peak_gflops(level, seconds) for level in levels) if g > 0), 0.0)

    return gflops
