"""Synthesised folders: complete, readable, the same from the same seed, written without holding them in memory."""

import json

import pytest
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from polytalk.checkpoints.checkpoint import Checkpoint
from polytalk.checkpoints.layouts import IMAGE_FILE, TEXT_FILE, TOKENIZER_FOLDER, TRANSFORMER_INDEX, VAE_FILE, locate
from polytalk.checkpoints.wan import open_files
from polytalk.errors import PolytalkError
from polytalk.weights import released
from polytalk.weights.random_tensors import RandomTensors
from polytalk.weights.sizes import choose_size
from polytalk.weights.synthesize import AUDIO_FOLDER, BASE_FOLDER, SPEECH_FOLDER, Recipe, synthesize
from polytalk.weights.writing import even_shards

TINY = Recipe(choose_size("tiny"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    target = tmp_path_factory.mktemp("weights") / "tiny"
    synthesize(target, TINY)
    return target


def test_every_part_opens_in_the_released_layout(folder):
    files = open_files(locate(folder))
    assert {name: len(part.unused) for name, part in files.parts().items()} == {
        "transformer": 0,
        "vae": 0,
        "text_encoder": 0,
        "image_encoder": 1,  # visual.head
        "speech_encoder": 0,
    }


def test_seven_shards_and_two_indices_as_published(folder):
    base = json.loads((folder / BASE_FOLDER / TRANSFORMER_INDEX).read_text())["weight_map"]
    joint = json.loads((folder / AUDIO_FOLDER / TRANSFORMER_INDEX).read_text())["weight_map"]
    assert base.keys() == released.base_shapes(TINY.size).keys()
    assert len(set(base.values())) == 7
    assert base.items() < joint.items()
    assert {joint[name] for name in joint.keys() - base.keys()} == {"multitalk.safetensors"}


@pytest.mark.parametrize(
    ("file", "shapes", "dtype"),
    [
        (TEXT_FILE, released.text_encoder_shapes, torch.bfloat16),
        (IMAGE_FILE, released.image_encoder_shapes, torch.float16),
        (VAE_FILE, released.vae_shapes, torch.float32),
    ],
)
def test_pickles_hold_what_was_drawn(folder, file, shapes, dtype):
    checkpoint = Checkpoint.open(folder / BASE_FOLDER / file)
    assert checkpoint.shapes == shapes(TINY.size)
    draw = RandomTensors(TINY.seed)
    for name, tensor in checkpoint.items():
        assert tensor.dtype == dtype
        assert tensor.equal(draw.tensor(name, tensor.shape).to(dtype)), name


def test_seed_decides_and_the_number_of_shards_does_not(folder, tmp_path):
    synthesize(tmp_path / "same", TINY)
    synthesize(tmp_path / "other", Recipe(TINY.size, seed=1))
    name = "blocks.1.ffn.0.weight"
    first, same, other = (
        Checkpoint.open(f / BASE_FOLDER)[name] for f in (folder, tmp_path / "same", tmp_path / "other")
    )
    assert first.equal(same)
    assert not first.equal(other)


def test_tokenizer_reads_any_text(folder):
    for tokenizer in (
        PreTrainedTokenizerFast(tokenizer_file=str(folder / BASE_FOLDER / TOKENIZER_FOLDER / "tokenizer.json")),
        AutoTokenizer.from_pretrained(folder / BASE_FOLDER / TOKENIZER_FOLDER),
    ):
        ids = tokenizer("Two people talk.")["input_ids"]
        assert ids[-1] == 1
        assert max(ids) < TINY.size.text.vocab
        assert tokenizer.decode(ids, skip_special_tokens=True) == "Two people talk."
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / BASE_FOLDER / TOKENIZER_FOLDER / "tokenizer.json"))
    assert tokenizer.decode(tokenizer("日本語")["input_ids"]) == "日本語</s>"


def test_progress_counts_every_byte(tmp_path):
    told = {}
    synthesize(tmp_path / "new", TINY, lambda file, count: told.update({file: told.get(file, 0) + count}))
    assert sum(told.values()) == TINY.num_bytes
    assert set(told) == set(TINY.files())


def test_network_alone_leaves_the_encoders_out(tmp_path):
    recipe = Recipe(TINY.size, network_only=True)
    synthesize(tmp_path / "new", recipe)
    assert not (tmp_path / "new" / SPEECH_FOLDER).exists()
    assert not (tmp_path / "new" / BASE_FOLDER / TEXT_FILE).exists()
    assert recipe.num_bytes < TINY.num_bytes


def test_a_folder_with_something_in_it_and_a_small_disk_are_refused(folder, tmp_path, monkeypatch):
    with pytest.raises(PolytalkError, match="already"):
        synthesize(folder, TINY)
    monkeypatch.setattr("polytalk.weights.synthesize.free_bytes", lambda path: 1000)
    with pytest.raises(PolytalkError, match="free"):
        synthesize(tmp_path / "new", TINY)
    assert not (tmp_path / "new").exists()


def test_what_breaks_off_leaves_nothing(tmp_path):
    def stop(file, count):
        if file.endswith(TEXT_FILE):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize(tmp_path / "new", TINY, stop)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_are_none_of_them_empty_and_hold_every_name_in_order(count):
    shapes = {f"t{index}": (size,) for index, size in enumerate([1000, 1, 1, 1, 1, 1, 1, 500])}
    shards = even_shards(shapes, count)
    assert len(shards) == count
    assert all(shards)
    assert [name for shard in shards for name in shard] == list(shapes)
