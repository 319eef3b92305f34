"""Parameters, bytes and operations: against the released model, the built network and PyTorch's own counter."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from polytalk import PolytalkError
from polytalk.models.transformer import MultiTalkTransformer3DModel
from polytalk.planning.cost import RELEASED_14B, NetworkConfig, VideoSize, call_flops, context_bytes, network_parameters

SMALL = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "num_layers": 2,
    "ffn_dim": 32,
    "text_dim": 8,
    "text_len": 6,
    "freq_dim": 16,
    "image_dim": 8,
    "audio_layers": 2,
    "audio_channels": 6,
    "audio_hidden_dim": 16,
    "audio_tokens": 2,
    "audio_dim": 16,
}


def on_meta(**changes):
    with torch.device("meta"):
        return MultiTalkTransformer3DModel(**{**SMALL, **changes}).eval().requires_grad_(False)


def test_the_released_model_has_the_published_number_of_weights(golden):
    released = json.loads((golden.folder / "keys_multitalk_14b.json").read_text())
    parameters = network_parameters(RELEASED_14B)
    assert parameters.total == sum(math.prod(shape) for shape in released.values())
    # published: bf16 37.8 GB, 8-bit 18.9, 4-bit 9.7, with every weight in that format; ours leaves some wider
    assert (parameters.bytes() - 2 * parameters.float32) / 1e9 == pytest.approx(37.8, abs=0.05)
    wider = 2 * parameters.other + 4 * parameters.float32
    assert (parameters.bytes(quantization="int8") - wider) / 1e9 == pytest.approx(18.9, rel=0.03)
    assert (parameters.bytes(quantization="int4") - wider) / 1e9 == pytest.approx(9.7, rel=0.03)
    assert parameters.context_linears / 1e9 == pytest.approx(4.5, abs=0.05)


TABLE = {  # TFLOP of one call, 81 frames, one person: published figures
    (480, 832): (275, 879, 371, 137, 20.6, 3.2, 137, 1.3, 1825),
    (720, 1280): (634, 4682, 856, 317, 47.6, 3.2, 317, 2.4, 6860),
}


@pytest.mark.parametrize("side", TABLE)
def test_a_call_costs_what_the_table_says(side):
    flops = call_flops(RELEASED_14B, VideoSize(81, *side))
    found = (
        flops.self_projections,
        flops.self_core,
        flops.feed_forward,
        flops.cross_projections,
        flops.cross_core,
        flops.cross_context,
        flops.audio_projections,
        flops.audio_core + flops.audio_context,
        flops.total,
    )
    for ours, published in zip(found, TABLE[side], strict=True):
        assert ours / 1e12 == pytest.approx(published, rel=0.005, abs=0.05)
    both = call_flops(RELEASED_14B, VideoSize(81, *side), people=2)
    # 53 and 282 ms at 790 TFLOP/s
    seconds = both.reference_map / 790e12
    assert seconds == pytest.approx({480: 0.053, 720: 0.282}[side[0]], rel=0.02)


def test_conditioning_that_is_kept_has_the_published_size():
    size = VideoSize(81, 480, 832)
    text = context_bytes(NetworkConfig(image_dim=None), size, 0) / 1e9
    picture = context_bytes(RELEASED_14B, size, 0) / 1e9 - text
    person = context_bytes(RELEASED_14B, size, 2) / 1e9 - context_bytes(RELEASED_14B, size, 1) / 1e9
    assert (text, picture, person) == pytest.approx((0.42, 0.21, 0.55), abs=0.006)


@given(
    heads=st.integers(1, 3),
    ffn=st.integers(1, 40),
    layers=st.integers(1, 3),
    image=st.sampled_from([None, 8, 12]),
    audio=st.integers(1, 20),
)
@settings(max_examples=15, deadline=None)
def test_parameters_are_those_of_the_network(heads, ffn, layers, image, audio):
    changes = {
        "num_attention_heads": heads,
        "ffn_dim": ffn,
        "num_layers": layers,
        "image_dim": image,
        "audio_dim": audio,
    }
    model = on_meta(**changes)
    parameters = network_parameters(NetworkConfig.from_config(model.config))
    assert parameters.total == sum(p.numel() for p in model.parameters())
    kept = set(model._keep_in_fp32_modules)
    named = model.named_parameters()
    assert parameters.float32 == sum(p.numel() for name, p in named if kept & set(name.split(".")))


@pytest.mark.parametrize("people", [1, 2, 3])
@pytest.mark.parametrize("image", [None, 8])
def test_operations_are_those_that_pytorch_counts(people, image):
    model, size = on_meta(image_dim=image), VideoSize(9, 64, 96)
    config = NetworkConfig.from_config(model.config)
    frames, height, width = size.latent
    picture = torch.zeros(1, 5, 8, device="meta") if image else None
    sound = torch.zeros(1, people, 9, 5, 2, 6, device="meta")
    masks = torch.zeros(1, people, height, width, dtype=torch.bool, device="meta") if people > 1 else None
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        latent = torch.zeros(1, 36, frames, height, width, device="meta")
        model(latent, torch.zeros(1, device="meta"), torch.zeros(1, 4, 8, device="meta"), picture, sound, masks)
    flops = call_flops(config, size, people, image_tokens=5)
    # without prepared conditioning every block projects the context, as here
    assert flops.total == pytest.approx(counter.get_total_flops(), rel=1e-6)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: NetworkConfig.from_config({"num_layers": 0}), "num_layers"),
        (lambda: NetworkConfig.from_config({"ffn_dim": "wide"}), "ffn_dim"),
        (lambda: VideoSize(80, 64, 64), "frames"),
        (lambda: VideoSize(81, 60, 64), "size"),
        (lambda: network_parameters(RELEASED_14B).bytes("float8"), "dtype"),
        (lambda: network_parameters(RELEASED_14B).bytes(quantization="int3"), "quantization"),
    ],
)
def test_nonsense_is_refused(make, field):
    with pytest.raises(PolytalkError, match=field):
        make()
