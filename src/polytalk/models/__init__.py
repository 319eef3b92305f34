"""Polytalk."""
