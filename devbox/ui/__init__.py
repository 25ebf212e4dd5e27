"""Console, progress, tables, prompts and the JSON envelope; known to the command line alone."""
