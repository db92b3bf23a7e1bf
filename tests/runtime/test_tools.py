"""Tests of xf.py and xf-run on the fake models (make_fake.c says what they compute).

usage: test_tools.py XF_PY XF_RUN FAKE_A FAKE_B FAKE_P FAKE_PN
"""

import gc
import importlib.util
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
import zipfile

try:
    import numpy as np
except ImportError:
    print("SKIP: NumPy is not installed")
    sys.exit(77)

XF_PY, XF_RUN, FAKE_A, FAKE_B, FAKE_P, FAKE_PN, FAKE_G = sys.argv[1:8]
spec = importlib.util.spec_from_file_location("xf", XF_PY)
xf = importlib.util.module_from_spec(spec)
spec.loader.exec_module(xf)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


def feed(batch=2, seq=3, seed=0):
    rng = np.random.default_rng(seed)
    return {"ids": rng.integers(-100, 100, (batch, seq)), "mask": rng.integers(0, 3, (batch, seq)).astype(np.float32),
            "past": rng.integers(0, 9, (batch, seq + 1)).astype(np.float32), "alpha": np.float32(0.25)}


def expected(f):
    table = np.arange(400, dtype=np.float32).reshape(100, 4) / 2
    y = (table[f["ids"]] * f["mask"][..., None]).sum(-1) + f["alpha"] + f["past"][:, 1:]
    return y, np.float64(y.astype(np.float64).sum())


