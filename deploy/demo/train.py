"""train.py - teaches the whole model to talk about pictures, after tower.py has taught its tower to see.

    python3 tower.py --minutes 18 --out /tmp/quire-demo
    python3 train.py --hours 1.5 --out /tmp/quire-demo

Goes on from the checkpoint there, which may be one that resume.py made. One process for each core learns, and
one more draws pictures and makes up conversations. Prints the losses, and every twenty minutes the share of right
answers on pictures that were never trained on; curve.csv keeps step, seconds and both losses."""

import argparse
import copy
import math
import multiprocessing as mp
import os
import time

import tuning

if __name__ == "__main__":
    tuning.apply()

import numpy as np
import torch
import torch.nn.functional as F

import bpe
import generate
import lessons
import model as net
import pages
import scenes
import talk
from muon import Muon

VOCABULARY = 1024
PROSE = "/usr/share/common-licenses/GPL-3"
LESSON_WEIGHT = 1.0
# Of each lesson; what takes longest counts more.
SHARES = {"char": 3, "object": 2, "field": 3} | {edge: 1.5 for edge in scenes.EDGES}
TOWER_SHARE = 0.7


def make_tokenizer():
    """Trained on talk about freshly drawn scenes, from a fixed seed."""
    rng = np.random.default_rng(7)
    said = []
    for _ in range(1500):
        s = scenes.draw(rng)
        said += [p["text"] for m in talk.about_one(rng, s, 6) for p in m["parts"] if "text" in p]
    prose = open(PROSE, encoding="utf-8").read()
    return bpe.Tokenizer(*bpe.train(bpe.corpus(scenes.WORDS, [" " + t for t in said], prose), VOCABULARY))


def checkpoint(folder):
    return os.path.join(folder, "checkpoint.pt")


def load(folder):
    """The checkpoint in a folder, or one of a model that knows nothing yet."""
    os.makedirs(folder, exist_ok=True)
    if os.path.exists(checkpoint(folder)):
        return torch.load(checkpoint(folder))
    t = make_tokenizer()
    return {"model": net.Model(len(t.tokens)).state_dict(), "step": 0, "spent": 0.0,
            "tokenizer": (t.tokens, t.types, t.merges)}


def save(folder, state):
    torch.save(state, checkpoint(folder) + ".new")
    os.replace(checkpoint(folder) + ".new", checkpoint(folder))


def scene(rng):
    """What is harder to learn comes oftener than in an examination: long numbers above all."""
    kind, text = str(rng.choice(["shapes", "number", "word"], p=[0.63, 0.17, 0.2])), None
    if kind == "number":
        digits = int(rng.choice([1, 2, 3, 4], p=[0.1, 0.15, 0.3, 0.45]))
        text = str(int(rng.integers(10 ** (digits - 1) if digits > 1 else 0, 10**digits)))
    s = scenes.draw(rng, kind, text)
    s.original = None  # not needed, and large
    return s


def feed(seed, tokenizer, count, queues):
    os.nice(5)
    rng = np.random.default_rng(seed)
    layout = lessons.Layout(tokenizer)
    source, page = lessons.source(rng, scene), lessons.source(rng, pages.page)
    prose = open(PROSE, encoding="utf-8").read().split()
    while True:
        give_page = lambda: pages.disguise(rng, *page())
        for parts in lessons.batches(rng, layout, source, give_page, prose, count, len(queues)):
            for queue, part in zip(queues, parts):
                queue.put(part)


def lesson_loss(model, features, labels):
    logits = model.vision.lessons(features).float()
    total, at = 0, 0
    labels = labels.view(-1, labels.shape[-1]).long()
    for i, (name, n) in enumerate(scenes.LABELS.items()):
        weight = torch.ones(n)
        weight[0] = 0.05 if name == "object" else 0.15  # most patches show nothing
        loss = F.cross_entropy(logits[:, at : at + n], labels[:, i], weight=weight)
        total = total + loss * SHARES.get(name, 1)
        at += n
    return total / 9


