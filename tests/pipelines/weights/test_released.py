"""The lists of names and shapes against those of the published files."""

import json
from pathlib import Path

import pytest

from polytalk.errors import PolytalkError
from polytalk.pipelines.weights import released
from polytalk.pipelines.weights.sizes import ModelSize, choose_size

GOLDEN = Path(__file__).parents[2] / "golden"


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
