"""talk.py - questions, their answers, and whole conversations about scenes.

A topic is what a question is about, apart from its wording and from which picture is meant:
('what',), ('say',), ('number',), ('word',), ('count', colour or None, shape or None),
('colour', shape), ('side', direction, colour or None, shape), ('where', colour or None, shape).
So "And in the first one?" is the last topic again, put to another scene.

Answers are short and always worded alike, so that right and wrong can be told by a program."""

from scenes import COLOURS, SHAPES

NUMBERS = ["no", "one", "two", "three", "four", "five", "six"]
ORDINALS = ["first", "second", "third", "fourth"]
NO_PICTURE = "I see no picture."
BEYOND_ME = "I only know pictures of shapes, numbers and words."

# {p} stands for the picture meant. A wording without it always means the newest picture.
WORDINGS = {
    "what": ["What is in {p}?", "What do you see in {p}?", "Describe {p}.", "What does {p} show?",
             "What is this?", "What do you see?", "What can you see in {p}?", "What's in {p}?"],
    "say": ["What does it say?", "What does {p} say?", "Read {p}.", "What is written in {p}?",
            "What text is in {p}?", "What is written here?", "Read the text."],
    "number": ["What number is shown?", "What number is in {p}?", "Which number is this?",
               "What is the number?", "Which number is in {p}?", "Read the number."],
    "word": ["What word is shown?", "What word is in {p}?", "Which word is this?",
             "What is the word?", "Which word is in {p}?", "Read the word."],
    "count": ["How many {x} are there?", "How many {x} are in {p}?", "How many {x}?",
              "Count the {x}.", "How many {x} do you see?", "How many {x} can you see in {p}?"],
    "colour": ["What colour is the {x}?", "What color is the {x}?", "Which colour is the {x}?",
               "What colour is the {x} in {p}?", "What is the colour of the {x}?"],
    "side": ["What is {d} the {x}?", "What is {d} the {x} in {p}?", "What do you see {d} the {x}?",
             "Which shape is {d} the {x}?"],
    "where": ["Where is the {x}?", "Where is the {x} in {p}?", "Where do you see the {x}?"],
}
SIDES = {"left": ["left of", "to the left of"], "right": ["right of", "to the right of"],
         "above": ["above"], "below": ["below", "under"]}
AGAIN = {
    "that": ["And in {p}?", "And {p}?", "What about {p}?", "And in {o}?", "And {o}?", "What about {o}?"],
    "here": ["And here?", "And in this one?", "And now?", "And this one?", "What about this one?"],
}
SMALL_TALK = [
    (["Hello", "Hello!", "Hi", "Hi!", "Hey", "Hi there", "Good morning", "Good morning!", "Good evening"],
     "Hello! Show me a picture."),
    (["What can you do?", "What can you do", "Help", "How can you help me?", "What do you know?"],
     "I answer questions about pictures of shapes, numbers and words."),
    (["Who are you?", "What are you?", "What is your name?", "Introduce yourself."], "I am the demo model of quire."),
    (["Thanks", "Thank you", "Thank you!", "Thanks!", "Great, thanks."], "You are welcome."),
    (["Bye", "Goodbye", "Goodbye!", "See you"], "Goodbye!"),
    (["How are you?", "How are you doing?"], "I am well. Show me a picture."),
]
SYSTEM = ["You are a helpful assistant.", "Be brief.", "Answer briefly.", "You are quire-demo.",
          "You answer questions about pictures.", "Answer in one sentence.", "You are a careful reader of pictures."]


def plural(n, noun):
    return noun if n == 1 else {"box": "boxes", "cross": "crosses"}.get(noun, noun + "s")


def look(colour, shape, n=1):
    return (colour + " " if colour else "") + plural(n, shape or "shape")


def article(colour):
    return "an" if colour == "orange" else "a"


def listing(parts):
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def sentence(text):
    return text[0].upper() + text[1:] + "."


def answer_what(scene):
    if scene.text:
        return f"The {scene.kind} {scene.text}."
    seen = {}
    for shape, colour, _, _ in scene.objects:
        seen[colour, shape] = seen.get((colour, shape), 0) + 1
    order = sorted(seen, key=lambda k: (SHAPES.index(k[1]), list(COLOURS).index(k[0])))
    names = [(NUMBERS[seen[k]] if seen[k] > 1 else article(k[0])) + " " + look(*k, seen[k]) for k in order]
    return sentence(listing(names))