def losses(model, arrays):
    ids, slots, said, pixels, labels = (torch.from_numpy(a) for a in arrays)
    features, embeddings = model.vision(pixels)
    wanted = torch.zeros_like(said)
    wanted[:, :-1] = said[:, 1:]
    logits = model.text(ids, slots, embeddings.view(-1, net.T_DIM), wanted)
    targets = ids[:, 1:][said[:, 1:]]
    return F.cross_entropy(logits, targets), lesson_loss(model, features, labels)


@torch.no_grad()
def greedy(model, tokenizer, layout, messages, pixels, limit=40):
    """The model's answer to a conversation, by plain recomputation: slow, simple, right."""
    row = layout.row(messages, open_end=True)
    embeddings = torch.zeros(0, net.T_DIM)
    if pixels:
        embeddings = model.vision(torch.from_numpy(np.stack(pixels)))[1].view(-1, net.T_DIM)
    ids, slots = list(row.ids), list(row.slots)
    for _ in range(limit):
        wanted = torch.zeros(1, len(ids), dtype=torch.bool)
        wanted[0, -1] = True
        logits = model.text(torch.tensor([ids]), torch.tensor([slots]), embeddings, wanted)
        best = int(logits[0].argmax())
        if best == layout.end:
            break
        ids.append(best)
        slots.append(-1)
    return tokenizer.decode(ids[len(row.ids) :]).strip()


@torch.no_grad()
def examine(model, tokenizer, layout, count, seed=99):
    """Share of right answers, in all and by kind, in an examination like the one the pool is put to."""
    table = {}
    for number, kind in enumerate(generate.kinds_of(count)):
        messages, shown = generate.question(seed, number, kind)
        right = messages.pop()["parts"][0]["text"]
        row = table.setdefault(kind, [0, 0])
        row[0] += greedy(model, tokenizer, layout, messages, [s.pixels for s in shown]) == right
        row[1] += 1
    total = sum(right for right, _ in table.values()) / count
    return 100 * total, ", ".join(f"{kind} {right}/{asked}" for kind, (right, asked) in sorted(table.items()))


class Gradients:
    """The mean of all ranks' gradients, through shared memory. Every rank then takes the same optimizer step
    from the same numbers, so that the models never drift apart."""

    def __init__(self, size, ranks):
        self.slots = torch.zeros(ranks, size).share_memory_()
        self.barrier = mp.Barrier(ranks)

    def wait(self):
        self.barrier.wait()

    def average(self, rank, parameters):
        if len(self.slots) == 1:
            return
        torch.cat([p.grad.reshape(-1) for p in parameters], out=self.slots[rank])
        self.barrier.wait()
        mean = self.slots.mean(0)
        self.barrier.wait()
        at = 0
        for p in parameters:
            p.grad.copy_(mean[at : at + p.numel()].view_as(p))
            at += p.numel()


class Optimizer:
    """Muon for the matrices inside, AdamW for the rest. The tower has a share of the rate: it has had its lessons,
    and is not to lose them while the text model, which has had fewer, learns fast."""

    def __init__(self, model, rank, gradients):
        groups = {}
        for name, p in model.named_parameters():
            share = TOWER_SHARE if name.startswith("vision.") and not name.startswith("vision.fc") else 1.0
            inner = p.dim() == 2 and ".layers." in name or name == "vision.fc.weight"
            groups.setdefault((inner, share, 0.05 if p.dim() > 1 else 0.0), []).append(p)
        inside, rest = [], []
        for (inner, share, decay), ps in groups.items():
            (inside if inner else rest).append({"params": ps, "share": share, "weight_decay": decay})
        self.parts = [torch.optim.AdamW(rest, lr=0.0, betas=(0.9, 0.98), foreach=True),
                      Muon(inside, rank, len(gradients.slots), gradients.slots[0], gradients.barrier)]

    def step(self, rate):
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = rate * group["share"]
            part.step()


class Average:
    """An exponential moving average of the weights, which answers better than the newest of them."""

    def __init__(self, model, decay=0.995):
        self.kept, self.decay, self.steps = copy.deepcopy(model), decay, 0

    @torch.no_grad()
    def follow(self, model):
        self.steps += 1
        share = 1 - min(self.decay, self.steps / (self.steps + 10))
        kept, new = list(self.kept.parameters()), list(model.parameters())
        torch._foreach_mul_(kept, 1 - share)
        torch._foreach_add_(kept, new, alpha=share)


