"""text.py - lessons for the text model alone, on scenes that the tower has looked at once and then stays as it is.
For what is said wrongly about shapes though the tower sees them rightly: a step without the tower costs less, and
asks more about each picture.

    python3 text.py --minutes 25 --out /tmp/quire-demo

Goes on from the checkpoint there (from its average, where it has one) and puts the text model back into it. What the
tower makes of the scenes is kept in memory that all ranks share. train.py comes next; it counts its hours anew."""

import argparse
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
import lessons
import model as net
import scenes
import talk
import train

SHAPES = 0.73  # of the scenes are drawn as shapes; the rest are as in train.py
USUAL = 0.35  # of the conversations are those of train.py; the rest are about one picture of shapes
QUESTIONS = (6, 8)  # about one picture, the fewest and the most
KINDS = {"shapes": 0.63, "number": 0.17, "word": 0.2}  # of pictures in the usual conversations
# Of the questions about one picture: places above all, then lists.
TOPICS = {"what": 0.20, "count": 0.15, "colour": 0.03, "side": 0.30, "where": 0.29, "say": 0.01,
          "number": 0.01, "word": 0.01}
LOOK = 24  # pictures at a time
SORTED = 6  # steps whose conversations are sorted by length together, so that little is padding
AVERAGED = 1 / 3  # of the time, the last; the mean of the weights in it is what is kept


def draw(rng):
    if rng.random() >= SHAPES:
        return train.scene(rng)
    s = scenes.draw(rng, "shapes", None)
    s.original = None
    return s