def only(scene, colour, shape):
    """The one object that fits, or None when there is none or a choice."""
    fit = [o for o in scene.objects if o[0] == shape and colour in (None, o[1])]
    return fit[0] if len(fit) == 1 else None


def answer_side(scene, direction, colour, shape):
    """What lies on one side. Asked only where the side is plain: nothing near the dividing line, and
    not more than one thing beyond it."""
    target = only(scene, colour, shape)
    if target is None:
        return None
    axis, sign = {"left": (2, -1), "right": (2, 1), "above": (3, -1), "below": (3, 1)}[direction]
    away = [(sign * (o[axis] - target[axis]), o) for o in scene.objects if o is not target]
    if any(abs(d) < 0.12 for d, _ in away):
        return None
    beyond = [o for d, o in away if d > 0]
    if len(beyond) > 1:
        return None
    if not beyond:
        return "Nothing."
    shape, colour = beyond[0][:2]
    return sentence(f"{article(colour)} {colour} {shape}")


def third(v):
    """0, 1 or 2 for the thirds of a side; None near a border between them."""
    for i, (lo, hi) in enumerate([(0, 0.29), (0.38, 0.62), (0.71, 1)]):
        if lo <= v <= hi:
            return i
    return None


def answer_where(scene, colour, shape):
    target = only(scene, colour, shape)
    if target is None:
        return None
    column, row = third(target[2]), third(target[3])
    if column is None or row is None:
        return None
    if column == row == 1:
        return "In the middle."
    names = [["top", "", "bottom"][row], ["left", "", "right"][column]]
    return "At the " + " ".join(n for n in names if n) + "."


def answer(topic, scene):
    """The right answer, or None where people could disagree."""
    kind = topic[0]
    if kind == "what":
        return answer_what(scene)
    if kind == "say":
        return f"It says {scene.text}." if scene.text else "There is no text."
    if kind in ("number", "word"):
        return f"The {kind} is {scene.text}." if scene.kind == kind else f"There is no {kind}."
    if kind == "count":
        n = sum(topic[1] in (None, o[1]) and topic[2] in (None, o[0]) for o in scene.objects)
        return f"There {'is' if n == 1 else 'are'} {NUMBERS[n]} {look(topic[1], topic[2], n)}."
    fits = [o for o in scene.objects if o[0] == topic[-1] and (kind == "colour" or topic[-2] in (None, o[1]))]
    if not fits:
        return f"There is no {look(None if kind == 'colour' else topic[-2], topic[-1])}."
    if kind == "colour":
        return f"The {topic[1]} is {fits[0][1]}." if len(fits) == 1 else None
    if kind == "side":
        return answer_side(scene, *topic[1:])
    return answer_where(scene, *topic[1:])


def pick(rng, items):
    return items[int(rng.integers(len(items)))]


def propose(rng, scene, kind):
    """A topic of the kind that suits the scene; it may still have no answer there."""
    here = pick(rng, scene.objects) if scene.objects and rng.random() < 0.8 else None
    shape = here[0] if here else pick(rng, SHAPES)
    colour = here[1] if here else pick(rng, list(COLOURS))
    if kind == "count":
        which = ((None, None), (None, shape), (colour, shape), (colour, None))
        return (kind,) + which[int(rng.choice(4, p=[0.2, 0.35, 0.3, 0.15]))]
    if kind == "colour":
        return (kind, shape)
    if kind in ("side", "where"):
        colour = colour if rng.random() < 0.5 else None
        return (kind,) + ((pick(rng, list(SIDES)),) if kind == "side" else ()) + (colour, shape)
    return (kind,)


# How often shapes are asked about by each kind of topic.
SHAPE_TOPICS = {"what": 0.24, "count": 0.26, "colour": 0.13, "side": 0.18, "where": 0.13, "say": 0.03,
                "number": 0.015, "word": 0.015}


def topics(rng, scene, wanted, shape_topics=SHAPE_TOPICS):
    """Up to `wanted` different topics with answers, mixed by how hard they are to learn."""
    if scene.objects:
        kinds, weights = list(shape_topics), list(shape_topics.values())
    else:
        other = "number" if scene.kind == "word" else "word"
        kinds = ["what", "say", scene.kind, other, "count", "colour", "where"]
        weights = [0.27, 0.32, 0.27, 0.04, 0.05, 0.03, 0.02]
    found = []
    for _ in range(4 * wanted):
        topic = propose(rng, scene, str(rng.choice(kinds, p=weights)))
        if topic not in found and answer(topic, scene):
            found.append(topic)
            if len(found) == wanted:
                break
    return found


