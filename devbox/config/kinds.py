"""The kinds of values that settings have: how each is read, from a file, a variable or a flag, and written as a text.

A text is what a variable DEVBOX_<KEY> holds, and what a contract records of a choice. An empty one says nothing.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from devbox import units
from devbox.errors import UsageError
from devbox.masking import is_secret, is_secret_name
from devbox.paths import expanded

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# The value that switches off what the environment, a framework or a weaker place would otherwise say.
NONE = "none"


class Kind(Generic[T]):
    """How the values of a setting are read and written.

    `words` say what a file may hold; of a `repeated` one, a flag gives one of several items.
    """

    words = "a string"
    repeated = False

    def read(self, given: object, folder: Path) -> T | None:
        """Return the value of what a TOML file or a flag gives, or of a text; a path is relative to `folder`.

        None is nothing. Raises TypeError where a file may not hold the like, UsageError where it makes no sense.
        """
        raise NotImplementedError

    def write(self, value: T | None) -> str:
        """Return a value that was read as a text that is read as this value."""
        raise NotImplementedError


class One(Kind[T]):
    """One value, as `of` reads it. `none` says that this word means nothing, `needed` that there must be something."""

    def __init__(self, of: Callable[[str, Path], T], *, none: bool = False, needed: bool = False) -> None:
        self.of = of
        self.none = none
        self.needed = needed

    def read(self, given: object, folder: Path) -> T | None:
        """Return the value."""
        # `jobs = 8` and `arch = 90` are what a person writes; a boolean is an int to Python alone.
        if not isinstance(given, (str, int, Path)) or isinstance(given, bool):
            raise TypeError
        text = str(given)
        nothing = (not text and not self.needed) or (self.none and text == NONE)
        return None if nothing else self.of(text, folder)

    def write(self, value: T | None) -> str:
        """Return the text."""
        return str(value) if value is not None else NONE if self.none else ""


class Switch(Kind[bool]):
    """True or false."""

    words = "true or false"

    def read(self, given: object, folder: Path) -> bool:  # noqa: ARG002  # as every kind is read
        """Return the boolean."""
        if not isinstance(given, (bool, str)):
            raise TypeError
        text = str(given).lower() if isinstance(given, bool) else given
        if text not in {"true", "false"}:
            raise UsageError(f"'{text}' is neither true nor false", hint="true, or false")
        return text == "true"

    def write(self, value: bool | None) -> str:  # noqa: FBT001
        """Return the word."""
        return "true" if value else "false"


class Items(Kind[tuple[T, ...]]):
    """Several values, each as `of` reads it; in a text between commas, or with `lines` each on its own line.

    `none` is no item, so that it alone is the empty list. With `numbers` a file may hold them, too.
    """

    words = "a list of strings"
    repeated = True

    def __init__(self, of: Callable[[str, Path], T], *, lines: bool = False, numbers: bool = False) -> None:
        self.of = of
        self.separator = "\n" if lines else ","
        self.types = (str, int) if numbers else (str,)

    def read(self, given: object, folder: Path) -> tuple[T, ...]:
        """Return the items."""
        several = [given] if isinstance(given, str) else given
        if not isinstance(several, (list, tuple)) or not all(
            isinstance(one, self.types) and not isinstance(one, bool) for one in several
        ):
            raise TypeError
        texts = [str(one) for one in several]
        if self.separator == "\n" and given is several and any("\n" in text or "\r" in text for text in texts):
            raise UsageError("an item has more than one line", hint="a file of your own, mounted")
        words = [word for text in texts for word in text.split(self.separator)]
        if self.separator == ",":
            words = [word.strip() for word in words]
        return tuple(self.of(word, folder) for word in words if word.strip() not in {"", NONE})

    def write(self, value: tuple[T, ...] | None) -> str:
        """Return the items in one text."""
        return self.separator.join(map(str, value or ())) or NONE


class Named(Kind[tuple[tuple[str, str], ...]]):
    """Values by name, each as JSON; `check` looks at one. A text is a JSON object, or with `bare` names alone."""

    words = "a table"
    repeated = True

    def __init__(self, check: Callable[[str, object], object], *, bare: bool = False) -> None:
        self.check = check
        self.bare = bare

    def read(self, given: object, folder: Path) -> tuple[tuple[str, str], ...]:  # noqa: ARG002  # as every kind is read
        """Return names and values."""
        several = given if isinstance(given, (list, tuple)) else [given]
        found: dict[str, object] = {}
        for one in several:
            found |= one if isinstance(one, dict) else self._text(one)
        for name, value in found.items():
            self.check(name, value)
        return tuple((name, _json(value)) for name, value in found.items())

    def _text(self, given: object) -> dict[str, object]:
        import json

        if not isinstance(given, str):
            raise TypeError
        if not given.lstrip().startswith("{"):
            words = [word.strip() for word in given.split(",")] if self.bare else [given]
            if any(word not in {"", NONE} for word in words) and not self.bare:
                raise UsageError(f"'{given}' is no JSON object", hint='{"name": value}')
            return {word: {} for word in words if word not in {"", NONE}}
        try:
            value = json.loads(given)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"'{given}' is no JSON: {error}", hint='{"name": value}') from None
        return dict(value)

    def write(self, value: tuple[tuple[str, str], ...] | None) -> str:
        """Return a JSON object."""
        import json

        return _json({name: json.loads(text) for name, text in value}) if value else NONE


def _json(value: object) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def feature(name: str, options: object) -> None:
    """Look at a Feature and its options. Raises UsageError."""
    if not name or not isinstance(options, (dict, str, bool)):
        raise UsageError(
            f"'{_json(options)}' is no value of the Feature '{name}'",
            hint='--features ID, or --features \'{"ID": {"option": "value"}}\'',
        )


# The lifecycle commands inside a container. What runs on the host is for the contract alone to say.
HOOKS = ("onCreateCommand", "updateContentCommand", "postCreateCommand", "postStartCommand", "postAttachCommand")


def hook(name: str, command: object) -> None:
    """Look at a lifecycle command. Raises UsageError."""
    if name not in HOOKS:
        raise UsageError(f"'{name}' is no lifecycle command inside a container", hint=f"one of {', '.join(HOOKS)}")
    several = command.values() if isinstance(command, dict) else [command]
    if not all(isinstance(one, str) or (isinstance(one, list) and all(map(_is_text, one))) for one in several):
        raise UsageError(f"'{name}' must be a string, a list of strings, or a table of these")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def plain(text: str, _: Path) -> str:
    """Read a string as it is."""
    return text


def path(text: str, folder: Path) -> Path:
    """Read a path: relative to `folder`."""
    return folder / expanded(text)


def checked(check: Callable[[str], object]) -> Callable[[str, Path], str]:
    """Return what reads a string that `check` lets pass; it raises UsageError for any other."""

    def read(text: str, _: Path) -> str:
        check(text)
        return text

    return read


def choice(what: str, *names: str) -> Callable[[str, Path], str]:
    """Return what reads one of several words; `what` they are."""

    def read(text: str, _: Path) -> str:
        if text not in names:
            raise UsageError(f"'{text}' is no {what}", hint=f"one of {', '.join(names)}")
        return text

    return read


def whole(what: str) -> Callable[[str, Path], int]:
    """Return what reads a whole number of 1 or more; `what` it counts."""

    def read(text: str, _: Path) -> int:
        if not (text.isascii() and text.isdigit() and int(text) > 0):
            raise UsageError(f"'{text}' is no number of {what}", hint="a whole number of 1 or more")
        return int(text)

    return read


def count(text: str, _: Path) -> int:
    """Read a whole number. Raises UsageError."""
    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"'{text}' is no number", hint="a whole number, or 0")
    return int(text)


def size(text: str) -> int:
    """Read a size in bytes. Raises UsageError."""
    found = units.size(text)
    if found is None:
        raise UsageError(f"'{text}' is no size", hint="a number and a unit, such as 20G or 500M")
    return found


def service(text: str, _: Path) -> str:
    """Read the name of a service. Raises UsageError for one that there is not."""
    from devbox.frameworks import services

    if text not in services.files():
        services.load([text])
    return text


# 1:0 is the first MIG slice of the second GPU, as CDI writes it.
_GPU = r"\d+(:\d+)?|(GPU|MIG)-[0-9A-Za-z/-]+"


def gpus(text: str) -> tuple[str, ...]:
    """Read a choice of GPUs: `none`, `auto` or `all` alone, else indices and UUIDs. Raises UsageError."""
    if text.strip().lower() in {"none", "auto", "all"}:
        return (text.strip().lower(),)
    names = tuple(dict.fromkeys(name for name in re.split(r"[,\s]+", text.strip()) if name))
    if not names or not all(re.fullmatch(_GPU, name) for name in names):
        raise UsageError(f"'{text}' is no choice of GPUs", hint="none, auto, all, indices such as 0,1, or UUIDs")
    return names


def gpu_choice(text: str, _: Path) -> str:
    """Read a choice of GPUs in the one spelling that `gpus` gives it."""
    return ",".join(gpus(text))


def arch(text: str) -> None:
    """Look at a choice of GPU architectures: `auto`, or capabilities. Raises UsageError."""
    from devbox.frameworks.arch import parse

    if text.strip().lower() != "auto":
        parse(text)


# The highest id that the kernel maps: 2**32 - 1 means "no id", and tools take one below that for signed values.
MAX_ID = 2**32 - 2


def user(text: str) -> tuple[int, int, str | None] | None:
    """Read who somebody is in a container: None for `host`, else user id, group id and name. Raises UsageError."""
    from devbox.facts.host import account_name

    if text == "host":
        return None
    if text == "root":
        return 0, 0, None
    parts = text.split(":")
    numbers = [int(part) for part in parts[:2] if part.isascii() and part.isdigit()]
    if len(numbers) != 2 or len(parts) > 3 or max(numbers) > MAX_ID:
        raise UsageError(f"'{text}' is no user", hint="--user host, --user root or --user UID:GID[:NAME]")
    uid, gid = numbers
    name = parts[2] if len(parts) == 3 and uid else None
    if name is not None and name != account_name(name):
        raise UsageError(f"'{name}' is no name for the user {uid}", hint=f"--user {uid}:{gid}:{account_name(name)}")
    return uid, gid, name


# What tools fill in from the host's environment.
_HOST_VARIABLE = r"\$\{(?:local)?[eE]nv:"


def secrets_of_host(text: str) -> list[str]:
    """Return the names of the host's variables in a text that look like secrets."""
    return [name for name in re.findall(rf"{_HOST_VARIABLE}([^:}}]+)", text) if is_secret_name(name)]


