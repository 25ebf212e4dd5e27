"""Features: where they come from, and the layer that they are installed in."""
