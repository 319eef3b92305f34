"""`polytalk plan`, and generate's options of model, size and memory."""

import json

import numpy as np
import pytest
from command_line import TWO, generate, polytalk
from PIL import Image
from tiny_model import picture, voice

from polytalk.conditioning.opened import OpenedFiles
from polytalk.config.pipeline import PipelineConfig
from polytalk.errors import PolytalkError
from polytalk.generation.model import asked_size, config_of
from polytalk.generation.request import GenerateRequest
from polytalk.media.video import read_video
from polytalk.scene import Scene, Speaker

ROUNDING = 4
"""Levels by which a random network may answer weights that lie elsewhere in memory."""


def plan(*arguments):
    return polytalk("plan", "--device", "cpu", "--dtype", "float32", *arguments)


SCENE = ("--image", "two.png", "--speaker", "left.wav", "--speaker", "right.wav")


def test_a_plan_says_what_generate_then_makes(files, model):
    result = plan(*SCENE, "--model", model, "--size", "48x32", "--steps", 3, "--audio-guidance", 4, "--json")
    assert result.exit_code == 0, result.stderr
    said = json.loads(result.stdout)
    assert (said["people"], said["frames"], said["clips"]) == (2, 7, [9])
    assert (said["width"], said["height"], said["tokens"]) == (48, 32, 3 * 2 * 3)
    assert said["chosen"]["steps"] == 3
    assert said["chosen"]["predictions_per_step"] == 2
    assert said["chosen"]["fits"]
    assert said["chosen"]["seconds"] > 0
    assert generate(model, *TWO, "--size", "48x32").exit_code == 0
    frames, _ = read_video("talk.mp4")
    assert frames.shape == (7, 32, 48, 3)


def test_a_table_for_people(files, model):
    result = plan(*SCENE, "--model", model)
    assert result.exit_code == 0, result.stderr
    for word in ("tokens", "clips", "people", "RAM", "chosen", "7 frames"):
        assert word in result.stdout


def test_the_released_model_is_planned_without_being_there(files):
    """On a card of 24 GiB weights must wait in host memory; nothing of the model is on this machine."""
    pins = ("--vae-tiling", "--no-branch-chunking", "--preset", "quality")
    result = polytalk("plan", *SCENE, "--model", "14B", "--gpu", "4090", "--ram", "96GiB", "--json", *pins)
    assert result.exit_code == 0, result.stderr
    said = json.loads(result.stdout)
    assert said["device"]["name"] == "RTX 4090"
    assert not said["asked"]["fits"]
    assert "--offload group" in said["chosen"]["options"]
    assert said["chosen"]["peak_device_memory"] < said["device"]["memory"]
    assert said["asked"]["weights"] / 1e9 == pytest.approx(51, abs=1)


def test_a_gpu_too_small_is_one_line(files):
    pins = ("--vae-tiling", "--quantization", "int4", "--offload", "group", "--clip-frames", "33", "--size", "256")
    result = polytalk("plan", *SCENE, "--model", "14B", "--vram", "1GiB", "--ram", "96GiB", *pins)
    assert result.exit_code == 2
    lines = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1
    assert "1.0 GiB of GPU memory" in lines[0]
    assert "asked" in result.stdout


def test_fit_chooses_and_says_what(files, model):
    result = generate(model, *TWO, "--fit", "--size", "48x32")
    assert result.exit_code == 0, result.stderr
    assert "fits with: plain" in result.stderr


def test_the_shorter_side_keeps_the_pictures_aspect(files, model):
    Image.fromarray(picture(64, 128)).save("two.png")
    assert generate(model, *TWO, "--size", "32").exit_code == 0
    assert read_video("talk.mp4")[0].shape == (7, 32, 64, 3)


def test_sampling_options_reach_the_pipeline(files, model):
    def video(*arguments):
        result = generate(model, *TWO, "--size", "48x32", "--force", *arguments)
        assert result.exit_code == 0, result.stderr
        return read_video("talk.mp4")[0].astype(int)

    plain = video()
    for other in (("--shift", 9), ("--preset", "balanced"), ("--clip-frames", 5), ("--offload", "group")):
        changed = np.abs(video(*other) - plain).max() > ROUNDING
        assert changed == (other[0] != "--offload"), other


BAD = {
    "--size": (("--size", "50x32"), "48x32"),
    "--size ": (("--size", "wide"), "no size"),
    "--size  ": (("--size", "32", "--size-class", "480p"), "--size-class"),
    "--size-class": (("--size-class", "720p"), "does not know '720p'"),
    "--preset": (("--preset", "hasty"), "hasty"),
    "--vram": (("--vram", "8GiB"), "--fit"),
    "--vram ": (("--fit", "--vram", "much"), "no size"),
    "--quantization": (("--quantization", "int3"), "int3"),
    "--offload": (("--offload", "away"), "away"),
    "--step-cache": (("--step-cache", "teacache:soon"), "soon"),
    "--step-cache ": (("--step-cache", "memory"), "memory"),
    "--clip-frames": (("--clip-frames", "8"), "4n + 1"),
    "--lora": (("--lora", "none.safetensors"), "none.safetensors"),
    "--attention": (("--attention", "fastest"), "fastest"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_option_is_one_line(case, files, model):
    arguments, names = BAD[case]
    result = generate(model, *TWO, *arguments)
    assert result.exit_code == 2, (result.output, result.exception)
    assert names in result.stderr.splitlines()[-1]
    assert result.stderr.splitlines()[-1].startswith("Error: ")


@pytest.mark.parametrize(("arguments", "names"), [(("--gpu", "abacus"), "abacus"), (("--ram", "0"), "--ram")])
def test_a_plan_for_nothing_known(arguments, names, files, model):
    result = polytalk("plan", *SCENE, "--model", model, *arguments)
    assert result.exit_code == 2
    assert names in result.stderr


def test_options_become_levers():
    wanted = GenerateRequest(
        quantization="int8",
        offload="group",
        vae_tiling=True,
        loras=["a.safetensors", "b.safetensors:0.5"],
        step_cache="firstblock:0.1",
        attention_backend="sage",
        adaptive_projection=True,
    )
    options = wanted.options()
    assert (options.quantization, options.offload, options.vae_tiling) == ("int8", "group", True)
    assert [(str(lora.path), lora.scale) for lora in options.loras] == [("a.safetensors", 1.0), ("b.safetensors", 0.5)]
    assert (options.step_cache, options.step_cache_threshold, options.attention_backend) == ("firstblock", 0.1, "sage")
    assert {"quantization", "offload", "vae_tiling"} <= wanted.fixed()
    assert "compile" not in wanted.fixed()
    assert wanted.choices()["adaptive_projection"] is True


def test_size_classes_bring_their_shift():
    released = PipelineConfig()
    assert config_of(GenerateRequest(size_class="720p"), released).shift == 11.0
    assert config_of(GenerateRequest(size_class="480p"), released) == released
    with pytest.raises(PolytalkError, match="mini"):
        config_of(GenerateRequest(size_class="480p"), PipelineConfig(size_class="mini"))


@pytest.mark.parametrize(
    ("width", "height", "size"), [(96, 64, (32, 48)), (64, 96, (48, 32)), (640, 64, (32, 320)), (64, 64, (32, 32))]
)
def test_sizes_picked_by_the_shorter_side(width, height, size):
    wanted = Scene(image=picture(height, width), speakers=[Speaker(voice(0.2), 16_000)])
    assert asked_size(GenerateRequest(size="32"), wanted, OpenedFiles()) == size
    assert asked_size(GenerateRequest(size="64x32"), wanted, OpenedFiles()) == (32, 64)
