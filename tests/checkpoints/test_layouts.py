"""The released model in its three layouts: found, checked, read and written."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from diffusers import WanTransformer3DModel
from safetensors.torch import load_file, save_file
from tiny_model import scene, tiny_pipeline
from tiny_wan import AUDIO, SPEECH, TINY, WAN, write_diffusers, write_released

from polytalk import MultiTalkPipeline, PolytalkError
from polytalk.checkpoints.layouts import IMAGE_FILE, TEXT_FILE, TRANSFORMER_INDEX, VAE_FILE, Layout, locate
from polytalk.checkpoints.names import (
    diffusers_transformer_plan,
    image_encoder_plan,
    is_audio_branch,
    transformer_plan,
    unused_names,
)
from polytalk.checkpoints.wan import open_files
from polytalk.config.index import released_config
from polytalk.config.options import LoadOptions
from polytalk.models import MultiTalkTransformer3DModel
from polytalk.weights import released as names
from polytalk.weights.sizes import ModelSize


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The same tiny model in all layouts, never changed by a test."""
    root = tmp_path_factory.mktemp("layouts")
    wan = write_released(root / "released")
    write_diffusers(wan, root / "diffusers" / "Wan2.1-I2V-14B-480P-Diffusers")
    load(wan).save_pretrained(root / "own")
    return root


@pytest.fixture
def broken(folders, tmp_path):
    """A copy of the released layout, to be damaged."""
    shutil.copytree(folders / "released", tmp_path / "m")
    return tmp_path / "m"


def load(model, **choices):
    return MultiTalkPipeline.from_pretrained(model, **{"torch_dtype": "float32", "device": "cpu", **choices})


def beside(folders):
    return {"audio": folders / "released" / AUDIO, "speech": folders / "released" / SPEECH}


def video(pipe, **choices):
    settings = {"size": (32, 32), "num_inference_steps": 2, "clip_frames": 9, "motion_frames": 5, "guidance_scale": 1.0}
    return pipe(scene(2, 0.5), generator=torch.Generator().manual_seed(0), **settings | choices).frames


def test_every_layout_gives_the_same_video(folders):
    pipes = {
        "released": load(folders / "released" / WAN),
        "the folder above": load(folders / "released"),
        "diffusers": load(folders / "diffusers", **beside(folders)),
        "own": load(folders / "own"),
        "audio file": load(folders / "diffusers", **beside(folders) | {"audio": audio_file(folders / "released")}),
    }
    wanted = video(pipes["released"])
    assert wanted.shape == (12, 32, 32, 3)
    assert wanted.std() > 5
    for name, pipe in pipes.items():
        assert pipe.config == released_config(WAN), name
        np.testing.assert_array_equal(video(pipe), wanted, err_msg=name)


def test_reading_changes_nothing_on_disk(folders):
    files = sorted((path, path.stat().st_size) for path in (folders / "released").rglob("*"))
    load(folders / "released")
    assert sorted((path, path.stat().st_size) for path in (folders / "released").rglob("*")) == files
    assert not any(path.is_symlink() for path, _ in files)


def test_our_own_folder_holds_everything(folders, tmp_path):
    moved = shutil.copytree(folders / "own", tmp_path / "elsewhere")
    np.testing.assert_array_equal(video(load(moved)), video(load(folders / "released")))
    with pytest.raises(PolytalkError, match="holds everything already"):
        load(moved, audio=folders / "released" / AUDIO)


def test_every_tensor_is_used_or_named_as_unused(folders):
    released, diffusers = locate(folders / "released"), locate(folders / "diffusers", **beside(folders))
    assert (released.layout, diffusers.layout) == (Layout.RELEASED, Layout.DIFFUSERS)
    for location in (released, diffusers):
        for part in open_files(location).parts().values():
            used = {(entry.file.path, entry.key) for entry in part.tensors.entries.values()}
            on_disk = {(file, key) for file in part.tensors.files for key in file_names(file)}
            assert {key for _, key in on_disk - used} == set(part.unused)
    assert open_files(released).image_encoder.unused == ("log_scale", "textual.token_embedding.weight", "visual.head")


def file_names(path):
    if path.suffix == ".safetensors":
        return load_file(path)
    return torch.load(path, weights_only=True)


