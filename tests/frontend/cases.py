"""cases.py - a model and sets of its inputs and expected outputs, in ONNX's layout, as eval_onnx and xf-run read them; runs of
both, and what failed of them so far. Ends with exit code 77 without the onnx package."""
import os
import re
import subprocess
import sys
import tempfile

try:
    import numpy as np
    from onnx import OptionalProto, SequenceProto, numpy_helper
except ImportError:
    print("SKIP: the onnx package is not installed")
    sys.exit(77)
sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "models"))
from common import ONE_ISA, load_xf  # noqa: E402, F401, for tests that go on in sessions of xf.py

FAILED = []  # names of cases, and what else was not as it should be


def write_model(folder, model):
    path = os.path.join(folder, "model.onnx")
    with open(path, "wb") as f:
        f.write(model.SerializeToString())
    return path


class Optional:
    """An array, a list of arrays, or None: what an optional holds."""

    def __init__(self, value):
        self.value = value


def message_of(value):
    """A list is a sequence."""
    if isinstance(value, Optional):
        proto = OptionalProto()
        if isinstance(value.value, list):
            proto.elem_type = OptionalProto.SEQUENCE
            proto.sequence_value.CopyFrom(message_of(value.value))
        elif value.value is not None:
            proto.elem_type = OptionalProto.TENSOR
            proto.tensor_value.CopyFrom(message_of(value.value))
        return proto
    if isinstance(value, list):
        return SequenceProto(elem_type=SequenceProto.TENSOR, tensor_values=map(message_of, value))
    return numpy_helper.from_array(np.array(value, order="C"))


def write_set(folder, name, inputs, outputs):
    data = os.path.join(folder, name)
    os.makedirs(data, exist_ok=True)
    for kind, arrays in (("input", inputs), ("output", outputs)):
        for i, array in enumerate(arrays):
            with open(os.path.join(data, f"{kind}_{i}.pb"), "wb") as f:
                f.write(message_of(array).SerializeToString())
    return data


def write_case(folder, model, inputs, outputs):
    """The paths of the model and of the set."""
    return write_model(folder, model), write_set(folder, "set", inputs, outputs)


def outcome(command, want):
    """None, or what is wrong. want: None for success, or the pattern of the error."""
    done = subprocess.run(command, capture_output=True, timeout=120)
    text = (done.stdout + done.stderr).decode("utf-8", "replace").strip()
    if want is None:
        return None if done.returncode == 0 else f"exit code {done.returncode}: {text[:300]}"
    fine = done.returncode in (1, 3) and re.search(want, text)
    return None if fine else f"exit code {done.returncode}, not /{want}/: {text[:300]}"


def is_code(value):
    """Of a type that has few values, which no tolerance may mix up."""
    return not isinstance(value, (list, Optional)) and re.match("float[4-8]_", np.asarray(value).dtype.name)


def run_calls(tools, folder, model, calls, arguments=(), rtol=1e-4, atol=1e-5, compile_with=()):
    """What is wrong with the calls of a model, each (inputs, outputs or a pattern of the error): first in the interpreter,
    then compiled, if tools are EVAL_ONNX, XFC and XF_RUN. compile_with: arguments of xfc alone."""
    path, so, problems = write_model(folder, model), os.path.join(folder, "model.so"), []
    compiled = len(tools) == 3
    if compiled:
        problems.append(outcome([tools[1], ONE_ISA, path, "-o", so, *arguments, *compile_with], None))
        compiled = not problems[0]
    for i, (inputs, outputs) in enumerate(calls):
        want = outputs if isinstance(outputs, str) else None
        exact = not want and any(is_code(o) for o in outputs)
        limits = ["--rtol=0", "--atol=0"] if exact else [f"--rtol={rtol}", f"--atol={atol}"]
        options = [part for argument in [*limits, *arguments] for part in argument.split("=", 1)]
        data = write_set(folder, f"set_{i}", inputs, [] if want else outputs)
        problems.append(outcome([tools[0], "--verify", *options, path, data], want))
        if compiled:
            problems.append(outcome([tools[2], so, "--test-data=" + data, *limits], want))
    return [p for p in problems if p]


def fail(name, problem):
    FAILED.append(name)
    print(f"FAIL {name}: {problem}")


def check(ok, what):
    if not ok:
        FAILED.append(what)
        print(f"FAIL {what}")


def run(name, model, calls, tools=sys.argv[1:4], **how):
    """The calls of a model, in a folder of their own."""
    with tempfile.TemporaryDirectory() as folder:
        for problem in run_calls(tools, folder, model, calls, **how):
            fail(name, problem)


def end():
    print(f"{len(FAILED)} failed" if FAILED else "all as expected")
    sys.exit(1 if FAILED else 0)
