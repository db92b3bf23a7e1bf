#!/usr/bin/env python3
"""test_unpad.py XFC MODEL [--mode=require|auto|off] [--flags="-O0 ..."] - what padding removal promises, through xfc and xf.py.

A model of encoders.py is compiled twice, with --unpad=MODE (default require) and --unpad=off. Masks of zeros and ones run the packed program: what
it says at real tokens is what the padded build says up to rounding, at padding it is 0, and nothing under the mask is ever read. The
bits do not depend on company, width, threads or what ran before. Masks that are no masks run the model as it stands, bit for bit. --mode=off checks
the tests themselves: all that is not about packing must hold of the padded build too. Without onnxruntime the comparison with it is skipped.
"""
import os
import re
import sys
import unittest

# First: it skips aloud where packages are missing.
from encoders import ALL, MARCH, difference, has_tokens, input_named, make_feed, prefixes, run, run_into, same_bits, suffixes, temporary, xf
import numpy as np

try:
    import onnxruntime
except ImportError:
    onnxruntime = None
    print("SKIP: nothing is compared with onnxruntime, which is not installed")

XFC, NAME = os.path.abspath(sys.argv[1]), sys.argv[2]
OPTIONS = dict(argument[2:].split("=", 1) for argument in sys.argv[3:])
MODE, FLAGS = OPTIONS.get("mode", "require"), OPTIONS.get("flags", MARCH).split()
MODEL = ALL[NAME]
PACKS = MODE != "off"
OWN, PEER = 1e-5, 1e-4  # tolerances: the own padded build, onnxruntime


def holes(random, shape, density):
    return (random.random(shape) < density).astype(np.int64)


def first_kept(mask):
    mask = np.array(mask)
    mask[:, :1] = 1
    return mask


class Case(unittest.TestCase):
    usual = {}  # of each output: the largest value that it had so far

    @classmethod
    def setUpClass(cls):
        if hasattr(Case, "folder"):
            return
        Case.folder = temporary()
        Case.onnx = MODEL.file(NAME, Case.folder.name)
        Case.packed, Case.said = Case.compile("packed", MODE)
        Case.padded, _ = Case.compile("padded", "off")
        Case.session = xf.InferenceSession(Case.packed, threads=1)
        Case.off = xf.InferenceSession(Case.padded, threads=1)
        Case.peer = None
        if onnxruntime:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads, options.log_severity_level = 1, 3
            Case.peer = onnxruntime.InferenceSession(Case.onnx, options, providers=["CPUExecutionProvider"])

    @classmethod
    def compile(cls, name, mode):
        so = os.path.join(cls.folder.name, name + ".so")
        done = run(XFC, cls.onnx, "-o", so, f"--unpad={mode}", *FLAGS)
        assert done.returncode == 0, f"xfc --unpad={mode}: exit code {done.returncode}\n{done.stderr}"
        return so, done.stdout + done.stderr

    def feed(self, mask, **more):
        return make_feed(self.session, MODEL, mask, **more)

    def mask_of(self, feed):
        return feed[input_named(self.session, "mask").name]

    def reads_real(self, feed):
        """By text: does its pooled row come from real tokens only?"""
        mask = self.mask_of(feed)
        if not MODEL.reads or not mask.size:
            return (mask != 0).any(axis=1)
        read = MODEL.reads(mask != 0, feed[input_named(self.session, "input_ids").name])
        return mask[np.arange(len(mask)), read] != 0

    def is_packed(self, feed):
        """By the rule of the documentation."""
        mask = self.mask_of(feed).astype(np.float64)
        if not PACKS or not np.isin(mask, (0, 1)).all() or (MODEL.prefix and (np.diff(mask) > 0).any()):
            return False
        return not MODEL.reads or bool(self.reads_real(feed).all())

    def valid(self, feed, outputs):
        """Rows of real tokens, and pooled rows that come from real tokens only."""
        mask, real = self.mask_of(feed) != 0, self.reads_real(feed)
        return [out[mask] if has_tokens(self.session, node) else out[real] for node, out in zip(self.session.get_outputs(), outputs)]

    def assertSameBits(self, got, want, what):
        for node, g, w in zip(self.session.get_outputs(), got, want, strict=True):
            self.assertTrue(same_bits(g, w), f"{node.name}: {what}: {int((g != w).sum()) if g.shape == w.shape else 'all'} elements differ")

    def assertZeroPadding(self, feed, outputs, what):
        mask = self.mask_of(feed) == 0
        for node, out in zip(self.session.get_outputs(), outputs):
            if has_tokens(self.session, node):
                wrong = out[mask] != 0
                self.assertFalse(wrong.any(), f"{node.name}: {what}: {int(wrong.sum())} elements at padding are not 0")

    def assertClose(self, feed, got, want, tolerance, what):
        for node, g, w in zip(self.session.get_outputs(), self.valid(feed, got), self.valid(feed, want), strict=True):
            Case.usual[node.name] = max(Case.usual.get(node.name, 0), np.abs(w).max(initial=0))
            self.assertLessEqual(difference(g, w, Case.usual[node.name]), tolerance, f"{node.name}: {what}")

    def run_off(self, feed):
        """The padded build; None if it fails, where the other must fail in the same way."""
        try:
            return run_into(self.off, feed)
        except xf.Error as e:
            with self.assertRaises(xf.Error, msg=f"the padded build: {e}") as caught:
                run_into(self.session, feed)
            self.assertEqual(caught.exception.status, e.status, str(caught.exception))
            return None

    def check(self, feed, what):
        """All that is promised of one call."""
        want = self.run_off(feed)
        if want is None:
            return
        got = run_into(self.session, feed)
        if self.is_packed(feed):
            self.assertClose(feed, got, want, OWN, f"{what}: packed and padded build")
            self.assertZeroPadding(feed, got, what)
        else:
            self.assertSameBits(got, want, f"{what}: the padded program of both builds")
        if self.peer and self.mask_of(feed).size and np.isin(self.mask_of(feed), (0, 1)).all():
            self.assertClose(feed, got, self.peer.run(None, feed), PEER, f"{what}: onnxruntime")


