"""One word sets steps, shift and guidance; single choices override it."""

import pytest
from tiny_model import TINY, scene, tiny_pipeline

from polytalk.config.pipeline import PipelineConfig
from polytalk.config.presets import MINI_PRESETS, PRESET_NAMES, PRESETS, check_preset, find_preset
from polytalk.diffusion import FlowMatchingSchedule
from polytalk.errors import PolytalkError
from polytalk.pipeline.settings import RunSettings
from polytalk.weights.catalogue import CATALOGUE


@pytest.mark.parametrize(
    ("size_class", "preset", "steps", "shift", "text", "audio", "predictions"),
    [
        ("480p", "quality", 40, 7.0, 5.0, 4.0, 3),
        ("720p", "quality", 40, 11.0, 5.0, 4.0, 3),
        ("480p", "balanced", 8, 2.0, 1.0, 2.0, 2),
        ("480p", "fast", 4, 2.0, 1.0, 1.0, 1),
        ("720p", "fast", 4, 2.0, 1.0, 1.0, 1),
    ],
)
def test_released_model(size_class, preset, steps, shift, text, audio, predictions):
    config = PipelineConfig(shift=11.0 if size_class == "720p" else 7.0, size_class=size_class)
    chosen = RunSettings.choose(config, preset=preset)
    assert chosen.schedule == FlowMatchingSchedule(steps, shift)
    assert (chosen.guidance.text_scale, chosen.guidance.audio_scale) == (text, audio)
    assert len(chosen.guidance.passes()) == predictions


def test_single_choices_take_precedence():
    chosen = RunSettings.choose(PipelineConfig(), preset="fast", num_inference_steps=6, audio_guidance_scale=2.0)
    assert chosen.schedule == FlowMatchingSchedule(6, 2.0)
    assert (chosen.guidance.text_scale, chosen.guidance.audio_scale) == (1.0, 2.0)
    assert RunSettings.choose(PipelineConfig(), preset=None) == RunSettings.choose(PipelineConfig())


@pytest.mark.parametrize("preset", PRESET_NAMES)
def test_mini_keeps_its_shift_and_guidance(preset):
    chosen = RunSettings.choose(TINY, preset=preset)
    assert chosen.schedule == FlowMatchingSchedule(MINI_PRESETS[preset].num_inference_steps, TINY.shift)
    assert chosen.guidance.text_scale == TINY.guidance_scale
    check_preset(preset, "mini", has_lora=False)


def test_both_models_know_all_names():
    assert tuple(PRESETS) == tuple(MINI_PRESETS) == PRESET_NAMES


def test_adapters_are_in_the_catalogue():
    published = {entry.name for entry in CATALOGUE if entry.role == "lora"}
    loras = {find_preset(name, size).lora for name in PRESET_NAMES for size in ("480p", "720p")}
    assert loras - {None} <= published
    assert find_preset("fast", "480p").lora != find_preset("fast", "720p").lora


def test_missing_adapter():
    check_preset("quality", "480p", has_lora=False)
    check_preset("fast", "480p", has_lora=True)
    with pytest.raises(PolytalkError, match=r"'fast' needs the adapter lightx2v.*weights download lightx2v"):
        check_preset("fast", "480p", has_lora=False)


@pytest.mark.parametrize("size_class", ["480p", "mini"])
def test_unknown(size_class):
    with pytest.raises(PolytalkError, match=r"'turbo' is unknown.*quality, balanced, fast"):
        find_preset("turbo", size_class)


def test_pipeline_takes_a_preset():
    pipeline = tiny_pipeline()
    events = []
    pipeline(scene(1), preset="fast", progress=events.append)
    assert max(event.num_steps for event in events) == MINI_PRESETS["fast"].num_inference_steps
    with pytest.raises(PolytalkError, match="preset"):
        pipeline(scene(1), preset="turbo")
