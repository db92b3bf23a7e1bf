#!/usr/bin/env python3
"""digits.py XFC XF.py - what making tokens fewer costs the small vision transformer that was trained on digits.

Four of its 65 tokens merge in each of its six blocks, or are spread over those that stay: at most one point of accuracy.
"""
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "trained"), str(HERE.parent / "models")]
from common import SKIP, load_xf, run  # noqa: E402

try:
    import samples
except ImportError as e:
    print(f"SKIP: {e}")
    sys.exit(SKIP)


def main():
    xfc, xf = sys.argv[1], load_xf(sys.argv[2])
    scores = {}
    with tempfile.TemporaryDirectory() as folder:
        for word in ("r=0", "r=4", "r=4,by=transform"):
            so = Path(folder) / f"{len(scores)}.so"
            done = run(xfc, "-q", samples.model_of("digits"), f"--lossy=token-merge:{word}", "-o", so)
            assert done.returncode == 0, done.stderr
            session = xf.InferenceSession(str(so), threads=1)
            scores[word] = samples.score("digits", lambda feed, s=session: s.run(None, feed)[0])
    print(scores)
    assert all(score >= scores["r=0"] - 1 for score in scores.values()), scores
    return 0


if __name__ == "__main__":
    sys.exit(main())
