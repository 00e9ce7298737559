"""resume.py - the GGUF pair back into a checkpoint, so that training can go on from what was exported.

    python3 resume.py --out /tmp/quire-demo

The inverse of export.py. The lessons head is not in the pair: a fresh one is fitted here to what the tower sees, so
that it does not shake the tower afterwards. The optimizer starts with no memory."""

import argparse
import os
import struct

import tuning

if __name__ == "__main__":
    tuning.apply()

import numpy as np
import torch

import export
import model as net
import pages
import tower
import train
from export import ALIGNMENT, ARRAY, STRING

FORMATS = {export.U32: "<I", export.I32: "<i", export.F32: "<f", export.BOOL: "<?"}


class Reader:
    def __init__(self, path):
        with open(path, "rb") as f:
            self.data = f.read()
        self.at = 0

    def unpack(self, form):
        values = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return values if len(values) > 1 else values[0]

    def string(self):
        n = self.unpack("<Q")
        self.at += n
        return self.data[self.at - n : self.at].decode("utf-8")

    def value(self, kind):
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            kind, n = self.unpack("<IQ")
            return [self.value(kind) for _ in range(n)]
        return self.unpack(FORMATS[kind])


def read(path):
    """Returns (keys, {name: float32 array})."""
    r = Reader(path)
    magic, _, tensors, keys = r.unpack("<4sIQQ")
    assert magic == b"GGUF"
    table = {}
    for _ in range(keys):
        name = r.string()
        table[name] = r.value(r.unpack("<I"))
    infos = []
    for _ in range(tensors):
        name, dims = r.string(), r.unpack("<I")
        shape = [r.unpack("<Q") for _ in range(dims)]
        infos.append((name, shape[::-1], *r.unpack("<IQ")))
    start = -(-r.at // ALIGNMENT) * ALIGNMENT
    arrays = {}
    for name, shape, kind, offset in infos:
        flat = np.frombuffer(r.data, np.float16 if kind else np.float32, int(np.prod(shape)), start + offset)
        arrays[name] = flat.reshape(shape).astype(np.float32)
    return table, arrays


def apart(weight, heads):
    """The inverse of export.adjacent: rows of pairs (2i, 2i + 1) back to (i, i + d/2)."""
    n = weight.shape[0] // heads
    return weight.reshape(heads, n // 2, 2, -1).swapaxes(1, 2).reshape(weight.shape)


def text_weights(pair):
    """The text model's parameters under their names in model.py."""
    own = {"text.embed": pair["token_embd.weight"], "text.norm.weight": pair["output_norm.weight"],
           "text.head.weight": pair["output.weight"]}
    names = {"attn_norm": "attn_norm", "q": "attn_q", "k": "attn_k", "v": "attn_v", "out": "attn_output",
             "ffn_norm": "ffn_norm", "gate": "ffn_gate", "up": "ffn_up", "down": "ffn_down"}
    turned = {"q": net.T_HEADS, "k": net.T_KV}
    for i in range(net.T_LAYERS):
        for ours, theirs in names.items():
            weight = pair[f"blk.{i}.{theirs}.weight"]
            own[f"text.layers.{i}.{ours}.weight"] = apart(weight, turned[ours]) if ours in turned else weight
    return own


def vision_weights(pair):
    own = {"vision.patch.weight": pair["v.patch_embd.weight"].reshape(net.V_DIM, -1),
           "vision.patch.bias": pair["v.patch_embd.bias"], "vision.positions": pair["v.position_embd.weight"],
           "vision.fc.weight": pair["mm.model.fc.weight"]}
    names = {"ln1": "ln1", "ln2": "ln2", "q": "attn_q", "k": "attn_k", "v": "attn_v", "out": "attn_out",
             "up": "ffn_up", "down": "ffn_down"}
    for part in ("weight", "bias"):
        own["vision.post_ln." + part] = pair["v.post_ln." + part]
        for i in range(net.V_LAYERS):
            for ours, theirs in names.items():
                own[f"vision.layers.{i}.{ours}.{part}"] = pair[f"v.blk.{i}.{theirs}.{part}"]
    return own


def fit_lessons(model, pictures=600, rounds=300):
    """Fits the lessons head alone, on features that are computed once."""
    rng = np.random.default_rng(5)
    made = [pages.page(rng) if i % 3 == 0 else tower.lone_scene(rng) for i in range(pictures)]
    with torch.no_grad():
        features = torch.cat([model.vision(torch.from_numpy(p[None].copy()))[0] for p, _ in made])
    labels = torch.from_numpy(np.concatenate([l for _, l in made]))
    head = list(model.vision.lessons.parameters())
    optimizer = torch.optim.AdamW(head, lr=3e-3, betas=(0.9, 0.98))
    for i in range(rounds):
        if i == rounds * 2 // 3:
            optimizer.param_groups[0]["lr"] *= 0.2
        chosen = torch.randint(len(features), (4096,))
        optimizer.zero_grad()
        loss = train.lesson_loss(model, features[chosen], labels[chosen][None])
        loss.backward()
        optimizer.step()
        if i % 50 == 49:
            print(f"lessons head {i + 1} patches {float(loss):.4f}", flush=True)


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("--pair", default=os.path.dirname(os.path.abspath(__file__)), help="the folder of the GGUF pair")
    a.add_argument("--out", default="/tmp/quire-demo")
    args = a.parse_args()
    torch.manual_seed(3)
    keys, text = read(os.path.join(args.pair, export.NAME + ".gguf"))
    _, vision = read(os.path.join(args.pair, export.NAME + "-mmproj.gguf"))
    tokenizer = tuple(keys["tokenizer.ggml." + part] for part in ("tokens", "token_type", "merges"))
    model = net.Model(len(tokenizer[0]))
    state = {name: torch.from_numpy(array) for name, array in {**text_weights(text), **vision_weights(vision)}.items()}
    missing, unknown = model.load_state_dict(state, strict=False)
    assert not unknown and all(name.startswith("vision.lessons.") for name in missing)
    fit_lessons(model)
    os.makedirs(args.out, exist_ok=True)
    train.save(args.out, {"model": model.state_dict(), "step": 0, "spent": 0.0, "tokenizer": tokenizer})
    t = train.bpe.Tokenizer(*tokenizer)
    print("right: %.1f %% (%s)" % train.examine(model, t, train.lessons.Layout(t), 100), flush=True)


if __name__ == "__main__":
    main()
