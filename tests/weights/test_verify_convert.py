"""Verification of folders in every state, and conversion to our own layout."""

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_model import scene

from polytalk import MultiTalkPipeline
from polytalk.assets import model_folder
from polytalk.checkpoints.layouts import (
    AUDIO_FILE,
    IMAGE_FILE,
    TEXT_FILE,
    TOKENIZER_FOLDER,
    VAE_FILE,
    layout_of,
    locate,
)
from polytalk.errors import PolytalkError
from polytalk.weights.convert import convert
from polytalk.weights.sizes import choose_size
from polytalk.weights.synthesize import AUDIO_FOLDER, BASE_FOLDER, SPEECH_FOLDER, Recipe, synthesize
from polytalk.weights.verify import verify

PARTS = ["speech_encoder", "transformer", "vae", "text_encoder", "image_encoder", "tokenizer"]


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    folder = tmp_path_factory.mktemp("released") / "weights"
    synthesize(folder, Recipe(choose_size("tiny"), torch.float32))
    return folder


@pytest.fixture
def broken(released, tmp_path):
    return shutil.copytree(released, tmp_path / "weights")


def wrong(folder, **choices):
    return {finding.part: str(finding.problem) for finding in verify(folder, **choices) if not finding.ok}


def test_a_whole_folder_is_right_from_every_side(released):
    for path in (released, released / BASE_FOLDER):
        findings = list(verify(path))
        assert [finding.part for finding in findings] == PARTS
        assert all(finding.ok for finding in findings)
        assert "tensors" in findings[1].detail
    assert next(f for f in verify(released) if f.part == "image_encoder").detail.endswith("not needed: visual.head")


def test_one_file_can_be_looked_at(released, tmp_path):
    assert next(verify(released / AUDIO_FOLDER / AUDIO_FILE)).ok
    (tmp_path / "x.pth").write_bytes(b"nothing")
    assert not next(verify(tmp_path / "x.pth")).ok


def test_every_wrong_part_is_named_and_none_hides_another(broken):
    base = broken / BASE_FOLDER
    (base / VAE_FILE).unlink()
    torch.save({"w": torch.ones(2), "code": print}, base / TEXT_FILE)
    image = torch.load(base / IMAGE_FILE, weights_only=True)
    torch.save(image | {"visual.pre_norm.weight": torch.ones(5)}, base / IMAGE_FILE)
    shard = base / "diffusion_pytorch_model-00003-of-00007.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1])
    (base / TOKENIZER_FOLDER / "tokenizer.json").write_text("{")
    found = wrong(broken)
    assert set(found) == set(PARTS) - {"speech_encoder"}
    assert "is missing" in found["vae"]
    assert "holds code (builtins.print)" in found["text_encoder"]
    assert ["another shape of tensor pre_layrnorm.weight", "(5,) ->", "32,))"][0] in found["image_encoder"]
    assert "00003-of-00007.safetensors: cut off" in found["transformer"]
    assert "tokenizer" in found["tokenizer"]


def test_a_missing_shard_and_a_missing_tensor(broken):
    audio = broken / AUDIO_FOLDER / AUDIO_FILE
    tensors = load_file(audio)
    save_file({name: tensor for name, tensor in tensors.items() if name != "blocks.1.norm_x.bias"}, audio)
    assert "lacks tensor blocks.1.norm_audio.bias" in wrong(broken)["transformer"]
    (broken / BASE_FOLDER / "diffusion_pytorch_model-00002-of-00007.safetensors").unlink()
    assert "shard diffusion_pytorch_model-00002-of-00007.safetensors is missing" in wrong(broken)["transformer"]


@pytest.mark.parametrize(("folder", "part"), [(AUDIO_FOLDER, "audio"), (SPEECH_FOLDER, "speech")])
def test_without_audio_branch_or_speech_encoder_the_rest_is_still_looked_at(broken, folder, part):
    shutil.move(broken / folder, broken.parent / "elsewhere")
    findings = {finding.part: finding for finding in verify(broken)}
    assert [name for name, finding in findings.items() if not finding.ok] == [part]
    assert "not compared" in findings["transformer"].detail
    assert not wrong(broken, **{part: broken.parent / "elsewhere"})


def test_hashes_tell_other_weights_from_the_published_ones(released):
    found = wrong(released, hashes=True)
    assert set(found) == {"sha256"}
    assert "not the published one" in found["sha256"]


def test_folders_without_a_model_are_refused(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(PolytalkError, match=str(path)):
            list(verify(path))


def test_the_embedded_model_is_right():
    assert [finding.ok for finding in verify(model_folder("mini"))] == [True]


def test_converted_model_makes_the_same_video(released, tmp_path):
    told = []
    own = tmp_path / "own"
    report = lambda component, unit: told.append((component, unit))  # noqa: E731
    convert(locate(released), own, dtype=torch.float32, report=report)
    assert layout_of(own) == "polytalk"
    assert [finding.part for finding in verify(own) if finding.ok] == PARTS
    assert ("transformer", "blocks.1") in told
    videos = []
    for folder in (released, own):
        pipe = MultiTalkPipeline.from_pretrained(folder, "float32", "cpu")
        generator = torch.Generator().manual_seed(0)
        videos.append(pipe(scene(2, 0.2), size=(32, 32), num_inference_steps=1, generator=generator).frames)
    assert videos[0].std() > 1
    np.testing.assert_array_equal(*videos)


@pytest.mark.parametrize("scheme", ["int8", "int4"])
def test_quantised_on_disk_is_what_quantising_while_loading_gives(released, tmp_path, scheme):
    from polytalk.config.options import LoadOptions

    convert(locate(released), tmp_path / "own", dtype=torch.float32, quantization=scheme)
    assert not wrong(tmp_path / "own")
    plain = (
        sum(f.stat().st_size for f in (released / BASE_FOLDER).glob("diffusion*"))
        + (released / AUDIO_FOLDER / AUDIO_FILE).stat().st_size
    )
    assert sum(f.stat().st_size for f in (tmp_path / "own" / "transformer").iterdir()) < 0.8 * plain
    read = MultiTalkPipeline.from_pretrained(tmp_path / "own", "float32", "cpu").components.transformer.state_dict()
    options = LoadOptions(quantization=scheme)
    made = MultiTalkPipeline.from_pretrained(released, "float32", "cpu", options=options).components.transformer
    assert any(name.endswith("weight_scale") for name in read)
    for name, tensor in made.state_dict().items():
        assert read[name].dtype == tensor.dtype, name
        assert read[name].equal(tensor), name


def test_several_shards_and_their_index(released, tmp_path, monkeypatch):
    monkeypatch.setattr("polytalk.weights.convert._SHARD_BYTES", 140_000)
    convert(locate(released), tmp_path / "own")
    folder = tmp_path / "own" / "transformer"
    shards = sorted(folder.glob("diffusion_pytorch_model-*-of-*.safetensors"))
    assert len(shards) > 1
    assert shards[-1].name.endswith(f"-of-{len(shards):05d}.safetensors")
    assert not list(folder.glob("part-*"))
    assert not wrong(tmp_path / "own")


def test_what_cannot_be_converted_is_refused_before_anything_is_written(released, tmp_path):
    for scheme, said in (("fp8", "depends on the machine"), ("int3", "unknown")):
        with pytest.raises(PolytalkError, match=said):
            convert(locate(released), tmp_path / "own", quantization=scheme)
    with pytest.raises(PolytalkError, match="already"):
        convert(locate(released), released)
    assert not wrong(released)

    def stop(component, unit):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(locate(released), tmp_path / "own", report=stop)
    assert not (tmp_path / "own").exists()
