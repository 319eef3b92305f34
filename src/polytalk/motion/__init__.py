"""What people do besides speaking, unasked or because a prompt asks for it, as tracks over time; no pixels."""
