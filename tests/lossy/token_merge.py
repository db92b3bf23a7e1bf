#!/usr/bin/env python3
"""token_merge.py XFC XF_OPT XF.py - merged vision transformers against token merging written in numpy.

Small models of every kind of head, with and without special tokens, r as one number, a list, by inflection, a ratio, a threshold; and the
encoder of a masked autoencoder, whose patches are shuffled: the compiled program gives the reference's results on many inputs, and
where it gives all tokens, those are equal that the reference merged and no others, so the plans are the same. r = 0 gives the bits of the exact program; any batch gives the same bits;
equal tokens merge without a trace; onnxruntime agrees on the model with merging spelled out. The interpreter agrees with each pass that lowers the merged model.
"""
import math
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "bench"), str(HERE.parent / "models")]
from common import ONE_ISA, SKIP, load_xf, run  # noqa: E402

try:
    import make_vit
    import numpy as np
    import onnx
    from onnx import numpy_helper
except ImportError:
    print("SKIP: onnx is not installed")
    sys.exit(SKIP)

SMALL = {"layers": 4, "width": 32, "heads": 4, "image": 40, "patch": 8, "classes": 10}
INPUTS = 100
erf = np.vectorize(math.erf, otypes=[np.float64])


# --- the reference, in double ---

def linear(w, name, x):
    return x @ w[f"{name}.weight"] + w[f"{name}.bias"]


def norm(w, name, x):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-12) * w[f"{name}.weight"] + w[f"{name}.bias"]