def variable(text: str, _: Path) -> str:
    """Read a variable, NAME=VALUE or NAME for the host's. Raises UsageError, for a secret's value too."""
    name, equals, value = text.partition("=")
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name, re.ASCII):
        raise UsageError(f"'{name}' is no name of a variable", hint="--env NAME=VALUE, or --env NAME")
    if equals and is_secret(name, value):
        raise UsageError(
            f"{name} looks like a secret, and would be seen in the contract and the container",
            hint=f"export {name}=…   # then --env {name}, without a value",
        )
    if re.search(_HOST_VARIABLE, value):
        raise UsageError(
            f"the value of {name} is made from the host's environment", hint="--env NAME   # without =VALUE"
        )
    return text


def argument(text: str, _: Path) -> str:
    """Read a build argument, NAME=VALUE. Raises UsageError, for a secret's value too: it is in the contract."""
    name, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name, re.ASCII):
        raise UsageError(f"'{text}' is no build argument", hint="--arg NAME=VALUE")
    if is_secret(name, value):
        raise UsageError(f"{name} looks like a secret, and would be seen in the contract and the image")
    return text


# A variable among the words for `docker run`: by itself, after `-e`, or in one word with the option.
_VARIABLE_ARGUMENT = r"(?:--env=|-e=?)?([A-Za-z_][A-Za-z0-9_]*)=(.*)"


