"""What the readers understand, and what they say where they do not."""

import pytest
from timeline_cases import CORPUS, make_files

from polytalk import Cue, PolytalkError, Speaker, Utterance
from polytalk.scene.formats.registry import parse


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("readers"))


@pytest.fixture
def script(folder):
    return lambda text, **beside: parse(text, "script", folder / "s.txt", **{"image": "a.png", **beside})


def test_a_script_with_everything(folder):
    scene = parse(CORPUS["script"], "script", folder / "s.txt")
    assert scene.image == folder / "a.png"
    assert scene.prompt == "Two friends in a café."
    assert [(s.name, s.voice) for s in scene.speakers] == [("Anna", "af_heart"), ("Carl", None), ("Ben", None)]
    assert list(scene.utterances) == [
        Utterance("Anna", "Hello, Ben!"),
        Utterance("Ben", "Hi. And how are you? [what] a < b", prompt="smiling"),
        Utterance("Anna", "Fine.", pause=1.5),
        Utterance("Anna", "Well, mostly.", pause=1),
        Utterance("Ben", audio=folder / "x.wav", pause=-0.3),
        Utterance("Anna", "I said so.", folder / "y 2-3.wav", cut=(3.2, 5)),
        Utterance("Ben", "Oh no!", start=12.5),
        Utterance("Anna", "Oh no!", start=12.5, end=74),
    ]
    assert list(scene.cues) == [
        Cue(20, "The sun is back.", folder / "b (1).png"),
        Cue(prompt="It begins to rain.", utterance=6),
    ]


def test_empty_lines_are_pauses(script):
    scene = script("Anna: a\n\n\n# nothing\nBen: b\nAnna: c\n\n(pause 2s)\n\nBen: d\n\nAnna@9: e")
    assert [utterance.pause for utterance in scene.utterances] == [None, 0.5, None, 2, None]


def test_people_are_those_given_beside(script):
    three = [Speaker(name=name) for name in ("Ben", "Carl", "Anna")]
    assert script("Anna: Hi.", speakers=three).speakers == tuple(three)
    with pytest.raises(
        PolytalkError, match=r"'Ana' is nobody here \(s\.txt, line 2, column 1\)\. Do you mean 'Anna'\?"
    ):
        script("Ben: Hi.\nAna: Hi.", speakers=three)
    with pytest.raises(PolytalkError, match="speakers: one has no name"):
        script("Anna: Hi.", speakers=[Speaker()])
    with pytest.raises(PolytalkError, match=r"'Bob' is nobody in s\.txt"):
        script("Anna: Hi.", voices={"Bob": "am_adam"})


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", (1, 1), "speakers: there is none"),
        ("Anna:", (1, 6), "nobody has a voice"),
        ("Anna: a\nwhat is this", (2, 1), "'what is this' is not understood"),
        ("  Anna: a", (1, 1), "indented"),
        ("Anna@-3: a", (1, 5), "after @ comes a time"),
        ("Anna@soon: a", (1, 5), "after @ comes a time"),
        ("Anna: a\n\nAnna@9000: b", (3, 1), "at most 7200"),
        ("Anna@5-3: a", (1, 1), "ends at 3 s and starts at 5 s"),
        ("Anna@1-3: a\nAnna@2: b", (2, 1), "Anna says two things at once at 2 s"),
        ("Anna: <x.wav> <y 2-3.wav>", (1, 15), "two files for one slot"),
        ("Anna: so <x.wav>", (1, 10), "a file stands after the text"),
        ("Anna: <none.wav>", (1, 7), "there is no file 'none.wav'"),
        ("Anna: <", (1, 7), "names no file"),
        ("Anna: <x.wav 5-3>", (1, 1), "ends at 3 s"),
        ("Anna: [smiling", (1, 7), "not closed"),
        ("Anna: [smiling]", (1, 1), "Anna says nothing"),
        ("Anna: a\n[Rain", (2, 1), "not closed"),
        ("Anna: a\n[Rain] now", (2, 8), "follows it"),
        ("Anna: a\n[Rain]", (2, 1), "nobody speaks after it"),
        ("Anna: a\n[@x Rain]", (2, 2), "after @ comes a time"),
        ("Anna: a\n[<a.png>]\n[<b (1).png>]\nBen: b", (2, 1), "two pictures"),
        ("Anna: a\n[@3 Rain]\n[@3 Snow]\n", (3, 1), "another cue is at the same time"),
        ("Anna: a\n(pause 1s)", (2, 1), "nobody speaks after it"),
        ("Anna: a\n(pause -1s)", (2, 1), "not understood"),
        ("Anna: a\n(pause 1s)\n(pause 1s)\nBen: b", (3, 1), "there is one already"),
        ("Anna: a\n(pause 1s)\nBen@9: b", (3, 1), "there is a start, too"),
        ("Anna@1-9: a (pause 1s) b", (1, 13), "a slot holds one sound"),
        ("An\x07na: a", (1, 1), r"control character U\+0007"),
        ("Anna: a\x07", (1, 1), r"control character U\+0007"),
        ("[: a", (1, 1), "not closed"),
        (": a", (1, 1), "it is empty"),
        ("A" * 101 + ": a", (1, 1), "at most 100"),
    ],
)
def test_scripts_that_are_refused(script, text, place, message):
    refused(lambda: script(text), place, message)


