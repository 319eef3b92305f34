"""How good is a video? Scenes with a known truth, readers of pixels, measures, and reports of them."""
