"""What is there to learn from? Scenes drawn from a seed, with the exact truth about who says what, where and how."""
