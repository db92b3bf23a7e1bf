#!/usr/bin/env python3
"""gen_support.py - writes docs/support.md, the options of passes in docs/cli.md, and how many operators and cases of ONNX's
suite README.md says there are, from the compiler's own tables.

    tools/gen_support.py            prints the first
    tools/gen_support.py --write    writes all
    tools/gen_support.py --check    exit code 1 if they are not what --write would write

Read are frontend/onnx/onnx_ops.def (ONNX operators), ir/ops/ops.def and ir/ops/scalar.def (what they become),
passes/options.def, and tests/conformance/expected.txt (cases that do not pass). Only the standard library is used.
"""

import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TYPES = {"F": "floats", "N": "numbers", "I": "integers", "L": "bool, integers", "A": "any"}


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def split_arguments(text):
    """The top-level arguments of a macro call, given what stands between its parentheses."""
    out, depth, quoted, part = [], 0, False, ""
    for c, before in zip(text, " " + text):
        if c == '"' and before != "\\":
            quoted = not quoted
        depth += 0 if quoted else (c in "({[") - (c in ")}]")
        if c == "," and depth == 0 and not quoted:
            out.append(part.strip())
            part = ""
        else:
            part += c
    return out + [part.strip()]


def calls(text, macro):
    """(arguments, comment behind) of each `macro(...)` that begins a line, and (None, heading) for a comment line of
    its own."""
    at, pattern = 0, re.compile(rf"^{macro}\(|^/\* (.+) \*/$", re.M)
    while found := pattern.search(text, at):
        at = found.end()
        if found[1]:
            yield None, found[1]
            continue
        depth, quoted, start = 1, False, at
        while depth:
            c = text[at]
            quoted ^= c == '"'
            depth += 0 if quoted else (c == "(") - (c == ")")
            at += 1
        comment = re.match(r"[^\n]*?/\* (.*?) \*/", text[at:].split("\n", 1)[0])
        yield split_arguments(text[start:at - 1]), comment[1] if comment else ""


def number(text):
    return {"ANY": "any", "LAST": ""}.get(text, text)


def span(low, high):
    return low if low == high else f"{low} or more" if high == "any" else f"{low} to {high}"


def string(text):
    return "".join(re.findall(r'"(.*?)"', text, re.S))


def onnx_table():
    lines = []
    for args, heading in calls(read("frontend/onnx/onnx_ops.def"), "X"):
        if args is None:
            lines += [
                "",
                f"**{heading[0].upper()}{heading[1:]}**",
                "",
                "| operator | opsets | operands | attributes |",
                "| --- | --- | --- | --- |",
            ]
            continue
        domain, name, since, until, _, low, high, _, attributes = args[:9]
        prefix = "com.microsoft::" if domain == "MS" else ""
        opsets = f"{since} to {until}" if number(until) else f"{since} on"
        lines.append(
            f"| {prefix}{string(name)} | {opsets} | {span(low, number(high))} | "
            + f"{', '.join(string(attributes).split())} |"
        )
    return lines


def limits():
    text = read("frontend/onnx/import.h")
    return {k: re.search(rf"XFC_ONNX_{k} = (\d+)", text)[1] for k in ("OPSET_MIN", "OPSET_MAX", "IR_MIN", "IR_MAX")}


def scalar_table():
    lines = ["| op | operands | of | gives | notes |", "| --- | --- | --- | --- | --- |"]
    for args, comment in calls(read("ir/ops/scalar.def"), "XFC_SCALAR"):
        if args:
            gives = "bool" if args[4] == "BOOL" else "the same"
            lines.append(f"| {string(args[1])} | {args[2]} | {TYPES[args[3]]} | {gives} | {comment} |")
    return lines


