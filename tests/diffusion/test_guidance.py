"""Guidance against its formulas, adaptive projection against the authors' own."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from polytalk.diffusion import AdaptiveProjection, Guidance, GuidancePass, ProjectedDifference
from polytalk.errors import PolytalkError

GOLDEN = Path(__file__).parents[1] / "golden"
scales = st.floats(0, 10)


def predictions(seed=0, shape=(1, 4, 3, 2, 2)):
    generator = torch.Generator().manual_seed(seed)
    return {branch: torch.randn(shape, generator=generator) for branch in GuidancePass}


def test_adaptive_projection_equals_the_release():
    golden = {name: tensor.float() for name, tensor in load_file(GOLDEN / "apg.safetensors").items()}
    released = json.loads((GOLDEN / "apg.json").read_text())
    projected = ProjectedDifference(AdaptiveProjection(released["momentum"], released["norm_threshold_1"]))
    first = projected.update(golden["diff_1"], golden["cond"])
    # the second update was made with another threshold and the same momentum buffer
    projected.settings = AdaptiveProjection(released["momentum"], released["norm_threshold_2"], released["eta"])
    second = projected.update(golden["diff_2"], golden["cond"])
    for ours, theirs in ((first, golden["out_1"]), (second, golden["out_2"])):
        assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max()


@settings(deadline=None)
@given(scales, scales)
def test_three_predictions_follow_the_formula(text, audio):
    parts = predictions()
    guidance = Guidance(text, audio)
    full, drop_text, uncond = (
        parts[GuidancePass.FULL],
        parts[GuidancePass.DROP_TEXT],
        parts[GuidancePass.DROP_TEXT_AND_AUDIO],
    )
    ours = guidance.start_clip().combine({branch: parts[branch] for branch in guidance.passes()})
    if abs(text - 1) < 1e-6:
        weak = parts[GuidancePass.DROP_AUDIO]
        expected = weak + audio * (full - weak)
    else:
        expected = uncond + text * (full - drop_text) + audio * (drop_text - uncond)
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("text", "audio", "expected"),
    [
        (5, 4, (GuidancePass.FULL, GuidancePass.DROP_TEXT, GuidancePass.DROP_TEXT_AND_AUDIO)),
        (1, 4, (GuidancePass.FULL, GuidancePass.DROP_AUDIO)),
        (5, 1, (GuidancePass.FULL, GuidancePass.DROP_TEXT)),
        (4, 4, (GuidancePass.FULL, GuidancePass.DROP_TEXT_AND_AUDIO)),
        (1, 1, (GuidancePass.FULL,)),
    ],
)
def test_no_prediction_is_made_in_vain(text, audio, expected):
    assert Guidance(text, audio).passes() == expected


@settings(deadline=None)
@given(st.integers(0, 50), scales, scales)
def test_projected_guidance_adds_nothing_along_the_prediction(seed, text, audio):
    parts = predictions(seed)
    clip = Guidance(text, audio, AdaptiveProjection()).start_clip()
    full = parts[GuidancePass.FULL]
    added = clip.combine(parts) - full
    assert abs((added * full).sum()) <= 1e-3 * full.norm() * max(1, added.norm())
    assert added.norm() <= 55 * (abs(text - 1) + abs(audio - 1)) + 1e-3


def test_momentum_belongs_to_one_clip():
    guidance = Guidance(3, 2, AdaptiveProjection())
    clip = guidance.start_clip()
    first, second = clip.combine(predictions()), clip.combine(predictions())
    assert not torch.allclose(first, second)
    torch.testing.assert_close(guidance.start_clip().combine(predictions()), first)


@pytest.mark.parametrize("scale", [-1, float("nan"), float("inf")])
def test_impossible_scales_are_refused(scale):
    with pytest.raises(PolytalkError, match="guidance"):
        Guidance(scale, 1)
    with pytest.raises(PolytalkError, match="audio_guidance_scale"):
        Guidance(1, scale)


def test_branches_say_what_they_see():
    assert {branch for branch in GuidancePass if branch.has_text} == {GuidancePass.FULL, GuidancePass.DROP_AUDIO}
    assert {branch for branch in GuidancePass if branch.has_audio} == {GuidancePass.FULL, GuidancePass.DROP_TEXT}