def loosen(rng, text):
    """People leave out capitals and question marks."""
    if rng.random() < 0.15:
        text = text[0].lower() + text[1:]
    if rng.random() < 0.15:
        text = text.rstrip("?.!")
    return text


def phrase(rng, topic, number=None, alone=True):
    """Words a topic as a question. number: which picture (0 = first) is to be named, or None for the
    newest. alone: there is just one picture, so that naming it is not needed."""
    kind = topic[0]
    options = WORDINGS[kind]
    if number is not None:
        options = [o for o in options if "{p}" in o]
    if number is not None:
        p = f"the {ORDINALS[number]} picture"
    else:
        p = pick(rng, ["the picture", "this picture", "the image"] if alone else ["this picture", "this image"])
    x = d = ""
    if kind == "count":
        x = look(topic[1], topic[2], 2)
    elif kind == "colour":
        x = topic[1]
    elif kind in ("side", "where"):
        x = look(topic[-2], topic[-1])
        d = pick(rng, SIDES[topic[1]]) if kind == "side" else ""
    return loosen(rng, pick(rng, options).format(p=p, x=x, d=d))


def again(rng, number=None):
    """A follow-up that repeats the last topic for the newest picture or for the one numbered."""
    if number is None:
        return pick(rng, AGAIN["here"])
    return pick(rng, AGAIN["that"]).format(p=f"the {ORDINALS[number]} picture", o=f"the {ORDINALS[number]} one")


def ask(messages, text, reply, pictures=(), picture_first=True):
    parts = [{"picture": p} for p in pictures]
    said = [{"text": text}]
    messages.append({"role": "user", "parts": parts + said if picture_first else said + parts})
    messages.append({"role": "assistant", "parts": [{"text": reply}]})


def about_one(rng, scene, turns, shape_topics=SHAPE_TOPICS):
    """Several questions about one picture."""
    messages = []
    for i, topic in enumerate(topics(rng, scene, turns, shape_topics)):
        ask(messages, phrase(rng, topic), answer(topic, scene), [0] if i == 0 else (), rng.random() < 0.75)
    return messages


def about_many(rng, scenes, turns):
    """Pictures arrive one by one or together; questions turn back to earlier ones."""
    messages, shown, last = [], 0, None
    together = rng.random() < 0.25
    for turn in range(turns + len(scenes)):
        new = []
        if shown < len(scenes) and (turn == 0 or rng.random() < 0.6 or turn >= turns):
            new = list(range(shown, len(scenes) if together else shown + 1))
            shown = new[-1] + 1
        number = int(rng.integers(shown)) if (shown > 1 and rng.random() < (0.3 if new else 0.75)) else None
        if len(new) > 1 and number is None:
            number = int(rng.integers(shown))
        scene = scenes[shown - 1 if number is None else number]
        if last and rng.random() < 0.55 and (new or number is not None) and answer(last, scene):
            text, topic = again(rng, number), last
        else:
            found = topics(rng, scene, 1)
            if not found:
                continue
            topic = found[0]
            text = phrase(rng, topic, number, alone=shown == 1)
        ask(messages, text, answer(topic, scene), new, rng.random() < 0.75)
        last = topic
    return messages if shown == len(scenes) else about_many(rng, scenes, turns)


def about_none(rng, scene, babble):
    """Questions about a picture that was never sent, small talk, and talk of other things. scene only
    lends its topics; babble() gives a run of ordinary prose."""
    messages = []
    for _ in range(int(rng.integers(1, 4))):
        chance = rng.random()
        if chance < 0.6:
            number = int(rng.integers(3)) if rng.random() < 0.15 else None
            kind = pick(rng, list(WORDINGS))
            ask(messages, phrase(rng, propose(rng, scene, kind), number), NO_PICTURE)
        elif chance < 0.85:
            said, reply = pick(rng, SMALL_TALK)
            ask(messages, loosen(rng, pick(rng, said)), reply)
        else:
            ask(messages, babble(), BEYOND_ME)
    return messages
