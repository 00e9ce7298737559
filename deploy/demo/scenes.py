"""scenes.py - pictures whose content is known, because we drew them.

A scene is drawn on a canvas of any size and aspect, since that is what people send, and is then
stretched to the model's square the way the server does it (Pillow's Lanczos). `draw` is
deterministic in the random generator that it is given. Beside the pixels a scene says what lies
under every patch of the vision tower; training uses that as a dense lesson, evaluation ignores it.

Needs numpy and Pillow, and for text the DejaVu and Liberation fonts."""

import glob
import io
import math
import os
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIZE = 96  # the tower's square, in pixels
PATCH = 8
GRID = SIZE // PATCH

HERE = os.path.dirname(os.path.abspath(__file__))
WORDS = open(os.path.join(HERE, "words.txt"), encoding="utf-8").read().split()

SHAPES = ["circle", "square", "triangle", "star", "cross", "ring"]
# Far enough apart that shade, noise and JPEG never carry one into another.
COLOURS = {
    "red": (215, 35, 40),
    "orange": (250, 140, 20),
    "yellow": (245, 225, 45),
    "green": (40, 150, 60),
    "blue": (40, 75, 210),
    "purple": (140, 50, 165),
    "black": (18, 18, 20),
    "white": (248, 248, 248),
}
CHARS = "abcdefghijklmnopqrstuvwxyz0123456789"

# What a patch can show, as columns of Scene.labels; 0 always means "nothing of the kind".
LABELS = {
    "shape": len(SHAPES) + 1,
    "colour": len(COLOURS) + 1,
    "centre": 2,  # the centre of a shape lies in this patch: makes counting a sum
    "char": len(CHARS) + 1,
    "index": 11,  # place of the character in its string: makes reading a look-up
    "object": len(SHAPES) * len(COLOURS) + 1,  # shape and colour at once, at the centre only: makes lists a sum
    "field": 10,  # in which of three by three fields the centre of this shape lies: makes places a look-up
    # 1 on the shape that lies outermost on that side, 2 on the others: makes comparing positions a look-up
    "leftmost": 3, "rightmost": 3, "topmost": 3, "lowest": 3,
}
EDGES = {"leftmost": (0, -1), "rightmost": (0, 1), "topmost": (1, -1), "lowest": (1, 1)}

FONT_PATTERNS = [
    "/usr/share/fonts/truetype/dejavu/*.ttf",
    "/usr/share/fonts/truetype/liberation/*.ttf",
]


@lru_cache(maxsize=None)
def fonts():
    found = sorted(p for pattern in FONT_PATTERNS for p in glob.glob(pattern))
    usable = [p for p in found if "ExtraLight" not in p and "MathTeX" not in p]
    if not usable:
        raise SystemExit("no fonts: apt-get install fonts-dejavu fonts-liberation")
    return usable


@lru_cache(maxsize=512)
def font(path, size):
    return ImageFont.truetype(path, size)


class Scene:
    """kind is 'shapes', 'number' or 'word'. objects: (shape, colour, x, y) in fractions of the
    picture, left to right; text: what is printed. pixels: SIZE x SIZE x 3 uint8, as the model sees it;
    original: the picture before it was stretched. labels: GRID*GRID x len(LABELS) uint8."""

    def __init__(self, kind, objects, text, original, labels):
        self.kind = kind
        self.objects = objects
        self.text = text
        self.original = original
        self.labels = labels
        self.pixels = np.asarray(original.resize((SIZE, SIZE), Image.LANCZOS))


def luminance(c):
    return 0.299 * c[0] + 0.587 * c[1] + 0.114 * c[2]


def shade(rng, base, spread):
    return tuple(int(v) for v in np.clip(np.array(base) + rng.normal(0, spread, 3), 0, 255))


def background(rng, w, h, dark):
    """Plain, gradient, stripes or blotches; light or dark as asked. Returns an RGB picture."""
    lo, hi = (25, 75) if dark else (195, 242)
    tint = lambda: rng.uniform(lo, hi) + rng.normal(0, 7, 3)
    style = rng.random()
    a, b = tint(), tint()
    if style < 0.45:
        return Image.new("RGB", (w, h), tuple(int(v) for v in np.clip(a, 0, 255)))
    if style < 0.75:
        angle = rng.uniform(0, 2 * math.pi)
        ramp = np.add.outer(np.linspace(-1, 1, h) * math.sin(angle), np.linspace(-1, 1, w) * math.cos(angle))
        t = ramp / 2.9 + 0.5
    elif style < 0.88:
        period = rng.uniform(w / 12, w / 4)
        t = (np.add.outer(np.arange(h) * rng.uniform(-1, 1), np.arange(w)) % period > period / 2) * 0.35
    else:
        coarse = Image.fromarray((rng.random((6, 6)) * 255).astype(np.uint8))
        t = np.asarray(coarse.resize((w, h), Image.BICUBIC)) / 255.0
    mixed = a + (b - a) * t[..., None]
    return Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))


