"""A model with weights that factors fit roughly, and samples for it: layers.py FOLDER."""

import os
import sys

import numpy as np

out, rng = sys.argv[1], np.random.default_rng(1)


def weight(rows, columns):
    """Its singular values fall slowly."""
    k = min(rows, columns)
    u, v = np.linalg.qr(rng.standard_normal((rows, rows)))[0], np.linalg.qr(rng.standard_normal((columns, columns)))[0]
    return (u[:, :k] * np.exp(-np.arange(k) / 40)) @ v[:k]


def text(x):
    return ", ".join(f"{v:.6g}" for v in np.ravel(x).astype(np.float32))


with open(os.path.join(out, "layers.xf"), "w", encoding="ascii") as f:
    f.write(f"""graph @layers[n](%x: f32[n, 144] "x") -> (f32[n, 144] "z", f32[n, 144] "y") {{
  %w1 = const : f32[144, 288] = [{text(weight(144, 288))}]
  %b1 = const : f32[288] = [{text(rng.standard_normal(288) / 4)}]
  %w2 = const : f32[288, 144] = [{text(weight(288, 144))}]
  %w3 = const : f32[144, 144] = [{text(weight(144, 144))}]
  %a = linear %x, %w1, %b1
  %c = tanh %a
  %d = linear %c, %w2
  %z = add %d, %x
  %e = tanh %z
  %y = linear %e, %w3
  return %z, %y
}}
""")
with open(os.path.join(out, "small.xf"), "w", encoding="ascii") as f:
    f.write(f"""graph @small[n](%x: f32[n, 9] "x") -> (f32[n, 9] "y") {{
  %w = const : f32[9, 9] = [{text(weight(9, 9))}]
  %a = linear %x, %w
  %y = tanh %a
  return %y
}}
""")
os.makedirs(os.path.join(out, "samples"))
mix = weight(144, 144)
for i in range(6):
    np.savez(os.path.join(out, "samples", f"{i}.npz"), x=(rng.standard_normal((80, 144)) @ mix).astype(np.float32))