class Session(unittest.TestCase):
    def test_run(self):
        s = xf.InferenceSession(FAKE_A, threads=2)
        for batch, seq in [(1, 1), (2, 3), (0, 4), (5, 100)]:
            f = feed(batch, seq)
            y, total = s.run(None, f)
            np.testing.assert_array_equal(y, expected(f)[0])
            self.assertEqual(total, expected(f)[1])
            self.assertEqual((y.dtype, total.shape), (np.float32, ()))
        self.assertEqual(s.run(["total"], f), [total])
        self.assertEqual([a.shape for a in s.run(["total", "y"], f)], [(), (5, 100)])

    def test_in_place(self):
        s, f, y = xf.InferenceSession(FAKE_A, threads=1), feed(), np.zeros((2, 3), np.float32)
        self.assertIs(s.run(["y"], f, out={"y": y})[0], y)
        np.testing.assert_array_equal(y, expected(f)[0])
        with self.assertRaisesRegex(xf.Error, "dim 1 is 4"):
            s.run(None, f, out={"y": np.zeros((2, 4), np.float32)})
        with self.assertRaisesRegex(xf.Error, "contiguous"):
            s.run(None, f, out={"y": np.zeros((3, 2), np.float32).T})

    def test_layouts(self):
        s, f = xf.InferenceSession(FAKE_A, threads=1), feed(3, 4)
        want = expected(f)[0]
        f["ids"] = np.asfortranarray(f["ids"])
        f["mask"] = f["mask"].astype(">f4")
        f["past"] = np.repeat(f["past"], 2, axis=1)[:, ::2]
        np.testing.assert_array_equal(s.run(["y"], f)[0], want)

    def test_errors(self):
        s = xf.InferenceSession(FAKE_A)
        for change, message in [
            ({"ids": None}, "input 'ids' is missing"),
            ({"idz": np.zeros(1)}, "no input 'idz'"),
            ({"ids": np.zeros((2, 3), np.int32)}, "'ids' is int32, expected int64"),
            ({"ids": np.zeros((2, 3, 1), np.int64)}, "rank 3"),
            ({"mask": np.zeros((2, 4), np.float32)}, "they must be equal"),
            ({"ids": np.full((2, 3), 100)}, r"input 0 'ids' is 100 at \[[01], [012]\], but node 'emb/Gather' takes 0 to 99"),
            ({"ids": np.full((2, 3), "a")}, "NumPy type"),
        ]:
            f = {k: v for k, v in (feed() | change).items() if v is not None}
            with self.assertRaisesRegex(xf.Error, message):
                s.run(None, f)
            np.testing.assert_array_equal(s.run(["y"], feed())[0], expected(feed())[0])
        with self.assertRaisesRegex(xf.Error, "no output 'z'"):
            s.run(["z"], feed())
        for path, message in [(XF_PY, "nor any shared object"), (XF_PY + ".no", "there is no such file"),
                              (os.path.dirname(XF_PY), "is a directory"),
                              (np._core._multiarray_umath.__file__, "a shared object, but not a model compiled by xfc")]:
            with self.assertRaisesRegex(xf.Error, message):
                xf.InferenceSession(path)
        with self.assertRaisesRegex(xf.Error, "z80"):
            xf.InferenceSession(FAKE_A, isa="z80")

    def test_introspection(self):
        s = xf.InferenceSession(FAKE_A)
        self.assertEqual(
            [(n.name, n.type, n.shape) for n in s.get_inputs()][:3],
            [
                ("ids", "tensor(int64)", ["batch", "seq"]),
                ("mask", "tensor(float)", ["rows", "seq"]),
                ("past", "tensor(float)", ["batch", None]),
            ],
        )
        self.assertEqual(s.get_outputs()[1].type, "tensor(double)")
        self.assertEqual(s.get_inputs()[0].dtype, np.int64)
        self.assertEqual(s.get_inputs()[0].ranges, [(0, 64), (1, 512)])
        self.assertEqual(s.signature["outputs"][1], {"name": "total", "dtype": "float64", "dims": []})
        self.assertEqual([t.get("zero_where") for t in s.signature["inputs"] + s.signature["outputs"]],
                         [None, None, None, None, "mask", None])
        self.assertEqual(s.metadata("xfc.version"), "0.0-fake")
        self.assertIsNone(s.metadata("nothing"))
        self.assertGreater(s.workspace_size(feed()), 0)

    def test_taps_and_profile(self):
        s, seen = xf.InferenceSession(FAKE_A, threads=1), []
        s.set_tap("emb/*", lambda node, output, value: seen.append((node, output, value)))
        s.profile_start()
        s.run(None, feed())
        s.set_tap(None, None)
        s.run(None, feed())
        self.assertEqual([(n, o, v.shape) for n, o, v in seen], [("emb/Mul", 0, (2, 3, 4))])
        profile = s.profile()
        self.assertEqual((profile["runs"], profile["steps"][0]["nodes"]), (2, ["emb/Gather", "emb/Mul"]))

    def test_threads(self):
        s, bad = xf.InferenceSession(FAKE_A, threads=1), []

        def work(k):
            for i in range(50):
                f = feed(k, 1 + i % 5, i)
                if not np.array_equal(s.run(["y"], f)[0], expected(f)[0]):
                    bad.append((k, i))

        threads = [threading.Thread(target=work, args=(k,)) for k in range(1, 5)]
        [t.start() for t in threads], [t.join() for t in threads]
        self.assertEqual(bad, [])

    def test_two_models(self):
        a, b = xf.InferenceSession(FAKE_A), xf.InferenceSession(FAKE_B)
        np.testing.assert_array_equal(b.run(None, {"x": np.arange(4, dtype=np.float32)})[0], [0, 2, 4, 6])
        del b
        gc.collect()
        np.testing.assert_array_equal(a.run(["y"], feed())[0], expected(feed())[0])