def polygon(shape, r, turn):
    """Corners of a shape around (0, 0), or None for the round ones."""
    if shape == "square":
        radii, n, first = [0.95 * r], 4, 45
    elif shape == "triangle":
        radii, n, first = [1.05 * r], 3, -90
    elif shape == "star":
        radii, n, first = [1.1 * r, 0.45 * r], 10, -90
    elif shape == "cross":
        a, b = r, 0.34 * r
        pts = [(-b, -a), (b, -a), (b, -b), (a, -b), (a, b), (b, b)]
        pts += [(-x, -y) for x, y in pts]
        c, s = math.cos(turn), math.sin(turn)
        return [(x * c - y * s, x * s + y * c) for x, y in pts]
    else:
        return None
    out = []
    for i in range(n):
        angle = math.radians(first + 360 * i / n) + turn
        out.append((radii[i % len(radii)] * math.cos(angle), radii[i % len(radii)] * math.sin(angle)))
    return out


def place(rng, n):
    """n centres and radii in fractions of the side, apart from each other; fewer if it gets crowded."""
    biggest = {1: 0.3, 2: 0.22, 3: 0.19, 4: 0.16}.get(n, 0.145)
    spots = []
    for _ in range(n):
        for _ in range(60):
            r = rng.uniform(0.085, biggest)
            x, y = rng.uniform(r * 1.1 + 0.01, 0.99 - r * 1.1, 2)
            if all(math.hypot(x - a, y - b) > 1.12 * (r + s) + 0.015 for a, b, s in spots):
                spots.append((x, y, r))
                break
    return spots


def paint_shapes(rng, image, dark):
    w, h = image.size
    pen = ImageDraw.Draw(image)
    spots = place(rng, int(rng.choice([1, 2, 3, 4, 5], p=[0.15, 0.25, 0.28, 0.2, 0.12])))
    names = [c for c in COLOURS if c != ("black" if dark else "white")]
    groups = int(rng.integers(1, min(3, len(spots)) + 1)) if rng.random() < 0.6 else len(spots)
    looks = [(SHAPES[rng.integers(len(SHAPES))], names[rng.integers(len(names))]) for _ in range(groups)]
    labels = np.zeros((GRID, GRID, len(LABELS)), np.uint8)
    ys, xs = np.mgrid[0:GRID, 0:GRID]
    px, py = (xs + 0.5) / GRID, (ys + 0.5) / GRID
    objects = []
    for i, (x, y, r) in enumerate(spots):
        shape, colour = looks[i] if i < groups else looks[rng.integers(groups)]
        fill = shade(rng, COLOURS[colour], 9)
        cx, cy, rad = x * w, y * h, r * min(w, h)
        corners = polygon(shape, rad, rng.normal(0, 0.16) if rng.random() < 0.6 else 0)
        if corners:
            pen.polygon([(cx + u, cy + v) for u, v in corners], fill=fill)
        elif shape == "circle":
            pen.ellipse((cx - rad, cy - rad, cx + rad, cy + rad), fill=fill)
        else:
            pen.ellipse((cx - rad, cy - rad, cx + rad, cy + rad), outline=fill, width=max(2, int(rad * 0.36)))
        under = np.hypot((px - x) * w, (py - y) * h) < max(rad * 0.85, 0.71 * min(w, h) / GRID)
        labels[under, 0] = SHAPES.index(shape) + 1
        labels[under, 1] = list(COLOURS).index(colour) + 1
        middle = min(GRID - 1, int(y * GRID)), min(GRID - 1, int(x * GRID))
        labels[middle][2] = 1
        labels[middle][5] = SHAPES.index(shape) * len(COLOURS) + list(COLOURS).index(colour) + 1
        labels[under, 6] = 3 * int(3 * y) + int(3 * x) + 1
        for column, (axis, sign) in enumerate(EDGES.values(), 7):
            labels[under, column] = 1 if spots[i][axis] * sign == max(s[axis] * sign for s in spots) else 2
        objects.append((shape, colour, float(x), float(y)))
    objects.sort(key=lambda o: o[2])
    return objects, labels


