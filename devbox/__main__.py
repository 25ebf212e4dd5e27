"""Where devbox starts.

`--version` and `exec` are answered before the command line is imported: they are typed, or run by tools, hundreds of
times a day.
"""

# Nothing is read from a file before `_run` is there, which knows what an interrupt means: not even `__future__`.
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn, TextIO


def devcontainer() -> "NoReturn":
    """Run the process's arguments as those of the reference CLI: `devbox-devcontainer`, or a link to it."""
    _end(_run(["devcontainer", *sys.argv[1:]]))


def main(argv: list[str] | None = None) -> int:
    """Run devbox with `argv` and return the exit code; with the process's own, by default, end the process by it."""
    if argv is None:
        _end(_run(sys.argv[1:]))
    return _run(argv, own=False)


def _end(code: int) -> "NoReturn":
    """End the process at once, its streams flushed: to take all modules apart takes longer than many a command."""
    os._exit(code)


def _run(args: list[str], *, own: bool = True) -> int:
    try:
        code = _command(args, own=own)
    except KeyboardInterrupt:
        # Before or after the command itself, which says what it leaves: nothing was begun, or all is done.
        code = 130
    _flushed(sys.stderr)
    return code if _flushed(sys.stdout) else code or 1


def _flushed(stream: "TextIO") -> bool:
    """Write what a stream holds back. What nobody takes is given up: else the interpreter complains at its end."""
    try:
        stream.flush()
    except OSError:
        # Somebody like `head` has read enough, or the disk is full.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return False
    return True


def _command(args: list[str], *, own: bool) -> int:
    if own and sys.getfilesystemencoding() != "utf-8":
        # Contracts, labels and the names of files are UTF-8, whatever the locale is.
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606  # this very program
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            # A closed stream would be the next file that is opened: nothing comes from it, and what goes there is lost.
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8", errors="backslashreplace"))  # noqa: PTH123, SIM115
    if hasattr(sys.stdout, "reconfigure"):
        # A name need not be text in any encoding.
        sys.stdout.reconfigure(errors="surrogateescape" if sys.stdout.encoding == "utf-8" else "backslashreplace")
    args = _in_context(args)
    if args in (["--version"], ["-V"]):
        from devbox._version import __version__

        try:
            sys.stdout.write(f"devbox {__version__}\n")
        except OSError:
            return 1
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
    import gc

    # What is imported stays: to look for garbage in it again and again is a tenth of a short command.
    gc.set_threshold(50_000)
    from devbox.cli.app import run

    return warm.run(args, lambda: run(args))


def _in_context(args: list[str]) -> list[str]:
    """Have the engine used that `--context NAME` before the command names; return the other arguments."""
    while args and args[0].partition("=")[0] == "--context":
        name = args[0].partition("=")[2] or "".join(args[1:2])
        if not name:
            break
        from devbox.engine.address import choose

        choose(name)
        args = args[1 if "=" in args[0] else 2 :]
    return args


if __name__ == "__main__":
    sys.exit(main())
