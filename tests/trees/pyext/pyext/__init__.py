"""A package whose answer is compiled."""

import ctypes
from pathlib import Path


def answer() -> int:
    """Ask the library beside this file."""
    return int(ctypes.CDLL(str(Path(__file__).with_name("answer.so"))).answer())