def run_argument(text: str, _: Path) -> str:
    """Read a word for `docker run`. Raises UsageError for a secret's value."""
    found = re.fullmatch(_VARIABLE_ARGUMENT, text, re.ASCII | re.DOTALL)
    if found is not None and is_secret(found[1], found[2]):
        raise UsageError(
            f"{found[1]} looks like a secret, and would be seen in the contract and the container",
            hint=f"export {found[1]}=…   # then --env {found[1]}",
        )
    return text


def mount(text: str, folder: Path) -> str:
    """Read a mount. In docker's short form a folder that begins with a dot or `~` becomes an absolute path.

    Raises UsageError.
    """
    from devbox.engine import mounts

    source, colon, rest = text.partition(":")
    if colon and source.startswith((".", "~")):
        text = f"{path(source, folder)}{colon}{rest}"
    mounts.mount(text)
    return text


def place(text: str, _: Path) -> str:
    """Read where containers run: `docker`, or `kubernetes[:CONTEXT[/NAMESPACE]]`. Raises UsageError."""
    from devbox.engine.kubernetes.place import asked_for

    asked_for(text)
    return text


def _of_form(pattern: str, what: str, hint: str) -> Callable[[str, Path], str]:
    """Return what reads a text that has to be all of `pattern`, ASCII, and says else that it is no `what`."""

    def read(text: str, _: Path) -> str:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise UsageError(f"'{text}' is no {what}", hint=hint)
        return text

    return read


# What a cluster is told; an amount may have, after a dash, the most that a pod gets.
_QUANTITY = r"\d+(\.\d+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?"
_EFFECTS = "NoSchedule|PreferNoSchedule|NoExecute"
amount = _of_form(
    rf"{_QUANTITY}(-{_QUANTITY})?", "amount", "as Kubernetes writes it: 4, 500m, 8Gi; or 8Gi-16Gi with a limit"
)
selector = _of_form(r"[A-Za-z0-9./_-]+=[A-Za-z0-9._-]*", "label of nodes", "NAME=VALUE")
toleration = _of_form(
    rf"[A-Za-z0-9./_-]+(=[A-Za-z0-9._-]*)?(:({_EFFECTS}))?", "taint of nodes", f"KEY[=VALUE][:{_EFFECTS}]"
)
object_name = _of_form(
    r"[a-zA-Z0-9]([a-zA-Z0-9._-]{0,61}[a-zA-Z0-9])?",
    "name in a cluster",
    "letters, digits, and . _ - between them; 63 at most",
)


def port(text: str, _: Path) -> str:
    """Read a port to publish. Raises UsageError."""
    from devbox.engine.ports import ports

    ports([text], ())
    return text
