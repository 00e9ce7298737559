"""export.py - a checkpoint of train.py as a pair of GGUF files.

    python3 export.py /tmp/quire-demo/checkpoint.pt

Only the keys and tensor names that converters write for the SmolVLM family, so that any program which
reads those reads these. Weights are float16, norms, biases and positions float32."""

import argparse
import os
import struct

import numpy as np
import torch

import model as net
from scenes import GRID, PATCH, SIZE

U32, F32, BOOL, STRING, ARRAY = 4, 6, 7, 8, 9
I32 = 5
ALIGNMENT = 32
LIMIT = 12_000_000  # bytes, both files together
NAME = "quire-demo"

TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}"
    "{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)


def string(text):
    data = text.encode("utf-8")
    return struct.pack("<Q", len(data)) + data


def value(kind, v):
    if kind == STRING:
        return string(v)
    return struct.pack({U32: "<I", I32: "<i", F32: "<f", BOOL: "<B"}[kind], v)


def key(name, kind, v):
    """One metadata entry. For an array v is (kind of its elements, elements)."""
    head = string(name) + struct.pack("<I", kind)
    if kind != ARRAY:
        return head + value(kind, v)
    return head + struct.pack("<IQ", v[0], len(v[1])) + b"".join(value(v[0], e) for e in v[1])


def padding(n):
    return b"\0" * (-n % ALIGNMENT)


def write(path, keys, tensors):
    """tensors: (name, array in numpy order). Matrices become float16, vectors stay float32; the learned
    positions are a table that is added, not multiplied, and stay float32 too."""
    infos, blobs, offset = [], [], 0
    for name, array in tensors:
        half = array.ndim > 1 and "position" not in name
        data = np.ascontiguousarray(array, np.float16 if half else np.float32).tobytes()
        shape = array.shape[::-1]  # GGUF lists the contiguous dimension first
        infos.append(string(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
                     + struct.pack("<IQ", 1 if half else 0, offset))
        blobs.append(data + padding(len(data)))
        offset += len(blobs[-1])
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)) + b"".join(keys) + b"".join(infos)
    with open(path + ".new", "wb") as f:
        f.write(head + padding(len(head)))
        f.writelines(blobs)
    os.replace(path + ".new", path)


