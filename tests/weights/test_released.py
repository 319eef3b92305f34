"""The lists of names and shapes against those of the published files."""

import json
import math
from pathlib import Path

import pytest

from polytalk.errors import PolytalkError
from polytalk.weights import released
from polytalk.weights.catalogue import choose
from polytalk.weights.sizes import ModelSize, choose_size

GOLDEN = Path(__file__).parents[1] / "golden"


def published(name: str) -> dict[str, tuple[int, ...]]:
    return {key: tuple(shape) for key, shape in json.loads((GOLDEN / f"{name}.json").read_text()).items()}


def test_transformer_and_audio_branch_are_the_published_lists():
    base, audio = released.base_shapes(ModelSize()), released.audio_shapes(ModelSize())
    assert not base.keys() & audio.keys()
    assert base | audio == published("keys_multitalk_14b")


@pytest.mark.parametrize(
    ("list_of", "name"), [(released.text_encoder_shapes, "keys_umt5_encoder"), (released.vae_shapes, "keys_wan_vae")]
)
def test_encoders_are_the_published_lists(list_of, name):
    assert list_of(ModelSize()) == published(name)


def test_image_encoder_is_the_picture_half_of_the_published_list():
    visual = {name: shape for name, shape in published("keys_clip").items() if name.startswith("visual.")}
    assert released.image_encoder_shapes(ModelSize()) == visual


def test_number_of_blocks_changes_the_blocks_alone():
    shapes = released.base_shapes(choose_size("14b", blocks=2))
    full = published("keys_multitalk_14b")
    assert shapes.items() < full.items()
    assert {name for name in shapes if not name.startswith("blocks.")} == {
        name for name in full if not name.startswith(("blocks.", "audio_proj."))
    }


@pytest.mark.parametrize(("name", "blocks"), [("1.3b", None), ("14b", 0), ("tiny", -1)])
def test_sizes_that_make_no_sense_are_refused(name, blocks):
    with pytest.raises(PolytalkError):
        choose_size(name, blocks)


@pytest.mark.parametrize("name", ["wan-480p", "wan-720p"])
def test_sizes_of_the_catalogue_are_those_of_the_tensors(name):
    files = {file.path: file.size for file in choose([name])[0].files}
    clip = sum(math.prod(shape) for shape in published("keys_clip").values())
    expected = {
        "diffusion_pytorch_model-": 4 * released.num_elements(released.base_shapes(ModelSize())),
        "models_t5": 2 * released.num_elements(published("keys_umt5_encoder")),
        "models_clip": 4 * clip,
        "Wan2.1_VAE": 4 * released.num_elements(published("keys_wan_vae")),
    }
    for start, weights in expected.items():
        size = sum(size for path, size in files.items() if path.startswith(start) and size)
        assert weights < size < weights + 400_000, start  # headers


def test_sizes_of_the_diffusers_layout_are_those_of_the_tensors():
    files = {file.path: file.size for file in choose(["wan-480p-diffusers"])[0].files}
    expected = {
        "transformer/": 4 * released.num_elements(released.base_shapes(ModelSize())),
        "text_encoder/": 4 * released.num_elements(published("keys_umt5_encoder")),
        "vae/": 4 * released.num_elements(published("keys_wan_vae")),
        "image_encoder/": 2 * (released.num_elements(released.image_encoder_shapes(ModelSize()))),
    }
    for start, weights in expected.items():
        size = sum(size or 0 for path, size in files.items() if path.startswith(start) and path.endswith("safetensors"))
        # headers, and tables of angles that older versions saved
        assert abs(size - weights) < 1_200_000, start
