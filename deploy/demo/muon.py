"""muon.py - an optimizer for matrices: the step is the momentum with all its singular values made about equal.

Much of what a gradient says lies in its small singular values, which plain momentum hardly follows. Newton-Schulz
iterations raise them with matrix products alone. A step is scaled to the size that AdamW's steps usually have, so
that one rate fits both."""

import torch

A, B, C = 3.4445, -4.7750, 2.0315  # brings singular values from (0, 1] near 1 in five rounds


def orthogonal(g, rounds=5):
    tall = g.shape[0] > g.shape[1]
    x = g.t() if tall else g
    x = x / (x.norm() + 1e-7)
    for _ in range(rounds):
        square = x @ x.t()
        x = torch.addmm(x, torch.addmm(square, square, square, beta=B, alpha=C), x, beta=A)
    return x.t() if tall else x


class Muon:
    """groups: dicts with params (all matrices), weight_decay and lr. The ranks share the work: each makes every
    ranks-th step and finds the others' in `shared`, a vector in shared memory."""

    def __init__(self, groups, rank, ranks, shared, barrier, momentum=0.95):
        self.param_groups = groups
        self.rank, self.ranks, self.barrier, self.momentum = rank, ranks, barrier, momentum
        self.plan, at = [], 0
        for group in groups:
            for p in group["params"]:
                part = shared[at : at + p.numel()].view_as(p)
                self.plan.append((group, p, torch.zeros_like(p), part))
                at += p.numel()
        self.plan.sort(key=lambda entry: -entry[1].numel())

    @torch.no_grad()
    def step(self):
        for i, (_, p, past, part) in enumerate(self.plan):
            if i % self.ranks == self.rank:
                past.mul_(self.momentum).add_(p.grad)
                ahead = p.grad + self.momentum * past
                part.copy_(orthogonal(ahead).mul_(0.2 * max(p.shape) ** 0.5))
        self.barrier.wait()
        for group, p, _, part in self.plan:
            p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(part, alpha=group["lr"])
