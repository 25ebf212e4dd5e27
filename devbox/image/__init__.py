"""Images: Dockerfiles from stages, builds, and the package base."""
