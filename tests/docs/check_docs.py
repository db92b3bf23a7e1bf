#!/usr/bin/env python3
"""check_docs.py ROOT BIN - what the documentation says about files and options is so.

Relative links of every page lead somewhere; docs/cli.md names every option that the tools' --help prints, and no other;
docs/support.md and the counts in README.md are what
tools/gen_support.py writes; no table cell is over 120 characters.
"""

import os
import re
import subprocess
import sys

ROOT, BIN = map(os.path.abspath, sys.argv[1:3])
EVERY = {"help", "version"}  # options of every tool; the page names them once, before the tools
TOOLS = ("xfc", "xf-run", "xf-dump", "xf-opt")
failures = []
PASSES = set()  # what passes/options.def gives to several tools; the page has one table of them


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def anchors(text):
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.+)$", text, re.M)}


def check_links(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", read(page), flags=re.S)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        full = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
        if not os.path.exists(os.path.join(ROOT, full)):
            failures.append(f"{page}: {target} is not there")
        elif anchor and full.endswith(".md") and anchor not in anchors(read(full)):
            failures.append(f"{page}: {full} has no heading #{anchor}")


def check_options(tool, section):
    text = subprocess.run([os.path.join(BIN, tool), "--help"], capture_output=True, text=True, check=True).stdout
    real = set(re.findall(r"^  --?([\w-]+)", text, re.M)) - EVERY
    if "(#options-of-passes)" in section:
        real -= PASSES
    named = {n for code in re.findall(r"`([^`]+)`", section) for n in re.findall(r"(?:^|\s)--?([a-zA-Z][\w-]*)", code)} - EVERY
    failures.extend(f"docs/cli.md: {tool} --{name} is not described" for name in sorted(real - named))
    failures.extend(f"docs/cli.md: {tool} has no option --{name}" for name in sorted(named - real))


def check_tables(page):
    """People read these pages: what needs more than a line is no table cell."""
    for line in read(page).splitlines():
        wide = [cell for cell in line.split("|")[1:-1] if line.startswith("|") and len(cell.strip()) > 120]
        failures.extend(f"{page}: a table cell of {len(cell.strip())} characters: {cell.strip()[:60]}..." for cell in wide)


def main():
    skip = {".git", "build", "node_modules"}
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [
            f for f in folders if f not in skip and not os.path.exists(os.path.join(folder, f, "CMakeCache.txt"))
        ]
        for name in files:
            if name.endswith(".md"):
                check_links(os.path.relpath(os.path.join(folder, name), ROOT))
                if name != "support.md":  # a reference, generated: its cells are lists
                    check_tables(os.path.relpath(os.path.join(folder, name), ROOT))
    PASSES.update(re.findall(r'^XFC_OPTION\(\w+, "([\w-]+)"', read("passes/options.def"), re.M))
    sections = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", read("docs/cli.md"), re.M | re.S))
    for tool in TOOLS:
        check_options(tool, sections.get(tool, ""))
    if subprocess.run(
        [sys.executable, os.path.join(ROOT, "tools", "gen_support.py"), "--check"], stdout=subprocess.DEVNULL
    ).returncode:
        failures.append(
            "docs/support.md, the options in docs/cli.md or the counts in README.md are not current: run tools/gen_support.py --write"
        )
    print("\n".join(failures) or "links, options and tables are right")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
