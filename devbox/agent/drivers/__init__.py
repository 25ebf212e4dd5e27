"""How build systems are driven: one module a driver, and what they have in common."""