def test_the_published_key_lists_are_covered_both_ways(golden):
    released = json.loads((golden.folder / "keys_multitalk_14b.json").read_text())
    with torch.device("meta"):
        ours = MultiTalkTransformer3DModel().state_dict()
        base = WanTransformer3DModel(in_channels=36, image_dim=1280, added_kv_proj_dim=5120).state_dict()
    audio = [name for name in released if is_audio_branch(name)]
    assert len(audio) == 330
    for plan, listed in (
        (transformer_plan(released), list(released)),
        (diffusers_transformer_plan([*base, *audio]), [*base, *audio]),
    ):
        assert plan.keys() == ours.keys()
        assert unused_names(listed, plan) == []
    shapes = {name: origin.shape(released[origin.name]) for name, origin in transformer_plan(released).items()}
    assert shapes == {name: tuple(tensor.shape) for name, tensor in ours.items()}
    clip = json.loads((golden.folder / "keys_clip.json").read_text())
    unused = unused_names(clip, image_encoder_plan(clip))
    assert all(name in ("log_scale", "visual.head") or name.startswith("textual.") for name in unused)
    assert len(unused) == len(clip) - sum(name.startswith("visual.") for name in clip) + 1


def test_sizes_are_read_from_the_shapes():
    size = ModelSize()
    shapes = names.base_shapes(size) | names.audio_shapes(size)
    from polytalk.checkpoints.sizes import transformer_sizes

    ours = {name: origin.shape(shapes[origin.name]) for name, origin in transformer_plan(shapes).items()}
    found = transformer_sizes(ours, {}, (12, 768), "base", "audio")
    with torch.device("meta"):
        config = MultiTalkTransformer3DModel(num_layers=1).config
    assert found == {name: config[name] for name in found} | {"num_layers": 40}


def test_norms_and_the_timestep_stay_float32(folders):
    components = load(folders / "released", torch_dtype="bfloat16").components
    network = components.transformer
    wide = {name for name, tensor in network.state_dict().items() if tensor.dtype == torch.float32}
    assert {"condition_embedder.time_embedder.linear_1.weight", "condition_embedder.time_proj.weight"} <= wide
    assert {"blocks.0.norm2.weight", "blocks.1.norm_audio.bias", "blocks.0.scale_shift_table"} <= wide
    assert "blocks.0.attn1.to_q.weight" not in wide
    assert network.condition_embedder.time(torch.tensor([500.0]))[1].dtype == torch.float32
    assert components.vae.dtype == components.dtype == torch.bfloat16
    with components.text_encoder.use() as text, components.speech_encoder.use() as speech:
        assert (text.dtype, speech.dtype) == (torch.bfloat16, torch.float32)
    assert np.isfinite(video(load(folders / "released", torch_dtype="bfloat16"))).all()


def test_umt5_never_runs_in_float16_and_stays_as_narrow_as_its_file(folders, tmp_path):
    write_released(tmp_path, dtype=torch.bfloat16)
    for root, dtype in ((folders / "released", "float16"), (tmp_path, "float32")):
        components = load(root, torch_dtype=dtype).components
        with components.text_encoder.use() as text:
            assert text.dtype == torch.bfloat16
        assert components.encode_text(["they talk"]).isfinite().all()


@pytest.mark.parametrize("offload", ["none", "model", "group", "stream"])
def test_encoders_are_put_away_as_the_options_say(folders, offload):
    pipe = load(folders / "released", options=LoadOptions(offload=offload))
    parts = pipe.components.lazy_parts()
    assert not any(part.loaded for part in parts.values())
    np.testing.assert_allclose(video(pipe).astype(int), video(load(folders / "released")), atol=1)
    assert all(part.loaded == (offload != "stream") for part in parts.values())


def test_options_reach_the_parts(folders):
    pipe = load(folders / "released", options=LoadOptions(vae_dtype="bfloat16", vae_tiling=True, quantization="int8"))
    assert pipe.components.vae.dtype == torch.bfloat16
    assert pipe.components.vae.use_tiling
    assert pipe.components.transformer.blocks[0].attn1.to_q.weight.dtype == torch.int8
    with pytest.raises(PolytalkError, match=r"quantization.*convert"):
        load(folders / "released", options=LoadOptions(offload="stream", quantization="int8"))


