"""A cluster as an engine: a dev container is a pod there, asked for and reached by kubectl."""
