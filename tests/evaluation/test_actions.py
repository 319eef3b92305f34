"""Actions: seen where drawn people do them, not seen where they do not; prompts with, without, and in other words."""

from dataclasses import replace

import numpy as np
import pytest
from calibrate_actions import acting_clips, best_threshold
from moving_people import track_poses
from PIL import Image

from polytalk.errors import PolytalkError
from polytalk.evaluation.measures.actions import (
    MEASURED,
    PARAPHRASES,
    THRESHOLDS,
    ActionRate,
    camera_zoom,
    figures,
    in_other_words,
    without_action,
)
from polytalk.evaluation.readers.face_reader import FaceReader
from polytalk.evaluation.scenes.synthetic_faces import draw_faces
from polytalk.motion.gestures import ACTIONS
from polytalk.synthetic.characters.registry import SOURCES
from polytalk.synthetic.motion import idle
from polytalk.synthetic.prompts import EVENT_WORDS

FRAMES = 33
PEOPLE = ("flat person", "painted person", "outlined person", "3-D person")


@pytest.fixture(scope="module")
def reader() -> FaceReader:
    return FaceReader.from_pretrained()


def figure(reader: FaceReader, seed: int, action: str, *, acts: bool) -> float:
    rng = np.random.default_rng(1_700_000_000 + seed)
    who = SOURCES[PEOPLE[seed % len(PEOPLE)]](rng)
    motion = idle(rng, FRAMES, 0.3, np.ones(FRAMES, bool), 0.0)
    motion["hand_side"] = np.ones(FRAMES)
    if acts:
        ACTIONS[action](rng, motion, 2, 30, 1.0)
    faces = draw_faces(who, track_poses(motion, np.tile([0.0, 0.5, 0.0], (FRAMES, 1)), (110.0, 72.0), 80.0), rng)
    (track,) = reader.follow([faces.frames], [faces.face_boxes[:1]])
    return figures(track, 0, 1.0)[action]


@pytest.mark.parametrize("action", ACTIONS)
def test_actions_of_drawn_people_are_seen(reader, action):
    acting = [figure(reader, seed, action, acts=True) >= THRESHOLDS[action] for seed in range(4)]
    idling = [figure(reader, seed, action, acts=False) >= THRESHOLDS[action] for seed in range(4)]
    assert sum(acting) - sum(idling) >= 2, (acting, idling)


def test_camera_that_moves_in_is_measured():
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 255, (18, 32, 3), np.uint8)).resize((256, 144), Image.Resampling.BICUBIC)
    frames = []
    for zoom in np.linspace(1.0, 1.2, 9):
        half = (128 / zoom, 72 / zoom)
        box = (128 - half[0], 72 - half[1], 128 + half[0], 72 + half[1])
        frames.append(np.asarray(small.resize((256, 144), Image.Resampling.BICUBIC, box=box)))
    assert camera_zoom(np.stack(frames)) == pytest.approx(1.19, abs=0.03)
    assert camera_zoom(np.stack(frames[:1] * 9)) == 1.0


def test_rates_are_kept_action_by_action():
    rate = ActionRate()
    rate.update("nods", 100.0)
    rate.update("nods", -100.0)
    rate.update("smiles", 100.0)
    assert rate.each() == {"nods": 0.5, "smiles": 1.0}
    assert rate.compute() == pytest.approx(2 / 3)
    assert np.isnan(ActionRate().compute())


def test_prompts_lose_the_action_or_say_it_otherwise():
    for clip in acting_clips(6):
        action = clip.events[0][0]
        plain, other = without_action(clip.prompt), in_other_words(clip, np.random.default_rng(0))
        assert clip.prompt.startswith(plain)
        assert not any(words in plain for words in EVENT_WORDS[action])
        assert any(other.endswith(f"{words}.") for words in PARAPHRASES[action])
        assert other.startswith(plain)
        with pytest.raises(PolytalkError, match="one event"):
            in_other_words(replace(clip, prompt="A cat sits."), np.random.default_rng(0))


def test_other_words_are_never_trained_on():
    assert set(PARAPHRASES) == set(MEASURED) == set(THRESHOLDS)
    for action, ways in PARAPHRASES.items():
        assert not set(ways) & set(EVENT_WORDS[action])


def test_best_threshold_separates():
    threshold, seen, wrong = best_threshold([0.8, 0.9, 1.0], [0.1, 0.2, 0.3])
    assert 0.3 < threshold < 0.8
    assert (seen, wrong) == (1.0, 0.0)
