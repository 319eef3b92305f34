"""Scenes and files of conversations in time, made up by hypothesis."""

import json

from hypothesis import strategies as st

from polytalk import Box, Cue, Scene, Speaker, Utterance
from polytalk.scene.values import checked_name, checked_text

IMAGES, SOUNDS = ("a.png", "b (1).png"), ("x.wav", "y 2-3.wav", "z.x-1.ogg")
"""Files that `make_files` lays out."""
NAMES = ("Anna", "Ben", "Zoë van Dyk", "李娜")


def make_files(folder):
    for name in (*IMAGES, *SOUNDS):
        (folder / name).write_bytes(b"?")
    return folder


def _clean(check, text):
    try:
        return check(text, "text") != ""
    except ValueError:
        return False


words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30).filter(lambda text: _clean(checked_text, text))
"""Anything that can be said or prompted."""
simple = st.from_regex(r"[a-zA-ZäöüßéñЖ中,.!?' -]{1,30}", fullmatch=True).filter(lambda text: text.strip(" -"))
"""Text without anything that SubRip could take for more than text."""
any_names = words.filter(lambda text: _clean(checked_name, text))
simple_names = st.sampled_from(NAMES)
seconds = st.integers(0, 600_000).map(lambda thousandths: thousandths / 1000)


@st.composite
def boxes(draw):
    left, top = draw(st.integers(0, 500)), draw(st.integers(0, 500))
    return Box(left, top, left + draw(st.integers(1, 500)), top + draw(st.integers(1, 500)))


@st.composite
def people(draw, names=any_names, voices=True, with_boxes=True, named=True):
    """Speakers without tracks."""
    called = draw(st.lists(names, min_size=1, max_size=4, unique_by=lambda name: checked_name(name, "name")))
    boxed = with_boxes and draw(st.booleans())
    return [
        Speaker(
            name=name if named or draw(st.booleans()) else None,
            voice=draw(st.none() | st.sampled_from(["af_heart", "am_adam"])) if voices else None,
            box=draw(boxes()) if boxed else None,
        )
        for name in called
    ]


def slots(draw, speakers, count, spoken=None):
    """(speaker, start, end) of turns in order of time, of which those of one person do not overlap."""
    free = dict.fromkeys(range(len(speakers)), 0)
    now, found = 0, []
    for _ in range(count):
        person = draw(st.integers(0, len(speakers) - 1))
        now = max(now, free[person]) + draw(st.integers(0, 3000))
        end = now + draw(st.integers(1, 5000))
        free[person] = end
        found.append((person, now / 1000, end / 1000))
    return found


@st.composite
def subtitled(draw, names, text, folder, recording=False):
    """A scene that subtitles hold: all timed, in order of time, prompts that change."""
    speakers = draw(people(names))
    said = []
    for person, start, end in slots(draw, speakers, draw(st.integers(1, 5))):
        prompt = draw(st.none() | text)
        source = {"audio": folder / "x.wav", "cut": (start, end)} if recording else {}
        words = draw(text) if not recording else draw(st.none() | text)
        said.append(Utterance(speakers[person].name, words, start=start, end=end, prompt=prompt, **source))
    starts = draw(st.lists(seconds, max_size=3, unique=True))
    cues = [Cue(start, draw(text)) for start in starts]
    return Scene(folder / "a.png", draw(text), speakers, utterances=said, cues=cues)


@st.composite
def scripted(draw, folder, names=any_names, text=words, named=True):
    """A scene that scripts and JSON hold: times, pauses, overlaps, files, cuts, prompts and pictures that change."""
    speakers = draw(people(names, with_boxes=False, named=named))
    said = []
    for person, start, end in slots(draw, speakers, draw(st.integers(1, 5))):
        when = draw(st.sampled_from(["after", "pause", "start", "slot"]))
        values = {"start": start} if when in ("start", "slot") else {}
        values |= {"end": end} if when == "slot" else {}
        values |= {"pause": draw(st.floats(-3, 10))} if when == "pause" else {}
        if draw(st.booleans()):
            values["audio"] = folder / draw(st.sampled_from(SOUNDS))
            if draw(st.booleans()):
                first = draw(st.floats(0, 100))
                values["cut"] = (first, first + draw(st.floats(1e-3, 10)))
        words_said = draw(text) if "audio" not in values else draw(st.none() | text)
        called = speakers[person].name if speakers[person].name is not None else person
        said.append(Utterance(called, words_said, prompt=draw(st.none() | text), **values))
    cues = []
    for start in draw(st.lists(seconds, max_size=2, unique=True)):
        cues.append(draw(changes(folder, text, start=start)))
    for place in draw(st.lists(st.integers(1, len(said)), max_size=2, unique=True)):
        if place < len(said):
            cues.append(draw(changes(folder, text, utterance=place)))
    prompt = " ".join(draw(st.just("") | text).split())
    return Scene(folder / draw(st.sampled_from(IMAGES)), prompt, speakers, utterances=said, cues=cues)


@st.composite
def changes(draw, folder, text, **when):
    image = draw(st.none() | st.sampled_from(IMAGES))
    prompt = draw(text if image is None else st.none() | text)
    return Cue(prompt=prompt, image=None if image is None else folder / image, **when)