def refused(call, place, message):
    with pytest.raises(PolytalkError, match=message) as caught:
        call()
    assert (caught.value.line, caught.value.column) == place
    assert f"line {place[0]}, column {place[1]})" in str(caught.value)


def test_an_overlap_that_reaches_before_the_start_is_refused(script):
    from polytalk.scene.schedule import lay_out

    scene = script("Anna: a\n(overlap 3s)\nBen: b")
    with pytest.raises(PolytalkError, match=r"utterances\[1\]\.pause: Ben would start 2.00 s before the video"):
        lay_out(scene, [1, 1])


def test_subtitles_with_everything(folder):
    scene = parse(CORPUS["srt"], "srt", folder / "s.srt", image="a.png")
    assert list(scene.utterances) == [
        Utterance("Anna", "Hello, Ben!", start=1, end=2.5),
        Utterance("Anna", "One.", start=2.5, end=2.857, prompt="smiling"),
        Utterance("Ben", "Two. and three.", start=2.857, end=4),
        Utterance("Ben", "Late.", start=5, end=65.5),
    ]
    assert scene.cues == (Cue(4, "It rains."),)
    scene = parse(CORPUS["vtt"], "vtt", folder / "s.vtt", image="a.png")
    assert list(scene.utterances) == [
        Utterance("Anna", "Hello & welcome [sic]", start=1, end=2.5),
        Utterance("Anna", "One.", start=2.5, end=3.25, prompt="smiling"),
        Utterance("Ben", "Two.", start=3.25, end=4),
        Utterance("Ben", "Late.", start=3605, end=3606),
    ]
    assert scene.cues == (Cue(4, "It rains."),)


def test_subtitles_of_a_recording_and_without_times(folder):
    text = "1\n00:00:03,000 --> 00:00:04,000\nAnna: b\n\n2\n00:00:01,000 --> 00:00:02,000\nBen: a\n"
    path = folder / "s.srt"
    scene = parse(text, "srt", path, image="a.png", recording=folder / "x.wav")
    assert scene.utterances[0] == Utterance("Anna", "b", folder / "x.wav", 3, 4, cut=(3, 4))
    each = {"Anna": folder / "x.wav", "Ben": folder / "y 2-3.wav"}
    scene = parse(text, "srt", path, image="a.png", recording=each)
    assert [utterance.audio.name for utterance in scene.utterances] == ["x.wav", "y 2-3.wav"]
    refused(
        lambda: parse(text, "srt", path, image="a.png", recording={"Anna": folder / "x.wav"}), (7, 1), "none of Ben"
    )
    text += "\n00:00:02,500 --> 00:00:02,600\n[Rain]\n"
    scene = parse(text, "srt", path, image="a.png", times=False)
    assert list(scene.utterances) == [Utterance("Ben", "a"), Utterance("Anna", "b")]
    assert scene.cues == (Cue(prompt="Rain", utterance=1),)


