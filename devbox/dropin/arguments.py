"""Read a command line by the table of options, as the reference's own parser does, with its words where it is wrong."""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING

from devbox.dropin.options import BY_WORDS, COMMANDS, EVERYWHERE, Command, Option
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PAIR = re.compile(r".+=.*", re.DOTALL)
_FULL_PAIR = re.compile(r".+=.+", re.DOTALL)
_MOUNT = re.compile(r"type=(?:bind|volume),source=[^,]+,target=[^,]+(?:,external=(?:true|false))?")
_FORMATS = {
    "id-label": (_FULL_PAIR, "<name>=<value>"),
    "remote-env": (_PAIR, "<name>=<value>"),
    "mount": (_MOUNT, "type=<bind|volume>,source=<source>,target=<target>[,external=<true|false>]"),
}
_LOCKS = ("frozen-lockfile", "experimental-frozen-lockfile", "experimental-lockfile")


class ArgumentsError(Exception):
    """A command line that makes no sense: what is wrong, and the command whose help is shown, if it is known."""

    def __init__(self, message: str, command: Command | None) -> None:
        super().__init__(message)
        self.command = command


@dataclass(frozen=True, slots=True)
class Arguments:
    """A command line, read: `texts` has the options' values, `lists` those that may be given several times."""

    command: Command | None
    texts: Mapping[str, str] = field(default_factory=dict)
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    words: tuple[str, ...] = ()

    def command_is(self, words: str) -> bool:
        """Tell whether this is that command."""
        return self.command is not None and self.command.words == words

    def text(self, name: str) -> str | None:
        """Return the value of an option, None where it was not given and there is none by default."""
        return self.texts.get(name)

    def many(self, name: str) -> tuple[str, ...]:
        """Return all values of an option."""
        return self.lists.get(name, ())

    def on(self, name: str) -> bool:
        """Tell whether a switch is on."""
        return self.texts.get(name) == "true"

    def pairs(self, name: str) -> tuple[tuple[str, str], ...]:
        """Return the values of an option, NAME=VALUE each; of one name the last."""
        found = dict(text.partition("=")[::2] for text in self.many(name))
        return tuple(found.items())


def parse(argv: Sequence[str]) -> Arguments:
    """Read a command line. Raises ArgumentsError."""
    command, rest = _command(argv)
    options = {one.name: one for one in (*EVERYWHERE, *(command.options if command else ()))}
    shorts = {one.short: one for one in options.values() if one.short}
    texts = {one.name: one.default for one in options.values() if one.default is not None}
    lists: dict[str, tuple[str, ...]] = {}
    words: list[str] = []
    unknown: list[str] = []
    given: set[str] = set()
    while rest:
        word = rest.pop(0)
        if word == "--" or not word.startswith("-") or word == "-":
            words += rest if word == "--" else [word]
            if word == "--" or (command is not None and command.rest):
                words += [] if word == "--" else rest
                break
            continue
        name, equals, value = word.lstrip("-").partition("=")
        option = options.get(_kebab(name)) if word.startswith("--") else shorts.get(name)
        if option is None:
            unknown.append(name)
            if not equals and rest and not rest[0].startswith("-") and command is not None and not command.rest:
                # As a value of it, not as a word by itself.
                rest.pop(0)
            continue
        if not equals:
            value = _value(option, rest, command)
        given.add(option.name)
        if option.many:
            lists[option.name] = (*lists.get(option.name, ()), value)
        else:
            texts[option.name] = value
    found = Arguments(command, texts, lists, tuple(words))
    if found.on("help") or found.on("version"):
        return found
    _see(found, given, unknown)
    return found


def _command(argv: Sequence[str]) -> tuple[Command | None, list[str]]:
    """Return the command that the first words name, and the words behind it."""
    for count in (2, 1):
        words = " ".join(argv[:count])
        if words in BY_WORDS:
            return BY_WORDS[words], list(argv[count:])
    return None, list(argv)