def test_released_defaults():
    small, large = released_config("weights/Wan2.1-I2V-14B-480P"), released_config("Wan-AI/Wan2.1-I2V-14B-720P")
    assert (small.shift, small.size_class, small.num_inference_steps, small.guidance_scale) == (7.0, "480p", 40, 5.0)
    assert (large.shift, large.size_class, large.clip_frames, large.audio_guidance_scale) == (11.0, "720p", 81, 4.0)
    assert released_config("downloads/wan", flow_shift=5.0).size_class == "720p"
    assert released_config("downloads/wan", flow_shift=3.0).size_class == "480p"


def test_the_index_decides_between_two_copies_of_a_tensor(broken):
    first, *_ = sorted(load_file(next((broken / WAN).glob("*-00001-*"))))
    audio = audio_file(broken)
    changed = load_file(audio) | {first: torch.zeros_like(load_file(next((broken / WAN).glob("*-00001-*")))[first])}
    save_file(changed, audio)
    part = open_files(locate(broken)).transformer
    assert part.unused == (f"{first} ({audio})",)  # the index has it in a shard
    (broken / AUDIO / TRANSFORMER_INDEX).unlink()
    part = open_files(locate(broken)).transformer
    assert len(part.unused) == 1
    assert "00001-of-00007" in part.unused[0]
    assert not any(tensor.any() for name, tensor in part.tensors.items() if part.tensors.entries[name].key == first)


def test_the_audio_branch_may_lie_in_the_base_folder(broken):
    for file in (broken / AUDIO).iterdir():  # as the release's instructions have it
        shutil.move(file, broken / WAN / file.name)
    shutil.move(broken / SPEECH, broken / WAN / SPEECH)
    assert video(load(broken / WAN)).std() > 5


def audio_file(root):
    return root / AUDIO / "multitalk.safetensors"


def shard(root, number=2):
    return next((root / WAN).glob(f"*-0000{number}-of-*"))


def test_speech_encoder_as_a_pickle(broken):
    whole = load_file(broken / SPEECH / "model.safetensors") | {"quantizer.codevectors": torch.zeros(2)}
    torch.save(whole, broken / SPEECH / "pytorch_model.bin")
    (broken / SPEECH / "model.safetensors").unlink()
    files = open_files(locate(broken))
    assert files.speech_encoder.unused == ("quantizer.codevectors",)


class Code:
    def __reduce__(self):
        return print, ("this ran",)


def test_damage_is_named(broken, capsys):
    def expect(message):
        with pytest.raises(PolytalkError, match=message) as caught:
            load(broken)
        assert caught.value.remedy

    def with_backup(path, damage, message):
        whole = path.read_bytes()
        damage(path)
        expect(message)
        path.write_bytes(whole)

    with_backup(shard(broken), lambda path: path.unlink(), r"index\.json: shard .*00002-of-00007.*missing.*tensor")
    with_backup(shard(broken), cut, r"00002-of-00007\.safetensors: cut off.*tensor")
    with_backup(audio_file(broken), cut, r"multitalk\.safetensors: cut off")
    with_backup(audio_file(broken), lambda path: path.unlink(), r"audio: there is no multitalk\.safetensors in")
    for file in (TEXT_FILE, VAE_FILE, IMAGE_FILE):
        with_backup(broken / WAN / file, cut, file)
        with_backup(broken / WAN / file, lambda path: torch.save({"w": Code()}, path), file)
        with_backup(broken / WAN / file, lambda path: torch.save({"w": torch.zeros(2)}, path), f"{file}: lacks tensor")
        with_backup(broken / WAN / file, lambda path: path.unlink(), f"{file} is missing")
    assert "this ran" not in capsys.readouterr().out
    with_backup(broken / WAN / TRANSFORMER_INDEX, lambda path: path.write_text("{"), r"index\.json")
    with_backup(broken / WAN / "config.json", lambda path: path.write_text("[1]"), r"config\.json: is no JSON object")
    with_backup(broken / SPEECH / "config.json", lambda path: path.unlink(), r"speech: there is no config\.json in")
    tokenizer = broken / WAN / "google" / "umt5-xxl" / "tokenizer.json"
    with_backup(tokenizer, lambda path: path.write_text("{}"), r"tokenizer\.json: is no tokenizer")
    with_backup(tokenizer, lambda path: path.unlink(), r"tokenizer\.json is missing")
    assert video(load(broken)).std() > 5  # all is whole again


