"""Every knob, declared once: how a model is run, how it is held, presets, and a model folder's index."""