def test_one_speaker_needs_no_name(folder):
    text = "00:00:01,000 --> 00:00:02,000\nHello.\n"
    scene = parse(text, "srt", folder / "s.srt", image="a.png", speakers=[Speaker(name="Anna")])
    assert scene.utterances[0].speaker == "Anna"
    refused(lambda: parse(text, "srt", folder / "s.srt", image="a.png"), (2, 1), "nobody is named in 'Hello.'")


@pytest.mark.parametrize(
    ("format", "text", "place", "message"),
    [
        ("srt", "1\nAnna: a", (1, 1), "not understood"),
        ("srt", "1\n-00:00:01,000 --> 00:00:02,000\nAnna: a", (2, 1), "time: it is negative"),
        ("srt", "1\n00:00:03,000 --> 00:00:02,000\nAnna: a", (3, 1), "ends at 2 s and starts at 3 s"),
        ("srt", "1\n00:61:03,000 --> 01:02:00,000\nAnna: a", (2, 1), "61:03 is none"),
        ("srt", "1\n00:00:01,000 -> 00:00:02,000\nAnna: a", (1, 1), "not understood"),
        ("srt", "1\n00:00:01 --> 00:00:02,000\nAnna: a", (2, 1), "not understood"),
        ("srt", "\n\n1\n00:00:01,000 --> 00:00:02,000\n\n", (4, 1), "no text"),
        (
            "srt",
            "1\n00:00:01,000 --> 00:00:03,000\nAnna: a\n\n2\n00:00:02,000 --> 00:00:04,000\nAnna: b\n",
            (7, 1),
            "two",
        ),
        ("srt", "1\n03:00:01,000 --> 03:00:03,000\nAnna: a", (3, 1), "at most 7200"),
        ("vtt", "1\n00:00:01.000 --> 00:00:02.000\n<v Anna>a", (1, 1), "begins with WEBVTT"),
        ("vtt", "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\n<v Anna>a\x07", (4, 1), "control character"),
        ("vtt", "WEBVTT\n\nx\ny\n00:00:01.000 --> 00:00:02.000\n<v Anna>a", (3, 1), "not understood"),
        ("rttm", "SPEAKER t 1 -0.5 1 <NA> <NA> A <NA> <NA>", (1, 13), "start: '-0.5' is negative|-0.5 is negative"),
        ("rttm", "\nSPEAKER t 1 0.5 0 <NA> <NA> A <NA> <NA>", (2, 1), "duration: it is 0"),
        ("rttm", "SPEAKER t 1 0.5 x <NA> <NA> A <NA> <NA>", (1, 17), "duration: 'x' is no number"),
        ("rttm", "SPEAKER t 1 0.5 1 A", (1, 1), "not understood"),
        ("rttm", "TALKER t 1 0.5 1 <NA> <NA> A <NA> <NA>", (1, 1), "not understood"),
        ("rttm", "SPEAKER t 1 0 1 . . A\nSPEAKER u 1 0 1 . . A", (2, 1), "several recordings: t, u"),
        ("rttm", ";;", (1, 3), "speakers: there is none"),
    ],
)
def test_timed_files_that_are_refused(folder, format, text, place, message):
    beside = {"recording": folder / "x.wav"} if format == "rttm" else {}
    refused(lambda: parse(text, format, folder / f"s.{format}", image="a.png", **beside), place, message)