def cut(path):
    path.write_bytes(path.read_bytes()[:-1000])


def test_other_kinds_of_wan_are_recognised_by_their_shapes(folders, tmp_path):
    def expect(message):
        with pytest.raises(PolytalkError, match=message):
            load(tmp_path / WAN, **beside(folders))
        shutil.rmtree(tmp_path / WAN)

    small = dataclasses.replace(TINY.transformer, dim=96, num_heads=4)
    write_released(tmp_path, dataclasses.replace(TINY, transformer=small))
    expect("audio branch is made for a network of width 48, but .* has width 96")
    base = names.base_shapes(TINY)
    text_to_video = {n: s for n, s in base.items() if "img" not in n} | {"patch_embedding.weight": (48, 16, 1, 2, 2)}
    shutil.copytree(folders / "released" / WAN, tmp_path / WAN)
    (tmp_path / WAN / TRANSFORMER_INDEX).unlink()
    tensors = {name: torch.zeros(shape) for name, shape in text_to_video.items()}
    save_file(tensors, tmp_path / WAN / "diffusion_pytorch_model.safetensors")
    expect(r"text-to-video checkpoint: patch_embedding\.weight reads 16 channels.*Wan2\.1-I2V-14B-480P")


def test_features_that_the_audio_branch_does_not_read(folders, tmp_path):
    larger = dataclasses.replace(TINY, speech=dataclasses.replace(TINY.speech, hidden=32))
    write_released(tmp_path, larger)
    with pytest.raises(PolytalkError, match="reads 480 features a frame, the speech encoder gives 4 × 32"):
        load(folders / "released" / WAN, speech=tmp_path / SPEECH)


def test_surplus_tensors_are_named(broken):
    save_file(load_file(audio_file(broken)) | {"blocks.0.flux": torch.zeros(2)}, audio_file(broken))
    with pytest.raises(PolytalkError, match=r"unknown tensor blocks\.0\.flux"):
        load(broken)


def test_damaged_diffusers_and_own_folders(folders, tmp_path):
    root = shutil.copytree(folders / "diffusers", tmp_path / "d")
    wan = next(root.iterdir())
    config = json.loads((wan / "transformer" / "config.json").read_text())
    (wan / "transformer" / "config.json").write_text(json.dumps(config | {"qk_norm": "rms_norm"}))
    with pytest.raises(PolytalkError, match=r"transformer: qk_norm is 'rms_norm'"):
        load(root, **beside(folders))
    (wan / "transformer" / "config.json").write_text(json.dumps(config))
    shutil.rmtree(wan / "vae")
    with pytest.raises(PolytalkError, match=r"vae/config\.json: no such file"):
        load(root, **beside(folders))
    own = shutil.copytree(folders / "own", tmp_path / "own")
    (own / "image_encoder" / "config.json").write_text('{"patch_size": "large"}')
    with pytest.raises(PolytalkError, match=r"image_encoder/config\.json: does not describe a model"):
        load(own)
    shutil.copy(folders / "own" / "image_encoder" / "config.json", own / "image_encoder")
    shutil.rmtree(own / "speech_encoder")
    with pytest.raises(PolytalkError, match=r"speech_encoder/config\.json"):
        load(own)


def test_a_folder_with_several_models_asks_which(broken):
    shutil.copytree(broken / WAN, broken / "Wan2.1-I2V-14B-720P")
    with pytest.raises(PolytalkError, match=r"several models: Wan2\.1-I2V-14B-480P, Wan2\.1-I2V-14B-720P"):
        load(broken)
    assert load(broken / "Wan2.1-I2V-14B-720P").config.size_class == "720p"
    shutil.rmtree(broken / WAN)
    assert load(broken).config.size_class == "720p"