def learn(rank, args, state, queue, gradients, stop):
    """One rank's training, from `state` until the hours are over. Rank 0 reports, saves and says when to
    stop; the others follow."""
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    tokenizer = bpe.Tokenizer(*state["tokenizer"])
    layout = lessons.Layout(tokenizer)
    model = net.Model(len(tokenizer.tokens))
    model.load_state_dict(state["model"])
    optimizer = Optimizer(model, rank, gradients)
    average = Average(model) if rank == 0 else None
    step, parameters, sums, skipped = state["step"], list(model.parameters()), [], 0
    begin, saved, examined, first = time.time() - state["spent"], time.time(), time.time(), step
    while True:
        if rank == 0:
            stop.value = (time.time() - begin) / (args.hours * 3600)
        arrays = queue.get()
        said, seen = losses(model, arrays)
        model.zero_grad(set_to_none=True)
        (said + LESSON_WEIGHT * seen).backward()
        gradients.average(rank, parameters)
        done = stop.value  # written before the barriers in average(), so that all ranks read the same
        if done >= 1:
            break
        if not math.isfinite(float(torch.nn.utils.clip_grad_norm_(parameters, 1.0))):
            skipped += 1  # the same on every rank; one bad batch is passed over
            if skipped > 100:
                raise SystemExit("the gradients are no longer finite; lower --rate")
            gradients.wait()
            continue
        fall = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))
        optimizer.step(args.rate * min(1, (step - first + 1) / 40) * fall)
        gradients.wait()
        step += 1
        if rank != 0:
            continue
        average.follow(model)
        spent = time.time() - begin
        sums.append((float(said), float(seen)))
        if step % 25 == 0:
            report(args.out, step, spent, np.mean(sums, 0))
            sums = []
        if time.time() - saved > 180:
            save(args.out, snapshot(state, model, average, step, spent))
            saved = time.time()
        if time.time() - examined > 1200:
            print("right: %.0f %% (%s)" % examine(average.kept, tokenizer, layout, 100), flush=True)
            examined = time.time()
    if rank == 0:
        save(args.out, snapshot(state, model, average, step, spent))
        print("right: %.1f %% (%s)" % examine(average.kept, tokenizer, layout, 300), flush=True)


def snapshot(state, model, average, step, spent):
    """What optimizers remember is left out: it is made anew while the rate rises."""
    return {**state, "model": model.state_dict(), "average": average.kept.state_dict(), "step": step, "spent": spent}


def report(folder, step, spent, mean):
    print(f"step {step} {spent / 60:.1f} min answers {mean[0]:.4f} patches {mean[1]:.4f}", flush=True)
    with open(os.path.join(folder, "curve.csv"), "a", encoding="utf-8") as f:
        f.write(f"{step},{spent:.0f},{mean[0]:.4f},{mean[1]:.4f}\n")


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("--hours", type=float, default=1.5, help="those of earlier runs on the checkpoint included")
    a.add_argument("--out", default="/tmp/quire-demo")
    a.add_argument("--batch", type=int, default=24, help="conversations of each rank and step")
    a.add_argument("--rate", type=float, default=1e-3)
    a.add_argument("--ranks", type=int, default=os.cpu_count(), help="processes that learn together")
    a.add_argument("--seed", type=int, default=1)
    args = a.parse_args()
    state = load(args.out)
    tokenizer = bpe.Tokenizer(*state["tokenizer"])
    size = sum(p.numel() for p in net.Model(len(tokenizer.tokens)).parameters())
    print(f"{size / 1e6:.2f} M parameters, {args.ranks} ranks", flush=True)
    queues = [mp.Queue(8) for _ in range(args.ranks)]
    gradients, stop = Gradients(size, args.ranks), mp.Value("d", 0.0)
    seed = args.seed * 1000 + state["step"]
    mp.Process(target=feed, args=(seed, tokenizer, args.batch, queues), daemon=True).start()
    for r in range(1, args.ranks):
        mp.Process(target=learn, args=(r, args, state, queues[r], gradients, stop), daemon=True).start()
    learn(0, args, state, queues[0], gradients, stop)


if __name__ == "__main__":
    main()
