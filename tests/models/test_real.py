#!/usr/bin/env python3
"""test_real.py XFC XF_RUN XF_PY SENTENCES.tsv MODEL_MEMORY RANK EXAMPLE MODEL.onnx - a trained sentence encoder against
onnxruntime.

What a user may rely on: results on real sentences in batches with padding and at every length, the same bits whatever
the number of
threads and the company in the batch, a reproducible file that needs nothing but libc and libm, and bounded
memory. Times are printed,
never judged. The environment variable XF_REAL_MODEL names another copy of the model. Exit code 77: the model or
onnxruntime is absent.
"""

import collections
import filecmp
import json
import os
import re
import resource
import statistics
import sys
import tempfile
import time
import unittest

from common import ISAS, SKIP, cpu_isas, load_xf, run

XFC, XF_RUN, XF_PY, SENTENCES, MODEL_MEMORY, RANK, EXAMPLE, MODEL = (os.path.abspath(a) for a in sys.argv[1:9])
MODEL = os.environ.get("XF_REAL_MODEL", MODEL)
try:
    import numpy as np
    import onnxruntime
except ImportError as e:
    print(f"SKIP: the real model is not compared: {e}")
    sys.exit(SKIP)
if not os.path.exists(MODEL):
    print(f"SKIP: the real model is not there: {MODEL} (tests/run fetches it; XF_REAL_MODEL names another copy)")
    sys.exit(SKIP)

sys.stdout.reconfigure(line_buffering=True)
xf = load_xf(XF_PY)
TOLERANCE = 1e-4  # of the largest value of a row
BATCHES = (1, 2, 3, 5, 8, 13, 32, 21, 32, 1, 16, 32, 32, 2)  # 200 sentences


def read_sentences():
    with open(SENTENCES, encoding="utf-8") as f:
        return [list(map(int, line.split("\t")[1].split())) for line in f]


def pad(rows):
    """The feed of a batch: ids and mask, as wide as the longest row."""
    ids = np.zeros((len(rows), max(map(len, rows))), np.int64)
    mask = np.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, :len(row)] = row
        mask[i, :len(row)] = 1
    return {"input_ids": ids, "attention_mask": mask}


def of_length(stream, n):
    """n tokens of running text between [CLS] and [SEP], as far as they fit."""
    return ([101] + stream[:n - 2] + [102])[:n]


def difference(got, want):
    """The largest difference in units of the row's largest value."""
    if got.shape != want.shape or got.dtype != want.dtype:
        return float("inf")
    if got.dtype.kind != "f":
        return 0.0 if np.array_equal(got, want) else float("inf")
    scale = np.maximum(np.abs(want).max(axis=-1, keepdims=True), np.finfo(want.dtype).tiny)
    worst = (np.abs(got - want) / scale).max() if want.size else 0.0
    return float("inf") if np.isnan(worst) else float(worst)


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if hasattr(Case, "so"):
            return
        Case.folder = tempfile.TemporaryDirectory(prefix="xfc-test-")
        Case.so = os.path.join(Case.folder.name, "model.so")
        start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = run(XFC, MODEL, "-o", Case.so)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        Case.seconds = time.perf_counter() - start
        Case.processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        assert done.returncode == 0 and "hold 0" in done.stderr.replace("holds", "hold"), done.stderr
        Case.peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        Case.session = xf.InferenceSession(Case.so, threads=1)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        Case.peer = onnxruntime.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])
        Case.rows = read_sentences()
        Case.stream = [i for row in Case.rows for i in row[1:-1]]

    def at_tokens(self, name, got, want, feed):
        """Both where there are tokens. Elsewhere an output that says so holds 0, and the peer what the model computes there."""
        mask = self.session.metadata(f"padded-output:{name}")
        if mask is None:
            return got, want
        real = feed[mask] != 0
        self.assertFalse(got[~real].any(), f"'{name}' is not 0 at padding")
        return got[real], want[real]

    def compare(self, feed, session=None):
        names = [o.name for o in self.peer.get_outputs()]
        got, want = (session or self.session).run(names, feed), self.peer.run(names, feed)
        worst = max(difference(*self.at_tokens(n, g, w, feed)) for n, g, w in zip(names, got, want))
        self.assertLessEqual(worst, TOLERANCE, f"batch and length {feed['input_ids'].shape}")
        return worst

    def assertSameBits(self, got, want, what):
        for g, w in zip(got, want, strict=True):
            self.assertEqual((g.shape, g.dtype), (w.shape, w.dtype), what)
            self.assertEqual(g.tobytes(), w.tobytes(), what)


