"""Keeps secret values out of what devbox shows: one mask, through which all output, errors and JSON go."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, TypeVar, cast
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")

_SECRET = re.compile(
    r"TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|COOKIE|WEBHOOK|AUTH(?!OR|_SOCK)|CONN(?:ECTION)?_?STR"
    r"|(?:^|_)(?:API|ACCESS|PRIVATE)?_?KEY(?:_|$|S$)|(?:^|_)(?:PAT|PASS|JWT|OTP|SAS)(?:_|$)|[A-Z0-9]_?(?<!OLD)PWD$|_DSN$|^DSN$"
    # Such addresses carry a user and a password more often than not.
    r"|(?:DATABASE|DB|MONGO\w*|REDIS\w*|POSTGRES\w*|PG|MYSQL|MARIADB|AMQP|RABBITMQ\w*|BROKER)_UR[LI]$",
    re.IGNORECASE,
)
# Styles and the sixteen colours; the one that hides text is none of them.
_COLOUR = re.compile("(\x1b\\[(?:(?:[0-7]|[349][0-7]|2[1-7]|10[0-7]|39|49)(?:;(?:[0-7]|[349][0-7]|39|49))*)?m)")
# Those that devbox itself writes: none hides text, whatever the terminal's own colours are.
_STYLE = re.compile("(\x1b\\[(?:0|1|2|31|32|33|36)m)")
# What programs could take for more than a character: controls, marks that turn the direction, separators of lines, and
# characters that are not seen.
_UNSEEN = (
    "\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff"
)
_HIDDEN = re.compile(f"[\x00-\x1f\ud800-\udfff{_UNSEEN}]")
# JSON escapes other controls itself. What is no UTF-8 stays what it is.
_HIDDEN_IN_JSON = re.compile(f"[{_UNSEEN}]")
# Tokens of a language are none.
_OF_TEXT = re.compile(r"TOKENI[SZ]|(?:^|_)(?:MAX|MIN|NUM)_(?:\w+_)?TOKENS?$", re.IGNORECASE)

# The reference CLI shows the same.
MASK = "********"
# A longer value hides what stands beside it: a label may hold kilobytes.
LONG = 160
# A shorter value stands in half of all words, paths and numbers; it is masked where it stands alone.
SHORT = 4
# A shorter one, encoded, is too short to be told from anything else.
_ENCODED = 8
_ALONE = r"(?<![\w./+-]){}(?![\w/+-]|\.\w)"


def is_secret_name(name: str) -> bool:
    """Return whether a variable of this name looks like a secret."""
    return bool(_SECRET.search(_OF_TEXT.sub("", name)))


def has_password(url: str) -> bool:
    """Return whether a URL names a user or a password before its host."""
    return "@" in _authority(url)


def masked(url: str) -> str:
    """Return `url` with `***` in the place of the user and the password."""
    authority = _authority(url)
    return url.replace(authority, f"***@{authority.rpartition('@')[2]}", 1) if "@" in authority else url


def passwords(urls: Iterable[str]) -> Iterator[str]:
    """Yield what must not be shown of `urls`: user and password, and the password by itself."""
    for url in urls:
        login = _authority(url).rpartition("@")[0]
        yield from (text for text in (login, login.partition(":")[2]) if text)


def _authority(url: str) -> str:
    # A proxy may be written without a scheme, and a password with a slash that should have been quoted.
    rest = url.partition("://")[2] or url
    before, at, after = rest.rpartition("@")
    return f"{before}{at}{re.split(r'[/?#]', after, maxsplit=1)[0]}"


def is_secret(name: str, value: str) -> bool:
    """Tell whether a variable looks like a secret, by its name or because it is a URL with a password."""
    return is_secret_name(name) or ("://" in value and has_password(value))


def folded(value: str) -> str:
    """Return a value as it is shown among others, without the end of a long one. `--verbose` shows all of it."""
    return value if len(value) <= LONG else f"{value[: LONG - 1]}…"


def folded_command(line: str) -> str:
    """Return the line of a dry run with its long words folded."""
    if len(line) <= LONG or line.startswith("#"):
        return line
    import shlex

    try:
        words = shlex.split(line)
    except ValueError:
        return line
    return shlex.join(map(folded, words)) if any(len(word) > LONG for word in words) else line


def calm(text: str, *, colours: bool = False) -> str:
    """Return lines of text with devbox's own styles, and all else that a terminal would act on written out.

    With `colours` others stay, too: for the output of inner programs.
    """
    if not _HIDDEN.search(text):
        return text
    kept = _COLOUR if colours else _STYLE
    parts = re.split(f"{kept.pattern}|([\n\t])", text)
    return "".join(part if part in {"\n", "\t"} or kept.fullmatch(part) else visible(part) for part in parts if part)


def calm_json(text: str) -> str:
    """Return JSON, as a text, with what a terminal would act on as JSON's own escapes: its meaning stays the same."""
    return _HIDDEN_IN_JSON.sub(lambda match: json.dumps(match[0])[1:-1], text)


