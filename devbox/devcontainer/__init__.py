"""The contract: devcontainer.json read, merged, identified and written."""
