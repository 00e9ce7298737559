"""fused.py - fused.c as PyTorch functions: GELU, SwiGLU, RMSNorm, LayerNorm and rotary splitting, each
one pass forward and one back. Falls to nothing: a C compiler is needed to train."""

import ctypes
import hashlib
import os
import subprocess
import tempfile

import torch

import tuning

# Of matrix products and what lies between them. Without AMX float32 is the quicker one.
NUMBER = torch.bfloat16 if tuning.AMX else torch.float32
HERE = os.path.dirname(os.path.abspath(__file__))


def build():
    source = os.path.join(HERE, "fused.c")
    name = hashlib.sha256(open(source, "rb").read() + str(NUMBER).encode()).hexdigest()[:16]
    path = os.path.join(tempfile.gettempdir(), f"quire-fused-{os.getuid()}-{name}.so")
    if not os.path.exists(path):
        fresh = f"{path}.{os.getpid()}"
        # Compiled and linked apart: linking with -ffast-math would change the whole process's arithmetic.
        options = ["-O3", "-march=native", "-ffast-math", "-fPIC"] + (["-DFLOAT32"] if NUMBER == torch.float32 else [])
        subprocess.run(["cc", *options, "-c", source, "-o", fresh + ".o"], check=True)
        subprocess.run(["cc", "-shared", fresh + ".o", "-o", fresh, "-lm"], check=True)
        os.remove(fresh + ".o")
        os.replace(fresh, path)
    return ctypes.CDLL(path)


C = build()


def call(f, *args):
    def as_c(a):
        if torch.is_tensor(a):
            return ctypes.c_void_p(a.data_ptr())
        return ctypes.c_float(a) if isinstance(a, float) else ctypes.c_long(a)

    f(*(as_c(a) for a in args))


class Gelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        x = x.contiguous()
        y = torch.empty_like(x)
        call(C.gelu, x, y, x.numel())
        ctx.save_for_backward(x)
        return y

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        dx = torch.empty_like(x)
        call(C.gelu_back, x, g.contiguous(), dx, x.numel())
        return dx


class SwiGlu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, gate, up):
        y = torch.empty_like(gate)
        call(C.swiglu, gate, up, y, y.numel())
        ctx.save_for_backward(gate, up)
        return y

    @staticmethod
    def backward(ctx, g):
        gate, up = ctx.saved_tensors
        dg, du = torch.empty_like(gate), torch.empty_like(up)
        call(C.swiglu_back, gate, up, g.contiguous(), dg, du, gate.numel())
        return dg, du


class Rms(torch.autograd.Function):
    """[rows, n] float32 -> NUMBER"""

    @staticmethod
    def forward(ctx, x, w, eps):
        x = x.contiguous()
        rows, n = x.shape
        y, scale = torch.empty(rows, n, dtype=NUMBER), torch.empty(rows)
        call(C.rms, x, w.detach(), y, scale, rows, n, eps)
        ctx.save_for_backward(x, w, scale)
        return y

    @staticmethod
    def backward(ctx, g):
        x, w, scale = ctx.saved_tensors
        dx, dw = torch.empty_like(x), torch.zeros_like(w)
        call(C.rms_back, x, w.detach(), g.contiguous(), scale, dx, dw, *x.shape)
        return dx, dw, None


class Layer(torch.autograd.Function):
    """[rows, n] float32 -> NUMBER"""

    @staticmethod
    def forward(ctx, x, w, b, eps):
        x = x.contiguous()
        rows, n = x.shape
        y, mean, scale = torch.empty(rows, n, dtype=NUMBER), torch.empty(rows), torch.empty(rows)
        call(C.layer, x, w.detach(), b.detach(), y, mean, scale, rows, n, eps)
        ctx.save_for_backward(x, w, mean, scale)
        return y

    @staticmethod
    def backward(ctx, g):
        x, w, mean, scale = ctx.saved_tensors
        dx, dw, db = torch.empty_like(x), torch.zeros_like(w), torch.zeros_like(w)
        call(C.layer_back, x, w.detach(), g.contiguous(), mean, scale, dx, dw, db, *x.shape)
        return dx, dw, db, None


class SplitTurn(torch.autograd.Function):
    """[batch*n, heads*d] -> [batch*heads, n, d], rotated"""

    @staticmethod
    def forward(ctx, x, batch, heads, cosines, sines):
        x = x.contiguous()
        n, d = x.shape[0] // batch, x.shape[1] // heads
        y = torch.empty(batch * heads, n, d, dtype=NUMBER)
        call(C.split_turn, x, y, cosines, sines, batch, n, heads, d, heads * d)
        ctx.shape = (batch, n, heads, d)
        ctx.save_for_backward(cosines, sines)
        return y

    @staticmethod
    def backward(ctx, g):
        batch, n, heads, d = ctx.shape
        dx = torch.empty(batch * n, heads * d, dtype=NUMBER)
        call(C.join_turn, g.contiguous(), dx, *ctx.saved_tensors, batch, n, heads, d, heads * d)
        return dx, None, None, None, None


class Add(torch.autograd.Function):
    """A float32 stream plus a branch of NUMBER."""

    @staticmethod
    def forward(ctx, x, y):
        z = torch.empty_like(x)
        call(C.add, x, y.contiguous(), z, x.numel())
        return z

    @staticmethod
    def backward(ctx, g):
        return g, g.to(NUMBER)
