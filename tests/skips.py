#!/usr/bin/env python3
"""skips.py REPORT.xml... - what the test runs that wrote these ctest reports (--output-junit) left out, and whether it may.

A test that ctest counts as skipped, and every line "SKIP: reason" that a test prints while it passes, is listed with the name
of its test. skips.txt beside this file says which may be: `TEST-REGEX: REASON-REGEX` a line. One that is not there fails the
run: a test that stops running must be seen. Exit code 0 or 1.
"""
import os
import re
import sys
import xml.etree.ElementTree as ET


def allowed_rows():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "skips.txt"), encoding="utf-8") as f:
        rows = [line.strip() for line in f if line.strip() and not line.startswith("#")]
    return [tuple(re.compile(part) for part in row.split(": ", 1)) for row in rows]


def skips_of(case):
    reasons = re.findall(r"^\W*SKIP:? *(.+)$", case.findtext("system-out") or "", re.M)
    if case.get("status") in ("notrun", "disabled") or case.find("skipped") is not None:
        return reasons or ["(no reason given)"]
    return reasons


def main():
    cases = [case for path in sys.argv[1:] for case in ET.parse(path).iter("testcase")]
    rows, tests = allowed_rows(), {}
    for case in cases:
        for reason in dict.fromkeys(skips_of(case)):
            allowed = any(test.fullmatch(case.get("name")) and why.search(reason) for test, why in rows)
            tests.setdefault((allowed, reason), []).append(case.get("name"))
    for (allowed, reason), names in sorted(tests.items()):
        some = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        print(f"skipped: {reason}: {some}" + ("" if allowed else "   <- not in tests/skips.txt"))
    refused = sum(len(names) for (allowed, _), names in tests.items() if not allowed)
    print(f"{len(cases)} tests, {sum(map(len, tests.values()))} skips, {refused} of them unexpected")
    return not cases or bool(refused)


if __name__ == "__main__":
    sys.exit(main())
