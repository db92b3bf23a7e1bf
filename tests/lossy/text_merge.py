#!/usr/bin/env python3
"""text_merge.py XFC XF_OPT XF.py - merged text encoders, whose texts keep a share of their own tokens, against numpy.

Small encoders with every kind of exit and of mask, texts of many lengths, padding on either side and within: each text alone, its
first and last token protected, by a ratio, by a threshold, by both. Outputs of all tokens hold, for each token, the row that it went
to. The bits do not depend on company or width. Masks that are none run the exact program. A ratio of 0 gives the exact
results. The interpreter agrees with the passes that lower the merged model, and the search finds levels of such models.
"""
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "bench"), str(HERE.parent / "models")]
from common import ONE_ISA, SKIP, load_xf, run  # noqa: E402

try:
    import make_bert
    import numpy as np
    import onnx  # noqa: F401, token_merge.Case needs it
except ImportError:
    print("SKIP: onnx is not installed")
    sys.exit(SKIP)
import token_merge  # noqa: E402
from token_merge import erf, linear, match, merge, norm  # noqa: E402

SMALL = {"layers": 3, "width": 32, "heads": 4, "vocab": 40, "positions": 64}
WIDTH = 40  # of padded batches
RAISING = "fold,cse,simplify,views,fold,simplify,cse,dce,raise,views,merge,fold,cse,dce,pre-rmsnorm,token-merge"
LOWERING = "legalize,simplify,views,cse,fold,dce,layout,share,dce,cse,fold,dce,kernels,fuse,dce"


# --- the reference, one text at a time, in double ---

