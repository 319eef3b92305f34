"""What is done to finished frames: colours, stillness, close-ups laid back, and heads, eyes and hands that move."""
