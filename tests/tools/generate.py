#!/usr/bin/env python3
"""xf-run --generate: the tokens are those of onnxruntime driven by hand, for decoders as exporters spell their caches.

generate.py XFC XF_RUN; exit code 77 without onnx or onnxruntime."""
import json
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    import onnxruntime
    from onnx import TensorProto as T
    from onnx import helper as h
except ImportError:
    print("SKIP: onnx or onnxruntime is not installed")
    sys.exit(77)
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench"))
import make_decoder

XFC, XF_RUN = sys.argv[1:3]
PROMPTS, STEPS = ([1, 2, 3], [7], [5, 4, 3, 2, 1, 0, 9]), 12
SMALL = {"layers": 2, "width": 32, "heads": 2, "inner": 48, "vocab": 60, "positions": 40}
RANDOM = np.random.default_rng(3)


def decoder(family, **more):
    return make_decoder.make(make_decoder.options(["-"], family=family, **{**SMALL, **more}))


def renamed(model, old, new):
    """With another spelling of the caches' names."""
    def change(name):
        return new(name) if old(name) else name

    for value in [*model.graph.input, *model.graph.output]:
        value.name = change(value.name)
    for node in model.graph.node:
        node.input[:] = [change(n) for n in node.input]
        node.output[:] = [change(n) for n in node.output]
    return model


def fixed(model, **sizes):
    for value in [*model.graph.input, *model.graph.output]:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in sizes:
                dim.dim_value = sizes[dim.dim_param]
    return model


def merged(wide=12, vocab=40):
    """A decoder whose first run makes the keys of its encoder, in one branch of an If; the other branch has them given."""
    def info(name, dims, kind=T.FLOAT):
        return h.make_tensor_value_info(name, kind, dims)

    def attend(query, keys, out):
        return [h.make_node("Transpose", [keys], [f"{out}_t"], perm=[0, 2, 1]), h.make_node("MatMul", [query, f"{out}_t"], [f"{out}_s"]),
                h.make_node("Softmax", [f"{out}_s"], [f"{out}_p"]), h.make_node("MatMul", [f"{out}_p", keys], [out])]

    encoded = ["batch", "encoder", wide]
    make = h.make_graph([h.make_node("MatMul", ["encoder_hidden_states", "project"], ["made"])], "make", [], [info("made", encoded)])
    keep = h.make_graph([h.make_node("Identity", ["past_key_values.0.encoder.key"], ["same"])], "keep", [], [info("same", encoded)])
    nodes = [h.make_node("If", ["use_cache_branch"], ["present.0.encoder.key"], then_branch=keep, else_branch=make),
             h.make_node("Gather", ["table", "input_ids"], ["x"]), h.make_node("MatMul", ["x", "project"], ["key"]),
             h.make_node("Concat", ["past_key_values.0.decoder.key", "key"], ["present.0.decoder.key"], axis=1),
             *attend("x", "present.0.decoder.key", "own"), *attend("own", "present.0.encoder.key", "cross"),
             h.make_node("Add", ["own", "cross"], ["y"]), h.make_node("MatMul", ["y", "head"], ["logits"])]
    inputs = [info("input_ids", ["batch", "sequence"], T.INT32), info("encoder_hidden_states", encoded),
              info("past_key_values.0.decoder.key", ["batch", "past", wide]), info("past_key_values.0.encoder.key", encoded),
              info("use_cache_branch", [1], T.BOOL)]
    outputs = [info("logits", ["batch", "sequence", vocab]), info("present.0.decoder.key", ["batch", "past + sequence", wide]),
               info("present.0.encoder.key", encoded)]
    weights = [onnx.numpy_helper.from_array(RANDOM.standard_normal(s, dtype=np.float32), n)
               for n, s in (("table", (vocab, wide)), ("project", (wide, wide)), ("head", (wide, vocab)))]
    graph = h.make_graph(nodes, "merged", inputs, outputs, weights)
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)


# --- by hand ---

def by_hand(path, prompt, given, one_by_one=False):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    outputs = [o.name for o in session.get_outputs()]
    kinds = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(bool)": np.bool_}
    inputs = {i.name: (i.shape, kinds[i.type]) for i in session.get_inputs()}
    caches = {n: "present" + n.removeprefix("past_key_values").removeprefix("past") for n in inputs if n.startswith("past")}
    encoder = given["encoder_hidden_states"].shape[1] if "encoder_hidden_states" in given else 0
    sizes = {"batch": 1, "past": 0, "encoder": encoder}
    state = {n: given.get(n, np.zeros([sizes.get(d, d) for d in inputs[n][0]], np.float32)) for n in caches}
    past = next((given[n].shape[2] for n in caches if n in given), 0)
    tokens, steps = [], [[t] for t in prompt] if one_by_one else [prompt]
    while len(tokens) < STEPS:
        now = steps.pop(0) if steps else [tokens[-1]]
        known = {"input_ids": [now], "position_ids": [range(past, past + len(now))], "attention_mask": [[1] * (past + len(now))],
                 "use_cache_branch": [past > 0]}
        feed = {n: np.array(known[n], kind) if n in known else {**given, **state}[n] for n, (_, kind) in inputs.items()}
        results = dict(zip(outputs, session.run(None, feed)))
        state = {n: results[out] for n, out in caches.items()}
        past += len(now)
        if not steps:
            tokens.append(int(results["logits"][0, -1].argmax()))
    return tokens


# --- through the tool ---

def tool(so, *more):
    return subprocess.run([XF_RUN, so, "--generate", *more], capture_output=True, text=True, check=False)


