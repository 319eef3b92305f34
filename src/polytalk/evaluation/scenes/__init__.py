"""What is measured on? Held-out scenes and conversations, and what a pipeline makes of them."""
