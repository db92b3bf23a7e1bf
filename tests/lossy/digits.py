#!/usr/bin/env python3
"""digits.py XFC XF.py - what making tokens fewer costs the small vision transformer that was trained on digits.

Four of its 65 tokens merge in each of its six blocks, or are spread over those that stay: at most one point of accuracy.
What all blocks are said to save is what the model has fewer, and what matching costs.
"""
import json
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "trained"), str(HERE.parent / "models")]
from common import ONE_ISA, SKIP, load_xf, run  # noqa: E402

try:
    import samples
except ImportError as e:
    print(f"SKIP: {e}")
    sys.exit(SKIP)


def check_savings(session, r, width=16):
    told = json.loads(session.metadata("lossy"))
    left = [65 - r * i for i in range(6)]
    matching = sum((n + 1) // 2 * (n // 2) * width for n in left)
    saved = sum(site["saves"] for site in told["kinds"][0]["sites"])
    assert saved == told["multiplications_exact"] - told["multiplications"] + matching, told


def main():
    xfc, xf = sys.argv[1], load_xf(sys.argv[2])
    scores = {}
    with tempfile.TemporaryDirectory() as folder:
        for word in ("r=0", "r=4", "r=4,by=transform"):
            so = Path(folder) / f"{len(scores)}.so"
            done = run(xfc, "-q", ONE_ISA, samples.model_of("digits"), f"--lossy=token-merge:{word}", "-o", so)
            assert done.returncode == 0, done.stderr
            session = xf.InferenceSession(str(so), threads=1)
            if word == "r=4":
                check_savings(session, 4)
            scores[word] = samples.score("digits", lambda feed, s=session: s.run(None, feed)[0])
    print(scores)
    assert all(score >= scores["r=0"] - 1 for score in scores.values()), scores
    return 0


if __name__ == "__main__":
    sys.exit(main())
