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
measured = ("--compute=bf16",)  # then a child of the worker links, too, and is the first to
for name, options in [(n, ("-q",)) for n in ("TERM", "INT", "HUP", "QUIT", "KILL", "ALRM")] + [
    (n, measured) for n in ("TERM", "INT", "KILL")
] + [(n, None) for n in ("TERM", "INT", "KILL")]:
    if options:
        process = compile_with(litter + waiting, options=options)
    else:  # in the middle of a search: a command judges
        process = compile_with(
            'exec cc "$@"',
            options=("--lossy=skip", "--eval=" + waiting + "; : {so}", "--max-error=metric:1"),
            of=os.path.join(os.path.dirname(model), "residual.xf"),
        )
    if not waits_for(lambda: os.path.exists(started)):
        wrong.append(f"{name}: the linker, or the command, was not started")
    number = getattr(signal, "SIG" + name)
    process.send_signal(number)
    check(f"xfc, {name}", process, -number)
    with open(started, encoding="utf-8") as f:
        sleeper = int(f.read())
    if not waits_for(lambda: not alive(sleeper)):
        wrong.append(f"{name}: what it started still runs")
        os.kill(sleeper, signal.SIGKILL)
check("a limit on the size of files", compile_with('exec cc "$@"', most=20000), 4, "File too large")
check("a parent that ignores SIGCHLD", compile_with("exit 1", ignored=["CHLD"]), 1, "it said nothing")
if wrong:
    sys.exit("\n".join(wrong))
