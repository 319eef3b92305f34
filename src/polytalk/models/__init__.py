"""Networks on one device, and the names of their weights."""

from polytalk.models.transformer import Conditioning, MultiTalkTransformer3DModel, MultiTalkTransformerOutput

__all__ = ["Conditioning", "MultiTalkTransformer3DModel", "MultiTalkTransformerOutput"]