class Results(Case):
    def test_signature(self):
        for ours, theirs in (
            (self.session.get_inputs(), self.peer.get_inputs()),
            (self.session.get_outputs(), self.peer.get_outputs()),
        ):
            self.assertEqual([n.name for n in ours], [n.name for n in theirs])
            self.assertEqual([len(n.shape) for n in ours], [len(n.shape) for n in theirs])

    def test_sentences_in_padded_batches(self):
        self.assertEqual((len(self.rows), sum(BATCHES)), (200, 200))
        at, worst = 0, 0.0
        for n in BATCHES:
            worst = max(worst, self.compare(pad(self.rows[at:at + n])))
            at += n
        print(f"200 sentences in batches of 1 to 32: {worst:.2e} of the row's largest value at most")

    def test_every_length(self):
        worst = 0.0
        for n in range(1, 129):
            rows = [of_length(self.stream[31 * n :], n)] + [
                of_length(self.stream[k * n :], 1 + (k * n) // 3) for k in (1, 2)
            ][: n % 3]
            worst = max(worst, self.compare(pad(rows)))
        print(f"lengths 1 to 128: {worst:.2e} of the row's largest value at most")

    def test_largest_batch(self):
        self.compare(pad([of_length(self.stream[3 * i:], 128) for i in range(32)]))

    def test_every_variant(self):
        have = cpu_isas()
        for isa in ISAS:
            if isa not in have:
                print(f"SKIP: this CPU cannot run {isa}")
                continue
            session = xf.InferenceSession(self.so, threads=1, isa=isa)
            self.assertEqual(session.metadata("isa"), isa)
            for part in (self.rows[:32], self.rows[-4:], self.rows[7:8], [[101, 102]]):
                self.compare(pad(part), session)

    def test_masked_tokens_do_not_matter(self):
        feed = pad(self.rows[:8])
        names = [o.name for o in self.session.get_outputs()[2:]]
        want = self.session.run(names, feed)
        feed["input_ids"][feed["attention_mask"] == 0] = 2023
        self.assertSameBits(self.session.run(names, feed), want, "other ids under the mask")

    def test_nothing_in_the_batch(self):
        for shape in ((0, 16), (0, 1)):
            feed = {"input_ids": np.zeros(shape, np.int64), "attention_mask": np.zeros(shape, np.int64)}
            self.assertEqual(self.session.run(None, feed)[-1].shape, (0, 384))


class SameBits(Case):
    def test_threads(self):
        sessions = [xf.InferenceSession(self.so, threads=n) for n in (2, 4)]
        for feed in (
            pad(self.rows[:1]),
            pad(self.rows[3:10]),
            pad(self.rows[40:72]),
            pad([of_length(self.stream, 128)]),
        ):
            want = self.session.run(None, feed)
            for session in sessions:
                self.assertSameBits(session.run(None, feed), want, feed["input_ids"].shape)

    def test_alone_and_in_a_batch(self):
        groups = collections.defaultdict(list)
        for row in self.rows:
            groups[len(row)].append(row)
        groups[128] = [of_length(self.stream[128 * i:], 128) for i in range(5)]
        for rows in groups.values():
            together = self.session.run(None, pad(rows))
            for i, row in enumerate(rows):
                self.assertSameBits(
                    [o[i : i + 1] for o in together], self.session.run(None, pad([row])), (len(rows), len(row))
                )

    def test_again(self):
        feed = pad(self.rows[100:132])
        want = self.session.run(None, feed)
        self.session.run(None, pad([of_length(self.stream, 128)] * 9))  # other contents of the same memory
        self.assertSameBits(self.session.run(None, feed), want, "again")

    def test_two_compilations(self):
        other = os.path.join(self.folder.name, "another name.so")
        done = run(XFC, MODEL, "-o", other, cwd="/", env=dict(os.environ, TMPDIR=self.folder.name, LC_ALL="C"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(filecmp.cmp(self.so, other, shallow=False))
        os.remove(other)
        self.assertEqual(os.listdir(self.folder.name), ["model.so"])


class File(Case):
    def sections(self):
        out = run("readelf", "-W", "-S", self.so).stdout
        return {m[1]: int(m[2], 16) for m in re.finditer(r"\] (\S+) +PROGBITS +\w+ \w+ (\w+)", out)}

    def test_size(self):
        sections = self.sections()
        rest = os.path.getsize(self.so) - sections[".xf.weights"] - sections[".xf.ir"]
        print(
            f"model.so: {sections['.xf.weights']} bytes of weights, {sections['.xf.ir']} of IR text, "
            f"{rest} of everything else"
        )
        self.assertLess(rest, 1.5e6)

    def test_needs(self):
        dynamic, symbols = (
            run("readelf", "-W", "-d", self.so).stdout,
            run("readelf", "-W", "--dyn-syms", self.so).stdout,
        )
        needed = re.findall(r"NEEDED.*\[(.*?)\]", dynamic)
        self.assertTrue(needed)
        self.assertLessEqual(set(needed), {"libc.so.6", "libm.so.6"})
        rows = [line.split() for line in symbols.splitlines() if re.match(r"\s*\d+:", line)]
        exported = [row[7] for row in rows if row[6] not in ("UND", "ABS") and row[4] != "LOCAL"]
        self.assertEqual([name.split("@")[0] for name in exported], ["xf_get_api"])
        versions = [tuple(map(int, v.split("."))) for v in re.findall(r"@GLIBC_([\d.]+)", symbols)]
        self.assertTrue(versions)
        self.assertLessEqual(max(versions), (2, 28))
        self.assertNotIn("TEXTREL", dynamic)

    def test_compiler(self):
        print(f"xfc: {self.processor:.1f} s of processor time in {self.seconds:.1f} s for three variants, {self.peak >> 20} MiB at most")
        self.assertLess(self.peak, 1.5 * os.path.getsize(MODEL) + 200e6)

    def test_open(self):
        times = []
        for _ in range(5):
            done = run(
                XF_RUN,
                self.so,
                "--bench",
                "--iters",
                "1",
                "--warmup",
                "0ms",
                "--shape",
                "input_ids=1x16",
                "--threads",
                "1",
                "--json",
            )
            self.assertEqual(done.returncode, 0, done.stderr)
            times.append(json.loads(done.stdout)["open_ms"])
        print(f"open: {statistics.median(times):.2f} ms")


class Memory(Case):
    def test_resident_and_allocations(self):
        weights = File.sections(self)[".xf.weights"]
        for batch, length, threads in ((1, 16, 1), (8, 128, 1), (8, 128, 4), (32, 64, 1)):
            done = run(MODEL_MEMORY, self.so, batch, length, threads)
            self.assertEqual(done.returncode, 0, done.stderr)
            r = json.loads(done.stdout)
            own = r["after"] - r["before"] - r["of_file"]
            print(
                f"{batch}x{length}, {threads} threads: {own >> 10} KiB of its own, {r['workspace'] >> 10} KiB planned, "
                f"{r['of_file'] >> 10} KiB of the file touched"
            )
            self.assertEqual(r["allocations"], 0)
            self.assertGreater(r["of_file"], 0)
            self.assertLess(r["of_file"], weights)  # 97 words do not touch the whole table of embeddings
            self.assertLess(own, 1.2 * r["workspace"] + 8e6)


class Examples(Case):
    def test_rank(self):
        done = run(RANK, self.so, SENTENCES, "1")
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stdout.splitlines()
        self.assertRegex(lines[0], "^query: How do I cook rice")
        self.assertRegex(lines[1], r"^  0\.\d{3}  The best way to prepare fluffy rice")
        scores = [float(line.split()[0]) for line in lines[1:-1]]
        self.assertEqual(scores, sorted(scores, reverse=True))
        self.assertEqual(run(RANK, self.so, SENTENCES, "201").returncode, 1)
        self.assertEqual(run(RANK, SENTENCES, SENTENCES).returncode, 1)

    def test_example(self):
        done = run(EXAMPLE, self.so, *self.rows[0])
        self.assertEqual(done.returncode, 0, done.stderr)
        want = self.session.run(None, pad(self.rows[:1]))
        name = self.session.get_outputs()[-1].name
        got = re.search(rf"^{name}: \[1, 384\] = (.*) \.\.\.$", done.stdout, re.M)
        np.testing.assert_allclose(list(map(float, got[1].split())), want[-1][0, :8], rtol=1e-4, atol=1e-6)
        self.assertEqual(run(EXAMPLE, "no.so", "101").returncode, 1)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