@torch.no_grad()
def look(rank, args, state, seen, queue):
    """Draws this rank's part of the scenes, writes their embeddings to its rows of `seen` and gives the scenes
    back without their pixels; s.index is the row."""
    torch.set_num_threads(1)
    model = net.Model(len(state["tokenizer"][0]))
    model.load_state_dict(state["model"])
    rng = np.random.default_rng(args.seed * 1000 + rank)
    first, last = (len(seen) * r // args.ranks for r in (rank, rank + 1))
    kept = []
    for at in range(first, last, LOOK):
        made = [draw(rng) for _ in range(min(LOOK, last - at))]
        seen[at : at + len(made)] = model.vision(torch.from_numpy(np.stack([s.pixels for s in made])))[1]
        for i, s in enumerate(made):
            s.pixels = s.labels = None
            s.index = at + i
        kept += made
    queue.put(kept)


def bank(args, state):
    """The scenes and, shared by all processes, what the tower makes of each."""
    seen = torch.zeros(args.scenes, net.EMBEDDINGS, net.T_DIM).share_memory_()
    queue, kept = mp.Queue(), []
    ranks = [mp.Process(target=look, args=(r, args, state, seen, queue), daemon=True) for r in range(args.ranks)]
    for p in ranks:
        p.start()
    for _ in ranks:
        kept += queue.get()
    for p in ranks:
        p.join()
    return sorted(kept, key=lambda s: s.index), seen


def batch(layout, made, count):
    """Rows of numbers of `count` conversations, and which scenes they show, in order."""
    rows, which = [], []
    for _, messages, shown in made:
        rows.append(layout.row(messages, len(which)))
        which += [s.index for s in shown]
    n = max(len(x.ids) for x in rows)
    ids, slots = np.zeros((count, n), np.int64), np.full((count, n), -1, np.int64)
    said = np.zeros((count, n), bool)
    for i, x in enumerate(rows):
        ids[i, : len(x.ids)], slots[i, : len(x.ids)], said[i, : len(x.ids)] = x.ids, x.slots, x.said
    return ids, slots, said, np.array(which, np.int64)


def feed(args, kept, tokenizer, queues):
    os.nice(5)
    rng = np.random.default_rng(args.seed * 1000 + args.ranks)
    layout = lessons.Layout(tokenizer)
    prose = open(train.PROSE, encoding="utf-8").read().split()
    kinds = {k: [s for s in kept if s.kind == k] for k in KINDS}
    names, shares = list(KINDS), list(KINDS.values())

    def give():
        return talk.pick(rng, kinds[str(rng.choice(names, p=shares))])

    while True:
        made = []
        while len(made) < SORTED * args.batch * len(queues):
            if rng.random() < USUAL:
                messages, shown = lessons.conversation(rng, give, prose)
            else:
                shown = [talk.pick(rng, kinds["shapes"])]
                turns = int(rng.integers(QUESTIONS[0], QUESTIONS[1] + 1))
                messages = talk.about_one(rng, shown[0], turns, TOPICS)
            if messages:
                made.append((len(layout.row(messages).ids), messages, shown))
        made.sort(key=lambda m: m[0])
        for i in rng.permutation(SORTED):
            chosen = made[i * args.batch * len(queues) : (i + 1) * args.batch * len(queues)]
            for r, queue in enumerate(queues):
                queue.put(batch(layout, chosen[r :: len(queues)], args.batch))


class Mean:
    """The mean of the weights of some steps, which answers better than the newest of them."""

    def __init__(self):
        self.sums, self.steps = None, 0

    @torch.no_grad()
    def add(self, parameters):
        new = [p.double() for p in parameters]
        if self.sums is None:
            self.sums = new
        else:
            torch._foreach_add_(self.sums, new)
        self.steps += 1

    @torch.no_grad()
    def put(self, parameters):
        for p, s in zip(parameters, self.sums or []):
            p.copy_(s / self.steps)


class Text(torch.nn.Module):
    """The text model under its name in the whole model, as train.Optimizer looks for it."""

    def __init__(self, model):
        super().__init__()
        self.text = model.text


def learn(rank, args, state, seen, queue, gradients, stop):
    """One rank's training until the minutes are over. Rank 0 reports and saves, and says when to stop."""
    torch.set_num_threads(1)
    model = net.Model(len(state["tokenizer"][0]))
    model.load_state_dict(state["model"])
    taught = Text(model)
    optimizer, parameters = train.Optimizer(taught, rank, gradients), list(taught.parameters())
    begin, step, sums, mean, skipped = time.time(), 0, [], Mean(), 0
    while True:
        if rank == 0:
            stop.value = (time.time() - begin) / (60 * args.minutes)
        ids, slots, said, which = (torch.from_numpy(a) for a in queue.get())
        wanted = torch.zeros_like(said)
        wanted[:, :-1] = said[:, 1:]
        logits = model.text(ids, slots, seen[which].view(-1, net.T_DIM), wanted)
        loss = F.cross_entropy(logits, ids[:, 1:][said[:, 1:]])
        taught.zero_grad(set_to_none=True)
        loss.backward()
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
        optimizer.step(args.rate * min(1, (step + 1) / 15) * fall)
        gradients.wait()
        step += 1
        if rank != 0:
            continue
        if done > 1 - AVERAGED:
            mean.add(parameters)
        sums.append(float(loss))
        if step % 20 == 0:
            print(f"text step {step} {(time.time() - begin) / 60:.1f} min answers {np.mean(sums):.4f}", flush=True)
            sums = []
    if rank == 0:
        newest = {name: t.clone() for name, t in model.state_dict().items()}
        mean.put(parameters)
        train.save(args.out, {**state, "model": newest, "average": model.state_dict(), "spent": 0.0})


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("--minutes", type=float, default=25, help="of learning; looking comes before them")
    a.add_argument("--out", default="/tmp/quire-demo")
    a.add_argument("--scenes", type=int, default=7600, help="that the tower looks at")
    a.add_argument("--batch", type=int, default=24, help="conversations of each rank and step")
    a.add_argument("--rate", type=float, default=8e-4)
    a.add_argument("--ranks", type=int, default=os.cpu_count(), help="processes that learn together")
    a.add_argument("--seed", type=int, default=70)
    args = a.parse_args()
    state = train.load(args.out)
    state["model"] = state.pop("average", state["model"])
    begin = time.time()
    kept, seen = bank(args, state)
    print(f"{len(kept)} scenes looked at in {(time.time() - begin) / 60:.1f} min", flush=True)
    if {s.kind for s in kept} != set(KINDS):
        raise SystemExit("too few scenes to have some of every kind; raise --scenes")
    tokenizer = bpe.Tokenizer(*state["tokenizer"])
    queues = [mp.Queue(8) for _ in range(args.ranks)]
    size = sum(p.numel() for p in net.Model(len(tokenizer.tokens)).text.parameters())
    gradients, stop = train.Gradients(size, args.ranks), mp.Value("d", 0.0)
    mp.Process(target=feed, args=(args, kept, tokenizer, queues), daemon=True).start()
    for r in range(1, args.ranks):
        mp.Process(target=learn, args=(r, args, state, seen, queues[r], gradients, stop), daemon=True).start()
    learn(0, args, state, seen, queues[0], gradients, stop)


if __name__ == "__main__":
    main()
