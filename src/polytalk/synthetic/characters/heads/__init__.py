"""How does a three-dimensional head look? Its mesh, its hair, and the light on them."""
