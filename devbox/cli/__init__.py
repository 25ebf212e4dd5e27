"""The typer commands, one module a group: parse, call, show."""
