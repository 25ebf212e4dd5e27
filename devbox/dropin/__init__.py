"""`devbox devcontainer`: the command lines of the reference CLI, on devbox's own functions.

A translation and nothing else: options become the values that devbox's commands are made of, and what these answer
becomes the reference's JSON.
"""