def paint_text(rng, image, dark, text):
    """Prints text (already in its final case) somewhere, a little turned; returns the patch labels."""
    w, h = image.size
    path = fonts()[rng.integers(len(fonts()))]
    wide = font(path, 40).getlength(text) / 40  # width per unit of font size
    largest = min(0.9 * w / wide, 0.62 * h)
    smallest = min(largest, max(15 * w / SIZE * 0.9, 15 * h / SIZE * 0.9))
    size = max(9, int(smallest + (largest - smallest) * rng.random() ** 0.8))
    face = font(path, size)
    length, (up, down) = face.getlength(text), face.getmetrics()
    turn = rng.normal(0, 3.0) if rng.random() < 0.4 else 0.0
    x0 = rng.uniform(0.03 * w, max(0.031 * w, 0.97 * w - length))
    y0 = rng.uniform(-0.1 * up, max(0.01, h - 1.02 * (up + down)))
    mask = Image.new("L", (w, h), 0)
    ImageDraw.Draw(mask).text((x0, y0), text, font=face, fill=255)
    mid = (x0 + length / 2, y0 + (up + down) / 2)
    if turn:
        mask = mask.rotate(turn, Image.BILINEAR, center=mid)
    for _ in range(20):
        ink = rng.uniform(0, 255, 3) if rng.random() < 0.6 else np.full(3, rng.uniform(0, 255))
        if abs(luminance(ink) - (50 if dark else 220)) > 85:
            break
    else:
        ink = np.full(3, 235 if dark else 25)
    image.paste(tuple(int(v) for v in ink), (0, 0), mask)

    labels = np.zeros((GRID, GRID, len(LABELS)), np.uint8)
    ys, xs = np.mgrid[0:GRID, 0:GRID]
    dx, dy = (xs + 0.5) / GRID * w - mid[0], (ys + 0.5) / GRID * h - mid[1]
    c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    u, v = dx * c - dy * s + length / 2, dx * s + dy * c
    reach = 0.5 * size + 0.25 * h / GRID  # capitals are about 0.7 of the size, around the middle
    for i, ch in enumerate(text):
        left, right = face.getlength(text[:i]), face.getlength(text[: i + 1])
        hit = (u >= left) & (u < right) & (abs(v) < reach)
        labels[hit, 3] = CHARS.index(ch.lower()) + 1
        labels[hit, 4] = min(i, 9) + 1
    return labels


def spoil(rng, image):
    """What happens to pictures on their way: sensor noise, JPEG."""
    if rng.random() < 0.3:
        noisy = np.asarray(image).astype(np.float32) + rng.normal(0, rng.uniform(3, 12), np.asarray(image).shape)
        image = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
    if rng.random() < 0.3:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=int(rng.integers(60, 95)))
        image = Image.open(buffer).convert("RGB")
    return image


def draw(rng, kind=None, text=None):
    """Makes one scene. kind: 'shapes', 'number' or 'word', else drawn at random; text: what to print."""
    kind = kind or str(rng.choice(["shapes", "number", "word"], p=[0.5, 0.17, 0.33]))
    h = int(rng.integers(SIZE, 161))
    w = int(np.clip(h * math.exp(rng.normal(0, 0.15)), SIZE, 200)) if rng.random() < 0.5 else h
    dark = rng.random() < 0.3
    image = background(rng, w, h, dark)
    objects = []
    if kind == "shapes":
        # Drawn twice as large and shrunk, for smooth edges.
        image = image.resize((2 * w, 2 * h))
        objects, labels = paint_shapes(rng, image, dark)
        image = image.resize((w, h), Image.BOX)
        text = ""
    else:
        if text is not None:
            pass
        elif kind == "number":
            digits = int(rng.integers(1, 5))
            text = str(int(rng.integers(10 ** (digits - 1) if digits > 1 else 0, 10**digits)))
        else:
            text = WORDS[rng.integers(len(WORDS))]
        shown = (text, text.upper(), text.capitalize())[int(rng.choice(3, p=[0.5, 0.28, 0.22]))]
        labels = paint_text(rng, image, dark, shown)
    return Scene(kind, objects, text, spoil(rng, image), labels.reshape(GRID * GRID, len(LABELS)))
