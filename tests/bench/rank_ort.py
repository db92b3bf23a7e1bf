#!/usr/bin/env python3
"""rank_ort.py MODEL.onnx SENTENCES.tsv - the same batches as docs/examples/rank.c through onnxruntime, one thread: time
per
sentence, the best of several passes."""

import sys
import time

import numpy as np
import onnxruntime as ort

BATCH, PASSES = 32, 5


def batches(path):
    rows = [
        list(map(int, line.rstrip("\n").split("\t")[1].split()))
        for line in open(path, encoding="utf-8")
        if "\t" in line
    ]
    for i in range(0, len(rows), BATCH):
        part = rows[i:i + BATCH]
        longest = max(map(len, part))
        ids = np.zeros((len(part), longest), np.int64)
        mask = np.zeros_like(ids)
        for r, row in enumerate(part):
            ids[r, :len(row)] = row
            mask[r, :len(row)] = 1
        yield {"input_ids": ids, "attention_mask": mask}


opts = ort.SessionOptions()
opts.intra_op_num_threads = 1
session = ort.InferenceSession(sys.argv[1], opts, providers=["CPUExecutionProvider"])
work = list(batches(sys.argv[2]))
best = float("inf")
for _ in range(PASSES):
    start = time.perf_counter()
    for inputs in work:
        session.run(None, inputs)
    best = min(best, time.perf_counter() - start)
count = sum(len(w["input_ids"]) for w in work)
print(f"onnxruntime {ort.__version__}, same batches, one thread: {best * 1e3 / count:.3f} ms each")
