"""Puts this folder on the path, so that tests share helpers such as `tiny_model`."""
