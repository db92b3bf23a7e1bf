"""session.py - a model in one of the programs that are compared: "ort" onnxruntime, "ov" OpenVINO, "xf" a compiled model.

All have exactly the threads asked for, get_inputs() with names, and run(names, feed); the names of outputs are None, all of
them, in the model's order.
"""
import importlib.metadata
import os
import sys
from types import SimpleNamespace

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools"))
PEERS = {"ort": "onnxruntime", "ov": "OpenVINO"}


def version_of(peer):
    return f"{PEERS[peer]} {importlib.metadata.version(PEERS[peer].lower()).split('-')[0]}"


class OpenVino:
    """compile(shape): from now on the program for inputs of this shape; None: for any."""

    def __init__(self, path, threads):
        self.path, self.programs = path, {}
        self.settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
                         "INFERENCE_PRECISION_HINT": "f32"}
        self.compile(None)

    def compile(self, shape):
        if shape not in self.programs:
            import openvino as ov
            core = ov.Core()
            model = core.read_model(self.path)
            if shape:
                model.reshape({port.any_name: shape for port in model.inputs})
            compiled = core.compile_model(model, "CPU", self.settings)
            self.inputs = [SimpleNamespace(name=port.any_name) for port in compiled.inputs]
            self.programs[shape] = compiled.create_infer_request(), list(compiled.outputs)
        self.request, self.outputs = self.programs[shape]

    def get_inputs(self):
        return self.inputs

    def run(self, _, feed):
        results = self.request.infer(feed, share_inputs=True, share_outputs=True)
        return [results[port] for port in self.outputs]


def open_session(kind, path, threads):
    if kind == "ov":
        return OpenVino(path, threads)
    if kind == "xf":
        import xf
        return xf.InferenceSession(path, threads=threads)
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
