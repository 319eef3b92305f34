"""Conversations in time: read from and written to files of several formats, and laid out when the sounds are known."""
