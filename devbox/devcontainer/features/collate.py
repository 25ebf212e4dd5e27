"""The order of texts in which the reference CLI sorts Features: JavaScript's `localeCompare`.

The installation order and the lock file depend on it. It is the Unicode Collation Algorithm with CLDR's root collation.
For ASCII that is: punctuation, digits, letters; the case of letters decides only between texts that are else equal.
"""

from __future__ import annotations

_ORDER = " _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789abcdefghijklmnopqrstuvwxyz"
_WEIGHTS = {character: weight for weight, character in enumerate(_ORDER)}


def collation_key(text: str) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Return the key that sorts texts as `localeCompare` does. What is not ASCII comes last, by its code point."""
    lowered = text.lower()
    weights = tuple(_WEIGHTS.get(character, len(_ORDER) + ord(character)) for character in lowered)
    return weights, tuple(character.isupper() for character in text)


def compare(one: str, other: str) -> int:
    """Return -1, 0 or 1 as `one` sorts before, with or after `other`."""
    first, second = collation_key(one), collation_key(other)
    return (first > second) - (first < second)
