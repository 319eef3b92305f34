"""Which tensor of a published file is which of ours? Files to named tensors, and networks filled from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polytalk.checkpoints.wan import (
        image_encoder_from_official,
        text_encoder_from_official,
        transformer_from_official,
        vae_from_official,
    )

__all__ = [
    "image_encoder_from_official",
    "text_encoder_from_official",
    "transformer_from_official",
    "vae_from_official",
]


def __getattr__(name: str) -> Any:
    """Imported when asked for: most of this room does without PyTorch's and diffusers' heavy parts."""
    if name in __all__:
        from polytalk.checkpoints import wan

        return getattr(wan, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
