"""What the network promises beyond the released code: any number of people, batches, caches, training."""

import pytest
import torch
from diffusers import FirstBlockCacheConfig
from peft import LoraConfig

from polytalk.errors import PolytalkError
from polytalk.models import Conditioning, MultiTalkTransformer3DModel
from polytalk.models.label_rope import winning_class

FRAMES, ROWS, COLUMNS = 3, 4, 12
TOKENS = FRAMES * (ROWS // 2) * (COLUMNS // 2)


def build(**changes):
    torch.manual_seed(3)
    sizes = {
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "text_dim": 10,
        "text_len": None,
        "freq_dim": 16,
        "ffn_dim": 48,
        "num_layers": 2,
        "image_dim": 14,
        "audio_layers": 2,
        "audio_channels": 6,
        "audio_hidden_dim": 16,
        "audio_tokens": 3,
        "audio_dim": 12,
    }
    return MultiTalkTransformer3DModel(**{**sizes, **changes}).eval()


def draw(people, batch=2, seed=0):
    """Arguments of the network: people stand side by side, each in an equal share of the width."""
    g = torch.Generator().manual_seed(seed)
    masks = torch.zeros(batch, people, ROWS, COLUMNS, dtype=torch.bool)
    for person in range(people):
        width = COLUMNS // people
        masks[:, person, :, person * width : (person + 1) * width - 2] = True
    return {
        "hidden_states": torch.randn(batch, 36, FRAMES, ROWS, COLUMNS, generator=g),
        "timestep": torch.rand(batch, generator=g) * 900 + 50,
        "encoder_hidden_states": torch.randn(batch, 5, 10, generator=g),
        "encoder_hidden_states_image": torch.randn(batch, 4, 14, generator=g),
        "encoder_hidden_states_audio": torch.randn(batch, people, 9, 5, 2, 6, generator=g),
        "speaker_masks": masks,
    }


def without_context(arguments):
    names = ("hidden_states", "timestep", "speaker_masks")
    return {name: arguments[name] for name in names}


def context(arguments):
    names = ("encoder_hidden_states", "encoder_hidden_states_image", "encoder_hidden_states_audio")
    return {name: arguments[name] for name in names}


def close(found, wanted, tolerance=1e-5):
    return bool((found - wanted).abs().max() <= tolerance * wanted.abs().max())


@pytest.mark.parametrize("people", [1, 2, 3, 4])
@torch.no_grad()
def test_samples_of_a_batch_do_not_mix(people):
    model, arguments = build(), draw(people)
    arguments["speaker_masks"][1] = arguments["speaker_masks"][1].flip(0)  # other people in other places
    together = model(**arguments).sample
    alone = [model(**{k: v[i : i + 1] for k, v in arguments.items()}).sample for i in range(2)]
    assert close(together, torch.cat(alone))


@torch.no_grad()
def test_people_are_told_apart_by_their_masks():
    model, arguments = build(), draw(3)
    sample = model(**arguments).sample
    order = [2, 0, 1]
    voices = arguments["encoder_hidden_states_audio"][:, order]
    assert not close(model(**{**arguments, "encoder_hidden_states_audio": voices}).sample, sample, 1e-3)


@torch.no_grad()
def test_one_person_needs_no_masks_and_no_labels():
    model, arguments = build(), draw(1)
    sample = model(**arguments).sample
    assert torch.equal(model(**{**arguments, "speaker_masks": None}).sample, sample)


@torch.no_grad()
def test_no_sound_is_one_person_with_zero_features():
    model, arguments = build(), draw(1)
    zeros = torch.zeros_like(arguments["encoder_hidden_states_audio"])
    silent = model(**{**arguments, "encoder_hidden_states_audio": zeros}).sample
    assert torch.equal(model(**{**arguments, "encoder_hidden_states_audio": None}).sample, silent)


@torch.no_grad()
def test_sound_reaches_only_its_own_latent_frame():
    model, arguments = build(num_layers=1), draw(2)
    # no self-attention after the audio branch of a one-block model: a change stays in its frame
    audio = arguments["encoder_hidden_states_audio"].clone()
    audio[:, :, 5:] += 1
    changed = model(**{**arguments, "encoder_hidden_states_audio": audio}).sample
    difference = (changed - model(**arguments).sample).abs().amax((0, 1, 3, 4))
    assert difference[:2].max() < 1e-6 < 1e-4 < difference[2]


@pytest.mark.parametrize("people", [1, 3])
@torch.no_grad()
def test_prepared_conditioning_changes_nothing(people):
    model, arguments = build(), draw(people)
    conditioning = model.prepare_conditioning(**context(arguments))
    assert close(model(**without_context(arguments), conditioning=conditioning).sample, model(**arguments).sample)


@torch.no_grad()
def test_guidance_passes_in_one_batch():
    """The pass without sound hears one person, the others three: together as each for itself."""
    model, arguments = build(), draw(3, batch=1)
    silent = {**context(arguments), "encoder_hidden_states_audio": None, "num_latent_frames": FRAMES}
    passes = [model.prepare_conditioning(**context(arguments)), model.prepare_conditioning(**silent)]
    alone = [model(**without_context(arguments), conditioning=each).sample for each in passes]
    assert not close(alone[0], alone[1], 1e-3)
    doubled = {name: torch.cat([tensor] * 2) for name, tensor in without_context(arguments).items()}
    together = model(**doubled, conditioning=Conditioning.concatenate(passes)).sample
    assert close(together, torch.cat(alone))
    assert Conditioning.concatenate(passes[1:] * 2).binds is None


def test_conditionings_of_two_and_three_people_do_not_stack():
    model = build()
    parts = [model.prepare_conditioning(**context(draw(people))) for people in (2, 3)]
    with pytest.raises(PolytalkError, match=r"passes have \[2, 3\] people"):
        Conditioning.concatenate(parts)


@torch.no_grad()
def test_labels_read_out_are_the_largest_of_the_map():
    model, arguments = build(), draw(2)
    out = model(**arguments, return_labels=True, return_reference_maps=True)
    assert len(out.labels) == len(out.reference_maps) == 2
    for labels, reference_map in zip(out.labels, out.reference_maps, strict=True):
        assert reference_map.shape == (2, 3, TOKENS)
        assert torch.equal(labels.flatten(1), reference_map.argmax(1))
        assert labels.shape == (2, FRAMES, ROWS // 2, COLUMNS // 2)
    # a map weighted by the tokens of each class is a distribution over the classes
    counts = torch.tensor([4.0, 4.0, 4.0])
    assert torch.allclose((reference_map * counts[:, None]).sum(1), torch.ones(2, TOKENS), atol=1e-5)
    assert len(model(**arguments, return_reference_maps=[1]).reference_maps) == 1
    assert torch.equal(model(**arguments, return_reference_maps=[-1]).reference_maps[0], out.reference_maps[1])


@torch.no_grad()
def test_an_empty_mask_never_wins():
    model, arguments = build(), draw(3)
    arguments["speaker_masks"][:, 1] = False
    out = model(**arguments, return_labels=True)
    assert out.sample.isfinite().all()
    assert not any((labels == 1).any() for labels in out.labels)
    present = torch.tensor([False, True, True])[None, :, None]
    assert torch.equal(winning_class(torch.zeros(1, 3, 2), present), torch.ones(1, 2).long())


@torch.no_grad()
def test_true_labels_replace_the_maps():
    model, arguments = build(), draw(2)
    sample = model(**arguments).sample
    left_to_the_map = torch.full((2, FRAMES, ROWS // 2, COLUMNS // 2), -1)
    assert close(model(**arguments, speaker_labels=left_to_the_map).sample, sample)
    first, second = torch.zeros_like(left_to_the_map), torch.ones_like(left_to_the_map)
    given = [model(**arguments, speaker_labels=labels).sample for labels in (first, second)]
    assert not close(given[0], given[1], 1e-3)
    # with true labels everywhere nothing depends on the masks
    assert torch.equal(model(**{**arguments, "speaker_masks": None}, speaker_labels=first).sample, given[0])
    mixed = first.clone()
    mixed[1] = -1
    out = model(**arguments, speaker_labels=mixed).sample
    assert close(out[0], given[0][0])
    assert close(out[1], sample[1])


def test_a_loss_on_the_map_trains_queries_and_keys():
    model, arguments = build(), draw(2)
    (reference_map,) = model(**arguments, return_reference_maps=[1]).reference_maps
    (reference_map[:, 0].mean() - reference_map[:, 1].mean()).backward()
    assert model.blocks[1].attn1.to_q.weight.grad.abs().max() > 0
    assert model.blocks[1].attn1.to_k.weight.grad.abs().max() > 0
    assert model.blocks[1].audio_attn.to_q.weight.grad is None


@torch.no_grad()
def test_reference_change_starts_as_the_condition():
    model, arguments = build(prediction_type="reference_change"), draw(1)
    latent, sigma = arguments["hidden_states"], arguments["timestep"].view(-1, 1, 1, 1, 1) / 1000
    out = model(**arguments).sample
    assert out.dtype == torch.float32
    assert torch.allclose(latent[:, :16] - sigma * out, latent[:, -16:], atol=1e-5)
    model.proj_out.bias.fill_(0.5)
    out = model(**arguments).sample
    assert torch.allclose(latent[:, :16] - sigma * out, latent[:, -16:] + 0.5, atol=1e-5)
    assert model(**{**arguments, "timestep": torch.zeros(2)}).sample.isfinite().all()


@torch.no_grad()
def test_blocks_are_one_graph_to_the_compiler():
    model, arguments = build(), draw(2)
    sample = model(**arguments).sample
    model.compile_repeated_blocks(fullgraph=True, dynamic=False, backend="eager")
    assert close(model(**arguments).sample, sample)


def test_checkpointing_leaves_gradients_as_they_are():
    model, arguments, gradients = build(), draw(2), []
    for enable in (False, True):
        model.train()
        model.zero_grad()
        if enable:
            model.enable_gradient_checkpointing()
        model(**arguments).sample.square().mean().backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters()})
    assert all(close(gradients[1][name], gradient, 1e-4) for name, gradient in gradients[0].items())
    assert all(gradient.abs().max() > 0 for gradient in gradients[0].values())


@torch.no_grad()
def test_saved_and_loaded(tmp_path):
    model, arguments = build(), draw(2)
    model.save_pretrained(tmp_path)
    loaded = MultiTalkTransformer3DModel.from_pretrained(tmp_path)
    assert torch.equal(loaded(**arguments).sample, model(**arguments).sample)
    half = MultiTalkTransformer3DModel.from_pretrained(tmp_path, torch_dtype=torch.bfloat16)
    assert half.blocks[0].ffn.net[2].weight.dtype == torch.bfloat16
    assert half.scale_shift_table.dtype == torch.float32
    assert close(half(**arguments).sample, model(**arguments).sample, 0.05)


@torch.no_grad()
def test_all_weights_in_bfloat16():
    model, arguments = build(), draw(2)
    sample = model(**arguments).sample
    assert close(model.to(torch.bfloat16)(**arguments).sample, sample, 0.05)


def test_lora():
    model, arguments = build(), draw(2)
    sample = model(**arguments).sample
    model.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_k", "to_v", "to_out.0", "ffn.net.2"]))
    assert close(model(**arguments).sample, sample)  # a fresh LoRA adds zero
    model(**arguments).sample.square().mean().backward()
    trained = [name for name, p in model.named_parameters() if p.grad is not None]
    assert trained
    assert all("lora_" in name for name in trained)


@torch.no_grad()
def test_fused_projections_and_step_cache():
    model, arguments = build(), draw(2)
    sample = model(**arguments).sample
    model.fuse_qkv_projections()
    assert close(model(**arguments).sample, sample)
    model.enable_cache(FirstBlockCacheConfig(threshold=0.1))
    with model.cache_context("full"):
        assert close(model(**arguments).sample, sample)
        nudged = {**arguments, "timestep": arguments["timestep"] - 1}
        assert not torch.equal(model(**nudged).sample, sample)


@torch.no_grad()
def test_more_classes_than_channels_in_a_head():
    model, arguments = build(attention_head_dim=6, num_layers=1), draw(6)
    reference_map = model(**arguments, return_reference_maps=True).reference_maps[0]
    fewer = {**arguments, "speaker_masks": arguments["speaker_masks"][:, :2]}
    fewer["encoder_hidden_states_audio"] = arguments["encoder_hidden_states_audio"][:, :2]
    expected = model(**fewer, return_reference_maps=True).reference_maps[0]
    assert reference_map.shape[1] == 7
    assert torch.allclose(reference_map[:, :2], expected[:, :2], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"speaker_masks": None}, "speaker_masks: is missing for 2 people"),
        ({"speaker_masks": torch.ones(2, 3, ROWS, COLUMNS) > 0}, "speaker_masks: has shape"),
        ({"encoder_hidden_states": None}, "encoder_hidden_states: is missing"),
        ({"hidden_states": torch.zeros(2, 35, FRAMES, ROWS, COLUMNS)}, "hidden_states: has shape"),
        ({"hidden_states": torch.zeros(2, 36, FRAMES, 5, COLUMNS)}, "rows and columns"),
        ({"hidden_states": torch.zeros(2, 36, 2, ROWS, COLUMNS)}, "sound for 3 latent frames"),
        ({"encoder_hidden_states_audio": torch.zeros(2, 2, 8, 5, 2, 6)}, "has 8 frames"),
        ({"encoder_hidden_states_audio": torch.zeros(2, 2, 9, 5, 2, 7)}, r"Give \(B, P, T, 5, 2, 6\)"),
    ],
)
def test_bad_input_names_the_argument(change, message):
    with pytest.raises(PolytalkError, match=message):
        build()(**{**draw(2), **change})


def test_too_long_a_text():
    with pytest.raises(PolytalkError, match="Give at most 4"):
        build(text_len=4)(**draw(2))


def test_unknown_prediction_type():
    with pytest.raises(PolytalkError, match="prediction_type"):
        build(prediction_type="noise")
