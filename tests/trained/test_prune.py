#!/usr/bin/env python3
"""test_prune.py XFC - --lossy=prune on trained models: compiled, what is left is the model with those weights set to 0.

Random blocks, heads and neurons go from unmodified files; in the reference, weights of the file itself are zeroed, those that
NumPy finds by the documented order (the least of the reader's rows first), and it is compiled exactly. Nothing gone: the same
bits. With samples, the loss is told; a budget in outputs, or in the number of a command, is kept, and measured again here.
"""
import json
import random
import shlex
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
from common import ONE_ISA, SKIP, load_xf, run

try:
    import numpy as np
    import onnx
    from onnx import numpy_helper
    import samples
except ImportError as e:
    print(f"SKIP: nothing is pruned: {e}")
    sys.exit(SKIP)

XFC = sys.argv.pop(1)
xf = load_xf(samples.HERE.parents[1] / "tools" / "xf.py")
# Blocks; of the products with weights in a layer, which are readers: of attention, of the FFN.
LAYERS = {"digits": (6, 4, (1, 3)), "letters": (3, 4, (1, 3)), "topics": (4, 6, (3, 5))}
HEADS, GROUPS = 4, 8
PLAIN = ("-q", "-march=x86-64-v2", "--pre-rmsnorm=off")  # norms would change the rows that are compared


