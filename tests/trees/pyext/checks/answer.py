import unittest

import pyext  # type: ignore[import-not-found]  # it is installed where this runs


class Test(unittest.TestCase):
    def test_answer(self) -> None:
        assert pyext.answer() == 42


class Other(unittest.TestCase):
    def test_fails(self) -> None:
        assert pyext.answer() == 41
