"""Who is there to draw? People and animals from many sources, each of whom takes any pose."""
