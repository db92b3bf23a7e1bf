#!/usr/bin/env python3
"""train.py [digits] [letters] [topics] [sentences] - makes the trained models of this folder and their sets (README.md).

Run by hand, once: it needs torch, onnx, onnxscript, scikit-learn, and for text Debian's wordnet-base (WORDNET names its
folder with data.noun). All that a model is trained, calibrated and scored with is split before anything else, whole images
and whole definitions, with equal ones dropped. Seeds are fixed and one thread trains, so one machine makes the same file
twice; another machine makes one that is as good. Weights are what training gave, rounded to nothing.
"""
import math
import os
import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from torch import nn

from samples import CHARACTERS, enlarged, score, topic_feed

HERE = Path(__file__).resolve().parent
WORDNET = Path(os.environ.get("WORDNET", "/usr/share/wordnet"))
TOPICS = {5: "animal", 6: "artifact", 8: "body", 10: "communication", 13: "food", 15: "location", 18: "person", 20: "plant"}
PAD, CLS, SEP, UNK = range(4)
WINDOW, LENGTH, VOCABULARY = 64, 24, 1500


def split(generator, n, *sizes):
    """Disjoint parts of range(n) of these sizes, then the rest."""
    order, parts = generator.permutation(n), []
    for size in sizes:
        parts.append(order[:size])
        order = order[size:]
    return [*parts, order]


# --- the networks -----------------------------------------------------------------------------------------------------


class Block(nn.Module):
    """Pre-norm, one product for queries, keys and values, as timm's ViT and GPT-2 have it."""

    def __init__(self, width, heads, causal):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        b, n, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        x = x + self.proj(y.transpose(1, 2).reshape(b, n, c))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x)), approximate="tanh" if self.causal else "none"))


class Digits(nn.Module):
    """A vision transformer: 64 patches of 2x2 and a class token."""

    def __init__(self, width=64, heads=4, layers=6):
        super().__init__()
        self.patches = nn.Conv2d(1, width, 2, 2)
        self.cls = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.positions = nn.Parameter(torch.randn(1, 65, width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, heads, False) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, images):
        x = self.patches(images).flatten(2).transpose(1, 2)
        x = torch.cat((self.cls.expand(x.shape[0], -1, -1), x), 1) + self.positions
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


class Letters(nn.Module):
    """A decoder over characters; the head is tied to the embedding."""

    def __init__(self, width=128, heads=4, layers=3):
        super().__init__()
        self.embedding = nn.Embedding(len(CHARACTERS), width)
        self.positions = nn.Embedding(WINDOW, width)
        self.blocks = nn.ModuleList(Block(width, heads, True) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, len(CHARACTERS), bias=False)
        self.head.weight = self.embedding.weight
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, 0, 0.02)

    def forward(self, input_ids):
        x = self.embedding(input_ids) + self.positions(torch.arange(input_ids.shape[1])[None])
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class Layer(nn.Module):
    """Post-norm, as BERT."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-12), nn.LayerNorm(width, eps=1e-12)

    def split(self, x):
        return x.view(x.size(0), x.size(1), self.heads, x.size(2) // self.heads).permute(0, 2, 1, 3)

    def forward(self, x, bias):
        q, k, v = self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x))
        scores = torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(q.size(-1)) + bias
        y = torch.matmul(F.softmax(scores, -1), v).permute(0, 2, 1, 3).contiguous()
        x = self.norm1(x + self.out(y.view(x.size())))
        return self.norm2(x + self.down(F.gelu(self.up(x))))


class Topics(nn.Module):
    """A post-norm text classifier on the first token."""

    def __init__(self, width=64, heads=4, layers=4):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, width, padding_idx=PAD)
        self.positions = nn.Embedding(LENGTH, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(layers))
        self.head, self.drop = nn.Linear(width, len(TOPICS)), nn.Dropout(0.3)

    def forward(self, input_ids, attention_mask):
        bias = (1.0 - attention_mask[:, None, None, :].to(torch.float32)) * torch.finfo(torch.float32).min
        x = self.embedding(input_ids) + self.positions(torch.arange(input_ids.size(1))[None])
        x = self.drop(self.norm(x))
        for layer in self.layers:
            x = layer(x, bias)
        return self.head(self.drop(x[:, 0]))


# --- training ---------------------------------------------------------------------------------------------------------


def train(model, steps, rate, batch):
    """batch() makes one step's loss."""
    best = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(best, rate, total_steps=steps)
    model.train()
    for step in range(steps):
        loss = batch()
        best.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        best.step()
        schedule.step()
        if step % 100 == 0 or step == steps - 1:
            print(f"step {step}: loss {loss.item():.3f}", flush=True)
    return model.eval()


def save(name, model, feed, dynamic, **sets):
    """dynamic: {input: {axis: name}}. Traces of the exporter's own source are left out."""
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    args, path = tuple(map(torch.as_tensor, feed.values())), str(folder / "model.onnx")
    shared = {"input_names": list(feed), "output_names": ["logits"], "external_data": False}
    if name == "topics":  # the older exporter, which most files that people have come from
        del shared["external_data"]
        torch.onnx.export(model, args, path, dynamo=False, opset_version=17, dynamic_axes=dynamic, **shared)
    else:
        dims = {axis: torch.export.Dim(axis, min=1) for d in dynamic.values() for axis in d.values()}
        shapes = tuple({i: dims[axis] for i, axis in d.items()} for d in dynamic.values())
        torch.onnx.export(model, args, path, dynamo=True, dynamic_shapes=shapes, **shared)
    proto = onnx.load(path)
    for node in proto.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    onnx.save(proto, path)
    np.savez_compressed(folder / "sets.npz", **sets)
    with torch.no_grad():
        for part in ("calib", "eval"):
            print(name, part, score(name, lambda feed: model(*map(torch.as_tensor, feed.values())).numpy(), part), flush=True)


