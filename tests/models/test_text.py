#!/usr/bin/env python3
"""test_text.py XFC XF_OPT XF_RUN MODEL_DIR - a model as text, at every stage: what one tool writes the next one reads.

xf-opt writes the model after some passes with its data in a file beside the text; reading and writing it again makes the same
bytes; so does the way through a text that holds all data; the text without data is refused with a message; and the text at the
last stage, compiled by xfc, passes the model's test sets. The text runs on made-up inputs, at the first stage too.
"""
import os
import sys
import tempfile

from common import cpu_isas, run

STAGES = {
    "imported": "",
    "legal": "fold,simplify,cse,raise,dce,legalize,layout,fold",
    "kernels": "fold,simplify,raise,fold,dce,legalize,layout,fold,dce,kernels,fuse,dce",
    "scheduled": "fold,dce,legalize,layout,fold,dce,kernels,fuse,dce,schedule",
    "planned": "fold,dce,legalize,layout,fold,dce,kernels,fuse,dce,schedule,plan",
}
REST = {"imported": "fold,raise,fold,dce,legalize,layout,fold,dce,kernels,fuse,dce,schedule,plan",
        "legal": "dce,kernels,fuse,dce,schedule,plan", "kernels": "schedule,plan", "scheduled": "plan", "planned": ""}


def check(what, done, code=0, text=""):
    if done.returncode == code and text in done.stderr:
        return
    print(f"FAILED: {what}: exit code {done.returncode}, not {code} with '{text}'\n{done.stdout}{done.stderr}")
    sys.exit(1)


def content(path):
    with open(path, "rb") as f:
        return f.read()


def same(what, a, b):
    if content(a) != content(b):
        print(f"FAILED: {what}: {a} and {b} differ")
        sys.exit(1)


def main():
    xfc, xf_opt, xf_run, model = map(os.path.abspath, sys.argv[1:5])
    onnx = os.path.join(model, "model.onnx")
    with tempfile.TemporaryDirectory(prefix="xfc-test-") as folder:
        at = lambda name: os.path.join(folder, name)  # noqa: E731
        for stage, passes in STAGES.items():
            more = ["-p", passes] if passes else []
            check(f"write {stage}", run(xf_opt, onnx, *more, "--locations", "-o", at("a.xf"), "--data=data.bin"))
            os.makedirs(at("again"), exist_ok=True)
            check(f"read {stage}", run(xf_opt, at("a.xf"), "--verify", "--locations", "-o", at("again/a.xf"), "--data=data.bin"))
            same(stage, at("a.xf"), at("again/a.xf"))
            same(stage, at("data.bin"), at("again/data.bin"))
            check(f"inline {stage}", run(xf_opt, at("a.xf"), "--locations", "-o", at("b.xf"), "--data=inline"))
            check(f"back {stage}", run(xf_opt, at("b.xf"), "--locations", "-o", at("again/a.xf"), "--data=data.bin"))
            same(f"{stage}, inline", at("a.xf"), at("again/a.xf"))
            rest = ["--passes=" + REST[stage]] if REST[stage] else ["--passes=,"]
            so = at("model.so")
            check(f"compile {stage}", run(xfc, at("a.xf"), "-q", "-o", so, "-march=" + cpu_isas()[-1], *rest))
            check(f"run {stage}", run(xf_run, so, "--test-data", model))
        check("evaluate", run(xf_opt, at("a.xf"), "--eval"))
        check("no data", run(xf_opt, onnx, "-o", at("c.xf")))
        check("no data", run(xf_opt, at("c.xf")), 1, "--data=inline or --data=FILE")
        os.rename(at("data.bin"), at("other.bin"))
        check("lost data", run(xf_opt, at("a.xf")), 4, "it is the data of")
        data = bytearray(content(at("other.bin")))
        for wrong, code, text in ((data[:-64], 1, "holds no constant of"), (data[:40] + b"?" + data[41:], 1, "is not the one that was written")):
            with open(at("data.bin"), "wb") as f:
                f.write(wrong)
            check("damaged data", run(xf_opt, at("a.xf")), code, text)
        text = content(at("a.xf")).replace(b'data "data.bin"', b'data "../data.bin"')
        with open(at("again/a.xf"), "wb") as f:
            f.write(text)
        check("data elsewhere", run(xf_opt, at("again/a.xf")), 1, "does not lie beside the text")
    print("every stage reads back")
    return 0


if __name__ == "__main__":
    sys.exit(main())
