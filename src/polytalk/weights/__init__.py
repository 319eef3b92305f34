"""Weights on disk: the catalogue of published files, downloads, verification, conversion, and random stand-ins."""
