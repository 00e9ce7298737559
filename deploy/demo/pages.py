"""pages.py - pictures for the tower's first lessons: pages full of letters.

One word in a picture teaches a few patches; a page of nonsense teaches most of them, so letters are
learned several times sooner. The tower learns them before anything is said about them."""

import numpy as np
from PIL import Image, ImageDraw

import scenes
from scenes import CHARS, GRID, LABELS, SIZE

W, H = 144, 144
ALPHABET = np.array(list(CHARS))
# About as often as in words, digits as often as all that.
LETTERS = np.array(list("".join(scenes.WORDS) + 12 * CHARS + 20 * "0123456789"))


def string(rng):
    n = int(rng.integers(1, 8))
    if rng.random() < 0.35:
        text = scenes.WORDS[rng.integers(len(scenes.WORDS))]
    else:
        text = "".join(LETTERS[rng.integers(len(LETTERS), size=n)])
    return (text, text.upper(), text.capitalize())[int(rng.choice(3, p=[0.5, 0.3, 0.2]))]


def page(rng):
    """Returns pixels and labels like those of a scene."""
    dark = rng.random() < 0.3
    image = scenes.background(rng, W, H, dark)
    pen = ImageDraw.Draw(image)
    labels = np.zeros((GRID, GRID, len(LABELS)), np.uint8)
    cell = W / GRID
    centres = (np.arange(GRID) + 0.5) * cell
    y = rng.uniform(-4, 6)
    while y < H - 12:
        size = int(np.exp(rng.uniform(np.log(20), np.log(68))))
        path = scenes.fonts()[rng.integers(len(scenes.fonts()))]
        face = scenes.font(path, size)
        up, down = face.getmetrics()
        if y + 0.85 * (up + down) > H:
            size = 20
            face = scenes.font(path, size)
            up, down = face.getmetrics()
            if y + 0.85 * (up + down) > H:
                break
        for _ in range(20):
            ink = rng.uniform(0, 255, 3) if rng.random() < 0.6 else np.full(3, rng.uniform(0, 255))
            if abs(scenes.luminance(ink) - (50 if dark else 220)) > 85:
                break
        else:
            ink = np.full(3, 235 if dark else 25)
        ink = tuple(int(v) for v in ink)
        rows = np.abs(centres - (y + (up + down) / 2)) < 0.5 * size + 0.25 * cell
        x = rng.uniform(1, 10)
        while True:
            text = string(rng)
            edges = [x + face.getlength(text[:i]) for i in range(len(text) + 1)]
            while len(text) > 1 and edges[-1] > W - 1:
                text, edges = text[:-1], edges[:-1]
            if edges[-1] > W - 1:
                break
            pen.text((x, y), text, font=face, fill=ink)
            for i, ch in enumerate(text):
                columns = (centres >= edges[i]) & (centres < edges[i + 1])
                labels[np.ix_(rows, columns, [3])] = CHARS.index(ch.lower()) + 1
                labels[np.ix_(rows, columns, [4])] = min(i, 9) + 1
            x = edges[-1] + face.getlength(" ") + rng.uniform(4, 24)
        y += 0.95 * (up + down) + rng.uniform(0, 10)
    if rng.random() < 0.15:
        image = image.rotate(float(rng.normal(0, 2.5)), Image.BILINEAR, fillcolor=image.getpixel((0, 0)))
    image = scenes.spoil(rng, image)
    return np.asarray(image.resize((SIZE, SIZE), Image.LANCZOS)), labels.reshape(GRID * GRID, len(LABELS))


def disguise(rng, pixels, labels):
    """The same page in other colours: letters stay letters."""
    pixels = pixels[..., rng.permutation(3)]
    return (255 - pixels if rng.random() < 0.3 else pixels), labels
