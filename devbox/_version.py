"""The version, in a module of its own so that `devbox --version` reads nothing else.

A build writes `_built.py` from git's tags. A checkout of which nothing was ever installed has none.
"""

try:
    from devbox._built import __version__  # type: ignore[import-not-found,import-untyped,unused-ignore]
except ImportError:
    __version__ = "0"

__all__ = ["__version__"]
