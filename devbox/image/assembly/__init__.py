"""A framework's Dockerfile and how it is built for one user and one site: what a contract's `build` says."""