class Life(unittest.TestCase):
    """Of a session: what onnxruntime's take, the end, other files at the same path, and other processes."""

    def test_as_onnxruntime(self):
        s = xf.InferenceSession(FAKE_A, providers=["CPUExecutionProvider"], provider_options=[{}])
        self.assertEqual(s.run("total", feed()), [expected(feed())[1]])
        with self.assertRaisesRegex(xf.Error, "no output 'tot'"):
            s.run("tot", feed())

    def test_close(self):
        with xf.InferenceSession(FAKE_A, threads=2) as s:
            cancel = s.cancel_handle()
            worker = threading.Thread(target=s.run, args=(None, feed()))
            worker.start()
            worker.join()
            s.run(None, feed())
        for use in (lambda: s.run(None, feed()), lambda: s.signature, lambda: s.metadata("isa"), s.profile_start,
                    lambda: s.workspace_size(feed()), lambda: s.set_tap("*", print)):
            with self.assertRaisesRegex(xf.Error, "the session is closed"):
                use()
        cancel()
        s.close()

    def test_compiled_again(self):
        x = np.arange(4, dtype=np.float32)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.so")
            for _ in range(3):
                write(path + ".new", read(FAKE_A))
                os.replace(path + ".new", path)
                a = xf.InferenceSession(path)
                write(path + ".new", read(FAKE_B))
                os.replace(path + ".new", path)
                b, again = xf.InferenceSession(path), xf.InferenceSession(path)
                np.testing.assert_array_equal(a.run("y", feed())[0], expected(feed())[0])
                for s in (b, again):
                    np.testing.assert_array_equal(s.run(None, {"x": x})[0], 2 * x)
                again.close()
                a.close()
                np.testing.assert_array_equal(b.run(None, {"x": x})[0], 2 * x)
                b.close()

    def test_fork(self):
        s = xf.InferenceSession(FAKE_A, threads=2)
        f = feed(12, 50)
        want = expected(f)[0]
        np.testing.assert_array_equal(s.run("y", f)[0], want)

        def child():
            good = np.array_equal(s.run("y", f)[0], want)
            with xf.InferenceSession(FAKE_A, threads=2) as own:
                good = good and np.array_equal(own.run("y", f)[0], want)
            s.close()
            return good

        pid = os.fork()
        if pid == 0:
            signal.alarm(60)
            os._exit(0 if child() else 1)
        self.assertEqual(os.waitpid(pid, 0)[1], 0)
        np.testing.assert_array_equal(s.run("y", f)[0], want)

    def test_verify(self):
        data = bytearray(read(FAKE_A))
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.so")
            write(path, data)
            xf.InferenceSession(path, verify=True).close()
            half = (np.arange(400, dtype=np.float32) / 2).tobytes()
            data[data.index(half) + 8] ^= 1
            write(path, data)
            xf.InferenceSession(path).close()
            with self.assertRaisesRegex(xf.Error, "damaged: the weights in bytes"):
                xf.InferenceSession(path, verify=True)


class Sized(unittest.TestCase):
    """Model g: y[n, m] = 8 i, where n and m are the input's numbers."""

    def test_run(self):
        s = xf.InferenceSession(FAKE_G, threads=1)
        want = lambda n, m: 8 * np.arange(n * m, dtype=np.float32).reshape(n, m)
        first = s.run(None, {"sizes": np.int64([2, 3])})[0]
        for n, m in ((4, 5), (0, 3), (100, 7)):
            np.testing.assert_array_equal(s.run("y", {"sizes": np.int64([n, m])})[0], want(n, m))
        np.testing.assert_array_equal(first, want(2, 3))  # the next runs left it alone
        room = np.zeros((5, 6), np.float32)
        np.testing.assert_array_equal(s.run(None, {"sizes": np.int64([7, 4])}, {"y": room})[0], want(7, 4))
        self.assertEqual(room.ravel()[27], 8 * 27)
        with self.assertRaisesRegex(xf.Error, "output 0 'y' has 124 bytes in this run, its buffer 120"):
            s.run(None, {"sizes": np.int64([31, 1])}, {"y": room})
        with self.assertRaisesRegex(xf.Error, "n is -1, but node 'sizes' takes 0 to"):
            s.run(None, {"sizes": np.int64([-1, 1])})


