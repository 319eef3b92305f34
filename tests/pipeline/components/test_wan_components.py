"""The released model's parts against the authors' code, and what they do with memory."""

import json

import numpy as np
import pytest
import torch
from conftest import weights
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import PreTrainedTokenizerFast, Wav2Vec2Config, Wav2Vec2Model

from polytalk.acceleration.offload import LazyPart
from polytalk.checkpoints import (
    image_encoder_from_official,
    text_encoder_from_official,
    transformer_from_official,
    vae_from_official,
)
from polytalk.checkpoints.names import speech_encoder_plan, translate
from polytalk.conditioning.clip import CLIP_MEAN, CLIP_STD, clip_pixels
from polytalk.conditioning.speech import standardise
from polytalk.conditioning.text import clean_prompt, encode_prompts
from polytalk.config.pipeline import PipelineConfig
from polytalk.errors import PolytalkError
from polytalk.pipeline.components.wan import WanComponents, load_tokenizer
from polytalk.pipeline.condition import build_condition
from polytalk.weights.tokenizer import write_tokenizer

CPU = torch.device("cpu")


class Pieces:
    """A tokenizer whose pieces are given."""

    def __init__(self, ids, mask):
        self.input_ids, self.attention_mask = ids, mask

    def __call__(self, prompts, **settings):
        assert settings["max_length"] == 16
        return self


@pytest.fixture(scope="module")
def parts(golden):
    """The golden networks; those with outputs of their own are the authors' to 1e-4."""
    sizes = json.loads((golden.folder / "encoders_config.json").read_text())
    config = json.loads((golden.folder / "transformer_config.json").read_text())
    speech = Wav2Vec2Model(Wav2Vec2Config(**json.loads((golden.folder / "wav2vec2_config.json").read_text())))
    old = {
        f"wav2vec2.{name.replace('parametrizations.weight.original0', 'weight_g')}".replace(
            "parametrizations.weight.original1", "weight_v"
        ): tensor
        for name, tensor in weights(golden["wav2vec2"]).items()
    }
    speech.load_state_dict(translate(old, speech_encoder_plan([*old, "quantizer.codevectors"])))
    umt5 = golden["umt5"]
    return WanComponents(
        transformer_from_official(golden["transformer_weights"], config),
        vae_from_official(weights(golden["wan_vae"]), sizes["vae"]),
        LazyPart.of(text_encoder_from_official(weights(umt5), sizes["umt5"])),
        LazyPart.of(image_encoder_from_official(weights(golden["clip_vision"]), sizes["clip_vision"])),
        LazyPart.of(speech.eval()),
        Pieces(umt5["ids"], umt5["mask"]),
        CPU,
        torch.float32,
    )


def test_latents(golden, parts):
    case = golden["wan_vae"]
    golden.assert_close(parts.encode_video(case["video"]), case["latent"])
    golden.assert_close(parts.decode_video(case["latent"]), case["decoded"].clamp(-1, 1))
    assert parts.spatial_stride == 8


def test_text_tokens_are_zero_behind_the_mask(golden, parts):
    case = golden["umt5"]
    assert 0 < case["mask"].sum() < case["mask"].numel()
    found = parts.encode_text(["a", "b"])
    assert found.shape == (2, 16, 64)  # the network's text length
    golden.assert_close(found[:, :12], case["out"] * case["mask"][..., None])
    assert not found[:, 12:].any()
    assert not found[:, :12][case["mask"] == 0].any()


def test_picture_tokens(golden, parts):
    case = golden["clip_vision"]
    mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in (CLIP_MEAN, CLIP_STD))
    picture = (case["pixels"] * std + mean) * 2 - 1  # at CLIP's own size, which scaling leaves alone
    golden.assert_close(parts.encode_image(picture), case["out"])


def cubic_matrix(n_in, n_out):
    """Weights of bicubic interpolation (Keys' kernel, a = -0.75), pixel centres aligned, edges repeated."""
    matrix = np.zeros((n_out, n_in))
    for row in range(n_out):
        centre = (row + 0.5) * n_in / n_out - 0.5
        for tap in range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3):
            x = abs(centre - tap)
            near, far = 1.25 * x**3 - 2.25 * x**2 + 1, -0.75 * (x**3 - 5 * x**2 + 8 * x - 4)
            matrix[row, min(max(tap, 0), n_in - 1)] += near if x <= 1 else far
    return matrix