def visible(text: str) -> str:
    """Return `text` in one line, with what a terminal would act on, or not show, written out as an escape."""
    return _HIDDEN.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text)


class Mask:
    """The values that must not be seen. Called with a text, it returns the text with `********` in their place."""

    def __init__(self) -> None:
        self._long: tuple[str, ...] = ()
        self._short: re.Pattern[str] | None = None
        self._values: set[str] = set()

    def hide(self, values: Iterable[str]) -> None:
        """Mask `values` from now on.

        Output comes line by line, so each line of a value with several is masked by itself; a line of less than four
        characters, such as a bracket, is not. Values are also found as they stand in JSON, in a URL and in
        a command line.
        """
        before = len(self._values)
        for value in values:
            self._values.update(_forms(value))
        if len(self._values) == before:
            return
        self._long = tuple(sorted(value for value in self._values if len(value) >= SHORT))
        short = [re.escape(value) for value in sorted(self._values) if len(value) < SHORT]
        self._short = re.compile(_ALONE.format(f"(?:{'|'.join(short)})")) if short else None

    def __call__(self, text: str) -> str:
        """Return `text` without the values; where they overlap or touch, one mask covers them all."""
        spans = sorted(span for value in self._long if value in text for span in _spans(value, text))
        if self._short is not None:
            spans = sorted([*spans, *(match.span() for match in self._short.finditer(text))])
        if not spans:
            return text
        parts: list[str] = []
        shown = 0
        end = -1
        for start, stop in spans:
            if start > end:
                parts += [text[shown:start], MASK]
            shown = end = max(end, stop)
        return "".join([*parts, text[shown:]])

    def data(self, value: T) -> T:
        """Return JSON data with each string in it masked; keys are names, and stay."""
        return cast("T", self._data(value)) if self._values else value

    def _data(self, value: object) -> object:
        if isinstance(value, str):
            return self(value)
        if isinstance(value, dict):
            return {key: self._data(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._data(item) for item in value]
        return value


def _forms(value: str) -> set[str]:
    """Return the texts by which a value may be seen; none for an empty one."""
    lines = [line.strip() for line in value.splitlines()]
    texts = {value.strip()} | {line for line in lines if len(lines) == 1 or len(line) >= SHORT}
    return {form for text in texts for form in _written(text)} - {""}


def _written(text: str) -> tuple[str, ...]:
    """Return a text as it stands by itself, in JSON, in a URL, in HTML, within a shell's single quotes, and encoded."""
    import html

    raw = text.encode("utf-8", "surrogateescape")
    # What is no UTF-8 is replaced in the output of other programs.
    plain = (text, raw.decode("utf-8", "replace"), json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1],
             quote(raw, safe=""), quote_plus(raw), html.escape(text), _quoted(text))  # fmt: skip
    return (*plain, *_encoded(raw)) if len(text) >= _ENCODED else plain


def _encoded(raw: bytes) -> tuple[str, ...]:
    """Return a text's bytes in hexadecimal and in base 64, also as a part of more: `user:token` of a header."""
    import base64

    found = [raw.hex(), raw.hex().upper()]
    for before in range(3):
        # The digits at both ends may hold bits of what stands beside it.
        digits = base64.b64encode(b"\0" * before + raw).decode().rstrip("=")
        inner = digits[(0, 2, 3)[before] : len(digits) - (1 if (before + len(raw)) % 3 else 0)]
        found += [inner, inner.replace("+", "-").replace("/", "_")]
    return tuple(found)


def _quoted(text: str) -> str:
    # As shlex writes it in a dry run.
    return text.replace("'", "'\"'\"'")


def _spans(value: str, text: str) -> Iterable[tuple[int, int]]:
    """Yield where `value` stands in `text`, places that overlap too."""
    start = text.find(value)
    while start >= 0:
        yield start, start + len(value)
        start = text.find(value, start + 1)