class Packed(unittest.TestCase):
    """Model p: y = 2 x, and the sums of x by sequence; pn refuses sequences without tokens."""

    def setUp(self):
        self.s, self.x = xf.InferenceSession(FAKE_P, threads=1), np.arange(7, dtype=np.float32)

    def test_run(self):
        for starts in ([0, 3, 7], (0, 7), [0, 0, 2, 2, 7], np.array([0, 3, 7], np.uint64), np.arange(8)[::7]):
            y, sums = self.s.run_packed(None, {"x": self.x}, starts)
            np.testing.assert_array_equal(y, 2 * self.x)
            np.testing.assert_array_equal(sums, [self.x[a:b].sum() for a, b in zip(starts, starts[1:])])
        padded = np.zeros((2, 4), np.float32)
        padded[0, :3], padded[1] = self.x[:3], self.x[3:]
        np.testing.assert_array_equal(self.s.run(["sums"], {"x": padded})[0],
                                      self.s.run_packed(["sums"], {"x": self.x}, [0, 3, 7])[0])
        y = np.zeros(7, np.float32)
        self.assertIs(self.s.run_packed(["y"], {"x": self.x}, [0, 7], out={"y": y})[0], y)
        np.testing.assert_array_equal(y, 2 * self.x)
        empty = self.s.run_packed(None, {"x": self.x[:0]}, [0, 0])
        self.assertEqual([a.shape for a in empty], [(0,), (1,)])

    def test_introspection(self):
        self.assertEqual([(n.name, n.shape) for n in self.s.get_packed_inputs()], [("x", [None])])
        self.assertEqual([len(n.shape) for n in self.s.get_packed_outputs()], [1, 1])
        self.assertEqual([len(n.shape) for n in self.s.get_inputs()], [2])
        self.assertGreater(self.s.packed_workspace_size({"x": self.x}, [0, 7]), 0)
        self.s.profile_start()
        self.s.run_packed(None, {"x": self.x}, [0, 7])
        self.assertEqual(self.s.profile()["packed_steps"][0]["count"], 1)

    def test_errors(self):
        for starts, message, status in [
            ([0, 4, 3], "falls from 4 to 3", 8),
            ([0, 3, 9], "ends with 9, but input 0 'x' has 7 tokens", 8),
            ([0, 3], "ends with 3", 8),
            ([1, 7], "begins with 1", 8),
            ([-1, 7], "begins with -1", 8),
            ([0, -2, 7], "falls from 0 to -2", 8),
            ([0], "one row", 0),
            ([], "one row", 0),
            (7, "one row", 0),
            ([[0, 7]], "one row", 0),
            (None, "one row", 0),
            ([0.0, 7.0], "float64, expected integers", 2),
            ([False, True], "bool, expected integers", 2),
            (["0", "7"], "expected integers", 2),
            ([0, 2**31], "no int32", 8),
            (np.array([0, 2**64 - 1], np.uint64), "no int32", 8),
        ]:
            for call in (lambda c: self.s.run_packed(None, {"x": self.x}, c),
                         lambda c: self.s.packed_workspace_size({"x": self.x}, c)):
                with self.assertRaisesRegex(xf.Error, message) as caught:
                    call(starts)
                self.assertEqual(caught.exception.status, status, starts)
        for feed_, message in [
            ({}, "input 'x' is missing"),
            ({"x": self.x, "mask": self.x}, "packed entry has no input 'mask'; it has x"),
            ({"x": self.x.astype(np.float64)}, "'x' is float64, expected float32"),
            ({"x": self.x[None]}, "rank 2"),
        ]:
            with self.assertRaisesRegex(xf.Error, message):
                self.s.run_packed(None, feed_, [0, 7])
        with self.assertRaisesRegex(xf.Error, "no output 'z'"):
            self.s.run_packed(["z"], {"x": self.x}, [0, 7])
        np.testing.assert_array_equal(self.s.run_packed(["y"], {"x": self.x}, [0, 7])[0], 2 * self.x)
        with self.assertRaisesRegex(xf.Error, "sequence 1 is empty"):
            xf.InferenceSession(FAKE_PN).run_packed(None, {"x": self.x}, [0, 3, 3, 7])
        without = xf.InferenceSession(FAKE_A)
        self.assertEqual((without.get_packed_inputs(), without.get_packed_outputs()), ([], []))
        with self.assertRaisesRegex(xf.Error, "without --packed-entry"):
            without.run_packed(None, feed(), [0, 1])


