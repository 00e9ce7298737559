"""tower.py - first lessons for the vision tower alone: what lies under each patch, on pages of letters and on
scenes. Without a text model in the step, and with four times as many letters in a picture, reading is learned
in minutes where talking about pictures takes most of an hour.

    python3 tower.py --minutes 18 --out /tmp/quire-demo

Goes on from the checkpoint there, if there is one, and puts the tower back into it; train.py comes next."""

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

import model as net
import pages
import scenes
import train
from lessons import source
from pages import disguise

PAGES = 0.65  # of the pictures; the rest are scenes


def lone_scene(rng):
    s = scenes.draw(rng, str(rng.choice(["shapes", "number", "word"], p=[0.7, 0.1, 0.2])))
    return s.pixels, s.labels


def feed(seed, count, queue):
    os.nice(5)
    rng = np.random.default_rng(seed)
    page, scene = source(rng, pages.page), source(rng, lone_scene)
    while True:
        made = [disguise(rng, *page()) if rng.random() < PAGES else scene() for _ in range(count)]
        queue.put((np.stack([m[0] for m in made]), np.stack([m[1] for m in made])))


def lesson_parameters(model):
    """All of the tower but the projector, about which these lessons say nothing."""
    return [p for n, p in model.vision.named_parameters() if not n.startswith("fc.")]


def learn(rank, args, state, tokens, queue, gradients, done):
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    model = net.Model(tokens)
    model.load_state_dict(state["model"])
    parameters = lesson_parameters(model)
    optimizer = torch.optim.AdamW(parameters, lr=args.rate, betas=(0.9, 0.98), weight_decay=0.03, foreach=True)
    begin, step, sums, saved = time.time(), 0, [], time.time()
    while True:
        if rank == 0:
            done.value = (time.time() - begin) / (60 * args.minutes)
        pixels, labels = (torch.from_numpy(a) for a in queue.get())
        optimizer.zero_grad(set_to_none=True)
        loss = train.lesson_loss(model, model.vision(pixels)[0], labels)
        loss.backward()
        gradients.average(rank, parameters)
        now = done.value  # written before the barriers in average(), so that all ranks read the same
        for group in optimizer.param_groups:
            fall = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * min(now, 1)))
            group["lr"] = args.rate * min(1, (step + 1) / 50) * fall
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        gradients.barrier.wait()
        step += 1
        sums.append(float(loss))
        if rank == 0:
            if step % 50 == 0:
                print(f"tower step {step} {(time.time() - begin) / 60:.1f} min patches {np.mean(sums):.4f}", flush=True)
                sums = []
            if now >= 1 or time.time() - saved > 90:
                train.save(args.out, {**state, "model": model.state_dict()})
                saved = time.time()
        if now >= 1:
            break


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("--minutes", type=float, default=18)
    a.add_argument("--out", default="/tmp/quire-demo")
    a.add_argument("--batch", type=int, default=48, help="pictures of each rank and step")
    a.add_argument("--rate", type=float, default=1.5e-3)
    a.add_argument("--ranks", type=int, default=os.cpu_count())
    a.add_argument("--seed", type=int, default=50)
    args = a.parse_args()
    state = train.load(args.out)
    state.pop("average", None)  # of a tower that is no longer there
    tokens = len(state["tokenizer"][0])
    size = sum(p.numel() for p in lesson_parameters(net.Model(tokens)))
    queues = [mp.Queue(8) for _ in range(args.ranks)]
    gradients, done = train.Gradients(size, args.ranks), mp.Value("d", 0.0)
    for r, queue in enumerate(queues):
        mp.Process(target=feed, args=(args.seed * 1000 + r, args.batch, queue), daemon=True).start()
        if r > 0:
            mp.Process(target=learn, args=(r, args, state, tokens, queue, gradients, done), daemon=True).start()
    learn(0, args, state, tokens, queues[0], gradients, done)


if __name__ == "__main__":
    main()
