#!/usr/bin/env python3
"""token_merge.py - how much faster --lossy=token-merge makes a vision transformer, beside what its products allow.

    tests/bench/token_merge.py XFC XF_RUN [--models deit-s,vit-b] [--r 8,13,16] [--batch 1,8] [--threads 1,2] [--rounds 15]
                                      [--peers ort,ov]

For each model (random weights, make_vit.py) the exact program and one for each r are timed in turn. speed: the ratio of
their times, the median over rounds; bound: that of their multiplications; reach: speed over bound, in percent. matching and
merging: their part of the merged program's time, step by step. With one thread the clock is that of the CPU, which a
crowded machine disturbs less. peers: how many times as long as the merged program onnxruntime or OpenVINO take for the same
model with merging spelled in ops of ONNX (make_vit.py --merge).
"""
import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import make_vit
import numpy as np
import onnx
from session import open_session

MODELS = {"deit-s": {"width": 384, "heads": 6}, "vit-b": {"width": 768, "heads": 12}}


def multiplications(a, r):
    """Of one image."""
    n, d = (a.image // a.patch) ** 2 + a.special, a.width
    total = (n - a.special) * 3 * a.patch**2 * d
    for _ in range(a.layers):
        total += 4 * n * d * d + 2 * n * n * d
        n -= min(r, (n - a.special) // 2)
        total += 8 * n * d * d
    return total + d * a.classes


def must(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr}")


def time_of(session, images, clock):
    start = clock()
    session.run(None, {"pixel_values": images})
    return clock() - start


def merging_part(xf_run, so, a, batch, folder):
    """In percent of the time of all steps: keys to directions, their pack and product, the choice, and the means."""
    profile = folder / "profile.json"
    must(xf_run, so, f"--shape=pixel_values={batch}x3x{a.image}x{a.image}", "--bench", "--iters=10", "--threads=1",
         f"--profile={profile}")
    steps = json.loads(profile.read_text())["steps"]
    forms, times = [step["form"] for step in steps], [step["min_ns"] for step in steps]
    mine = sum(times[i] for i, form in enumerate(forms) if form == "merge_tokens")
    for i in (i for i, form in enumerate(forms) if form == "match_scores"):
        assert forms[i - 3:i] == ["rows", "view", "contract"], forms[i - 3:i]
        mine += sum(times[i - 3:i + 1])
    return 100 * mine / sum(times)


def programs_of(folder, a, args):
    """By kind and r: the file that session.py opens."""
    model, programs = folder / "model.onnx", {}
    onnx.save(make_vit.make(a), model)
    for r in [0, *args.r]:
        programs["xf", r] = folder / f"r{r}.so"
        must(args.xfc, "-q", model, *([f"--lossy=token-merge:r={r}"] if r else []), "-o", programs["xf", r])
        for peer in args.peers if r else []:
            programs[peer, r] = folder / f"r{r}.onnx"
            a.merge = r
            onnx.save(make_vit.make(a), programs[peer, r])
            a.merge = 0
    return programs


def measure(folder, name, a, args):
    programs = programs_of(folder, a, args)
    for threads in args.threads:
        clock = time.thread_time if threads == 1 else time.perf_counter
        sessions = {key: open_session(key[0], str(path), threads) for key, path in programs.items()}
        for batch in args.batch:
            images = np.random.default_rng(0).standard_normal((batch, 3, a.image, a.image), dtype=np.float32)
            times = {key: [] for key in sessions}
            for i in range(args.rounds + 2):
                for key, session in sessions.items():
                    t = time_of(session, images, clock)
                    if i >= 2:
                        times[key].append(t)
            for r in args.r:
                exact, mine = times["xf", 0], times["xf", r]
                speed = statistics.median(e / t for e, t in zip(exact, mine))
                bound = multiplications(a, 0) / multiplications(a, r)
                part = merging_part(args.xf_run, programs["xf", r], a, batch, folder)
                peers = "".join(f", {peer} x {statistics.median(p / t for p, t in zip(times[peer, r], mine)):.2f}"
                                for peer in args.peers)
                print(f"{name:7} b{batch} {threads} threads r={r:<3} exact {1e3 * statistics.median(exact):8.1f} ms, "
                      f"merged {1e3 * statistics.median(mine):8.1f} ms: speed {speed:.2f}, bound {bound:.2f}, "
                      f"reach {100 * speed / bound:.0f} %, matching and merging {part:.1f} %{peers}", flush=True)


def numbers(text):
    return [int(word) for word in text.split(",")]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("xfc")
    p.add_argument("xf_run")
    p.add_argument("--models", default="deit-s,vit-b")
    for name, value in (("r", "8,13,16"), ("batch", "1,8"), ("threads", "1,2")):
        p.add_argument(f"--{name}", type=numbers, default=numbers(value))
    p.add_argument("--rounds", type=int, default=15)
    p.add_argument("--peers", type=lambda text: text.split(","), default=[])
    args = p.parse_args()
    for name in args.models.split(","):
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), name, make_vit.options(["-"], **MODELS[name]), args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
