"""The graph of a Dockerfile's stages: what it is, what the engine has of it, as text and as a picture."""
