#!/usr/bin/env python3
"""test_trained.py XFC - the trained models score what they scored in training, and what chooses never sees what judges.

The numbers are those of onnxruntime (README.md). Compiled exactly, a model may differ by a sample or two whose two best
classes are as good as equal.
"""
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
from common import ONE_ISA, SKIP, load_xf, run

try:
    import numpy as np
    import samples
except ImportError as e:
    print(f"SKIP: the trained models are not run: {e}")
    sys.exit(SKIP)

XFC = sys.argv.pop(1)
xf = load_xf(samples.HERE.parents[1] / "tools" / "xf.py")
SCORES = {"digits": (95.3125, 95.2), "letters": (-6.3728, -6.2290), "topics": (80.8594, 80.7)}  # of calib, of eval
SLACK = {"digits": 0.4, "letters": 1e-3, "topics": 0.4}
SIZES = {"digits": (256, 500), "topics": (512, 1000), "sentences": (150, 350)}
RUN = 48  # of the 65 characters of a window: definitions have phrases in common


def texts(name, part):
    """The pieces of a set that stand for themselves: an image, a padded definition, a sentence, a run of characters."""
    rows, _ = samples.read(name, part)
    if name != "letters":
        return [np.asarray(row).tobytes() for row in rows]
    return [row[i:i + RUN].tobytes() for row in rows for i in range(len(row) + 1 - RUN)]


class Sets(unittest.TestCase):
    def test_nothing_is_in_two(self):
        for name in (*samples.NAMES, "sentences"):
            calib, evaluation = texts(name, "calib"), texts(name, "eval")
            self.assertGreaterEqual(min(len(calib), len(evaluation)), 150, name)
            self.assertFalse(set(calib) & set(evaluation), name)
            if name in SIZES:
                self.assertEqual((len(set(calib)), len(set(evaluation))), SIZES[name], name)

    def test_some_are_from_all_over(self):
        """The definitions stand topic by topic."""
        self.assertEqual(len(set(samples.read("topics", "calib", 8)[1])), 8)

    def test_files_hold_samples_in_order(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in samples.NAMES:
                samples.write_npz(name, "calib", Path(folder) / name, n=7, batch=3)
                files = sorted((Path(folder) / name).iterdir())
                self.assertEqual([f.name for f in files], ["000.npz", "001.npz", "002.npz"])
                for file, (feed, _) in zip(files, samples.batches(name, "calib", 3, 7), strict=True):
                    with np.load(file) as arrays:
                        self.assertEqual(sorted(arrays), sorted(feed))
                        for k, v in feed.items():
                            np.testing.assert_array_equal(arrays[k], v)


class Scores(unittest.TestCase):
    def test_spearman(self):
        self.assertAlmostEqual(samples.spearman([1, 2, 3, 4], [10, 20, 40, 30]), 0.8)
        self.assertAlmostEqual(samples.spearman([1, 2, 2, 4], [4, 2, 2, 1]), -1)

    def test_compiled(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in samples.NAMES:
                so = Path(folder) / f"{name}.so"
                done = run(XFC, ONE_ISA, samples.model_of(name), "-o", so)
                self.assertEqual(done.returncode, 0, done.stderr)
                with xf.InferenceSession(so) as session:
                    for part, want in zip(("calib", "eval"), SCORES[name]):
                        got = samples.score(name, lambda feed: session.run(None, feed)[0], part)
                        print(f"{name} {part}: {got:.4f}")
                        self.assertAlmostEqual(got, want, delta=SLACK[name], msg=f"{name} {part}")


if __name__ == "__main__":
    unittest.main()
