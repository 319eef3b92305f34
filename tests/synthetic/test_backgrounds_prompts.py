"""Backgrounds fill the frame and its margin; prompts say where people are and what happens, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from polytalk.errors import PolytalkError
from polytalk.motion.gestures import ACTIONS, CAMERA, WALK, pulse, ramp
from polytalk.motion.idle import BLINKS_PER_SECOND
from polytalk.synthetic.backgrounds import MARGIN, PAINTERS, draw_background
from polytalk.synthetic.motion import idle, occasional
from polytalk.synthetic.picture_io import bundled_pictures, folder_pictures, load_picture
from polytalk.synthetic.prompts import EVENT_WORDS, write_prompt
from polytalk.synthetic.scene_config import SceneConfig
from polytalk.synthetic.scenes import draw_clip

WOMAN, MAN = "a woman with red hair and a green dress", "a man with a bald head and a blue shirt"


@pytest.mark.parametrize("kind", [*PAINTERS, "photo"])
def test_backgrounds_are_opaque_larger_than_the_frame_and_repeatable(kind: str) -> None:
    pictures = bundled_pictures()
    assert pictures
    first, _ = draw_background(np.random.default_rng(4), kind, 80, 48, pictures)
    again, _ = draw_background(np.random.default_rng(4), kind, 80, 48, pictures)
    assert (first.width(), first.height()) == (round(80 * (1 + 2 * MARGIN)), round(48 * (1 + 2 * MARGIN)))
    pixels = first.toarray()
    assert np.array_equal(pixels, again.toarray())
    assert (pixels[..., 3] == 255).all()
    others = [draw_background(np.random.default_rng(seed), kind, 80, 48, pictures)[0].toarray() for seed in (5, 6)]
    assert not any(np.array_equal(pixels, other) for other in others)


def test_pictures_of_a_folder_are_used(tmp_path) -> None:
    Image.new("RGB", (64, 64), (10, 200, 30)).save(tmp_path / "green.png")
    config = SceneConfig(
        height=32, width=32, num_frames=1, people=(1, 1), photo_folder=str(tmp_path), backgrounds=(("photo", 1.0),),
        lighting=0.0,
    )  # fmt: skip
    clip = draw_clip(0, config)
    red, green, blue = np.median(
        clip.frames[0][~np.kron(clip.masks[0, 0], np.ones((8, 8), bool))].astype(float), axis=0
    )
    assert green > 100
    assert green > red
    assert green > blue
    (tmp_path / "green.png").unlink()
    with pytest.raises(PolytalkError, match="photo_folder"):
        folder_pictures(str(tmp_path))


def test_loaded_pictures_cannot_be_spoilt() -> None:
    with pytest.raises(ValueError, match="read-only"):
        load_picture(bundled_pictures()[0])[0, 0] = 0


def test_every_event_has_words() -> None:
    assert set(EVENT_WORDS) == {*ACTIONS, CAMERA, WALK}
    assert all(len(set(words)) == len(words) >= 2 for words in EVENT_WORDS.values())


def test_prompts_tell_events_of_the_right_person_and_only_those() -> None:
    happened, silent = ("waves", 1, 0, 20), 0
    for seed in range(60):
        prompt = write_prompt(np.random.default_rng(seed), [WOMAN, MAN], [1, 0], [happened], "a room", 0.5)
        sentences = [
            sentence for sentence in prompt.split(". ") if any(w in sentence.lower() for w in ("wave", "waving"))
        ]
        assert len(sentences) == 1
        assert "woman" not in sentences[0].lower() or "on the left" in sentences[0]
        assert "on the right" not in sentences[0]
        told = {name for name, words in EVENT_WORDS.items() if any(word.lower() in prompt.lower() for word in words)}
        assert told == {"waves"}
        silent += not write_prompt(np.random.default_rng(seed), [WOMAN, MAN], [1, 0], [], "a room", 0.5)
    assert 15 < silent < 45


def test_people_are_named_from_left_to_right_and_quiet_scenes_do_not_talk() -> None:
    for seed in range(40):
        talk = write_prompt(np.random.default_rng(seed), [WOMAN, MAN], [1, 0], [], "", 0.0).lower()
        assert 0 <= talk.find("man") < talk.find("woman")
        quiet = write_prompt(np.random.default_rng(seed), [WOMAN, MAN], [1, 0], [], "", 0.0, talking=False).lower()
        assert not any(word in quiet for word in ("talk", "speak", "conversation"))
        assert 3 <= len(quiet.split()) <= 40


def test_blinks_come_at_their_rate() -> None:
    rng = np.random.default_rng(0)
    track = occasional(rng, 200_000, BLINKS_PER_SECOND, np.array([1.0]))
    assert track.sum() / (200_000 / 25) == pytest.approx(BLINKS_PER_SECOND, rel=0.05)


def test_still_people_blink_and_look_but_do_not_move() -> None:
    tracks = idle(np.random.default_rng(1), 100, 0.0, np.zeros(100, bool), 1.0)
    assert all(np.ptp(tracks[name]) == 0 for name in ("dx", "dy", "scale", "roll", "yaw", "pitch", "lean", "hand"))
    assert np.ptp(tracks["gaze_x"]) > 0


def test_ramps_and_pulses_stay_within_bounds() -> None:
    assert ramp(10, 2, 6)[2] == 0
    assert ramp(10, 2, 6)[6:].min() == 1
    held = pulse(40, 5, 30)
    assert held[:6].max() == 0
    assert held[12:22].min() == 1
    assert held[30:].max() == pytest.approx(0, abs=1e-12)
