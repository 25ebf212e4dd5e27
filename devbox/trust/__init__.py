"""Who is trusted with what: the model of reach, what was agreed to, and the question."""
