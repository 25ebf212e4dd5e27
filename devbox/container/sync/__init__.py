"""A checkout and its copy in a volume of an engine elsewhere: one way, and checked at both ends."""
