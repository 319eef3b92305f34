"""Who speaks when in one recording, and whether there is music under it."""