CORPUS = {
    "script": """# comment
[<a.png> Two friends in a café.]
Anna: (voice af_heart)
Carl:

Anna: Hello, Ben!
Ben: [smiling] Hi.
   And how are you? \\[what\\] a < b
(pause 1.5s)
Anna: Fine. (pause 1s) Well, mostly.
(overlap 0.3)
Ben: <x.wav>
Anna: <y 2-3.wav 3.2-5> I said so.
[It begins to rain.]
Ben@12.5: Oh no!
Anna@0:12.5-1:14: Oh no!
[@20 <b (1).png> The sun is back.]
""",
    "srt": """1
00:00:01,000 --> 00:00:02,500
Anna: Hello, <i>Ben</i>!

2
00:00:02,500 --> 00:00:04,000
- Anna: [smiling] One.
- Ben: {\\an8}Two.
and three.

3
00:00:04.000 --> 00:00:05.000
[It rains.]

4
00:00:05,000 --> 00:01:05,5
<v Ben>Late.
""",
    "vtt": """WEBVTT - talk
Kind: captions

STYLE
::cue { color: red }

NOTE nothing
at all

intro
00:01.000 --> 00:02.500 align:start
<v.loud Anna>Hello &amp; <i>welcome</i> &#91;sic&#93;</v>

00:00:02.500 --> 00:00:04.000
<v Anna>[smiling] One.</v><v Ben>Two.

00:04.000 --> 00:05.000
[It rains.]

01:00:05.000 --> 01:00:06.000
Ben: Late.
""",
    "rttm": """;; comment
SPKR-INFO talk 1 <NA> <NA> <NA> unknown Anna <NA>
SPEAKER talk 1 0.50 1.25 <NA> <NA> Anna <NA> <NA>
SPEAKER talk 1 1.5 2 <NA> <NA> Ben 0.9 <NA>
SPEAKER talk 1 1.70 .5 <NA> <NA> Anna <NA>
SPEAKER talk 1 2 3 <NA> <NA> Anna
""",
    "json": json.dumps(
        {
            "$schema": "scene.schema.json",
            "version": 2,
            "image": "a.png",
            "prompt": "Two.",
            "negative_prompt": "blur",
            "arrangement": "together",
            "speakers": [
                {"name": "Anna", "voice": "af_heart", "box": {"left": 0, "top": 0, "right": 9, "bottom": 9}},
                {"audio": None, "box": {"left": 9, "top": 0, "right": 19, "bottom": 9}},
                {"name": "Carl", "audio": "x.wav", "offset": 1, "box": {"left": 5, "top": 5, "right": 9, "bottom": 9}},
            ],
            "utterances": [
                {"speaker": "Anna", "start": 0.5, "end": 2, "text": "Hello.", "prompt": "smiling"},
                {"speaker": 1, "pause": -0.2, "audio": "x.wav", "cut": [0.5, 1.5]},
            ],
            "cues": [
                {"start": 1, "prompt": "Rain."},
                {"utterance": 1, "image": "b (1).png", "boxes": [{"left": 0, "top": 0, "right": 9, "bottom": 9}] * 3},
            ],
        },
        indent=1,
    ),
    "released": json.dumps(
        {
            "prompt": "Two.",
            "cond_image": "a.png",
            "cond_audio": {},
            "audio_type": "para",
            "tts_audio": {
                "text": "(s1) Hello. (s2) Hi\n(s1)Bye",
                "human1_voice": "weights/Kokoro-82M/voices/am_adam.pt",
                "human2_voice": "./af_heart.pt",
            },
            "bbox": {"person1": [0, 0, 9, 9], "person2": [0, 9, 9, 19.0]},
        }
    ),
}
"""A file of every format that uses all of it."""

_PIECES = [
    *(
        "\n",
        "\n\n",
        "\r\n",
        " ",
        "    ",
        "\t",
        ":",
        "@",
        "-",
        "#",
        "[",
        "]",
        "<",
        ">",
        "(",
        ")",
        "\\",
        '"',
        ",",
        "{",
        "}",
    ),
    *("Anna", "Ben", "Anna:", "Ben@3:", "@0-1", "<x.wav>", "<x.wav 0-1>", "<none.wav>", "[<a.png>", "(pause 1s)"),
    *(
        "(overlap 99s)",
        "(voice x)",
        "(s1)",
        "(s0)",
        "(s99999)",
        "-->",
        "00:00:01,000 --> 00:00:02,000",
        "WEBVTT",
        "NOTE",
    ),
    *(
        "<v Ben>",
        "&amp;",
        "&#0;",
        "&#x110000;",
        "SPEAKER t 1 0 1 <NA> <NA> A <NA> <NA>\n",
        "SPEAKER u 1 -1 1 <NA> <NA> A\n",
    ),
    *(
        "0",
        "1",
        "-1",
        "7200",
        "7201",
        "1e999",
        "9" * 400,
        "null",
        "true",
        "NaN",
        "Infinity",
        "[" * 50,
        "\x00",
        "\ufeff",
    ),
    *("\u2028", "\x85", "\u0663", "\ud800", "\u200d", "person1", "text", "speaker", "version", "cut", "start", "audio"),
]


@st.composite
def damaged(draw, corpus):
    """A valid text with pieces left out, doubled, moved or put in."""
    text = corpus
    for _ in range(draw(st.integers(0, 3))):
        at, length = draw(st.integers(0, len(text))), draw(st.integers(0, 12))
        to = draw(st.integers(0, len(text)))
        piece = draw(st.sampled_from(_PIECES) | st.text(max_size=4) | st.just(text[to : to + 40]))
        text = text[:at] + piece + text[at + length :]
    return text


def fuzzed(name):
    """Contents of files of a format: nearly right, made of its pieces, or anything at all."""
    made = st.lists(st.sampled_from(_PIECES) | st.text(max_size=5), max_size=40).map("".join)
    texts = st.one_of(damaged(CORPUS[name]), damaged(CORPUS[name]), made, st.text())
    return st.one_of(texts, texts, texts, st.binary(max_size=200))
