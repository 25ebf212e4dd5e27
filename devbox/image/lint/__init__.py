"""The linter of Dockerfiles: one module a subject, one function a rule."""