def op_table():
    lines = ["| op | operands | attributes | meaning | |", "| --- | --- | --- | --- | --- |"]
    for args, _ in calls(read("ir/ops/ops.def"), "XFC_OP"):
        if not args:
            continue
        field = {m[1]: m[2] for m in (re.match(r"\.(\w+) = (.*)", a, re.S) for a in args[4:]) if m}
        high = "any" if field["n_in"] == "-1" else field["n_in"]
        low = field.get("min_in", "0" if high == "any" else high)
        means = {"NEST": "loop nest", "DECOMPOSE": "smaller ops", "CALL": "call", "NONE": "structure"}[args[3].split("(")[0]]
        keys = ", ".join(k.rstrip("!") for k in string(field.get("keys", '""')).split())
        lines.append(
            f"| {string(args[1])} | {span(low, high)} | {keys} | {means} | {string(field['help'])} |".replace(
                "* ", r"\* "
            )
        )
    return lines


def page():
    n = limits()
    return "\n".join(
        [
            "# What is supported",
            "",
            "Written by `tools/gen_support.py` from the compiler's tables; a test keeps it current. Do not edit.",
            "",
            f"Models of ONNX IR version {n['IR_MIN']} to {n['IR_MAX']} and opset {n['OPSET_MIN']} to {n['OPSET_MAX']} "
            "are read. `xfc --check model.onnx` lists every",
            "node of a model that cannot be compiled, with the reason.",
            "",
            "## ONNX operators",
            "",
            "Element types: float16, bfloat16, float, double, the integers of 8 to 64 bits and bool, as far as the "
            "operator's definition allows",
            "them; integers of 2 and 4 bits and floats of 4 and 8 are moved, cast, quantized and dequantized. Strings are moved, compared, joined, split and encoded; complex "
            "numbers are refused.",
            "*Opsets* are those whose definition of the operator is implemented.",
            *onnx_table(),
            "",
            "## Operations of the compiler",
            "",
            "What operators become. An op means a loop nest, or smaller ops; interpreter, CPU code and PTX all derive "
            "from that.",
            "",
            *op_table(),
            "",
            "### Scalar functions",
            "",
            "Each is an element-wise op with NumPy broadcasting, too.",
            "",
            *scalar_table(),
            "",
        ]
    )


def option_table():
    lines = ["| option | |", "| --- | --- |"]
    for args, _ in calls(read("passes/options.def"), "XFC_OPTION"):
        if args:
            words = " ".join(f"`{word}`" for word in string(args[2]).split("|"))
            help_text = string(args[4]).replace("\\n", " ")
            lines.append(f"| `--{string(args[1])}`: {words} | {help_text} |")
    return lines


def command_line():
    """docs/cli.md with the table as it should be."""
    first, last = "<!-- written by tools/gen_support.py from passes/options.def -->\n", "<!-- end -->"
    before, rest = read("docs/cli.md").split(first)
    return before + first + "\n".join(option_table()) + "\n" + last + rest.split(last, 1)[1]


def counts():
    """README.md with the numbers as they should be. How many cases the suite has stands there alone."""
    names = {(args[0], args[1]) for args, _ in calls(read("frontend/onnx/onnx_ops.def"), "X") if args}
    of = {domain: sum(d == domain for d, _ in names) for domain in ("ONNX", "MS")}
    failing = len(re.findall(r"^[^#\n]", read("tests/conformance/expected.txt"), re.M))
    text = re.sub(r"\d+ of ONNX and \d+ of onnxruntime's", f"{of['ONNX']} of ONNX and {of['MS']} of onnxruntime's", read("README.md"))
    cases = re.search(r"the ([\d,]+) cases of ONNX's own suite\s+([\d,]+) pass", text)
    passing = int(cases[1].replace(",", "")) - failing
    return text[:cases.start(2)] + f"{passing:,}" + text[cases.end(2):]


def main():
    pages = {"docs/support.md": page(), "docs/cli.md": command_line(), "README.md": counts()}
    if sys.argv[1:] == ["--write"]:
        for path, text in pages.items():
            with open(os.path.join(ROOT, path), "w", encoding="utf-8") as f:
                f.write(text)
    elif sys.argv[1:] == ["--check"]:
        stale = [path for path, text in pages.items() if not os.path.exists(os.path.join(ROOT, path)) or read(path) != text]
        for path in stale:
            print(f"{path} is not current: run tools/gen_support.py --write")
        return bool(stale)
    elif sys.argv[1:]:
        print(__doc__, file=sys.stderr)
        return 2
    else:
        sys.stdout.write(pages["docs/support.md"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
