"""The package that the libraries are linked into."""
