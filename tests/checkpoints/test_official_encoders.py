"""The released encoders as the libraries' own classes, against the authors' code."""

import json

import pytest
import torch
from conftest import weights

from polytalk.checkpoints import image_encoder_from_official, text_encoder_from_official, vae_from_official
from polytalk.errors import PolytalkError


@pytest.fixture(scope="module")
def sizes(golden):
    return json.loads((golden.folder / "encoders_config.json").read_text())


def released(golden, file):
    """Tensors without memory, in the names and shapes of a released file."""
    shapes = json.loads((golden.folder / f"{file}.json").read_text())
    return {name: torch.empty(shape, device="meta", dtype=torch.bfloat16) for name, shape in shapes.items()}


@torch.no_grad()
def test_autoencoder(golden, sizes):
    case = golden["wan_vae"]
    vae = vae_from_official(weights(case), sizes["vae"])
    mean, std = (torch.tensor(x).view(1, -1, 1, 1, 1) for x in (vae.config.latents_mean, vae.config.latents_std))
    golden.assert_close((vae.encode(case["video"]).latent_dist.mode() - mean) / std, case["latent"])
    # the golden output is from before the release's clamp, which diffusers' class contains
    golden.assert_close(vae.decode(case["latent"] * std + mean).sample, case["decoded"].clamp(-1, 1))


@torch.no_grad()
def test_text_encoder(golden, sizes):
    case = golden["umt5"]
    encoder = text_encoder_from_official(weights(case), sizes["umt5"])
    golden.assert_close(encoder(case["ids"], attention_mask=case["mask"]).last_hidden_state, case["out"])
    assert encoder.shared.weight is encoder.encoder.embed_tokens.weight


@torch.no_grad()
def test_image_encoder(golden, sizes):
    case = golden["clip_vision"]
    encoder = image_encoder_from_official(weights(case), sizes["clip_vision"])
    golden.assert_close(encoder(case["pixels"], output_hidden_states=True).hidden_states[-2], case["out"])


@pytest.mark.parametrize(
    ("file", "convert", "billions"),
    [
        ("keys_wan_vae", vae_from_official, 0.13),
        ("keys_umt5_encoder", text_encoder_from_official, 5.68),
        ("keys_clip", image_encoder_from_official, 0.63),
    ],
)
def test_every_released_tensor_has_its_place(golden, file, convert, billions):
    model = convert(released(golden, file), {})
    assert all(p.dtype == torch.bfloat16 for p in model.parameters())
    assert round(sum(p.numel() for p in model.parameters()) / 1e9, 2) == billions


@pytest.mark.parametrize("convert", [vae_from_official, text_encoder_from_official, image_encoder_from_official])
def test_a_foreign_checkpoint_is_refused(convert):
    with pytest.raises(PolytalkError, match=r"checkpoint: lacks .* and \d+ more"):
        convert({}, {})
