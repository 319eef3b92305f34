"""How pictures, sound and video get from files into arrays and back; no scenes, no networks."""
