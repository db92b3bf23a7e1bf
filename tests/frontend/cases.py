"""cases.py - a model and sets of its inputs and expected outputs, in ONNX's layout, as eval_onnx and xf-run read them."""
import os

import numpy as np
from onnx import numpy_helper


def write_model(folder, model):
    path = os.path.join(folder, "model.onnx")
    with open(path, "wb") as f:
        f.write(model.SerializeToString())
    return path


def write_set(folder, name, inputs, outputs):
    data = os.path.join(folder, name)
    os.makedirs(data, exist_ok=True)
    for kind, arrays in (("input", inputs), ("output", outputs)):
        for i, array in enumerate(arrays):
            with open(os.path.join(data, f"{kind}_{i}.pb"), "wb") as f:
                f.write(numpy_helper.from_array(np.array(array, order="C")).SerializeToString())
    return data


def write_case(folder, model, inputs, outputs):
    """The paths of the model and of the set."""
    return write_model(folder, model), write_set(folder, "set", inputs, outputs)
