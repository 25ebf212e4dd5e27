"""Where devbox starts.

`--version` and `exec` are answered before the command line is imported: they are typed, or run by tools, hundreds of
times a day.
"""

from __future__ import annotations

import os
import sys


def devcontainer() -> int:
    """Run the process's arguments as those of the reference CLI: `devbox-devcontainer`, or a link to it."""
    return _run(["devcontainer", *sys.argv[1:]])


def main(argv: list[str] | None = None) -> int:
    """Run devbox with `argv` (the process's own by default) and return the exit code."""
    return _run(sys.argv[1:] if argv is None else argv, own=argv is None)


def _run(args: list[str], *, own: bool = True) -> int:
    try:
        return _command(args, own=own)
    except KeyboardInterrupt:
        # Before or after the command itself, which says what it leaves: nothing was begun, or all is done.
        return 130


def _command(args: list[str], *, own: bool) -> int:
    if own and sys.getfilesystemencoding() != "utf-8":
        # Contracts, labels and the names of files are UTF-8, whatever the locale is.
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606  # this very program
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            # A closed stream would be the next file that is opened: nothing comes from it, and what goes there is lost.
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: PTH123, SIM115
    if args in (["--version"], ["-V"]):
        from devbox._version import __version__

        sys.stdout.write(f"devbox {__version__}\n")
        return 0
    if args and args[0] == "exec" and not {"-h", "--help"}.intersection(args[1:2]):
        from devbox.container import hot

        return hot.main(args[1:])
    if args and args[0] == "devcontainer":
        from devbox.dropin.main import main as translate

        return translate(args[1:])
    from devbox.cli import warm

    given = warm.answer(args)
    if given is not None:
        return given
    from devbox.cli.app import run

    return warm.run(args, lambda: run(args))


if __name__ == "__main__":
    sys.exit(main())
