"""The life of a dev container: desired state, plan, apply, hooks, and what runs in it."""