class Net:
    """A file, whose weights can be zeroed."""

    def __init__(self, name):
        self.model = onnx.load(samples.model_of(name))
        self.layers, per_layer, self.readers = LAYERS[name]
        self.weights = {i.name: i for i in self.model.graph.initializer}
        products = [n for n in self.model.graph.node if n.op_type in ("MatMul", "Gemm") and n.input[1] in self.weights]
        self.product = [products[i * per_layer:(i + 1) * per_layer] for i in range(self.layers)]

    def zero(self, name, rows=slice(None)):
        """A weight of one product only gets new data; a copy, where others share it."""
        w = numpy_helper.to_array(self.weights[name]).copy()
        w[rows] = 0
        self.weights[name].CopyFrom(numpy_helper.from_array(w, name))

    def bias_of(self, product):
        if len(product.input) > 2:
            return product.input[2]
        user = next(n for n in self.model.graph.node if product.output[0] in n.input)
        return next(i for i in user.input if i in self.weights)

    def leave_out(self, kind, layer, level):
        """level parts of a block, or all of it."""
        product = self.product[layer][self.readers[kind]]
        name, parts = product.input[1], GROUPS if kind else HEADS
        if level == parts:
            self.zero(name)
            self.zero(self.bias_of(product))
            return
        size = (numpy_helper.to_array(self.weights[name]).astype(np.float64) ** 2).sum(1)
        rows = np.argsort(size, kind="stable") if kind else np.arange(len(size))
        units = [rows[len(rows) * i // parts:len(rows) * (i + 1) // parts] for i in range(parts)]
        for unit in sorted(units, key=lambda unit: size[unit].sum())[:level]:
            self.zero(name, unit)


def compile_to(so, model, *options):
    done = run(XFC, model, "-o", so, *options)
    assert done.returncode == 0, done.stderr
    return done.stderr


def outputs(so, name):
    with xf.InferenceSession(so) as session:
        return [session.run(None, feed)[0] for feed, _ in samples.batches(name, "eval", 7, 35)]


def reader_of(model, join):
    """The last product with weights in front of an addition, of the two operands that which has one nearby."""
    maker = {o: n for n in model.graph.node for o in n.output}
    weights = {i.name for i in model.graph.initializer}
    for value in next(n for n in model.graph.node if n.name == join).input:
        for _ in range(4):
            node = maker.get(value)
            if node is None:
                break
            if node.op_type in ("MatMul", "Gemm") and node.input[1] in weights:
                return node
            made = [i for i in node.input if i in maker]
            if len(made) != 1:
                break
            value = made[0]
    raise AssertionError(f"no product in front of {join}")


def without_heads(model, join, level):
    """The level heads of four whose rows are smallest are zeroed."""
    reader = reader_of(model, join)
    weight = next(i for i in model.graph.initializer if i.name == reader.input[1])
    turned = any(a.name == "transB" and a.i for a in reader.attribute)
    w = numpy_helper.to_array(weight).copy()
    heads = (w.T if turned else w).reshape(HEADS, -1, w.shape[0 if turned else 1])
    for head in np.argsort((heads.astype(np.float64) ** 2).sum((1, 2)))[:level]:
        rows = slice(head * heads.shape[1], (head + 1) * heads.shape[1])
        w[(slice(None), rows) if turned else rows] = 0
    weight.CopyFrom(numpy_helper.from_array(w, weight.name))


def feeds_of(model, session):
    for folder in sorted(model.parent.glob("test_data_set_*")):
        tensors = [onnx.load_tensor(folder / f"input_{i}.pb") for i in range(len(session.get_inputs()))]
        yield {n.name: numpy_helper.to_array(t) for n, t in zip(session.get_inputs(), tensors)}


class Prune(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="xfc-test-")
        self.addCleanup(self.folder.cleanup)
        self.path = Path(self.folder.name)

    def test_is_the_model_with_zeros(self):
        choose = random.Random(11)
        for name in samples.NAMES:
            net, gone = Net(name), []
            for layer in range(net.layers):
                for kind, block in enumerate(("attention", "ffn")):
                    level = choose.randint(0, GROUPS if kind else HEADS)
                    if level:
                        net.leave_out(kind, layer, level)
                        gone.append(f"{block}{layer}.{level}")
            onnx.save(net.model, self.path / "zeros.onnx")
            compile_to(self.path / "zeros.so", self.path / "zeros.onnx", *PLAIN)
            compile_to(self.path / "less.so", samples.model_of(name), *PLAIN, f"--lossy=prune:gone={'/'.join(gone)}")
            for want, got in zip(outputs(self.path / "zeros.so", name), outputs(self.path / "less.so", name), strict=True):
                worst = (np.abs(got - want) / np.abs(want).max(-1, keepdims=True)).max()
                self.assertLess(worst, 1e-4, f"{name}: {gone}")

    def test_heads_with_tables_and_slopes(self):
        """Relative positions gathered for each head; ALiBi, batch and heads in one dim; a decoder. Random weights serve here."""
        for name, join, gone in (("deberta", "/core/m/encoder/layer.0/attention/output/Add", "attention0.2"),
                                 ("bloom", "node_add_289", "attention0.2"),
                                 ("decoder", "/core/m/decoder/layers.1/Add", "attention1.3")):
            path = Path(__file__).resolve().parents[1] / "models" / name / "model.onnx"
            model = onnx.load(path)
            without_heads(model, join, int(gone[-1]))
            onnx.save(model, self.path / "zeros.onnx")
            compile_to(self.path / "zeros.so", self.path / "zeros.onnx", *PLAIN)
            compile_to(self.path / "less.so", path, *PLAIN, f"--lossy=prune:gone={gone}")
            with xf.InferenceSession(self.path / "zeros.so") as zeros, xf.InferenceSession(self.path / "less.so") as less:
                for feed in feeds_of(path, zeros):
                    for want, got in zip(zeros.run(None, feed), less.run(None, feed), strict=True):
                        self.assertLess(np.abs(got - want).max() / np.abs(want).max(), 1e-4, name)

    def test_nothing_gone_is_the_same_bits(self):
        for name in samples.NAMES:
            compile_to(self.path / "exact.so", samples.model_of(name), "-q", ONE_ISA)
            compile_to(self.path / "none.so", samples.model_of(name), "-q", ONE_ISA, "--lossy=prune:heads=0")
            for want, got in zip(outputs(self.path / "exact.so", name), outputs(self.path / "none.so", name), strict=True):
                self.assertEqual(want.tobytes(), got.tobytes(), name)

    def test_with_samples(self):
        samples.write_npz("topics", "calib", self.path / "calib", n=16)
        said = compile_to(self.path / "less.so", samples.model_of("topics"), ONE_ISA, "--lossy=prune",
                          f"--calib={self.path / 'calib'}")
        self.assertIn("8 of 8 places changed", said)
        self.assertIn("output 'logits': cos 0.", said)
        with xf.InferenceSession(self.path / "less.so") as session:
            got = samples.score("topics", lambda feed: session.run(None, feed)[0], n=500)
        self.assertGreater(got, 60)

    def record(self, so):
        with xf.InferenceSession(so) as session:
            return json.loads(session.metadata("lossy"))

    def test_budget_in_outputs(self):
        """Chosen and judged on one set, measured again on another, of which a part may be a little beyond."""
        samples.write_npz("topics", "calib", self.path / "calib", n=128, batch=4)
        so = self.path / "less.so"
        compile_to(so, samples.model_of("topics"), "-q", ONE_ISA, "--lossy=prune", f"--calib={self.path / 'calib'}",
                   "--max-error=rel:0.1")
        record = self.record(so)
        self.assertLessEqual(record["used"], 1)
        self.assertLess(record["multiplications"], 0.95 * record["multiplications_exact"])
        self.assertLessEqual(record["outputs"][0]["rel"], 0.1)
        compile_to(self.path / "exact.so", samples.model_of("topics"), "-q", *PLAIN)
        want, got = (np.concatenate(outputs(self.path / f"{name}.so", "topics")) for name in ("exact", "less"))
        self.assertLess(np.linalg.norm(got - want) / np.linalg.norm(want), 0.15)

    def test_budget_of_a_command(self):
        """Accuracy on 256 definitions may fall by 2 points, and is what the command said."""
        so = self.path / "less.so"
        command = shlex.join([sys.executable, str(samples.HERE / "samples.py"), "score"]) + " {so} topics calib --n=256"
        compile_to(so, samples.model_of("topics"), "-q", ONE_ISA, "--lossy=prune", f"--eval={command}", "--max-error=metric:2")
        record = self.record(so)
        with xf.InferenceSession(so) as session:
            got = samples.score("topics", lambda feed: session.run(None, feed)[0], "calib", n=256)
        self.assertAlmostEqual(got, record["metric"], places=4)
        self.assertGreaterEqual(record["metric"], record["metric_exact"] - 2)
        self.assertLess(record["multiplications"], 0.8 * record["multiplications_exact"])


if __name__ == "__main__":
    unittest.main()