def lengths(longest):
    """(name, lengths, width)"""
    n = longest
    table = [("one full", [n], n), ("one short", [5], n), ("one token", [1], 1), ("one token of many", [1], n), ("all full", [n] * 3, n),
             ("all equal", [n // 3] * 4, n), ("one long, many short", [2, 3, 1, n, 2, 4, 1, 1, 3, 2, 5], n), ("0, 1, S", [0, 1, n], n),
             ("empty at both ends", [0, 7, 0, 3, 0], 9), ("all empty", [0, 0], 6), ("ones", [1] * 7, 2), ("growing", list(range(1, 18)), 17),
             ("falling", list(range(17, 0, -1)), 20)]
    if n >= 200:
        table += [("blocks", [63, 64, 65, 1, 127, 128, 129, 0, 192, 193], 200), ("long and short", [200, 3, 199, 64], 230)]
    return table


class Results(Case):
    def test_lengths(self):
        for what, sizes, width in lengths(MODEL.longest):
            for text, mask in ((what, prefixes(sizes, width)), (what + ", left padding", suffixes(sizes, width))):
                with self.subTest(text):
                    self.check(self.feed(mask), text)

    def test_holes(self):
        random = np.random.default_rng(3)
        for b, s, density in ((1, 9, 0.5), (4, 13, 0.3), (3, MODEL.longest, 0.7), (8, 33, 0.1), (2, 64, 0.97)):
            mask = holes(random, (b, s), density)
            for text, m in (("holes", mask), ("holes, first kept", first_kept(mask)), ("every second", first_kept(mask * 0 + np.arange(s) % 2))):
                with self.subTest(f"{text} {b}x{s}"):
                    self.check(self.feed(m), f"{text} {b}x{s}")

    def test_random(self):
        random = np.random.default_rng(4)
        for i in range(24):
            b, s = int(random.integers(1, 12)), int(random.integers(1, min(MODEL.longest, 80)))
            mask = prefixes(random.integers(0 if i % 4 == 0 else 1, s + 1, b), s)
            if i % 3 == 2:
                mask = first_kept(mask * holes(random, mask.shape, 0.8))
            with self.subTest(i):
                self.check(self.feed(mask, seed=i), f"random mask {i}, {b}x{s}")

    def test_not_a_mask(self):
        """Anything but zeros and ones runs the model as it stands."""
        dtype = input_named(self.session, "mask").dtype
        values = {"i": (2, -1, 7, np.iinfo(dtype).max if dtype.kind == "i" else 0), "f": (0.5, 2.0, -1.0, 1e-30, np.nan), "b": ()}[dtype.kind]
        if dtype == np.int64:
            values += (1 << 32, (1 << 32) + 1)  # zero and one in their lower half
        for value in values:
            for place in ((0, 0), (2, 1), (1, 8), (2, 8)):
                feed = self.feed(prefixes([9, 4, 6], 9))
                self.mask_of(feed)[place] = value
                self.assertEqual(self.is_packed(feed), False)
                with self.subTest(value=value, place=place):
                    self.check(feed, f"mask of {value} at {place}")

    def test_negative_zero(self):
        if input_named(self.session, "mask").dtype.kind != "f":
            return
        feed = self.feed(prefixes([9, 4, 6], 9))
        want = run_into(self.session, feed)
        self.mask_of(feed)[feed[input_named(self.session, "mask").name] == 0] = -0.0
        self.assertSameBits(run_into(self.session, feed), want, "-0.0 is 0")

    def test_nothing(self):
        """No sequences, or no positions: as the padded build, errors included."""
        for shape in ((0, 16), (0, 1), (3, 0), (1, 0), (0, 0)):
            feed = self.feed(np.zeros(shape, np.int64))
            with self.subTest(shape):
                want = self.run_off(feed)
                if want is not None:
                    self.assertSameBits(run_into(self.session, feed), want, shape)

    def test_finite(self):
        """What lies in memory beyond the real tokens is no result of a kernel."""
        session = xf.InferenceSession(self.packed, threads=1, check_finite=True)
        for sizes in ([9, 1, 4], [1], [3, 3]):
            feed = self.feed(prefixes(sizes, 12))
            self.assertSameBits(run_into(session, feed), run_into(self.session, feed), sizes)


class UnderTheMask(Case):
    """What stands at padded positions."""

    def masks(self):
        n = MODEL.longest
        sizes = [n, 3, n // 2, 1, 7]
        yield "prefixes", prefixes(sizes, n)
        if not MODEL.reads_padding:
            yield "left padding", suffixes(sizes, n)
            yield "holes", first_kept(prefixes(sizes, n) * holes(np.random.default_rng(5), (5, n), 0.6))

    def test_ids(self):
        for what, mask in self.masks():
            feed = self.feed(mask)
            want = run_into(self.session, feed)
            for i in range(3):
                other = dict(feed)
                for name, random in zip(feed, (np.random.default_rng(10 * i + k) for k in range(9))):
                    if name != input_named(self.session, "mask").name:
                        noise = random.integers(0, 2 if "type" in name else MODEL.vocabulary - MODEL.ends, mask.shape, dtype=np.int64)
                        other[name] = np.where(mask != 0, feed[name], noise)
                got = run_into(self.session, other)
                with self.subTest(what, i=i):
                    self.assertSameBits(self.valid(feed, got), self.valid(feed, want), what)
                    if self.is_packed(feed):
                        self.assertSameBits(got, want, what)

    def test_ids_that_are_none(self):
        """An id beyond the table is an error at a token; under the mask the packed program never sees it."""
        ids = input_named(self.session, "input_ids").name
        for wrong in (MODEL.vocabulary + 5, -MODEL.vocabulary - 5, 1 << 40, -(1 << 62)):
            for what, mask in self.masks():
                feed = self.feed(mask)
                other = dict(feed, **{ids: np.where(mask != 0, feed[ids], wrong)})
                if self.is_packed(feed) and self.is_packed(other):
                    want = run_into(self.session, feed)
                    with self.subTest(what, id=wrong):
                        self.assertSameBits(run_into(self.session, other), want, what)
            feed = self.feed(prefixes([3, 5], 7))
            feed[ids][1, 4] = wrong
            with self.assertRaises(xf.Error) as caught:
                run_into(self.session, feed)
            with self.assertRaises(xf.Error) as other:
                run_into(self.off, feed)
            self.assertEqual(caught.exception.status, other.exception.status, f"{caught.exception}, padded build: {other.exception}")


class SameBits(Case):
    def rows(self, feed, outputs, i):
        """Sequence i: its real tokens, its pooled rows."""
        mask = self.mask_of(feed)[i] != 0
        return [out[i][mask] if has_tokens(self.session, node) else out[i] for node, out in zip(self.session.get_outputs(), outputs)]

    def alone(self, feed, i, columns=slice(None)):
        return {name: np.ascontiguousarray(array[i:i + 1, columns]) for name, array in feed.items()}

    def feeds(self):
        n = MODEL.longest
        sizes = [n, 1, n // 2, 5, n - 1, 33, 2]
        yield "prefixes", self.feed(prefixes(sizes, n))
        if PACKS and MODEL.prefix:  # a batch runs padded where one of its sequences would run packed
            return
        left = self.feed(suffixes(sizes, n))
        if self.is_packed(left):
            yield "left padding", left
        some = self.feed(first_kept(prefixes(sizes, n) * holes(np.random.default_rng(6), (7, n), 0.6)))
        if self.is_packed(some) or not PACKS:
            yield "holes", some

    def test_alone_and_in_a_batch(self):
        for what, feed in self.feeds():
            together = run_into(self.session, feed)
            for i in range(len(self.mask_of(feed))):
                one = self.alone(feed, i)
                self.assertSameBits(self.rows(one, run_into(self.session, one), 0), self.rows(feed, together, i), f"{what}, sequence {i}")

    @unittest.skipUnless(PACKS, "the padded build rounds by its width")
    def test_without_padding(self):
        what, feed = next(self.feeds())
        together = run_into(self.session, feed)
        for i, n in enumerate(self.mask_of(feed).sum(axis=1)):
            for width in {int(n), min(int(n) + 3, MODEL.longest)}:
                one = self.alone(feed, i, slice(width))
                self.assertSameBits(self.rows(one, run_into(self.session, one), 0), self.rows(feed, together, i), f"length {n} in {width}")

    def test_order(self):
        for what, feed in self.feeds():
            order = np.random.default_rng(7).permutation(len(self.mask_of(feed)))
            got = run_into(self.session, {name: np.ascontiguousarray(array[order]) for name, array in feed.items()})
            want = run_into(self.session, feed)
            self.assertSameBits(got, [out[order] for out in want], what)

    def test_threads(self):
        sessions = [xf.InferenceSession(self.packed, threads=n) for n in (2, 4)]
        more = [("one", self.feed(prefixes([3], 9))), ("0, 1", self.feed(prefixes([0, 1], 9)))]
        for what, feed in list(self.feeds()) + more:
            want = run_into(self.session, feed)
            for session in sessions:
                for _ in range(3):
                    self.assertSameBits(run_into(session, feed), want, what)

    def test_again(self):
        """Whatever ran before in the same memory, the other program and results that are not finite included."""
        feeds = [feed for _, feed in self.feeds()]
        wants = [run_into(self.session, feed) for feed in feeds]
        spoilt = self.feed(prefixes([MODEL.longest, 9], MODEL.longest))
        mask = self.mask_of(spoilt)
        if mask.dtype.kind != "b":
            mask[1, 2] = 100  # (1 - 100) * -3.4e38: infinite, then not a number
        no_first = self.feed(suffixes([3, 8, 2], 20))
        for between in (spoilt, no_first, self.feed(prefixes([1], 1)), self.feed(prefixes([MODEL.longest] * 9, MODEL.longest))):
            run_into(self.session, between)
            for feed, want in zip(feeds, wants):
                self.assertSameBits(run_into(self.session, feed), want, "again")


@unittest.skipUnless(PACKS, "nothing is packed")
class Told(Case):
    """A user is told that values at padding are 0."""

    def test_artefact(self):
        mask = input_named(self.session, "mask").name
        for node in self.session.get_outputs():
            want = mask if has_tokens(self.session, node) else None
            self.assertEqual(self.session.metadata(f"padded-output:{node.name}"), want, node.name)
            self.assertIsNone(self.off.metadata(f"padded-output:{node.name}"))

    def test_compiler(self):
        if any(has_tokens(self.session, node) for node in self.session.get_outputs()):
            self.assertRegex(self.said, re.compile("padd(ed|ing)"))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