def noise_of(images, a):
    """What an autoencoder chooses patches by: a number for each, which follows from the image."""
    rows = images.reshape(len(images), -1)[:, :(a.image // a.patch) ** 2]
    return rows.astype(np.float32)


def begin(w, a, images):
    side, n = a.image // a.patch, len(images)
    cut = images.reshape(n, 3, side, a.patch, side, a.patch).transpose(0, 2, 4, 1, 3, 5).reshape(n, side * side, -1)
    x = cut @ w["patches.weight"].reshape(a.width, -1).T + w["patches.bias"]
    front = [np.broadcast_to(w[f"token.{i}"], (n, 1, a.width)) for i in range(a.special)]
    if a.keep:
        seen = np.argsort(noise_of(images, a), kind="stable")[:, :a.keep, None]
        return np.concatenate([*front, np.take_along_axis(x + w["positions.patches"], seen, 1)], 1)
    return np.concatenate([*front, x], 1) + w["positions"]


def attend(w, a, name, y, mass):
    n, count, _ = y.shape
    q, k, v = linear(w, f"{name}.qkv", y).reshape(n, count, 3, a.heads, -1).transpose(2, 0, 3, 1, 4)
    scores = q @ k.transpose(0, 1, 3, 2) / math.sqrt(q.shape[-1])
    if mass is not None:
        scores = scores + np.log(mass)[:, None, None, :]
    e = np.exp(scores - scores.max(-1, keepdims=True))
    together = (e / e.sum(-1, keepdims=True) @ v).transpose(0, 2, 1, 3).reshape(n, count, -1)
    return linear(w, f"{name}.out", together), k.mean(1), e / e.sum(-1, keepdims=True)


def match(key, r, protect):
    """Where each token of one image goes."""
    n = len(key)
    r = min(r, (n - protect) // 2)
    if r == 0:
        return np.arange(n)
    length = np.linalg.norm(key, axis=-1, keepdims=True)
    unit = key / np.where(length > 0, length, 1)
    scores = unit[::2] @ unit[1::2].T
    scores[np.arange(0, n, 2) < protect] = -math.inf
    scores[:, np.arange(1, n, 2) < protect] = -math.inf
    goes = np.argsort(-scores.max(1), kind="stable")[:r]
    stay = [i for i in range(protect, n) if i % 2 == 0 and i // 2 not in set(goes)]
    order = [*range(protect), *stay, *(i for i in range(protect, n) if i % 2)]
    to = np.zeros(n, int)
    to[order] = np.arange(len(order))
    to[2 * goes] = to[2 * scores.argmax(1)[goes] + 1]
    return to


def alike(key, threshold, protect):
    """How many of the tokens of one image that may go are as alike to one that may stay."""
    unit = key / np.linalg.norm(key, axis=-1, keepdims=True)
    first, n = protect + protect % 2, len(key)
    scores = unit[first::2] @ unit[(protect | 1)::2].T
    return min(n // 2, (n - protect) // 2, int((scores.max(1) >= threshold).sum()) if scores.size else 0)


def merge(x, mass, to):
    count = to.max(1)[0] + 1
    hot = (to[:, None, :] == np.arange(count)[None, :, None]) * mass[:, None, :]
    total = hot.sum(-1)
    return hot @ x / total[..., None], total


def spread(x, mass, key, to, protect):
    """Those that merge would have go give each that stays a share of themselves, by likeness."""
    n, count, _ = x.shape
    fewer, fewer_mass = [], []
    for i in range(n):
        groups = [np.flatnonzero(to[i] == place) for place in range(to[i].max() + 1)]
        order = [group[group % 2 == 1][0] if len(group) > 1 else group[0] for group in groups]  # the odd one stays
        goes = np.setdiff1d(np.arange(count), order)
        unit = key[i] / np.linalg.norm(key[i], axis=-1, keepdims=True)
        scores = unit[goes] @ unit[order].T / 0.07
        scores[:, :protect] = -np.inf
        share = np.exp(scores - scores.max(-1, keepdims=True))
        share = (share / share.sum(-1, keepdims=True)).T * mass[i][goes]
        total = mass[i][order] + share.sum(-1)
        fewer.append((x[i][order] * mass[i][order, None] + share @ x[i][goes]) / total[:, None])
        fewer_mass.append(total)
    return np.stack(fewer), np.stack(fewer_mass)


def lots(count, protect, r, seed):
    h = (np.arange(count, dtype=np.uint64) * 2654435761 + seed * 40503) % 2**32
    h = (h ^ h >> np.uint64(15)) * 2246822519 % 2**32
    return protect + np.argsort(h[protect:])[:r]


def drop(x, weights, r, protect, by, seed):
    n, count, _ = x.shape
    stays = []
    for i in range(n):
        worth = weights[i][:, :1 if protect else None].mean((0, 1))
        goes = protect + np.argsort(worth[protect:], kind="stable")[:r] if by == "attention" else lots(count, protect, r, seed)
        stays.append(np.setdiff1d(np.arange(count), goes))
    return np.take_along_axis(x, np.stack(stays)[..., None], 1)


def reference(w, a, images, r, proportional=True, by="merge", threshold=None):
    """Logits or tokens, and where each token of the beginning went. threshold: each image by itself, r by how alike tokens are."""
    if threshold is not None and len(images) > 1:
        each = [reference(w, a, image[None], r, proportional, by, threshold) for image in images]
        return tuple(np.concatenate(part) for part in zip(*each))
    x = begin(w, a, images)
    n, count, _ = x.shape
    mass, at = np.ones((n, count)), np.tile(np.arange(count), (n, 1))
    for i in range(a.layers):
        name = f"layer.{i}"
        scale = (lambda part: w[f"{name}.{part}.scale"]) if a.scales else (lambda part: 1)
        branch, key, weights = attend(w, a, f"{name}.attention", norm(w, f"{name}.norm1", x), mass if proportional else None)
        x = x + branch * scale("attention")
        goes = min(r[i], (x.shape[1] - a.special) // 2) if threshold is None else alike(key[0], threshold, a.special)
        if by in ("attention", "random"):
            x = drop(x, weights, goes, a.special, by, i)
            mass = np.ones(x.shape[:2])
        else:
            to = np.stack([match(k, goes, a.special) for k in key])
            x, mass = (merge(x, mass, to) if by == "merge" or not goes else spread(x, mass, key, to, a.special))
            at = np.take_along_axis(to, at, 1)
        y = linear(w, f"{name}.inner", norm(w, f"{name}.norm2", x))
        x = x + linear(w, f"{name}.mlp", y * 0.5 * (1 + erf(y / math.sqrt(2)))) * scale("mlp")
    assert (by in ("attention", "random") or np.allclose(mass.sum(1), count)) and (mass[:, :a.special] == 1).all()
    x = norm(w, "norm", x)
    if a.head == "tokens":
        return np.take_along_axis(x, at[..., None], 1), at
    first = a.special if a.head == "mean" else 0
    weight = mass[:, first:, None]
    pooled = {"token": lambda: x[:, 0], "both": lambda: x[:, 0] + x[:, 1]}.get(
        a.head, lambda: (weight * x[:, first:]).sum(1) / weight.sum(1))()
    return linear(w, "head", pooled), at


# --- checks ---

class Case:
    maker, small = make_vit, SMALL

    def __init__(self, folder, tools, **more):
        self.folder, self.tools = folder, tools
        self.options = self.maker.options(["-"], **{**self.small, **more})
        model = self.maker.make(self.options)
        self.weights = {t.name: numpy_helper.to_array(t).astype(np.float64) for t in model.graph.initializer}
        self.path = folder / "model.onnx"
        onnx.save(model, self.path)

    def compiled(self, *words):
        so = self.folder / f"{len(list(self.folder.glob('*.so')))}.so"
        done = run(self.tools["xfc"], "-q", ONE_ISA, self.path, *words, "-o", so)
        assert done.returncode == 0, done.stderr
        return self.tools["xf"].InferenceSession(str(so), threads=1)

    def images(self, n, seed=1):
        side = self.options.image
        return np.random.default_rng(seed).standard_normal((n, 3, side, side), dtype=np.float32)


def result(session, images):
    """Of a batch, or of image by image where the model takes one."""
    nodes, n = session.get_inputs(), len(images)
    at_once = n if nodes[0].shape[0] != 1 else 1
    feed = {"pixel_values": images}
    if len(nodes) > 1:
        feed["noise"] = np.ascontiguousarray(images.reshape(n, -1)[:, :nodes[1].shape[1]])
    return np.concatenate([session.run(None, {name: x[i:i + at_once] for name, x in feed.items()})[0] for i in range(0, n, at_once)])


def same_groups(tokens, at):
    """Are those rows equal that went to one place, and no others?"""
    for rows, places in zip(tokens, at):
        _, group = np.unique(rows, axis=0, return_inverse=True)
        group = group.reshape(-1)
        if not ((group[:, None] == group) == (places[:, None] == places)).all():
            return False
    return True


def check_results(case, word, r):
    images = case.images(INPUTS)
    session = case.compiled(f"--lossy=token-merge:{word}")
    got = result(session, images)
    threshold = float(word.partition("threshold=")[2]) if "threshold" in word else None
    want, at = reference(case.weights, case.options, images.astype(np.float64), r, "proportional=off" not in word,
                         word.partition("by=")[2] or "merge", threshold)
    assert threshold is None or len(set(at.max(1))) > 1, "all images keep as many tokens"
    worst = np.abs(got - want).max() / np.abs(want).max()
    print(f"{case.options.head}, {case.options.special} special, {word}: {worst:.1e} of the largest value")
    assert got.shape == want.shape and worst < 1e-4, worst
    assert case.options.head != "tokens" or "by=" in word or same_groups(got, at), "other tokens were merged than the reference merges"
    few = result(session, images[:3])
    assert (few == got[:3]).all(), "bits depend on the batch"


def check_interpreter(case, word):
    """Merging alone first; then everything that lowers it must give what it gave."""
    lossy, lowering = case.folder / "merged.xf", "legalize,simplify,views,cse,fold,dce,layout,share,dce,cse,fold,dce,kernels,fuse,dce"
    raising = "fold,cse,simplify,views,fold,simplify,cse,dce,raise,views,merge,fold,cse,dce,pre-rmsnorm,token-merge"
    done = run(case.tools["xf-opt"], "-p", raising, f"--lossy=token-merge:{word}", "--data=inline", "--check=clone,roundtrip,verify",
               case.path, "-o", lossy)
    assert done.returncode == 0, done.stderr
    assert "merge_tokens" in lossy.read_text() and ("match_ragged" in lossy.read_text()) == ("threshold" in word)
    done = run(case.tools["xf-opt"], "-p", lowering, "--eval-both", "--rounds=3", "--rtol=1e-3", lossy)
    assert done.returncode == 0, done.stdout + done.stderr


def check_export(case):
    """The same merging spelled in ops of ONNX, run by onnxruntime."""
    try:
        import onnxruntime as ort
    except ImportError:
        print("onnxruntime is not installed: not compared with it")
        return
    spelled, images = case.folder / "spelled.onnx", case.images(INPUTS)
    onnx.save(make_vit.make(make_vit.options(["-"], **{**vars(case.options), "merge": 4})), spelled)
    want = ort.InferenceSession(str(spelled), providers=["CPUExecutionProvider"]).run(None, {"pixel_values": images})[0]
    worst = np.abs(result(case.compiled("--lossy=token-merge:r=4"), images) - want).max() / np.abs(want).max()
    print(f"onnxruntime: {worst:.1e} of the largest value")
    assert worst < 1e-4, worst


def check_nothing(case):
    images = case.images(5)
    exact = result(case.compiled(), images)
    assert (exact == result(case.compiled("--lossy=token-merge:r=0"), images)).all(), "r=0 changed bits"


def check_equal(case):
    """An image of one patch, many times, without positions: merging equal tokens leaves no trace but in the last bits."""
    images = np.tile(case.images(4)[:, :, :8, :8], (1, 1, 5, 5))
    exact, merged = result(case.compiled(), images), result(case.compiled("--lossy=token-merge:r=6"), images)
    worst = np.abs(exact - merged).max() / np.abs(exact).max()
    print(f"equal tokens: {worst:.1e}")
    assert worst < 1e-5, worst


def main():
    xfc, xf_opt, xf = sys.argv[1:4]
    tools = {"xfc": xfc, "xf-opt": xf_opt, "xf": load_xf(xf)}
    kinds = [({"head": "token"}, "r=3", [3] * 4), ({"head": "both", "special": 2, "scales": True}, "r=5/0/4", [5, 0, 4, 0]),
             ({"head": "mean"}, "r=4,inflect=0.5", [2, 3, 4, 6]), ({"head": "mean-all", "special": 0}, "r=6", [6] * 4),
             ({"head": "tokens"}, "r=4", [4] * 4), ({"head": "tokens", "special": 5}, "r=3", [3] * 4),
             ({"head": "tokens", "special": 0}, "r=12", [12] * 4), ({"head": "token"}, "ratio=0.15", [3, 3, 3, 2]),
             ({"head": "token"}, "r=4,proportional=off", [4] * 4),
             ({"head": "mean"}, "r=4,by=transform", [4] * 4), ({"head": "tokens", "special": 2}, "r=5,by=transform", [5] * 4),
             ({"head": "token"}, "r=4,by=attention", [4] * 4), ({"head": "mean-all", "special": 0}, "r=4,by=attention", [4] * 4),
             ({"head": "mean"}, "r=5,by=random", [5] * 4), ({"head": "token"}, "threshold=0.2", [0] * 4),
             ({"head": "tokens", "special": 2}, "threshold=0.3", [0] * 4), ({"head": "mean-all", "special": 0}, "threshold=0", [0] * 4),
             ({"head": "mean", "batch": 1}, "threshold=0.2", [0] * 4), ({"head": "token", "keep": 14}, "r=2,proportional=off", [2] * 4),
             ({"head": "tokens", "keep": 17}, "ratio=0.2", [3, 3, 2, 2]), ({"head": "mean", "keep": 17}, "threshold=0.2", [0] * 4)]
    for more, word, r in kinds:
        with tempfile.TemporaryDirectory() as folder:
            case = Case(Path(folder), tools, **more)
            check_results(case, word, r)
            check_interpreter(case, word)
            if word == "r=3" and case.options.head == "token":
                check_nothing(case)
                check_export(case)
    with tempfile.TemporaryDirectory() as folder:
        case = Case(Path(folder), tools, head="mean", special=1)
        model = onnx.load(case.path)
        for t in model.graph.initializer:
            if t.name == "positions":
                t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(t) * 0, t.name))
        onnx.save(model, case.path)
        check_equal(case)
    return 0


if __name__ == "__main__":
    sys.exit(main())