def test_picture_is_squeezed_bicubically_without_antialiasing():
    picture = torch.rand(1, 3, 64, 112, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = clip_pixels(picture, 28)
    scaled = cubic_matrix(64, 28) @ picture[0].double().numpy() @ cubic_matrix(112, 28).T
    assert scaled.max() > 1  # overshoot is not clamped
    wanted = ((scaled + 1) / 2 - np.array(CLIP_MEAN)[:, None, None]) / np.array(CLIP_STD)[:, None, None]
    np.testing.assert_allclose(found[0].numpy(), wanted, atol=1e-4 * np.abs(wanted).max())


def test_speech_features(golden, parts):
    case = golden["wav2vec2"]
    sound = torch.from_numpy(standardise(case["waveform"][0].numpy()))
    found = parts.encode_speech(torch.stack([sound, sound * 0]), 32)
    assert found.shape == (2, 32, 4, 48)
    golden.assert_close(found[0], case["out"])


def test_the_condition_is_the_whole_video_with_grey_behind_the_known_frames(golden, parts):
    video = golden["wan_vae"]["video"]
    known = video[:, :, :5]
    condition = build_condition(parts, known, video[:, :, 0], 9, PipelineConfig().fill_condition)
    grey = torch.cat([known, torch.zeros_like(video[:, :, 5:])], dim=2)
    torch.testing.assert_close(condition[:, 4:], parts.encode_video(grey))
    assert condition[0, :4, :, 0, 0].tolist() == [[1, 1, 0]] * 4


def test_what_fills_unknown_frames(golden, parts):
    picture = golden["wan_vae"]["video"][:, :, 0]
    still = picture[:, :, None].expand(-1, -1, 9, -1, -1)
    torch.testing.assert_close(parts.fill_latents(picture, 3, "reference"), parts.encode_video(still))
    torch.testing.assert_close(parts.fill_latents(picture, 3, "zero"), parts.encode_video(still * 0))
    assert parts.fill_latents(picture, 3, "zero").abs().max() > 0.1  # grey is not the zero latent


@pytest.mark.parametrize(
    ("written", "clean"),
    [
        ("  two   people\n\ttalk ", "two people talk"),
        ("she says &amp;lt;hi&amp;gt; &amp; waves", "she says <hi> & waves"),
        ("caf\u00c3\u00a9", "caf\u00e9"),
        ("\u201cquoted\u201d", '"quoted"'),
        ("", ""),
    ],
)
def test_prompts_are_cleaned_as_in_the_release(written, clean):
    assert clean_prompt(written) == clean


@given(st.text(max_size=40))
@settings(max_examples=50, deadline=None)
def test_clean_prompts_have_single_spaces(prompt):
    cleaned = clean_prompt(prompt)
    assert cleaned == " ".join(cleaned.split())


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("umt5")
    write_tokenizer(folder)
    return folder


def test_the_tokenizer_is_the_files_own(tokenizer_folder):
    tokenizer = load_tokenizer(tokenizer_folder)
    described = PreTrainedTokenizerFast(tokenizer_file=str(tokenizer_folder / "tokenizer.json"))
    for text in ("they talk", "full\uff0cwidth \u2460", "\u00e9t\u00e9", ""):
        ids = tokenizer(text).input_ids
        assert ids == described(text).input_ids
        assert ids[-1] == 1  # </s>
    wide, narrow = tokenizer("\uff54alk").input_ids, tokenizer("talk").input_ids
    assert wide == narrow  # its normaliser is at work
    assert tokenizer.pad_token_id == 0


class Echo(nn.Module):
    """Gives the ids back as states."""

    def forward(self, input_ids, attention_mask):
        self.seen = input_ids, attention_mask
        states = input_ids[..., None].float() + 1  # padding would be seen
        return type("Output", (), {"last_hidden_state": states})


def test_long_and_short_prompts_share_a_batch(tokenizer_folder):
    tokenizer, encoder = load_tokenizer(tokenizer_folder), Echo()
    found = encode_prompts(["talk " * 400, "they talk"], tokenizer, encoder, 512, CPU)
    ids, mask = encoder.seen
    assert found.shape == (2, 512, 1)
    assert ids.shape == (2, 512)
    assert ids[0, -1] == 1  # cut off, but ended
    short = int(mask[1].sum())
    assert found[1, :short].all()
    assert not found[1, short:].any()
    encode_prompts(["they talk", ""], tokenizer, encoder, 512, CPU)
    assert encoder.seen[0].shape == (2, short)  # nothing is computed for padding


def test_a_folder_without_a_tokenizer(tmp_path):
    with pytest.raises(PolytalkError, match=r"tokenizer\.json is missing"):
        load_tokenizer(tmp_path)


def counted(after_use):
    reads = []

    def read(device):
        reads.append(device)
        return nn.Linear(2, 2)

    return LazyPart(read, CPU, after_use), reads


@pytest.mark.parametrize(("after_use", "times"), [("keep", 1), ("host", 1), ("drop", 2)])
def test_a_part_is_read_when_used_and_put_away_after(after_use, times):
    part, reads = counted(after_use)
    assert not part.loaded
    for _ in range(2):
        with part.use() as network:
            assert isinstance(network, nn.Linear)
            assert part.loaded
    assert reads == [CPU] * times
    assert part.loaded is (after_use != "drop")


def test_a_part_leaves_only_with_its_last_user():
    part, reads = counted("drop")
    with part.use() as outer:
        with part.use() as inner:
            assert inner is outer
        assert part.loaded
        with pytest.raises(RuntimeError):
            part.drop()
    assert not part.loaded
    assert len(reads) == 1


def test_a_part_is_put_away_after_a_failure():
    part, _ = counted("drop")
    with pytest.raises(ZeroDivisionError), part.use():
        1 / 0  # noqa: B018
    assert not part.loaded


def test_a_part_is_prepared_whenever_it_is_read():
    part, _ = counted("drop")
    part.preparations += [lambda network: nn.Sequential(network), lambda network: network.half()]
    for _ in range(2):
        with part.use() as network:
            assert network[0].weight.dtype == torch.float16


def test_a_part_waits_on_the_host():
    class Recorder(nn.Module):
        moves: list[str] = []  # noqa: RUF012

        def to(self, device):
            self.moves.append(str(device))
            return self

    part = LazyPart(lambda device: Recorder(), torch.device("meta"), "host")
    for _ in range(2):
        with part.use() as network:
            pass
    assert network.moves == ["cpu", "meta", "cpu"]
