"""How do the networks learn that read faces and find people? Each has a command of its own."""
