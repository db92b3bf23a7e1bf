#!/usr/bin/env python3
"""run_docs.py ROOT BIN MODEL CC [PAGE...] - every command and snippet of the documentation works as it stands.

A page's fenced blocks are run in order, in a folder that looks like a checkout after the quick start: `build/bin` holds the
tools, `build/models/minilm.onnx` the trained model, and the folders of the project lie beside them. What a page takes for
given is made once (PREPARE): model.onnx, model.so, model.xf and the like; or for that page alone (OF_PAGE).

    ```sh        each command (a line, or lines joined by a backslash) must end with exit code 0
    ```c         compiled as the body of main(), after what stands before it in the page, and run
    ```xf        a graph as text: xf-opt reads, checks and prints it
    ```python    run after what stands before it in the page
    ```          commands that prepare a machine or run everything (tools/quickstart, tests/run, cmake): not run here, and
                 only these may stand in such a block; tests/bare_root and the install test run them
    ```text      shown, not run; so are other languages

Benchmarks run with the options of SHORT added, so that they end soon. Exit code 0, 1, or 77 without NumPy or the model.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT, BIN, MODEL = map(os.path.abspath, sys.argv[1:4])
CC = sys.argv[4]
PAGES = sys.argv[5:] or ["README.md", "CONTRIBUTING.md"] + sorted(
    f"docs/{name}" for name in os.listdir(os.path.join(ROOT, "docs")) if name.endswith(".md"))
PREPARE = """
ln -s build/models/minilm.onnx model.onnx
build/bin/xfc -q model.onnx --packed-entry -o model.so
build/bin/xf-opt tests/models/bert/model.onnx --data=inline -o model.xf
"""
# What single pages take for given besides: small trained models, samples for them, a command that judges; a decoder.
OF_PAGE = {"docs/c-api.md": """
build/bin/xfc -q tests/models/exports/gpt2past__optimum_int8dyn/model.onnx --cache=inplace -o decoder.so
""", "docs/lossy.md": """
ln -s tests/trained/topics/model.onnx bert.onnx
ln -s tests/trained/digits/model.onnx vit.onnx
ln -s tests/trained/letters/model.onnx lm.onnx
python3 tests/trained/samples.py npz topics calib samples --n=16 --batch=4
python3 tests/trained/samples.py npz topics eval samples2 --n=16 --batch=4
python3 tests/trained/samples.py npz letters calib texts --n=8
echo 'python3 tests/trained/samples.py score "$1" topics calib --n=128' > accuracy.sh
chmod +x accuracy.sh
"""}
SHORT = {
    "tests/bench/compile_time.py": "--rounds=1 --models=add --isas=1",
    "tests/bench/compare_ort.py": "--rounds=1 --cases=1x16 --threads=1 --slice=0.02",
    "tests/bench/products.py": "--rounds=1 --batch=1 --length=16 --slice=0.02",
    "tests/bench/unpad.py": "--rounds=1 --cases=sentences:sorted --slice=0.02",
    "tests/bench/norms.py": "--rounds=1 --layers=1 --shapes=1x16",
}
ELSEWHERE = re.compile(r"tools/quickstart|tests/run|tests/bare_root|cmake |ctest |build/bin/xfc --help")
failures = []


def blocks(page):
    with open(os.path.join(ROOT, page), encoding="utf-8") as f:
        text = f.read()
    for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S):
        yield found[1], found[2], text.count("\n", 0, found.start()) + 2


def run(place, command, folder, **more):
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **more)
    if done.returncode:
        failures.append(f"{place}: exit code {done.returncode}: {command}\n{done.stdout.decode(errors='replace')[-1500:]}")
    return done.returncode == 0


def commands(text):
    """Lines without comments, continued ones joined."""
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [line for line in (re.sub(r"(^|\s)#.*$", "", line).strip() for line in lines) if line]


def run_shell(place, text, folder, env):
    for command in commands(text):
        short = next((more for script, more in SHORT.items() if command.startswith(script)), "")
        run(place, ["bash", "-e", "-c", f"{command} {short}"], folder, env=env)


def run_c(place, snippets, folder):
    source = os.path.join(folder, "snippet.c")
    with open(source, "w", encoding="utf-8") as f:
        f.write("#include <dlfcn.h>\n#include <stdint.h>\n#include <stdio.h>\n#include <xf.h>\nint main(void) {\n" +
                "\n".join(snippets) + "\nreturn 0;\n}\n")
    include = os.path.join(ROOT, "runtime", "include")
    if run(place, [CC, "-w", "-std=c11", "-D_GNU_SOURCE", "-I", include, source, "-o", os.path.join(folder, "snippet"), "-ldl"], folder):
        run(place, ["./snippet"], folder)


def check_page(page, folder, env):
    c, python = [], ["import sys; sys.path.insert(0, 'tools')"]
    if page != "README.md":  # other pages go on where the README's snippets end
        for language, text, _ in blocks("README.md"):
            if language == "c":
                c.append(text)
            if language == "python":
                python.append(text)
    for language, text, line in blocks(page):
        place = f"{page}:{line}"
        if language == "sh":
            run_shell(place, text, folder, env)
        elif language == "c":
            c.append(text)
            run_c(place, c, folder)
        elif language == "python":
            python.append(text)
            run(place, [sys.executable, "-c", "\n".join(python)], folder, env=env)
        elif language == "xf":
            run(place, [os.path.join(BIN, "xf-opt"), "--verify", "/dev/stdin", "-o", os.devnull], folder, input=text.encode())
        elif not language:
            failures.extend(f"{place}: a command that nothing runs: {line}; write ```sh or ```text"
                            for line in commands(text) if not ELSEWHERE.match(line))


def checkout(folder):
    os.makedirs(os.path.join(folder, "build", "models"))
    os.symlink(BIN, os.path.join(folder, "build", "bin"))
    os.symlink(MODEL, os.path.join(folder, "build", "models", "minilm.onnx"))
    for name in ("tests", "tools", "docs", "runtime"):
        os.symlink(os.path.join(ROOT, name), os.path.join(folder, name))


def main():
    try:
        import numpy  # noqa: F401
    except ImportError:
        print("SKIP: NumPy is not installed")
        return 77
    if not os.path.exists(MODEL):
        print(f"SKIP: the trained model is not there: {MODEL} (tests/run fetches it)")
        return 77
    env = {**os.environ, "PATH": f"{os.path.dirname(sys.executable)}:{BIN}:{os.environ['PATH']}"}
    with tempfile.TemporaryDirectory(prefix="xfc docs ") as base:
        prepared = os.path.join(base, "prepared")
        checkout(prepared)
        run_shell("PREPARE", PREPARE, prepared, env)
        for page in PAGES:
            folder = os.path.join(base, page.replace("/", " "))
            shutil.copytree(prepared, folder, symlinks=True)
            run_shell(f"OF_PAGE of {page}", OF_PAGE.get(page, ""), folder, env)
            check_page(page, folder, env)
    print("\n".join(failures) or f"the commands and snippets of {len(PAGES)} pages work")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
