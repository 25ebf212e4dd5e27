"""Dev containers that are a service of a docker compose project."""
