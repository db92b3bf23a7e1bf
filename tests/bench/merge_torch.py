#!/usr/bin/env python3
"""merge_torch.py - does --lossy=token-merge merge what the same network written in PyTorch merges?

    tests/bench/merge_torch.py XFC [--width 384] [--heads 6] [--r 8,13,16] [--inputs 100]

Run by hand: it needs torch. A vision transformer with random weights (make_vit.py; the defaults are DeiT-S) gives all its
tokens. The compiled program and PyTorch, in fp32 both, merge r tokens in each block (ToMe, arXiv 2210.09461, section 3);
tokens that merged come out equal, so the outputs show the plan. Printed for each r: in how many of the inputs both
merged the same tokens, and how far the outputs of those are apart, against the largest value.
"""
import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from session import open_session

HERE = Path(__file__).resolve().parent
HEAD, IMAGE, PATCH = "tokens", 224, 16


def linear(w, name, x):
    return x @ w[f"{name}.weight"] + w[f"{name}.bias"]


def norm(w, name, x):
    return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], 1e-12)


def attention(w, name, x, heads, mass):
    b, n, c = x.shape
    q, k, v = linear(w, f"{name}.qkv", x).reshape(b, n, 3, heads, c // heads).permute(2, 0, 3, 1, 4).unbind(0)
    scores = q @ k.transpose(-1, -2) * (c // heads) ** -0.5 + mass.log()[:, None, None, :]
    together = (scores.softmax(-1) @ v).transpose(1, 2).reshape(b, n, c)
    return linear(w, f"{name}.out", together), k.mean(1)


def match(metric, r):
    """Of each token in set A that goes: its place there, and that of its partner in B; then the places that stay."""
    metric = metric / metric.norm(dim=-1, keepdim=True)
    scores = metric[:, ::2] @ metric[:, 1::2].transpose(-1, -2)
    scores[:, 0] = -torch.inf  # the class token
    best, partner = scores.max(-1)
    order = best.argsort(dim=-1, descending=True)
    goes, stays = order[:, :r], order[:, r:].sort(-1).values
    return goes, partner.gather(-1, goes), stays


def joined(x, goes, to, stays):
    """The sum of what meets, those of A first."""
    a, b, c = x[:, ::2], x[:, 1::2], x.shape[-1]
    rows = [i[..., None].expand(-1, -1, c) for i in (goes, to, stays)]
    return torch.cat((a.gather(1, rows[2]), b.scatter_add(1, rows[1], a.gather(1, rows[0]))), 1)


def forward(w, images, heads, r):
    """All tokens, and where each of them went."""
    x = F.conv2d(images, w["patches.weight"], w["patches.bias"], stride=PATCH).flatten(2).transpose(1, 2)
    x = torch.cat((w["token.0"].expand(len(x), -1, -1), x), 1) + w["positions"]
    mass, place = torch.ones(x.shape[:2]), torch.arange(x.shape[1]).expand(x.shape[:2])
    for i in range(12):
        name = f"layer.{i}"
        y, metric = attention(w, f"{name}.attention", norm(w, f"{name}.norm1", x), heads, mass)
        x = x + y
        n = x.shape[1]
        goes, to, stays = match(metric, min(r, (n - 1) // 2))
        total = joined(mass[..., None], goes, to, stays)
        x, mass = joined(x * mass[..., None], goes, to, stays) / total, total[..., 0]
        now = torch.zeros((len(x), n), dtype=torch.long)
        now.scatter_(1, 2 * stays, torch.arange(stays.shape[1]).expand(stays.shape))
        now[:, 1::2] = stays.shape[1] + torch.arange(n // 2)
        now.scatter_(1, 2 * goes, stays.shape[1] + to)
        place = now.gather(1, place)
        x = x + linear(w, f"{name}.mlp", F.gelu(linear(w, f"{name}.inner", norm(w, f"{name}.norm2", x))))
    return norm(w, "norm", x).gather(1, place[..., None].expand(-1, -1, x.shape[-1])), place


def groups(tokens):
    """For each token the first one that is equal to it."""
    return np.unique(tokens, axis=0, return_index=True)[1][np.unique(tokens, axis=0, return_inverse=True)[1].reshape(-1)]


def must(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)


def compare(session, w, args, r):
    rng, same, worst = np.random.default_rng(1), 0, 0.0
    for _ in range(args.inputs):
        image = rng.standard_normal((1, 3, IMAGE, IMAGE)).astype(np.float32)
        got = session.run(None, {"pixel_values": image})[0]
        with torch.no_grad():
            want, place = (t.numpy() for t in forward(w, torch.from_numpy(image), args.heads, r))
        first = np.unique(place[0], return_index=True)[1]
        equal = np.array_equal(groups(got[0]), first[np.unique(place[0], return_inverse=True)[1]])
        same += equal
        if equal:
            worst = max(worst, float(abs(got - want).max() / abs(want).max()))
    print(f"r={r:<3} the same tokens in {same} of {args.inputs} inputs, outputs apart by at most {worst:.1e} of the largest", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("xfc")
    p.add_argument("--width", type=int, default=384)
    p.add_argument("--heads", type=int, default=6)
    p.add_argument("--r", default="8,13,16")
    p.add_argument("--inputs", type=int, default=100)
    args = p.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        model, so = Path(folder) / "vit.onnx", Path(folder) / "vit.so"
        must(sys.executable, HERE / "make_vit.py", model, f"--width={args.width}", f"--heads={args.heads}", f"--head={HEAD}")
        w = {i.name: torch.from_numpy(numpy_helper.to_array(i).copy()) for i in onnx.load(str(model)).graph.initializer}
        for r in map(int, args.r.split(",")):
            must(args.xfc, "-q", "-march=native", model, f"--lossy=token-merge:r={r}", "-o", so)
            compare(open_session("xf", str(so), 1), w, args, r)


if __name__ == "__main__":
    main()