def _kebab(name: str) -> str:
    return re.sub("[A-Z]", lambda match: f"-{match[0].lower()}", name)


def _value(option: Option, rest: list[str], command: Command | None) -> str:
    """Take the value of an option off the words behind it."""
    if option.switch:
        return rest.pop(0) if rest and rest[0] in {"true", "false"} else "true"
    if not rest or rest[0].startswith("--"):
        raise ArgumentsError(f"Not enough arguments following: {option.name}", command)
    return rest.pop(0)


def _see(found: Arguments, given: set[str], unknown: Sequence[str]) -> None:
    """See that what was given makes sense together."""
    command = found.command
    if command is None and not found.words and not unknown:
        raise ArgumentsError("Not enough non-option arguments: got 0, need at least 1", None)
    usage = command.usage if command is not None else ""
    needed, taken = usage.count("<"), usage.count("<") + usage.count("[")
    if len(found.words) < needed:
        raise ArgumentsError(
            f"Not enough non-option arguments: got {len(found.words)}, need at least {needed}", command
        )
    if command is None or not command.rest:
        unknown = (*unknown, *found.words[taken:])
    if unknown:
        raise ArgumentsError(f"Unknown argument{_s(unknown)}: {', '.join(unknown)}", command)
    assert command is not None  # noqa: S101  # its words would be unknown
    missing = [one.name for one in command.options if one.required and one.name not in given]
    if missing:
        raise ArgumentsError(f"Missing required argument{_s(missing)}: {', '.join(missing)}", command)
    for option in command.options:
        _see_option(found, option, given)
    for name in _LOCKS:
        if found.on("no-lockfile") and found.on(name):
            raise ArgumentsError(f"--no-lockfile and --{name} are mutually exclusive.", command)


def _see_option(found: Arguments, option: Option, given: set[str]) -> None:
    """See that the value of an option, if it has one, is as it should be."""
    name, value = option.name, found.text(option.name)
    if option.choices and value not in option.choices:
        listed = ", ".join(f'"{one}"' for one in option.choices)
        raise ArgumentsError(f'Invalid values:\n  Argument: {name}, Given: "{value}", Choices: {listed}', found.command)
    if option.needs and name in given and option.needs not in given:
        raise ArgumentsError(f"Implications failed:\n {name} -> {option.needs}", found.command)
    pattern, form = _FORMATS.get(name, (None, ""))
    if pattern is not None and not all(map(pattern.fullmatch, found.many(name))):
        raise ArgumentsError(f"Unmatched argument format: {name} must match {form}", found.command)


def _s(several: Sequence[str]) -> str:
    return "s" if len(several) > 1 else ""


def usage(command: Command | None) -> str:
    """Return the help of a command, or of all."""
    if command is None:
        width = max(len(f"{one.words} {one.usage}") for one in COMMANDS)
        lines = ["devcontainer <command>", "", "Commands:"]
        lines += [f"  devcontainer {f'{one.words} {one.usage}'.ljust(width)}  {one.help}" for one in COMMANDS]
    else:
        lines = [f"devcontainer {command.words} {command.usage}".rstrip(), "", command.help]
    shown = [one for one in (*EVERYWHERE, *(command.options if command else ())) if not one.hidden]
    names = [f"{f'-{one.short}, ' if one.short else ''}--{one.name}" for one in shown]
    width = max(map(len, names))
    lines += ["", "Options:"]
    lines += [f"  {name.ljust(width)}  {one.help}{_kind(one)}" for name, one in zip(names, shown, strict=True)]
    return "\n".join(lines)


def _kind(option: Option) -> str:
    kind = "boolean" if option.switch else "array" if option.many else "string"
    if option.choices:
        kind = "choices: " + ", ".join(f'"{one}"' for one in option.choices)
    default = option.default or ("false" if option.switch and option.name not in {"help", "version"} else None)
    return f"  [{kind}]{'' if default is None else f' [default: {default}]'}"
