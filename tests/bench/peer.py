"""peer.py - a program that is measured: a process of its own, stopped while another one measures.

So no spinning thread pool disturbs the others. The process is the script that imports this, started with --worker and the
words given; it answers each line with a line.
"""
import os
import signal
import subprocess
import sys


class Peer:
    def __init__(self, *words):
        self.words = list(map(str, words))
        command = [sys.executable, os.path.abspath(sys.argv[0]), "--worker", *self.words]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def answer(self):
        """The next line that it says; then it is stopped."""
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"the process of {' '.join(self.words)} ended: exit code {self.process.wait()}; its message is above")
        os.kill(self.process.pid, signal.SIGSTOP)
        return line

    def ask(self, line):
        os.kill(self.process.pid, signal.SIGCONT)
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self):
        os.kill(self.process.pid, signal.SIGCONT)
        self.process.stdin.close()
        self.process.wait()