def test_turns_of_a_recording(folder):
    scene = parse(CORPUS["rttm"], "rttm", folder / "s.rttm", image="a.png", recording=folder / "x.wav")
    found = [(u.speaker, u.start, u.end, u.cut) for u in scene.utterances]
    # Anna's second and third overlap her first, and each other.
    assert found == [("Anna", 0.5, 5.0, (0.5, 5.0)), ("Ben", 1.5, 3.5, (1.5, 3.5))]
    assert {u.audio for u in scene.utterances} == {folder / "x.wav"}
    several = "SPEAKER x 1 0 1 . . A\nSPEAKER u 1 0 1 . . B"
    scene = parse(several, "rttm", folder / "s.rttm", image="a.png", recording=folder / "x.wav")
    assert scene.names == ("A",)
    with pytest.raises(PolytalkError, match=r"recording: s\.rttm says only who speaks when"):
        parse(several, "rttm", folder / "s.rttm", image="a.png")


def test_released_texts(folder):
    scene = parse(CORPUS["released"], "released", folder / "s.json")
    assert [speaker.voice for speaker in scene.speakers] == ["am_adam", "af_heart"]
    assert list(scene.utterances) == [
        Utterance(0, "Hello.", pause=0),
        Utterance(1, "Hi", pause=0),
        Utterance(0, "Bye", pause=0),
    ]
    assert scene.boxes[1].left == 9
    one = CORPUS["released"].replace("(s1) Hello. (s2) Hi\\n(s1)Bye", "Just me.")
    assert list(parse(one, "released", folder / "s.json").utterances) == [Utterance(0, "Just me.", pause=0)]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("(s2) Hi", "(s3) Hi", r"tts_audio.text: \(s3\) is nobody .*line 1, column \d+.*human3_voice"),
        ("(s1) Hello", "Oh (s1) Hello", "somebody speaks before the first"),
        ("(s2) Hi", "(s0) Hi", r"there is no person \(s0\)"),
        ('"text"', '"words"', "tts_audio.text: s.json lacks this key"),
        ("human2_voice", "human_two", "tts_audio.human_two: s.json has an unknown key"),
        ('"cond_audio": {}', '"cond_audio": {"person1": "x.wav"}', "cond_audio, too"),
        ('"person2"', '"person3"', "bbox: there are boxes for person1, person3"),
        ('"audio_type": "para"', '"audio_type": "solo"', "audio_type"),
        ('"prompt"', '"cond_image"', "cond_image: this key is there twice"),
    ],
)
def test_released_files_that_are_refused(folder, old, new, message):
    text = CORPUS["released"]
    assert old in text
    with pytest.raises(PolytalkError, match=message):
        parse(text.replace(old, new), "released", folder / "s.json")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"start": 0.5', '"start": -1', r"utterance.start: it is -1.0 \(s.json, line \d+, column 13\)"),
        ('"speaker": 1', '"speaker": 9', r"utterances\[1\].speaker: there is no speaker 9 .*line \d+, column 15"),
        ('"speaker": "Anna"', '"speaker": "Nobody"', "'Nobody' is nobody here"),
        ('"speaker": 1', '"speaker": "Carl"', r"utterances\[1\]: Carl has a whole track already"),
        ('"speaker": 1', '"speaker": true', r"utterances\.1\.speaker"),
        ('"pause": -0.2', '"end": 3', "utterance.end: there is no start"),
        ('"utterance": 1', '"utterance": 2', r"cues\[1\].utterance: utterance 2 is none of 2"),
        ('"start": 1,', '"start": 1, "utterance": 0,', "cue: it must say when, in one way"),
        ('"arrangement": "together"', '"arrangement": "turns"', "arrangement: utterances have their own times"),
        ('"name": "Carl"', '"name": "Anna"', "two are called 'Anna'"),
        ('"text": "Hello."', '"text": ""', "nothing is said in it"),
        (
            '"audio": "x.wav",\n   "cut"',
            '"audio": "x.wav", "audio": "y 2-3.wav",\n   "cut"',
            "audio: this key is there twice",
        ),
    ],
)
def test_own_files_that_are_refused(folder, old, new, message):
    text = CORPUS["json"]
    assert old in text
    with pytest.raises(PolytalkError, match=message) as caught:
        parse(text.replace(old, new), "json", folder / "s.json")
    assert caught.value.line > 1
