"""What is computed? The networks, on one device, with the arithmetic of the method."""

from polytalk.models.conditioning import Conditioning
from polytalk.models.transformer import MultiTalkTransformer3DModel, MultiTalkTransformerOutput

__all__ = ["Conditioning", "MultiTalkTransformer3DModel", "MultiTalkTransformerOutput"]
