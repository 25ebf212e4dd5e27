"""The life of a dev container: desired state, plan, apply, hooks, exec."""