# --- digits -----------------------------------------------------------------------------------------------------------


def make_digits():
    from sklearn.datasets import load_digits

    data, generator = load_digits(), np.random.default_rng(7)
    images, first = np.unique(data.images.astype(np.uint8), axis=0, return_index=True)
    labels = data.target[first].astype(np.uint8)
    calib, evaluation, rest = split(generator, len(images), 256, 500)
    x, y = torch.tensor(enlarged(images[rest])), torch.tensor(labels[rest].astype(np.int64))
    model = Digits()

    def batch():
        pick = torch.randint(len(x), (64,))
        dy, dx = torch.randint(-1, 2, (2,)).tolist()
        return F.cross_entropy(model(torch.roll(x[pick], (dy, dx), (2, 3))), y[pick], label_smoothing=0.05)

    train(model, 600, 2e-3, batch)
    save("digits", model, {"images": enlarged(images[:3])}, {"images": {0: "batch"}},
         calib=images[calib], calib_labels=labels[calib], eval=images[evaluation], eval_labels=labels[evaluation])


# --- text: the definitions of WordNet's nouns -------------------------------------------------------------------------


def definitions():
    """(number of the topic, definition) of every noun, each text once, in the order of the file."""
    found = {}
    for line in (WORDNET / "data.noun").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith(" "):
            continue
        fields, gloss = line.split(" | ", 1)
        text = re.split(r'; ?"', gloss, maxsplit=1)[0].strip().lower()
        found.setdefault(text, int(fields.split()[1]))
    return [(topic, text) for text, topic in found.items()]


def windows(texts, generator, n):
    """Rows of WINDOW + 1 characters of running text."""
    code = {c: i for i, c in enumerate(CHARACTERS)}
    stream = np.array([code[c] for c in "\n".join(texts) if c in code], np.uint8)
    starts = generator.choice((len(stream) - 1) // WINDOW, n, replace=False) * WINDOW
    return np.stack([stream[s:s + WINDOW + 1] for s in starts])


def make_letters():
    texts, generator = [text for _, text in definitions()], np.random.default_rng(7)
    calib, evaluation, rest = ([texts[i] for i in part] for part in split(generator, len(texts), 2000, 4000))
    data = torch.tensor(windows(rest, generator, 45000).astype(np.int64))
    model = Letters()

    def batch():
        rows = data[torch.randint(len(data), (32,))]
        return F.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())

    train(model, 600, 3e-3, batch)
    parts = {"calib": windows(calib, generator, 128), "eval": windows(evaluation, generator, 512)}
    save("letters", model, {"input_ids": parts["calib"][:2, :WINDOW // 2].astype(np.int64)},
         {"input_ids": {0: "batch", 1: "sequence"}}, **parts)


def make_topics():
    generator, pieces = np.random.default_rng(7), re.compile(r"[a-z]+|[0-9]+|[^\sa-z0-9]")
    numbers = {n: i for i, n in enumerate(TOPICS)}
    found = [(numbers[t], pieces.findall(text)) for t, text in definitions() if t in numbers]
    count = Counter(word for _, words in found for word in words)
    known = {w: 4 + i for i, (w, _) in enumerate(sorted(count.items(), key=lambda e: (-e[1], e[0]))[:VOCABULARY - 4])}
    rows = {}  # ids -> topic: what reads the same is one
    for topic, words in found:
        ids = [CLS, *(known.get(w, UNK) for w in words[:LENGTH - 2]), SEP]
        rows.setdefault(tuple(ids + [PAD] * (LENGTH - len(ids))), topic)
    ids, labels = np.array(list(rows), np.int16), np.array(list(rows.values()), np.uint8)
    calib, evaluation, rest = [], [], []
    for topic in range(len(TOPICS)):
        of = np.flatnonzero(labels == topic)
        c, e, r = split(generator, len(of), 64, 125)
        calib.extend(of[c]), evaluation.extend(of[e]), rest.extend(of[r[:3500]])
    x, y = ids[rest], torch.tensor(labels[rest].astype(np.int64))
    model = Topics()

    def batch():
        pick = torch.randint(len(x), (64,))
        feed = topic_feed(x[pick.numpy()])
        return F.cross_entropy(model(*map(torch.as_tensor, feed.values())), y[pick], label_smoothing=0.05)

    train(model, 1600, 2e-3, batch)
    save("topics", model, topic_feed(ids[calib[:2]]), {n: {0: "batch", 1: "sequence"} for n in topic_feed(ids[:2])},
         calib=ids[calib], calib_labels=labels[calib], eval=ids[evaluation], eval_labels=labels[evaluation])


def make_sentences():
    """Examples of use; tests/data/wordpiece.py adds the ids."""
    found = set()
    for name in ("data.noun", "data.verb"):
        for line in (WORDNET / name).read_text(encoding="utf-8", errors="replace").splitlines():
            example = "" if line.startswith(" ") else (re.findall(r'"([^"]+)"', line.split(" | ", 1)[1]) or [""])[0].strip()
            if 45 <= len(example) <= 110 and example.count(" ") > 6 and example.isascii() and ";" not in example:
                found.add(example)
    order = np.random.default_rng(7).permutation(len(found))[:500]
    (HERE / "sentences.tsv").write_text("".join(f"{sorted(found)[i]}\n" for i in order), encoding="utf-8")


if __name__ == "__main__":
    torch.set_num_threads(1)
    make = {"digits": make_digits, "letters": make_letters, "topics": make_topics, "sentences": make_sentences}
    for wanted in sys.argv[1:] or make:
        torch.manual_seed(0)
        make[wanted]()
