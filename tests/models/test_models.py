#!/usr/bin/env python3
"""test_models.py XFC XF_RUN MODEL_DIR [--everything] - compiles one committed model and runs all its test sets.

The tolerance is xf-run's own. Plainly: the best code variant of this CPU at the default level. --everything: levels 0 to 3, every variant in one file
and each of them
forced that the CPU has, one and three threads, and the compiler's own test modes after every pass.
"""

import os
import sys
import tempfile

from common import ISAS, cpu_isas, run


def fail(what, done):
    print(f"FAILED: {what}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    sys.exit(1)


def main():
    xfc, xf_run, model = map(os.path.abspath, sys.argv[1:4])
    sets = sum(name.startswith("test_data_set_") for name in os.listdir(model))
    have = cpu_isas()
    levels, marches, isas, threads, more = ("2",), have[-1:], (None,), ("1",), []
    if "--everything" in sys.argv:
        levels, marches, isas, threads = ("0", "1", "2", "3"), [",".join(ISAS)], have, ("1", "3")
        more = ["--check-passes=verify,clone,roundtrip"]
    with tempfile.TemporaryDirectory(prefix="xfc-test-") as folder:
        so = os.path.join(folder, "model.so")
        for level, march in ((level, march) for level in levels for march in marches):
            done = run(xfc, os.path.join(model, "model.onnx"), "-o", so, "-O" + level, "-march=" + march, *more)
            said = [line for line in done.stderr.splitlines() if not line.startswith("xfc: note: output")]
            if done.returncode or said or os.listdir(folder) != ["model.so"]:
                fail(f"xfc -O{level} -march={march}", done)
            for isa, n in ((isa, n) for isa in isas for n in threads):
                forced = ["--isa", isa] if isa else []
                done = run(xf_run, so, "--test-data", model, "--threads", n, *forced)
                if done.returncode or f"{sets} of {sets} sets passed" not in done.stdout:
                    fail(f"xf-run of -O{level} -march={march} {' '.join(forced)} --threads {n}", done)
                print(f"-O{level} {isa or march} {n} threads: {sets} test sets right")
    missing = [isa for isa in ISAS if isa not in have]
    if missing:
        print(f"SKIP: this CPU lacks {', '.join(missing)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