def run(*args):
    p = subprocess.run([XF_RUN, *map(str, args)], capture_output=True, text=True)
    return p.returncode, p.stdout, p.stderr


class Runner(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = folder.name

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def inputs(self, f):
        args = []
        for name, value in f.items():
            np.save(self.path(name + ".npy"), value)
            args += ["--input", f"{name}=@{self.path(name + '.npy')}"]
        return args

    def test_files(self):
        f = feed(3, 5)
        y, total = expected(f)
        code, out, err = run(
            FAKE_A, *self.inputs(f), "--output", f"y=@{self.path('y.npy')}", f"--output=total=@{self.path('t.npy')}"
        )
        self.assertEqual((code, err), (0, ""))
        np.testing.assert_array_equal(np.load(self.path("y.npy")), y)
        self.assertEqual(np.load(self.path("t.npy")), total)
        np.save(self.path("y.npy"), y + np.float32(1e-3))
        code, out, _ = run(FAKE_A, *self.inputs(f), "--expected", f"y=@{self.path('y.npy')}", "--rtol=0", "--atol=1e-2")
        self.assertEqual((code, "ok" in out), (0, True))
        code, out, _ = run(FAKE_A, *self.inputs(f), "--expected", f"y=@{self.path('y.npy')}", "--rtol=0", "--atol=1e-4")
        self.assertEqual((code, "DIFFERS" in out), (5, True))
        for by, want in (1 + 9e-4, 0), (1 + 2e-3, 5):
            np.save(self.path("y.npy"), y * np.float32(by))
            self.assertEqual(run(FAKE_A, *self.inputs(f), "--expected", f"y=@{self.path('y.npy')}")[0], want)

    def test_npy_variants(self):
        f = feed(3, 5)
        y = expected(f)[0]
        args = self.inputs(f | {"ids": np.asfortranarray(f["ids"]), "mask": f["mask"].astype(">f4")})
        code, _, err = run(FAKE_A, *args, "--output", f"y=@{self.path('y.npy')}")
        self.assertEqual((code, err), (0, ""))
        np.testing.assert_array_equal(np.load(self.path("y.npy")), y)
        good = read(self.path("ids.npy"))
        for i in [0, 5, 8, 11, 40, 100, 127, len(good) - 1]:
            write(self.path("ids.npy"), good[:i])
            code, _, err = run(FAKE_A, *args[:2], "--shape", "ids=1x1")
            self.assertEqual((code, "ids.npy" in err), (1, True), i)
        for a, b in [
            (b"'<i8'", b"'|O8'"),
            (b"(3, 5)", b"(-3,5)"),
            (b"(3, 5)", b"(3, 9999999999999999999)"),
            (b"'shape'", b"'shame'"),
        ]:
            write(self.path("ids.npy"), good.replace(a, b))
            self.assertEqual(run(FAKE_A, *args[:2])[0], 1, b)

    def write_set(self, name, f, y, how):
        os.makedirs(self.path("data", name))
        ins, outs = list(f.values()), y
        if how == "npy":
            for i, v in enumerate(ins):
                np.save(self.path("data", name, f"input_{i}.npy"), v)
            for i, v in enumerate(outs):
                np.save(self.path("data", name, f"output_{i}.npy"), v)
        else:
            save = np.savez if how == "npz" else np.savez_compressed
            save(self.path("data", name, "inputs.npz"), **f)
            save(self.path("data", name, "outputs.npz"), y=outs[0], total=outs[1])

    def test_data_sets(self):
        for i, how in enumerate(["npy", "npz", "packed"]):
            f = feed(1 + i, 2 + i, i)
            self.write_set(f"test_data_set_{i}", f, expected(f), how)
        code, out, err = run(FAKE_A, "--test-data", self.path("data"))
        self.assertEqual((code, err), (0, ""), out)
        self.assertEqual((out.count(": ok"), "3 of 3" in out), (6, True))
        self.assertEqual(run(FAKE_A, "--test-data", self.path("data", "test_data_set_1"))[0], 0)
        f = feed(2, 2)
        f["mask"] += 1  # rows where it is 0 are not compared
        self.write_set("test_data_set_10", f, (expected(f)[0] * np.float32(1.01), expected(f)[1]), "npy")
        code, out, _ = run(FAKE_A, "--test-data", self.path("data"))
        self.assertEqual((code, "3 of 4" in out), (5, True))
        os.remove(self.path("data", "test_data_set_10", "input_1.npy"))
        code, _, err = run(FAKE_A, "--test-data", self.path("data"))
        self.assertEqual((code, "input 'mask'" in err), (1, True))
        self.assertEqual(run(FAKE_A, "--test-data", self.path("nowhere"))[0], 4)

    def test_padding(self):
        """The model says that y is 0 where mask is: such rows are compared only when asked for."""
        f = feed(3, 5)
        f["mask"] = np.ones((3, 5), np.float32)
        f["mask"][1, 2:] = 0
        y, total = expected(f)
        wrong = y.copy()
        wrong[1, 2:] = 77
        self.write_set("test_data_set_0", f, (wrong, total), "npy")
        code, out, err = run(FAKE_A, "--test-data", self.path("data"))
        self.assertEqual((code, err), (0, ""), out)
        self.assertIn("without 3 of 15 rows where mask is 0", out)
        code, out, _ = run(FAKE_A, "--test-data", self.path("data"), "--strict-padding")
        self.assertEqual((code, "3 of 15 beyond" in out), (5, True), out)
        wrong[1, 1] = 77  # not padding
        self.write_set("test_data_set_1", f, (wrong, total), "npy")
        code, out, _ = run(FAKE_A, "--test-data", self.path("data", "test_data_set_1"))
        self.assertEqual((code, "1 of 12 beyond" in out), (5, True), out)
        self.assertIn(f"  worst at [1, 1]: {y[1, 1]:.9g}, expected 77: |a - b| {abs(77 - y[1, 1]):.3g}, relative ", out)
        code, out, _ = run(FAKE_A, "--list")
        self.assertIn("output  \"y\": f32[batch in 0..64, seq in 1..512], 0 where 'mask' is 0\n", out)

    def test_ulps(self):
        y = np.array([2, 5, -6, np.nan], np.float32)
        args = [FAKE_B, "--input", "x=4xf32=1 2.5 -3 nan", "--expected", f"y=@{self.path('y.npy')}"]
        for change, ulps, code, text in [(0, 0, 0, "ulp: max 0 at element 0; 0: 4"),
                                         (3, 3, 0, "ulp: max 3 at element 1; 0: 3, 2..3: 1"),
                                         (9, 8, 5, "ulp: max 9 at element 1; 0: 3, 8..15: 1")]:
            changed = y.copy()
            changed.view(np.int32)[1] += change
            np.save(self.path("y.npy"), changed)
            got, out, _ = run(*args, f"--ulp={ulps}")
            self.assertEqual((got, text in out), (code, True), out)
            self.assertEqual(run(*args, "--ulp")[0], 0)  # only shown: the tolerance decides
        np.save(self.path("y.npy"), np.array([2, 5, np.nan, 1], np.float32))
        code, out, _ = run(*args, "--ulp=1000")
        self.assertEqual((code, "2 of 4 beyond 1000 ulp" in out, "0: 2, NaN: 2" in out), (5, True, True), out)
        np.save(self.path("y.npy"), np.array([-0.0, 0, 0, 0], np.float32))
        code, out, _ = run(
            FAKE_B, "--input", "x=4xf32=0 0 1e-45 -1e-45", "--expected", f"y=@{self.path('y.npy')}", "--ulp=1"
        )
        self.assertEqual((code, "0: 2, 2..3: 2" in out), (5, True), out)  # -0 is 0, denormals count

    def test_lengths(self):
        shapes = ["--shape", "ids=4x16", "--shape", "mask=4x16", "--shape", "past=4x17", "--shape", "alpha="]

        def mask(*args):
            seen = []
            for tries in range(2):
                code, out, err = run(FAKE_A, *shapes, *args, "--output", f"y=@{self.path('y.npy')}")
                self.assertEqual((code, err), (0, ""))
                seen.append(np.load(self.path("y.npy")))
            np.testing.assert_array_equal(*seen)  # the same batch every time
            return out

        self.assertIn("lengths list:1,0,16,5: 4 sequences, 22 tokens of 64 positions", mask("--lengths=list:1,0,16,5"))
        self.assertIn("64 tokens of 64 positions", mask("--lengths=full"))
        self.assertNotIn("lengths", mask())
        for law, least, most in [("zipf:16", 4, 63), ("zipf:1", 4, 4), ("uniform:1", 64, 64), ("uniform:0.5", 32, 64)]:
            tokens = int(re.search(r"(\d+) tokens", mask(f"--lengths={law}"))[1])
            self.assertTrue(least <= tokens <= most, (law, tokens))
        drawn = {re.search(r"(\d+) tokens", mask("--lengths=zipf:16", f"--random-seed={k}"))[1] for k in range(9)}
        self.assertGreater(len(drawn), 3)
        for law, code in [
            ("list:1,2", 1),
            ("list:1,2,3,17", 1),
            ("list:", 2),
            ("list:1,,2", 2),
            ("zipf:0", 2),
            ("zipf:", 2),
            ("uniform:1.5", 2),
            ("uniform:x", 2),
            ("gauss:3", 2),
            ("", 2),
        ]:
            self.assertEqual(run(FAKE_A, *shapes, f"--lengths={law}")[0], code, law)
        self.assertEqual(run(FAKE_B, "--lengths=full", "--shape", "x=4")[0], 1)  # no mask to have them
        self.assertEqual(run(FAKE_A, *shapes, "--pad-id=0")[0], 2)

    def test_contexts(self):
        shapes = ["--shape", "ids=8x16", "--shape", "mask=8x16", "--shape", "past=8x17"]
        code, out, _ = run(
            FAKE_A,
            "--bench",
            *shapes,
            "--iters=20",
            "--warmup=0",
            "--threads=1",
            "--contexts=4",
            "--lengths=zipf:16",
            "--json",
        )
        result = json.loads(out)
        self.assertEqual((code, result["iterations"], result["contexts"], result["positions"]), (0, 80, 4, 128))
        self.assertEqual(result["fill"], float(f"{result['tokens'] / 128:.4g}"))
        self.assertGreater(result["runs_per_s"], 0)
        for args in (["--contexts=0", "--bench"], ["--contexts=2"], ["--contexts=2", "--bench", "--profile=-"]):
            self.assertEqual(run(FAKE_A, *shapes, *args)[0], 2, args)
        code, _, err = run(FAKE_A, "--bench", *shapes, "--max-id=200", "--contexts=3", "--threads=1")
        self.assertEqual((code, "emb/Gather" in err), (1, True), err)  # every lane fails, none waits for the others

    def test_pb(self):
        try:
            from onnx import numpy_helper
        except ImportError:
            self.skipTest("onnx is not installed")
        f = feed(2, 4)
        os.makedirs(self.path("data"))
        for kind, items in [("input", list(f.items())[::-1]), ("output", list(zip(["y", "total"], expected(f))))]:
            for i, (name, value) in enumerate(items):  # inputs out of order: the names decide
                with open(self.path("data", f"{kind}_{i}.pb"), "wb") as file:
                    file.write(numpy_helper.from_array(np.asarray(value), name).SerializeToString())
        code, out, err = run(FAKE_A, "--test-data", self.path("data"))
        self.assertEqual((code, err), (0, ""), out)

    def test_damaged_npz(self):
        f = feed()
        self.write_set("test_data_set_0", f, expected(f), "packed")
        path = self.path("data", "test_data_set_0", "inputs.npz")
        good = read(path)
        rng = np.random.default_rng(1)
        for _ in range(60):
            bad = bytearray(good)
            for at in rng.integers(0, len(bad), 3):
                bad[at] ^= 1 << int(rng.integers(0, 8))
            write(path, bad[:int(rng.integers(1, len(bad) + 1))])
            self.assertIn(run(FAKE_A, "--test-data", self.path("data"))[0], (0, 1, 5))
        bomb = io.BytesIO()
        with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as z:
            z.writestr("ids.npy", b"")
        raw = bytearray(bomb.getvalue())
        at = raw.index(b"PK\1\2")
        raw[at + 24:at + 28] = b"\xf0\xff\xff\xff"  # claims 4 GB
        write(path, raw)
        self.assertEqual(run(FAKE_A, "--test-data", self.path("data"))[0], 1)

    def test_text(self):
        code, out, _ = run(FAKE_B, "--input", "x=4xf32=1 2.5 -3 nan")
        self.assertEqual((code, out), (0, "output 'y': f32[4] = 2, 5, -6, nan\n"))
        self.assertEqual(run(FAKE_B, "--input", "x=4=0x1p3")[1], "output 'y': f32[4] = 16, 16, 16, 16\n")
        for spec, message in [
            ("x=4xf32=1 2", "fewer"),
            ("x=4xf32=1 2 3 4 5", "more"),
            ("x=4xf32=1 2 3 b", "value 3"),
            ("x=4y=1", "expected"),
            ("x=4x=1", "expected"),
            ("z=4=1", "no such input"),
            ("x=4xi32=1", "int32, expected float32"),
            ("x=5xf32=1", "dim 0 is 5, expected 4"),
            ("x=4xu8=256", "value 0"),
            ("x=4xi8=-129", "value 0"),
            ("x=@nowhere.npy", "No such file"),
        ]:
            code, _, err = run(FAKE_B, "--input", spec)
            self.assertEqual((code, message in err), (4 if "@" in spec else 1, True), (spec, err))

    def test_bench(self):
        code, out, _ = run(
            FAKE_A,
            "--bench",
            "--shape",
            "ids=2x3",
            "--shape",
            "mask=2x3",
            "--shape",
            "past=2x4",
            "--iters=11",
            "--warmup=1ms",
            "--threads=1",
            "--json",
        )
        self.assertEqual(code, 0)
        result = json.loads(out)
        self.assertEqual(
            sorted(result),
            sorted("median_ms min_ms p90_ms p99_ms iterations threads isa open_ms workspace_bytes".split()),
        )
        self.assertEqual((result["iterations"], result["threads"]), (11, 1))
        self.assertLessEqual(result["min_ms"], result["median_ms"])

    def test_taps_and_profile(self):
        shapes = ["--shape", "ids=2x3", "--shape", "mask=2x3", "--shape", "past=2x4"]
        code, out, _ = run(FAKE_A, *shapes, "--tap=*Gather", "--profile", self.path("p.json"))
        self.assertEqual((code, out.startswith("node output 0 of 'emb/Mul': f32[2, 3, 4] = ")), (0, True))
        self.assertEqual(json.loads(read(self.path("p.json")))["runs"], 1)

    def test_not_ours(self):
        good = read(FAKE_A)
        for name, data, message in [
            ("text.so", b"hello", "not a shared object"),
            ("empty.so", b"", "not a shared object"),
            ("cut.so", good[:20000], "truncated"),
            ("half.so", good[: len(good) // 2], ""),
            ("abi.so", re.sub(rb"yXFPLAN1.", b"yXFPLAN1\x7f", good, flags=re.S), "another version"),
        ]:
            write(self.path(name), data)
            code, _, err = run(self.path(name), "--list")
            self.assertEqual((code, message in err), (1, True), (name, err))
        code, _, err = run(np._core._multiarray_umath.__file__, "--list")  # a shared object that is surely there
        self.assertEqual((code, "not a model compiled by xfc" in err), (1, True))
        self.assertEqual(run(self.path("nowhere.so"))[0], 4)
        self.assertEqual(run()[0], 2)
        self.assertEqual(run(FAKE_A, "--what")[0], 2)
        self.assertEqual(run(FAKE_A, "--threads=-1")[0], 2)
        self.assertEqual(run("--help")[0], 0)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