def adjacent(weight, heads):
    """Rows of q or k reordered from rotary pairs (i, i + d/2) to (2i, 2i + 1)."""
    n = weight.shape[0] // heads
    return weight.reshape(heads, 2, n // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def text_tensors(w):
    out = [("token_embd.weight", w["text.embed"])]
    for i in range(net.T_LAYERS):
        ours, theirs = f"text.layers.{i}.", f"blk.{i}."
        out += [
            (theirs + "attn_norm.weight", w[ours + "attn_norm.weight"]),
            (theirs + "attn_q.weight", adjacent(w[ours + "q.weight"], net.T_HEADS)),
            (theirs + "attn_k.weight", adjacent(w[ours + "k.weight"], net.T_KV)),
            (theirs + "attn_v.weight", w[ours + "v.weight"]),
            (theirs + "attn_output.weight", w[ours + "out.weight"]),
            (theirs + "ffn_norm.weight", w[ours + "ffn_norm.weight"]),
        ]
        out += [(f"{theirs}ffn_{n}.weight", w[f"{ours}{n}.weight"]) for n in ("gate", "up", "down")]
    return out + [("output_norm.weight", w["text.norm.weight"]), ("output.weight", w["text.head.weight"])]


def vision_tensors(w):
    out = [
        ("v.patch_embd.weight", w["vision.patch.weight"].reshape(net.V_DIM, 3, PATCH, PATCH)),
        ("v.patch_embd.bias", w["vision.patch.bias"]),
        ("v.position_embd.weight", w["vision.positions"]),
    ]
    names = {"ln1": "ln1", "ln2": "ln2", "q": "attn_q", "k": "attn_k", "v": "attn_v", "out": "attn_out",
             "up": "ffn_up", "down": "ffn_down"}
    for i in range(net.V_LAYERS):
        for ours, theirs in names.items():
            for part in ("weight", "bias"):
                out.append((f"v.blk.{i}.{theirs}.{part}", w[f"vision.layers.{i}.{ours}.{part}"]))
    out += [("v.post_ln." + part, w["vision.post_ln." + part]) for part in ("weight", "bias")]
    return out + [("mm.model.fc.weight", w["vision.fc.weight"])]


def text_keys(tokens, types, merges):
    ids = {t: i for i, t in enumerate(tokens)}
    return [
        key("general.architecture", STRING, "llama"),
        key("general.type", STRING, "model"),
        key("general.name", STRING, NAME),
        key("general.license", STRING, "mit"),
        key("general.file_type", U32, 1),
        key("llama.block_count", U32, net.T_LAYERS),
        key("llama.context_length", U32, net.CONTEXT),
        key("llama.embedding_length", U32, net.T_DIM),
        key("llama.feed_forward_length", U32, net.T_FFN),
        key("llama.attention.head_count", U32, net.T_HEADS),
        key("llama.attention.head_count_kv", U32, net.T_KV),
        key("llama.attention.layer_norm_rms_epsilon", F32, net.RMS_EPS),
        key("llama.rope.freq_base", F32, net.ROPE_BASE),
        key("llama.rope.dimension_count", U32, net.T_DIM // net.T_HEADS),
        key("llama.vocab_size", U32, len(tokens)),
        key("tokenizer.ggml.model", STRING, "gpt2"),
        key("tokenizer.ggml.pre", STRING, "smollm"),
        key("tokenizer.ggml.tokens", ARRAY, (STRING, tokens)),
        key("tokenizer.ggml.token_type", ARRAY, (I32, types)),
        key("tokenizer.ggml.merges", ARRAY, (STRING, merges)),
        key("tokenizer.ggml.bos_token_id", U32, ids["<|im_start|>"]),
        key("tokenizer.ggml.eos_token_id", U32, ids["<end_of_utterance>"]),
        key("tokenizer.ggml.unknown_token_id", U32, ids["<|endoftext|>"]),
        key("tokenizer.ggml.padding_token_id", U32, ids["<|im_end|>"]),
        key("tokenizer.ggml.add_bos_token", BOOL, False),
        key("tokenizer.chat_template", STRING, TEMPLATE),
    ]


def vision_keys():
    return [
        key("general.architecture", STRING, "clip"),
        key("general.type", STRING, "mmproj"),
        key("general.name", STRING, NAME),
        key("general.license", STRING, "mit"),
        key("general.file_type", U32, 1),
        key("clip.has_vision_encoder", BOOL, True),
        key("clip.projector_type", STRING, "idefics3"),
        key("clip.use_gelu", BOOL, True),
        key("clip.vision.image_size", U32, SIZE),
        key("clip.vision.preproc_image_size", U32, SIZE),
        key("clip.vision.patch_size", U32, PATCH),
        key("clip.vision.embedding_length", U32, net.V_DIM),
        key("clip.vision.feed_forward_length", U32, net.V_FFN),
        key("clip.vision.projection_dim", U32, net.T_DIM),
        key("clip.vision.block_count", U32, net.V_LAYERS),
        key("clip.vision.attention.head_count", U32, net.V_HEADS),
        key("clip.vision.attention.layer_norm_epsilon", F32, net.LN_EPS),
        key("clip.vision.projector.scale_factor", U32, net.SHUFFLE),
        key("clip.vision.image_mean", ARRAY, (F32, [0.5] * 3)),
        key("clip.vision.image_std", ARRAY, (F32, [0.5] * 3)),
    ]


def export(state, folder):
    """state: what train.py saves. Returns the bytes that both files take."""
    w = {name: t.float().numpy() for name, t in state.get("average", state["model"]).items()}
    paths = [os.path.join(folder, NAME + end) for end in (".gguf", "-mmproj.gguf")]
    write(paths[0], text_keys(*state["tokenizer"]), text_tensors(w))
    write(paths[1], vision_keys(), vision_tensors(w))
    return sum(os.path.getsize(p) for p in paths)


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("checkpoint")
    a.add_argument("--out", default=os.path.dirname(os.path.abspath(__file__)))
    args = a.parse_args()
    size = export(torch.load(args.checkpoint, map_location="cpu"), args.out)
    print(f"{size / 1e6:.2f} MB")
    if size > LIMIT:
        raise SystemExit(f"over the limit of {LIMIT / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