def test_hub_ids_come_from_the_cache(folders, tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(PolytalkError, match=r"Wan-AI/Wan2\.1-I2V-14B-480P is no folder here and cannot be fetched"):
        load("Wan-AI/Wan2.1-I2V-14B-480P")
    for owner, name in (("Wan-AI", WAN), ("MeiGen-AI", AUDIO), ("TencentGameMate", SPEECH)):
        cached = tmp_path / f"models--{owner}--{name}"
        shutil.copytree(folders / "released" / name, cached / "snapshots" / ("0" * 40))
        (cached / "refs").mkdir()
        (cached / "refs" / "main").write_text("0" * 40)
    np.testing.assert_array_equal(video(load("Wan-AI/Wan2.1-I2V-14B-480P")), video(load(folders / "released")))


def test_a_place_that_cannot_be_written(folders, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PolytalkError, match=r"file/model: cannot be written \(Not a directory\)"):
        load(folders / "released").save_pretrained(tmp_path / "file" / "model")


def test_parts_of_unknown_kind_cannot_be_written(tmp_path):
    pipe = tiny_pipeline()
    pipe.components = object()
    with pytest.raises(PolytalkError, match="object cannot be written"):
        pipe.save_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (LoadOptions(quantization="int8"), r"weight is quantised.*convert"),
        (LoadOptions(offload="stream"), r"streamed from disk.*convert"),
    ],
)
def test_unusual_weights_are_not_written_as_plain_ones(folders, tmp_path, options, message):
    pipe = load(folders / "released", options=options)
    with pytest.raises(PolytalkError, match=message):
        pipe.save_pretrained(tmp_path)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_whole_quantised_transformer_needs_no_base(broken, dtype):
    """As MeiGen-MultiTalk's quant_models: names of optimum-quanto, base and audio branch in one file, a map beside."""
    plain = dict(open_files(locate(broken)).transformer.tensors.items())
    tensors, mapped = {}, {}
    for file in (*(broken / WAN).glob("*.safetensors"), audio_file(broken)):
        for name, tensor in load_file(file).items():
            if not (name.startswith("blocks.") and name.endswith(".weight") and tensor.ndim == 2):
                tensors[name] = tensor
                continue
            scale = tensor.abs().amax(dim=1, keepdim=True) / 127
            tensors[f"{name}._data"], tensors[f"{name}._scale"] = (tensor / scale).round().to(torch.int8), scale
            mapped[name.removesuffix(".weight")] = {"weights": "qint8", "activations": "none"}
        file.unlink()
    folder = broken / AUDIO / "quant_models"
    folder.mkdir()
    save_file(tensors, folder / "quant_model_int8_FusionX.safetensors")
    (folder / "quantization_map_int8_FusionX.json").write_text(json.dumps(mapped))
    (folder / "quantization_map_int8.json").write_text("{}")  # of another file
    pipe = load(broken / WAN, audio=folder / "quant_model_int8_FusionX.safetensors", torch_dtype=dtype)
    layer = pipe.components.transformer.blocks[1].audio_attn.to_v
    assert layer.weight.dtype == torch.int8
    restored = layer.weight.float() * layer.weight_scale.float()[:, None]
    torch.testing.assert_close(restored, plain["blocks.1.audio_attn.to_v.weight"], atol=0.02, rtol=0)
    assert video(pipe).std() > 5


def test_the_base_network_as_a_gguf_file(broken, folders):
    import gguf

    writer = gguf.GGUFWriter(broken / WAN / "wan2.1-i2v-14b-480p-F32.gguf", "wan")
    for file in (broken / WAN).glob("*.safetensors"):
        for name, tensor in load_file(file).items():
            if tensor.ndim > 4:
                writer.add_array(f"comfy.gguf.orig_shape.{name}", list(tensor.shape))
                tensor = tensor.flatten(0, 1)
            writer.add_tensor(name, tensor.numpy())
        file.unlink()
    (broken / WAN / TRANSFORMER_INDEX).unlink()
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    np.testing.assert_array_equal(video(load(broken)), video(load(folders / "released")))


@pytest.mark.slow
def test_full_width_gives_the_same_video_in_every_layout(tmp_path):
    size = ModelSize().with_blocks(2).with_small_encoders()
    wan = write_released(tmp_path / "released", size, dtype=torch.bfloat16)
    write_diffusers(wan, tmp_path / "diffusers", size)
    choices = {"torch_dtype": "bfloat16"}
    pipe = load(wan, **choices)
    assert pipe.components.transformer.config.num_attention_heads == 40
    wanted = video(pipe)
    pipe.save_pretrained(tmp_path / "own")
    del pipe
    for model, places in ((tmp_path / "diffusers", beside(tmp_path)), (tmp_path / "own", {})):
        np.testing.assert_array_equal(video(load(model, **choices, **places)), wanted)
