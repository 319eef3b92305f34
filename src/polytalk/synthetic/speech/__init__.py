"""What is said, and what do mouths do with it? Synthetic voices, and conversations made of them."""
