"""However xfc ends, it leaves nothing: endings.py XFC MODEL FOLDER

The linker is a script that sends a signal to the process that started it, or waits until a signal has been sent to xfc.
Afterwards neither the folder of temporary files nor that of the output may hold anything, and what the linker had
started must be gone.
"""

import os
import resource
import signal
import subprocess
import sys
import time

xfc, model, folder = sys.argv[1:]
temporary, out, linker = (os.path.join(folder, n) for n in ("tmp", "out", "linker"))
started = os.path.join(folder, "started")
wrong = []


def waits_for(done, seconds=20):
    until = time.monotonic() + seconds
    while not done() and time.monotonic() < until:
        time.sleep(0.02)
    return done()


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def compile_with(text, ignored=(), most=None, options=("-q",), of=model):
    def prepare():  # whoever runs this test may ignore signals
        for name in ("TERM", "INT", "HUP", "QUIT", "ALRM", "CHLD"):
            signal.signal(getattr(signal, "SIG" + name), signal.SIG_IGN if name in ignored else signal.SIG_DFL)
        if most:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    with open(linker, "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\n" + text)
    os.chmod(linker, 0o755)
    if os.path.exists(started):
        os.unlink(started)
    command = [xfc, of, *options, "-march=x86-64-v2", "-o", os.path.join(out, "m.so"), "--linker=" + linker]
    sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":handle_segv=0"  # it would end in a way of its own
    environment = {**os.environ, "TMPDIR": temporary, "ASAN_OPTIONS": sanitizer}
    return subprocess.Popen(
        command, env=environment, preexec_fn=prepare, stderr=subprocess.PIPE, text=True, errors="replace"
    )


def check(what, process, code, message=""):
    error = process.communicate(timeout=60)[1]
    if process.returncode != code:
        wrong.append(f"{what}: ended with {process.returncode}, not {code}: {error}")
    if message not in error:
        wrong.append(f"{what}: '{message}' is not in '{error}'")
    for place in (temporary, out):
        if not waits_for(lambda: not os.listdir(place)):
            wrong.append(f"{what}: left {os.listdir(place)} in {place}")


os.makedirs(temporary)
os.makedirs(out)
litter = 'echo x > more; mkdir sub; echo x > sub/more; echo x > "$TMPDIR/other"; '
for name, code, message in (
    ("ABRT", 1, "most likely because memory ran out"),
    ("KILL", 1, "most likely because memory ran out"),
    ("SEGV", 70, "This is a bug in xfc"),
    ("TERM", -signal.SIGTERM, ""),
    ("ALRM", -signal.SIGALRM, ""),
):
    check(f"the worker, {name}", compile_with(f"{litter}kill -{name} $PPID; sleep 60; echo late > late"), code, message)
waiting = f"sleep 60 & echo $! > '{started}.new'; mv '{started}.new' '{started}'; wait"
here = os.path.dirname(model)
residual = os.path.join(here, "residual.xf")
subprocess.run([sys.executable, os.path.join(here, "calib.py"), folder], check=True)
samples = ("--calib=" + os.path.join(folder, "stack"), "--max-error=rel:5", "--report=" + os.path.join(out, "r.json"))
second = os.path.join(folder, "second")  # the first program of a search is the exact one
second_links = f"if [ -e '{second}' ]; then {litter}{waiting}; fi; : > '{second}'; exec cc \"$@\""
ways = {
    "linking": lambda: compile_with(litter + waiting),
    # then a child of the worker links, too, and is the first to
    "measuring": lambda: compile_with(litter + waiting, options=("--compute=bf16",)),
    "searching": lambda: compile_with(second_links, options=("--lossy=prune", *samples), of=residual),
    "judging": lambda: compile_with(
        'exec cc "$@"', options=("--lossy=prune", f"--eval={waiting}; : {{so}}", "--max-error=metric:1"), of=residual
    ),
}
for name, way in [(n, "linking") for n in ("TERM", "INT", "HUP", "QUIT", "KILL", "ALRM")] + [
    (n, way) for way in ("measuring", "searching", "judging") for n in ("TERM", "INT", "KILL")
]:
    if os.path.exists(second):
        os.unlink(second)
    process = ways[way]()
    if not waits_for(lambda: os.path.exists(started)):
        wrong.append(f"{way}, {name}: the linker, or the command, was not started")
    number = getattr(signal, "SIG" + name)
    process.send_signal(number)
    check(f"xfc, {way}, {name}", process, -number)
    with open(started, encoding="utf-8") as f:
        sleeper = int(f.read())
    if not waits_for(lambda: not alive(sleeper)):
        wrong.append(f"{way}, {name}: what it started still runs")
        os.kill(sleeper, signal.SIGKILL)
for name, options, of in (("compiling", ("-q",), model), ("searching", ("--lossy=prune", *samples), residual)):
    check(f"a limit on the size of files, {name}", compile_with('exec cc "$@"', most=20000, options=options, of=of), 4, "File too large")
check("a parent that ignores SIGCHLD", compile_with("exit 1", ignored=["CHLD"]), 1, "it said nothing")
if wrong:
    sys.exit("\n".join(wrong))
