"""Runs a command that must end with a given code: exits.py CODE [--absent FILE]... [--empty FOLDER]... -- COMMAND...

Both its streams come out on stdout. --absent: the file must not be there afterwards; --empty: nothing may be in the
folder.
"""

import os
import subprocess
import sys

options, command = sys.argv[1:sys.argv.index("--")], sys.argv[sys.argv.index("--") + 1:]
code = int(options[0])
done = subprocess.run(
    command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=120, check=False
)
sys.stdout.buffer.write(done.stdout)
sys.stdout.flush()
wrong = []
if done.returncode != code:
    wrong.append(f"it ended with {done.returncode}, not {code}")
for what, path in zip(options[1::2], options[2::2]):
    if what == "--absent" and os.path.lexists(path):
        wrong.append(f"it left {path}")
    if what == "--empty" and os.listdir(path):
        wrong.append(f"it left {os.listdir(path)}")
for text in wrong:
    print("exits.py:", text, "-", *command, file=sys.stderr)
sys.exit(1 if wrong else 0)
