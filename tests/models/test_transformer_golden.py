"""The network against the authors' released code."""

import json

import pytest
import torch
from conftest import weights

from polytalk.checkpoints import transformer_from_official
from polytalk.checkpoints.names import rename, transformer_plan, translate
from polytalk.errors import PolytalkError
from polytalk.models.attention import MATMUL, AudioCrossAttention, attend, label_rotary, rotate
from polytalk.models.audio_adapter import AudioAdapter, group_windows
from polytalk.models.label_rope import class_labels, reference_attention_map, video_labels


@pytest.fixture(scope="module")
def model(golden):
    config = json.loads((golden.folder / "transformer_config.json").read_text())
    return transformer_from_official(golden["transformer_weights"], config)


@pytest.mark.parametrize("backend", [None, MATMUL])
@pytest.mark.parametrize("timestep", [999, 437])
@pytest.mark.parametrize("people", [1, 2])
def test_transformer(golden, model, people, timestep, backend):
    inputs, case = golden["transformer_inputs"], golden[f"transformer_{people}p_t{timestep}"]
    for processor in model.attn_processors.values():
        processor.backend = backend
    with torch.no_grad():
        out = model(
            hidden_states=torch.cat([inputs["latent"][None], inputs["condition"]], dim=1),
            timestep=case["timestep"],
            encoder_hidden_states=inputs["text"][None],
            encoder_hidden_states_image=inputs["clip"],
            encoder_hidden_states_audio=case["audio"][None],
            speaker_masks=(case["masks"][None, :people] > 0) if people > 1 else None,
        ).sample
    golden.assert_close(out[0], case["out"])


def ours(state):
    """Released tensors under our names."""
    return translate(state, transformer_plan(state))


def test_audio_adapter(golden):
    case, state = golden["audio_projection"], golden["transformer_weights"]
    first, later = group_windows(case["audio"], 4)
    golden.assert_close(first, case["first"])
    golden.assert_close(later, case["latter"])
    adapter = AudioAdapter(12, 24, hidden_dim=32, tokens=8, output_dim=48)
    adapter.load_state_dict(weights(ours(state), "audio_adapter."))
    golden.assert_close(adapter(case["audio"][None])[0].transpose(0, 1).detach(), case["out"])


@pytest.mark.parametrize("people", [1, 2])
def test_audio_cross_attention(golden, people):
    case = golden[f"audio_cross_attention_{people}"]
    attn = AudioCrossAttention(128, 4, 48)
    names = {f"blocks.0.audio_cross_attn.{name}": tensor for name, tensor in weights(case).items()}
    attn.load_state_dict(weights(ours(names), "blocks.0.audio_attn."))
    audio, key_rotary, rotary = case["audio"].unflatten(2, (people, -1)), None, None
    if people > 1:
        key_rotary = label_rotary(class_labels(people)[:-1].repeat_interleave(audio.shape[3]), 32)
        present = torch.ones(1, people + 1, 24, dtype=torch.bool)
        rotary = label_rotary(video_labels(case["reference_map"][None], present), 32)
    out = attn(case["x"], *attn.project(audio, key_rotary), rotary)
    golden.assert_close(out.detach(), case["out"])


@pytest.mark.parametrize("backend", [None, MATMUL])
def test_reference_attention_map(golden, backend):
    case = golden["reference_attention_map"]

    def door(query, key, value):
        return attend(query, key, value, backend)

    with torch.no_grad():
        found = reference_attention_map(case["q"], case["k"][:, :24], case["masks"][None] > 0, door)
    golden.assert_close(found[0], case["out"])


def test_label_rotary_embedding(golden):
    case = golden["label_rope"]
    rotated = rotate(case["x"].transpose(1, 2), label_rotary(case["positions"][None], 32))
    golden.assert_close(rotated.transpose(1, 2), case["out"])


def test_every_released_tensor_of_the_14b_model_has_its_place(golden):
    shapes = json.loads((golden.folder / "keys_multitalk_14b.json").read_text())
    released = {name: torch.empty(shape, device="meta", dtype=torch.bfloat16) for name, shape in shapes.items()}
    model = transformer_from_official(released, {})
    parameters = dict(model.named_parameters())
    assert all(p.dtype == torch.bfloat16 for p in parameters.values())  # filled, not left as built
    assert sum(p.numel() for p in parameters.values()) == sum(t.numel() for t in released.values())
    assert round(sum(p.numel() for p in parameters.values()) / 1e9, 2) == 18.88


def test_a_checkpoint_that_does_not_fit_is_named(golden):
    config = json.loads((golden.folder / "transformer_config.json").read_text())
    state = golden["transformer_weights"]
    lacking = {name: tensor for name, tensor in state.items() if name != "blocks.1.norm_x.bias"}
    with pytest.raises(PolytalkError, match=r"lacks tensor blocks\.1\.norm_audio\.bias"):
        transformer_from_official(lacking, config)
    with pytest.raises(PolytalkError, match="unknown tensor surplus"):
        transformer_from_official({**state, "surplus": torch.zeros(1)}, config)
    with pytest.raises(PolytalkError, match="another shape of tensor audio_adapter"):
        transformer_from_official(state, {**config, "audio_channels": 25})


def test_renaming_applies_rules_in_turn():
    assert rename("a.b", [("a", "c"), (r"c\.b", "d")]) == "d"
