#!/usr/bin/env python3
"""gen_case.py - writes runtime/kernels/case.def, the letters beyond ASCII that have another case, from Python's own table of Unicode.

    tools/gen_case.py            prints it
    tools/gen_case.py --write    writes it

A mapping is Unicode's simple one, of one sign to one. Python's is the full one; where that gives several signs, the simple one is the sign that
stands in front of words, if that is one, or the sign itself; but a capital I with a dot becomes i.
"""
import os
import sys
import unicodedata

PATH = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "runtime", "kernels", "case.def")
MOST = 0x110000


def simple(c, upper):
    if c == "\u0130" and not upper:
        return "i"
    other = c.upper() if upper else c.lower()
    title = c.title() if upper else c
    return other if len(other) == 1 else title if len(title) == 1 else c


def runs(upper):
    """(first, last, step, what to add), step 1 or 2, in order and apart."""
    pairs = [(i, ord(simple(chr(i), upper)) - i) for i in range(0x80, MOST) if not 0xD800 <= i < 0xE000]
    out = []
    for i, by in pairs:
        if not by:
            continue
        if out and out[-1][3] == by:
            first, last, step, _ = out[-1]
            if i - last == step or (first == last and i - last == 2):
                out[-1] = (first, i, i - last, by)
                continue
        out.append((i, i, 1, by))
    return out


def text():
    lines = ["/* case.def - letters beyond ASCII that have another case, by Unicode " + unicodedata.unidata_version + ": written by tools/gen_case.py.",
             " *",
             " * XK_LOWER(first, last, step, by), XK_UPPER: every step-th sign from first to last becomes that + by. Sorted. */"]
    for name, upper in (("XK_LOWER", False), ("XK_UPPER", True)):
        lines += [f"{name}(0x{first:x}, 0x{last:x}, {step}, {by})" for first, last, step, by in runs(upper)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        with open(PATH, "w", encoding="utf-8") as f:
            f.write(text())
    else:
        sys.stdout.write(text())