def compiled(folder, name, model, *options):
    path, so = (os.path.join(folder, f"{name}.{end}") for end in ("onnx", "so"))
    onnx.save(model, path)
    subprocess.run([XFC, path, "-o", so, "-march=native", *options], check=True)
    return path, so


def same(folder, name, model, given=None, more=(), one_by_one=False, options=()):
    path, so = compiled(folder, name, model, *options)
    for key, value in (given or {}).items():
        np.save(os.path.join(folder, f"{key}.npy"), value)
        more = [*more, f"--input={key}=@{folder}/{key}.npy"]
    for prompt in PROMPTS:
        want = by_hand(path, prompt, given or {}, one_by_one)
        done = tool(so, f"--prompt-ids={','.join(map(str, prompt))}", f"--max-new={STEPS}", "--json", *more)
        assert done.returncode == 0, (name, done.stderr)
        got = json.loads(done.stdout)
        assert got["tokens"] == want, (name, prompt, got["tokens"], want)
        assert (got["prefill_tokens"], got["decode_tokens"]) == (len(prompt), STEPS - 1), got
        assert "note" not in done.stderr, done.stderr
    return so, want


def refused(so, message, *more):
    done = tool(so, *more)
    assert done.returncode in (1, 2) and message in done.stderr, (message, done)
    assert not done.stdout, done.stdout


def test_ways(folder):
    so, want = same(folder, "gpt2", decoder("gpt2"))
    prompt = f"--prompt-ids={','.join(map(str, PROMPTS[-1]))}"
    lines = tool(so, prompt, f"--max-new={STEPS}").stdout.splitlines()
    assert lines[0] == f"tokens: {','.join(map(str, want))}", lines
    assert lines[1].startswith("prefill: 7 tokens in ") and lines[2].startswith(f"decode: {STEPS - 1} tokens in "), lines
    stop = json.loads(tool(so, prompt, f"--end-id={want[2]}", "--json").stdout)["tokens"]
    assert stop == want[:want.index(want[2]) + 1], (stop, want)
    whole = os.path.join(folder, "profile.json")
    assert tool(so, prompt, "--max-new=5", f"--profile={whole}").returncode == 0
    with open(whole, encoding="utf-8") as f:
        assert json.load(f)["runs"] == 4
    return so


def test_refusals(folder, so):
    refused(so, "--generate and --prompt-ids need each other")
    refused(so, "is a list of whole numbers", "--prompt-ids=1,,2")
    refused(so, "is a list of whole numbers", "--prompt-ids=1,")
    refused(so, "is a list of whole numbers", "--prompt-ids=-1")
    refused(so, "leave --bench", "--prompt-ids=1", "--bench")
    refused(so, "each step fills, so that --input cannot give 'input_ids'", "--prompt-ids=1", "--input=input_ids=1x1xi64=1")
    refused(so, "another type or rank of the cache 'past.0.key'", "--prompt-ids=1", "--input=past.0.key=1x2xf32=1")
    refused(so, "value out of range", "--prompt-ids=60")
    refused(so, "value out of range", "--prompt-ids=1", "--max-new=60")  # beyond the last position
    _, t5 = compiled(folder, "alone", decoder("t5"))
    refused(t5, "input 'encoder_attention_mask': nothing gives the size", "--prompt-ids=1")
    for name, message, model in (
            ("none", "the model has no cache", renamed(decoder("gpt2"), lambda n: n.startswith("present"), lambda n: "now" + n)),
            ("ids", "no input 'input_ids'", renamed(decoder("gpt2"), lambda n: n == "input_ids", lambda n: "tokens")),
            ("logits", "no output 'logits'", renamed(decoder("gpt2"), lambda n: n == "logits", lambda n: "scores")),
            ("sized", "no dim can grow of the cache 'past.0.key'", fixed(decoder("gpt2"), past=3))):
        refused(compiled(folder, name, model)[1], message, "--prompt-ids=1")
    _, seven = compiled(folder, "seven", fixed(decoder("gpt2"), sequence=7))
    refused(seven, "wrong shape", "--prompt-ids=1")


def main():
    with tempfile.TemporaryDirectory() as folder:
        so = test_ways(folder)
        test_refusals(folder, so)
        past = {f"past.{i}.{part}": RANDOM.standard_normal((1, 2, 5, 16), dtype=np.float32) for i in range(2) for part in ("key", "value")}
        same(folder, "given", decoder("gpt2"), past)
        same(folder, "in_place", decoder("gpt2"), options=["--cache=inplace"])
        same(folder, "given_in_place", decoder("gpt2"), past, options=["--cache=inplace"])
        same(folder, "optimum", renamed(decoder("gpt2"), lambda n: n.startswith("past."), lambda n: n.replace("past", "past_key_values")))
        same(folder, "single", fixed(decoder("gpt2"), batch=1, sequence=1), one_by_one=True)
        cross = {f"cross.{i}.{part}": RANDOM.standard_normal((1, 2, 6, 16), dtype=np.float32) for i in range(2) for part in ("key", "value")}
        same(folder, "whisper", decoder("whisper"), cross)
        same(folder, "whisper_in_place", decoder("whisper"), cross, options=["--cache=inplace"])
        same(folder, "t5", decoder("t5"), {**cross, "encoder_attention_mask": np.array([[1, 1, 1, 1, 0, 0]])})
        encoder = {"encoder_hidden_states": RANDOM.standard_normal((1, 6, 12), dtype=np.float32)}
        same(folder, "merged", merged(), encoder)
        same(folder, "merged_in_place", merged(), encoder, options=["--cache=inplace"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
