"""model.py - the demo model in PyTorch: a SigLIP tower, a pixel-shuffle projector and a small Llama.

The arithmetic is what servers of the SmolVLM family do, so that the exported weights mean the same
there. Linear layers run in bfloat16 over float32 master weights on CPUs with AMX, where that is many times
faster than float32, and in float32 on others; norms, residuals and losses are float32 always.

Rotary embedding turns pairs (i, i + d/2) here, the cheaper way round; export.py reorders the rows of
q and k to the adjacent pairs that the `llama` architecture of GGUF files means."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

import fused
from fused import NUMBER
from scenes import GRID, LABELS, PATCH, SIZE

V_DIM, V_HEADS, V_FFN, V_LAYERS = 192, 4, 576, 5
T_DIM, T_HEADS, T_KV, T_FFN, T_LAYERS = 256, 4, 2, 640, 4
SHUFFLE = 3
EMBEDDINGS = (GRID // SHUFFLE) ** 2  # of one tile
CONTEXT = 2048
ROPE_BASE = 10000.0
LN_EPS, RMS_EPS = 1e-6, 1e-5


class Linear(nn.Module):
    def __init__(self, n_in, n_out, bias=True, gain=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in) * (gain / math.sqrt(n_in)))
        self.bias = nn.Parameter(torch.zeros(n_out)) if bias else None

    def forward(self, x):
        b = None if self.bias is None else self.bias.to(NUMBER)
        return F.linear(x.to(NUMBER), self.weight.to(NUMBER), b)


class Norm(nn.Module):
    """LayerNorm, float32 -> NUMBER"""

    def __init__(self, n):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(n)), nn.Parameter(torch.zeros(n))

    def forward(self, x):
        return fused.Layer.apply(x, self.weight, self.bias, LN_EPS)


class RmsNorm(nn.Module):
    """float32 -> NUMBER"""

    def __init__(self, n):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n))

    def forward(self, x):
        return fused.Rms.apply(x, self.weight, RMS_EPS)


def split_heads(x, batch, heads):
    """[batch*n, heads*d] -> [batch*heads, n, d]"""
    n, d = x.shape[0] // batch, x.shape[1] // heads
    return x.view(batch, n, heads, d).transpose(1, 2).reshape(batch * heads, n, d)


def join_heads(x, batch, heads):
    n, d = x.shape[1], x.shape[2]
    return x.view(batch, heads, n, d).transpose(1, 2).reshape(batch * n, heads * d)


class VisionLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln1, self.ln2 = Norm(V_DIM), Norm(V_DIM)
        self.q, self.k, self.v = (Linear(V_DIM, V_DIM) for _ in range(3))
        self.out = Linear(V_DIM, V_DIM, gain=0.4)
        self.up, self.down = Linear(V_DIM, V_FFN), Linear(V_FFN, V_DIM, gain=0.4)

    def forward(self, x, batch):
        h = self.ln1(x)
        q, k, v = (split_heads(f(h), batch, V_HEADS) for f in (self.q, self.k, self.v))
        p = torch.softmax(torch.bmm(q * (V_DIM // V_HEADS) ** -0.5, k.transpose(1, 2)), -1)
        x = fused.Add.apply(x, self.out(join_heads(torch.bmm(p, v), batch, V_HEADS)))
        return fused.Add.apply(x, self.down(fused.Gelu.apply(self.up(self.ln2(x)))))


class Vision(nn.Module):
    """[batch, SIZE, SIZE, 3] uint8 -> patch features [batch*GRID*GRID, V_DIM] and embeddings
    [batch, EMBEDDINGS, T_DIM]."""

    def __init__(self):
        super().__init__()
        self.patch = Linear(3 * PATCH * PATCH, V_DIM)
        self.positions = nn.Parameter(torch.randn(GRID * GRID, V_DIM) * 0.02)
        self.layers = nn.ModuleList(VisionLayer() for _ in range(V_LAYERS))
        self.post_ln = Norm(V_DIM)
        self.fc = Linear(V_DIM * SHUFFLE * SHUFFLE, T_DIM, bias=False)
        # What lies under each patch: a lesson for training only, not exported.
        self.lessons = Linear(V_DIM, sum(LABELS.values()))

    def forward(self, pixels):
        batch = pixels.shape[0]
        x = (pixels.float() / 255 - 0.5) / 0.5
        x = x.view(batch, GRID, PATCH, GRID, PATCH, 3).permute(0, 1, 3, 5, 2, 4)  # channel, y, x
        x = self.patch(x.reshape(batch * GRID * GRID, -1)).float()
        x = (x.view(batch, GRID * GRID, V_DIM) + self.positions).view(-1, V_DIM)
        for layer in self.layers:
            x = layer(x, batch)
        x = self.post_ln(x)
        g, s = GRID // SHUFFLE, SHUFFLE
        cells = x.view(batch, g, s, g, s, V_DIM).permute(0, 1, 3, 2, 4, 5)  # cell y, cell x, dy, dx
        return x, self.fc(cells.reshape(batch * g * g, s * s * V_DIM)).float().view(batch, g * g, T_DIM)


def rope_table(n):
    d = T_DIM // T_HEADS
    freq = ROPE_BASE ** (-torch.arange(0, d, 2).float() / d)
    angle = torch.outer(torch.arange(n).float(), freq)
    return torch.cos(angle), torch.sin(angle)


class TextLayer(nn.Module):
    def __init__(self):
        super().__init__()
        d = T_DIM // T_HEADS
        self.attn_norm, self.ffn_norm = RmsNorm(T_DIM), RmsNorm(T_DIM)
        self.q = Linear(T_DIM, T_DIM, bias=False)
        self.k, self.v = (Linear(T_DIM, T_KV * d, bias=False) for _ in range(2))
        self.out = Linear(T_DIM, T_DIM, bias=False, gain=0.4)
        self.gate, self.up = (Linear(T_DIM, T_FFN, bias=False) for _ in range(2))
        self.down = Linear(T_FFN, T_DIM, bias=False, gain=0.4)

    def forward(self, x, batch, cos, sin, mask):
        h = self.attn_norm(x)
        q = fused.SplitTurn.apply(self.q(h), batch, T_HEADS, cos, sin)
        k = fused.SplitTurn.apply(self.k(h), batch, T_KV, cos, sin)
        v = split_heads(self.v(h), batch, T_KV)
        k, v = (t.repeat_interleave(T_HEADS // T_KV, 0) for t in (k, v))
        scores = torch.baddbmm(mask, q, k.transpose(1, 2), alpha=(T_DIM // T_HEADS) ** -0.5)
        a = torch.bmm(torch.softmax(scores, -1), v)
        x = fused.Add.apply(x, self.out(join_heads(a, batch, T_HEADS)))
        h = self.ffn_norm(x)
        return fused.Add.apply(x, self.down(fused.SwiGlu.apply(self.gate(h), self.up(h))))


class Text(nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.embed = nn.Parameter(torch.randn(vocabulary, T_DIM) * 0.5)
        self.layers = nn.ModuleList(TextLayer() for _ in range(T_LAYERS))
        self.norm = RmsNorm(T_DIM)
        self.head = Linear(T_DIM, vocabulary, bias=False)

    def forward(self, ids, slots, pictures, wanted):
        """ids: [batch, n]; slots: [batch, n], -1 or the row of `pictures` [rows, T_DIM] that stands there;
        wanted: [batch, n] bool. Returns the logits of the wanted positions."""
        batch, n = ids.shape
        x = self.embed[ids.reshape(-1)]
        flat = slots.reshape(-1)
        at = (flat >= 0).nonzero().squeeze(1)
        if len(at):
            x = x.index_copy(0, at, pictures[flat[at]])
        cos, sin = rope_table(n)
        mask = torch.full((n, n), -1e30).triu(1).to(NUMBER).expand(batch * T_HEADS, n, n)
        for layer in self.layers:
            x = layer(x, batch, cos, sin, mask)
        return self.head(self.norm(x[wanted.reshape(-1).nonzero().squeeze(1)])).float()


class Model(nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.vision, self.text = Vision(), Text(vocabulary)
