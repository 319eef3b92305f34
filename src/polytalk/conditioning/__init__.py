"""How a scene becomes what networks take: pictures, masks, sounds and texts as tensors."""
