"""Samples for --calib, right and wrong ones, for the model last_token.xf: calib.py FOLDER."""

import os
import sys

import numpy as np

out = sys.argv[1]


def save(folder, name, **arrays):
    os.makedirs(os.path.join(out, folder), exist_ok=True)
    np.savez_compressed(os.path.join(out, folder, name), **arrays)


def ids(batch, length, seed=0):
    return np.random.default_rng(seed).integers(0, 64, (batch, length), np.int64)


def ones(batch, length):
    return np.ones((batch, length), np.int64)


for i in range(3):
    save("good", f"s{i}.npz", ids=ids(2, 5 + i, i), mask=ones(2, 5 + i))
    test_set = os.path.join(out, "sets", f"test_data_set_{i}")
    os.makedirs(test_set)
    np.save(os.path.join(test_set, "input_0.npy"), ids(2, 5 + i, i))
    np.save(os.path.join(test_set, "input_1.npy"), ones(2, 5 + i))
save("stack", "all.npz", ids=np.stack([ids(1, 4, i) for i in range(4)]), mask=np.stack([ones(1, 4)] * 4))
for name, arrays in {
    "name": {"idz": ids(2, 5), "mask": ones(2, 5)},
    "missing": {"ids": ids(2, 5)},
    "dtype": {"ids": ids(2, 5).astype(np.int32), "mask": ones(2, 5)},
    "rank": {"ids": ids(2, 5)[0], "mask": ones(2, 5)},
    "long": {"ids": ids(2, 65), "mask": ones(2, 65)},
    "disagree": {"ids": ids(2, 5), "mask": ones(2, 6)},
    "range": {"ids": ids(2, 5) + 1000, "mask": ones(2, 5)},
}.items():
    save(name, "a.npz", ids=ids(2, 5), mask=ones(2, 5))
    save(name, "b.npz", **arrays)
save("one", "a.npz", ids=ids(2, 5), mask=ones(2, 5))
save("nan", "a.npz", x=np.array([[1, np.nan]], np.float32))
os.makedirs(os.path.join(out, "empty"))
os.makedirs(os.path.join(out, "torn"))
with open(os.path.join(out, "torn", "a.npz"), "wb") as f:
    f.write(b"PK\x03\x04")
