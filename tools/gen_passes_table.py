#!/usr/bin/env python3
"""gen_passes_table.py - writes docs/passes-models.md: what the exact passes do to exported models, or why not.

    tools/gen_passes_table.py XF_DUMP MODELS            prints it
    tools/gen_passes_table.py XF_DUMP MODELS --write    writes docs/passes-models.md
    tools/gen_passes_table.py XF_DUMP MODELS --only=bert,gpt2

MODELS holds folders ARCHITECTURE__EXPORT/model.onnx: the same small networks as different exporters, opsets and optimisers write them. Each is
read by `xf-dump --passes --json`; exports of an architecture to which the same happens share a row. A model that cannot be compiled is
not listed: docs/support.md says what can. A column is a function from the notes of one pass to a text: add one to COLUMNS. Only the
standard library is used.
"""
import json
import os
import re
import subprocess
import sys

REASONS = {}  # text of a reason: its short name in the table, as n1 or p3, which the page explains

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OUTPUT = os.path.join(ROOT, "docs", "passes-models.md")


def short(letter, reason):
    """What the table calls a reason: cells are for one look, sentences stand below."""
    return REASONS.setdefault(reason, f"{letter}{sum(name[0] == letter for name in REASONS.values()) + 1}")


def norms(notes):
    """Of pre-rmsnorm: how many norms, what it cost, and the reason for each that stays."""
    total = done = means = 0
    why = {}
    for note in notes:
        if not (found := re.search(r"(\d+) norms? of \d+ channels (converted|kept)(.*)", note)):
            continue
        n = int(found[1])
        total += n
        if found[2] == "converted":
            done += n
            means += int(re.search(r"; (\d+) mean", found[3])[1])
            continue
        reason = re.sub(r"^: ('.*' )?", "", re.sub(r" \('[^']*'\)$", "", found[3]))
        reason = re.sub(r"^.*would be computed instead.*", "a mean would come for each that goes", reason)
        reason = re.sub(r"^\d+ MB of tables.*", "tables would be copied for them", reason)
        why[reason] = why.get(reason, 0) + n
    if not total:
        return "no layer norms"
    added = f" (+ {means} mean{'s' * (means > 1)})" if means else ""
    full = {r: f"the stream {r}" if r.startswith(("is ", "has ")) else r for r in why}
    kept = ", ".join(f"{n} ({short('n', full[r])})" for r, n in why.items())
    return f"**{done} of {total}**{added}" + (f"; kept {kept}" if kept else "")


# what unpad checks at run time, and what the table calls it
DEMANDS = {"position 0": "position 0 is read", "single tokens": "single tokens are read", "must have a token": "no empty sequence",
           "padding must come last": "padding last"}


def padding(notes):
    """Of unpad: what was removed, or the first reason why nothing was."""
    for note in notes:
        if found := re.search(r"padding removed: (\d+) attentions? masked by .*?, (\d+) exits?(.*)", note):
            demands = [text for part, text in DEMANDS.items() if part in found[3]]
            return ", ".join([f"**removed**: {found[1]} attentions", f"{found[2]} exit{'s' * (found[2] != '1')}"] + demands)
    reason = next((note.split("not removed: ", 1)[1] for note in notes if "not removed: " in note), "")
    return reason and f"kept ({short('p', reason)})"


# heading, pass, function of its notes
COLUMNS = [("pre-rmsnorm: norms converted", "pre-rmsnorm", norms), ("unpad: padding", "unpad", padding)]


def look(xf_dump, model):
    """The texts of all columns; None: the model cannot be compiled."""
    done = subprocess.run([xf_dump, "--passes", "--json", model], capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        return None
    passes = json.loads(done.stdout)["passes"]
    return tuple(function([p["note"] for p in passes if p["pass"] == name]).replace("|", "\\|") for _, name, function in COLUMNS)


def table(xf_dump, folder, only):
    rows, refused = {}, 0
    for name in sorted(os.listdir(folder)):
        model = os.path.join(folder, name, "model.onnx")
        family, _, export = name.partition("__")
        if not os.path.isfile(model) or not export or (only and family not in only):
            continue
        texts = look(xf_dump, model)
        refused += texts is None
        if texts:
            rows.setdefault((family, texts), []).append(export)
    lines = [f"| architecture | exports | {' | '.join(c[0] for c in COLUMNS)} |", "| --- | --- |" + " --- |" * len(COLUMNS)]
    for (family, texts), exports in rows.items():
        lines.append(f"| {family} | {some(exports)} | {' | '.join(texts)} |")
    return lines, sum(map(len, rows.values())), refused


def some(exports):
    """Four of them, or as many as a cell takes."""
    for n in range(min(4, len(exports)), 0, -1):
        text = ", ".join(exports[:n]) + (f" and {len(exports) - n} more" if len(exports) > n else "")
        if len(text) <= 120:
            break
    return text


def page(xf_dump, folder, only):
    lines, compiled, refused = table(xf_dump, folder, only)
    return "\n".join([
        "# What the exact passes do to models", "",
        "Written by `tools/gen_passes_table.py` from small models of public architectures (two or three layers), as different exporters",
        f"and tools write them. {compiled} of them compile; {refused} hold something else that does not, and are left out. Do not edit.",
        "`docs/passes.md` explains the passes; `xf-dump --passes model.onnx` says it for any model, node by node.", "",
        "## How to read the table", "",
        "**pre-rmsnorm.** `1 of 5; kept 4 (n1)`: the model has 5 layer norms, 1 became an rmsnorm, 4 stay for the reason n1 below.",
        "`+ 2 means`: two means are subtracted when the model runs, as nothing in front of them has weights that could take them.", "",
        "**unpad.** `removed`: padding is not computed. An *exit* is a value that leaves the packed program for the padded one. What stands",
        "behind it must hold in a call, else that call runs padded:", "",
        "- *position 0 is read*, *single tokens are read*: these tokens must be real, not padding.",
        "- *no empty sequence*: each sequence must have a token.",
        "- *padding last*: padding must stand at the end of each sequence.", "",
        "`kept (p2)`: padding is computed, for the reason p2 below.", "",
        "## Why something stays as it is", "",
        *(f"- **{name}**: {reason}." for reason, name in sorted(REASONS.items(), key=lambda r: (r[1][0], int(r[1][1:])))), "",
        "## The models", "",
    ] + lines) + "\n"


def main():
    words = [w for w in sys.argv[1:] if not w.startswith("--")]
    only = next((w[7:].split(",") for w in sys.argv if w.startswith("--only=")), None)
    if len(words) != 2:
        sys.exit(__doc__)
    text = page(words[0], words[1], only)
    if "--write" not in sys.argv:
        print(text, end="")
        return 0
    with open(OUTPUT, "w", encoding="utf-8") as f:
        f.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
