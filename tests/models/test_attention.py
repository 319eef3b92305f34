"""The door to attention: every way through it gives the same."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polytalk.models import attention
from polytalk.models.attention import MATMUL, attend


def exact(query, key, value):
    """Attention in float64 by the definition."""
    query, key, value = (x.double().transpose(1, 2) for x in (query, key, value))
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    return (scores.softmax(-1) @ value).transpose(1, 2)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 2),
    st.integers(1, 40),
    st.integers(1, 30),
    st.sampled_from([1, 3, 8]),
    st.sampled_from([None, MATMUL]),
    st.sampled_from([1, 64, 2**24]),
    st.sampled_from([torch.float32, torch.bfloat16]),
    st.integers(0, 2**31),
)
def test_attention_of_any_shape_by_any_way(batch, tokens, keys, width, backend, limit, dtype, seed):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(batch, tokens, 2, 8), (batch, keys, 2, 8), (batch, keys, 2, width)]
    query, key, value = (torch.randn(shape, generator=generator).to(dtype) for shape in shapes)
    wanted = exact(query, key, value)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "LARGEST_SCORE_MATRIX", limit)
        patch.setattr(attention, "SCORES_IN_CACHE", limit)
        found = attend(query, key, value, backend)
    assert found.shape == wanted.shape
    assert found.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float32 else 4e-2
    assert (found.double() - wanted).abs().max() <= tolerance * value.abs().max()


def test_gradients_pass_through_the_rows_one_by_one(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn((1, 12, 2, 8), generator=generator) for _ in range(3)]
    monkeypatch.setattr(attention, "LARGEST_SCORE_MATRIX", 1)
    monkeypatch.setattr(attention, "SCORES_IN_CACHE", 24)
    gradients = []
    for way in (exact, lambda *qkv: attend(*qkv, MATMUL)):
        # only the keys learn: the queries alone would take another way
        query, key, value = (t.clone().requires_grad_(i == 1) for i, t in enumerate(tensors))
        way(query, key, value).square().sum().backward()
        gradients.append(key.grad)
    assert torch.allclose(*gradients, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weight_dtype", [torch.float32, torch.bfloat16])
def test_norm_that_rounds_is_the_float32_norm_rounded(weight_dtype):
    x = torch.randn((2, 5, 64), generator=torch.Generator().manual_seed(0)).bfloat16()
    norm = torch.nn.LayerNorm(64).to(weight_dtype)
    torch.nn.init.normal_(norm.weight, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        exact = attention.layer_norm(x, norm)
        found = attention.rounded_layer_norm(x, norm)
    assert found.dtype == torch.bfloat16
    assert (found.float() - exact).abs().max() <= exact.abs().max() * 2**-8