def attend(w, a, name, x, mass):
    q, k, v = (linear(w, f"{name}.{part}", x).reshape(len(x), a.heads, -1).transpose(1, 0, 2) for part in ("query", "key", "value"))
    scores = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1]) + (0 if mass is None else np.log(mass))
    e = np.exp(scores - scores.max(-1, keepdims=True))
    together = (e / e.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(len(x), -1)
    return linear(w, f"{name}.output", together), k.mean(0)


def fewer(x, mass, key, ratio, threshold):
    """With those merged that may, and where each went. The first and the last are protected."""
    n = len(x)
    most = min(n * round(1000 * ratio) // 1000, max(n - 2, 0) // 2)
    unit = key / np.linalg.norm(key, axis=-1, keepdims=True)
    scores = unit[:n - 1:2] @ unit[1:n - 1:2].T
    scores[:1] = -np.inf
    r = min(most, int((scores.max(1) >= threshold).sum())) if most > 0 else 0
    to = match(key[:n - 1], r, 1) if r > 0 else np.arange(n - 1)
    to = np.append(to, n - 1 - r) if n > 1 else np.arange(n)
    x, mass = merge(x[None], mass[None], to[None])
    return x[0], mass[0], to


def encode(w, a, ids, types, places, ratio, threshold, proportional):
    """The row of each token of the text."""
    x = w["embeddings.word.weight"][ids] + w["embeddings.type.weight"][types] + w["embeddings.position.weight"][places]
    x, mass, at = norm(w, "embeddings.norm", x), np.ones(len(ids)), np.arange(len(ids))
    for i in range(a.layers):
        name = f"layer.{i}"
        branch, key = attend(w, a, f"{name}.attention", x, mass if proportional else None)
        x, mass, to = fewer(x + branch, mass, key, ratio, threshold)
        at = to[at]
        x = norm(w, f"{name}.attention.norm", x)
        y = linear(w, f"{name}.inner", x)
        x = norm(w, f"{name}.norm", x + linear(w, f"{name}.output", y * 0.5 * (1 + erf(y / np.sqrt(2)))))
    return x[at]


def reference(w, a, feed, ratio, threshold=-np.inf, proportional=True):
    mask = feed["attention_mask"] != 0
    tokens, pooled = np.zeros((*mask.shape, a.width)), np.zeros((len(mask), a.width))
    for i, real in enumerate(mask):
        places = np.flatnonzero(real)
        if not len(places):
            continue
        ids = feed["input_ids"][i]
        x = encode(w, a, ids[places], feed["token_type_ids"][i][places], places, ratio, threshold, proportional)
        tokens[i][places] = x
        if a.pooling == "cls":
            pooled[i] = np.tanh(linear(w, "pooling", x[0]))
        elif a.pooling == "mean":
            pooled[i] = x.mean(0)
        elif a.pooling == "weighted":
            e = np.exp(linear(w, "pooling", x)[:, 0])
            pooled[i] = (e / e.sum()) @ x
        elif a.pooling == "last":
            pooled[i] = tokens[i][real.sum() - 1]
        elif a.pooling == "end":
            pooled[i] = tokens[i][ids.argmax()]
    return tokens, pooled


# --- cases ---

class Case(token_merge.Case):
    maker, small = make_bert, SMALL

    def feed(self, mask, seed=1):
        random, kind = np.random.default_rng(seed), {"bool": bool}.get(self.options.mask, self.options.mask)
        ids = random.integers(0, self.options.vocab - 1, mask.shape, dtype=np.int64)
        if self.options.pooling == "end":
            ids[np.arange(len(mask)), mask.shape[1] - 1 - mask[:, ::-1].argmax(1)] = self.options.vocab - 1
        return {"input_ids": ids, "attention_mask": mask.astype(kind), "token_type_ids": random.integers(0, 2, mask.shape, dtype=np.int64)}


def masks(a):
    """Texts of all lengths; where the exit allows, padded in front and with holes, and empty."""
    full = np.arange(WIDTH) < np.arange(1, WIDTH + 1)[:, None]
    if a.pooling in ("cls", "last"):
        return [full, full[7:12], full[:3]]
    random = np.random.default_rng(0).random((30, WIDTH)) < 0.6
    random[:, 3] = True
    empty = [np.arange(WIDTH) < np.array([[0], [9], [0]])] if a.pooling in ("mean", "none") else []  # else such batches are not merged
    return [full, full[:, ::-1].copy(), random, *empty]


def check(case, word, **how):
    session, a = case.compiled(f"--lossy=token-merge:{word}"), case.options
    for mask in masks(a):
        feed = case.feed(mask)
        got, want = session.run(None, feed), reference(case.weights, a, feed, **how)
        worst = max(np.abs(g - w).max() / np.abs(w).max() for g, w in zip(got, want))
        print(f"{a.pooling}, {a.mask}, {word}: {worst:.1e} of the largest value")
        assert worst < 1e-4, worst
        some = {name: value[1:3] for name, value in feed.items()}
        assert all((x[1:3] == y).all() for x, y in zip(got, session.run(None, some))), "bits depend on the company"
    short = {name: value[:9, :12] for name, value in case.feed(masks(a)[0]).items()}
    alone = session.run(None, {name: np.ascontiguousarray(value[:, :9]) for name, value in short.items()})
    assert (session.run(None, short)[0][:, :9] == alone[0]).all(), "bits depend on the width"


def check_exact(case):
    """No mask, and no merging."""
    exact, session, none = case.compiled(), case.compiled("--lossy=token-merge:ratio=0.3"), case.compiled("--lossy=token-merge:ratio=0")
    feed = case.feed(masks(case.options)[0])
    assert all((x == y).all() for x, y in zip(exact.run(None, feed), none.run(None, feed))), "ratio=0 changed bits"
    feed["attention_mask"][2, 1] = 2
    assert all((x == y).all() for x, y in zip(exact.run(None, feed), session.run(None, feed))), "what is no mask was merged"


def check_interpreter(case, word):
    lossy = case.folder / "merged.xf"
    done = run(case.tools["xf-opt"], "-p", RAISING, f"--lossy=token-merge:{word}", "--data=inline", "--check=clone,roundtrip,verify",
               case.path, "-o", lossy)
    assert done.returncode == 0, done.stderr
    assert "match_ragged" in lossy.read_text()
    done = run(case.tools["xf-opt"], "-p", LOWERING, "--eval-both", "--rounds=4", "--rtol=1e-3", lossy)
    assert done.returncode == 0, done.stdout + done.stderr


def check_search(case):
    samples = case.folder / "samples"
    samples.mkdir()
    for i in range(12):
        np.savez(samples / f"{i}.npz", **case.feed(np.arange(24) < np.array([[24], [5 + i]]), seed=i))
    so = case.folder / "found.so"
    done = run(case.tools["xfc"], "-q", ONE_ISA, case.path, "--lossy=token-merge", f"--calib={samples}", "--max-error=cos:0.9", "-o", so)
    assert done.returncode == 0, done.stderr
    session = case.tools["xf"].InferenceSession(str(so), threads=1)
    assert '"level"' in session.metadata("lossy"), session.metadata("lossy")


def main():
    xfc, xf_opt, xf = sys.argv[1:4]
    tools = {"xfc": xfc, "xf-opt": xf_opt, "xf": load_xf(xf)}
    ratio, half = {"ratio": 0.2}, {"ratio": 0.5, "threshold": 0.4}
    kinds = [({"pooling": "cls"}, "ratio=0.2", ratio), ({"pooling": "mean", "mask": "bool"}, "ratio=0.2", ratio),
             ({"pooling": "none", "mask": "float32"}, "ratio=0.345", {"ratio": 0.345}),
             ({"pooling": "last", "mask": "bool"}, "ratio=0.5", {"ratio": 0.5}), ({"pooling": "weighted"}, "threshold=0.4", half),
             ({"pooling": "mean", "norm": "spelled"}, "ratio=0.1,threshold=0.4", {**half, "ratio": 0.1}),
             ({"pooling": "end", "mask": "int32"}, "ratio=0.2,proportional=off", {**ratio, "proportional": False})]
    for more, word, how in kinds:
        with tempfile.TemporaryDirectory() as folder:
            case = Case(Path(folder), tools, **more)
            check(case, word, **how)
            if case.options.mask == "bool":
                check_interpreter(case, word)
            if case.options.pooling == "cls":
                check_exact(case)
                check_search(case)
    return 0


if __name__ == "__main__":
    sys.exit(main())
