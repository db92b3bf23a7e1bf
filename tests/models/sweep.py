#!/usr/bin/env python3
"""sweep.py MODELS_DIR --bin=DIR [FAMILY...] [--flags="..."] [--jobs N] - compiles many models and runs their test sets.

MODELS_DIR holds folders FAMILY__KIND with model.onnx and test_data_set_N. FAMILY: a family, or one folder; none: all.
A line a model: OK, REFUSED (a valid model that xfc does not support: exit code 3) with the reason, or FAIL with the
first message; then what the passes unpad and pre-rmsnorm did or why not, as `xfc -v` tells; tools/gen_passes_table.py
makes a page of that. Values of fp16 models are compared to 2e-2, of quantised ones to 5e-2. Exit code 1 if anything
failed.
"""
import argparse
import concurrent.futures
import os
import re
import sys
import tempfile

from common import cpu_isas, run

QUANTISED = re.compile("int8|uint8|qdq|qop|_w[248]|int4|ortoptq|nncf")
PASSES = ("unpad", "pre-rmsnorm")
NOTE = re.compile(rf"note: \[({'|'.join(PASSES)})\] (.*)")


def tolerance(name):
    if QUANTISED.search(name):
        return ("--rtol", "5e-2", "--atol", "5e-2")
    return ("--rtol", "2e-2", "--atol", "2e-2") if "fp16" in name else ("--rtol", "1e-3", "--atol", "1e-4")


def first_line(done, marker):
    """The first message of a tool, without the path of the model."""
    lines = (done.stderr + "\n" + done.stdout).strip().splitlines()
    line = next((line for line in lines if marker in line),
                lines[0] if lines else f"exit code {done.returncode}, no message")
    return line.split(marker, 1)[-1].strip()


def notes_of(text):
    """What each pass said: {pass: [notes]}."""
    found = {name: [] for name in PASSES}
    for line in text.splitlines():
        match = NOTE.search(line)
        if match:
            found[match[1]].append(match[2])
    return found


def sweep_one(a, name):
    """(verdict, reason, {pass: [notes]})"""
    folder = os.path.join(a.models, name)
    with tempfile.TemporaryDirectory(prefix="xfc-sweep-") as out:
        so = os.path.join(out, "model.so")
        done = run(os.path.join(a.bin, "xfc"), "-v", os.path.join(folder, "model.onnx"), "-o", so,
                   f"-march={cpu_isas()[-1]}", *a.flags.split())
        notes = notes_of(done.stderr)
        if done.returncode:
            return "REFUSED" if done.returncode == 3 else "FAIL", f"xfc: {first_line(done, 'error: ')}", notes
        done = run(os.path.join(a.bin, "xf-run"), so, "--test-data", folder, "--threads", "1", *tolerance(name))
        sets = sum(item.startswith("test_data_set_") for item in os.listdir(folder))
        if done.returncode or f"{sets} of {sets} sets passed" not in done.stdout:
            return "FAIL", f"xf-run: {first_line(done, 'error: ')}", notes
    return "OK", f"{sets} sets", notes


def chosen(models, families):
    names = sorted(name for name in os.listdir(models) if os.path.exists(os.path.join(models, name, "model.onnx")))
    unknown = [f for f in families if not any(name == f or name.split("__")[0] == f for name in names)]
    if unknown:
        sys.exit(f"sweep.py: no model of the family {', '.join(unknown)} in {models}")
    return [name for name in names if not families or name in families or name.split("__")[0] in families]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("models")
    p.add_argument("families", nargs="*")
    p.add_argument("--bin", required=True, help="where xfc and xf-run are")
    p.add_argument("--flags", default="")
    p.add_argument("--jobs", type=int, default=1)
    a = p.parse_intermixed_args()
    names, counts = chosen(a.models, a.families), {"OK": 0, "REFUSED": 0, "FAIL": 0}
    with concurrent.futures.ThreadPoolExecutor(a.jobs) as pool:
        for name, (verdict, reason, notes) in zip(names, pool.map(lambda name: sweep_one(a, name), names)):
            counts[verdict] += 1
            said = [f"    {key}: {text}" for key in PASSES if (text := "; ".join(dict.fromkeys(notes[key])))]
            print(f"{verdict} {name}: {reason}", *said, sep="\n", flush=True)
    print(f"{len(names)} models: " + ", ".join(f"{n} {key}" for key, n in counts.items()), file=sys.stderr)
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())
