"""The command line, put together: global options, the commands, and the one place where errors are shown."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import cache, partial, update_wrapper
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperArgument, TyperGroup, TyperOption

from devbox.cli.application import Application, application, see_place_of
from devbox.cli.ending import ended
from devbox.errors import EXIT_OK, UsageError
from devbox.ui.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# typer carries its own copy of click from 0.26 on and exports no base class of its usage errors.
_CLICK_ERROR: Any = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")

# Each command by the theme under which `devbox --help` lists it, the common ones first: the module of devbox.cli that
# has it, and what is said of it in one line. Such a module has `app`, which holds its commands, and is a group where it
# has a name; `THEMES` are those of a large group. It is imported when one of them is run, and costs the others nothing.
THEMES = {
    "Every day": {
        "up": ("up", "Start the dev container of a checkout, or find it started."),
        "build": ("builds.build", "Build what changed, in the dev container."),
        "test": ("test", "Run the framework's tests, in the dev container."),
        "shell": ("shell", "Open a shell in the dev container."),
        "exec": ("shell", "Run a command in the dev container."),
        "run": ("shell", "Run a command in a container of its own, made like it."),
        "open": ("open", "Open VS Code, Cursor or CLion on the dev container."),
        "status": ("status", "List dev containers, build trees and caches."),
        "ps": ("status", "The same as status."),
        "top": ("top", "Watch builds, containers, GPUs and disks, live."),
        "logs": ("life", "Show what the dev container wrote."),
        "stop": ("life", "Stop the dev container and the services beside it."),
        "down": ("life", "Remove the dev container; what was built stays."),
    },
    "The checkout and its contract": {
        "generate": ("generate", "Write the contract of a checkout and start nothing."),
        "prepare": ("prepare", "Fetch submodules, git-lfs files and history for a build."),
        "config": ("config", "Look at the settings and the contract in force."),
        "trust": ("trust", "Look at what checkouts may reach here, and take it back."),
        "hooks": ("hooks", "List lifecycle commands, and run them again."),
        "frameworks": ("frameworks", "Look at the frameworks that devbox knows."),
        "sync": ("sync", "Bring the checkout to its copy on an engine elsewhere."),
        "compile-commands": ("compile_commands", "Write compile_commands.json for clangd on the host."),
    },
    "Images and tasks": {
        "image": ("image.group", "Build, run, find and remove images."),
        "prebuild": ("prebuild", "Build a contract's image, complete, for others."),
        "task": ("task", "Run a framework's tasks: compile an engine, serve a model."),
    },
    "Builds, caches and the disk": {
        "builds": ("builds.manage", "List, explain, remove and prune build trees."),
        "cache": ("cache", "Look at the compiler cache, clear it, ask why it missed."),
        "du": ("disk", "Show what devbox holds on the disk."),
        "prune": ("disk", "Remove what nobody needs any more."),
    },
    "This machine": {
        "doctor": ("doctor", "Check this machine, with a remedy for each finding."),
        "completion": ("completion", "Print what a shell loads to complete commands and names."),
        "devcontainer": ("devcontainer", "Take the reference CLI's command lines."),
    },
}
COMMANDS = {name: told for theme in THEMES.values() for name, told in theme.items()}


# What works in dev containers, which may be on a cluster. The others are about this machine and its engine.
_IN_CONTAINERS = frozenset({
    "up", "shell", "exec", "run", "open", "build", "test", "builds", "cache", "compile-commands", "status", "ps",
    "logs", "sync", "stop", "down", "hooks", "doctor",
})  # fmt: skip
# The parameter by which a checkout is named in the other way.
_OTHER = "path_"


class _Commands(Mapping[str, Any]):
    """The commands by name, each made when it is asked for."""

    def __getitem__(self, name: str) -> Any:
        return _made(name)

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


@cache
def _made(name: str) -> Any:
    """Return a command, whose module is imported for it."""
    module_name, summary = COMMANDS[name]
    module = import_module(f"devbox.cli.{module_name}")
    holder = typer.Typer(rich_markup_mode=None)
    holder.add_typer(module.app)
    made = _finished(typer.main.get_group(holder).commands[name], summary)
    if name in _IN_CONTAINERS:
        for one in getattr(made, "commands", {name: made}).values():
            _in_place(one)
    themes = getattr(module, "THEMES", None)
    if themes is not None:
        made.format_commands = partial(_format_commands, themes, made)
    return made


def _finished(command: Any, summary: str) -> Any:
    """Give a command its line in the list above it, which would be cut short, and what every command has.

    The global options are written before the command; people write them after it, too.
    """
    command.short_help = summary
    command.help = command.help or summary
    inner = getattr(command, "commands", {})
    for one in inner.values():
        _finished(one, (one.help or "").partition("\n\n")[0].partition(". ")[0].rstrip(".") + ".")
    if not inner:
        command.format_options = partial(_format_options, command)
        _with_both_names(command)
        if not hasattr(command.callback, "passes_on"):
            # Looked for in all words before the command line is read: errors of reading it are JSON, too.
            said = "Print one JSON envelope on stdout."
            command.params.append(TyperOption(param_decls=["--json"], is_flag=True, expose_value=False, help=said))
        for parameter in command.params:
            parameter.shell_complete = partial(_complete, parameter)
            if parameter.param_type_name == "argument":
                parameter.make_metavar = partial(_metavar, parameter)
        # A command's own option wins: `image run -v` is a volume.
        own = {name for parameter in command.params for name in parameter.opts}
        command.params += [
            TyperOption(
                param_decls=[name for name in names if name not in own],
                is_flag=True,
                expose_value=False,
                hidden=True,
                callback=_globally,
            )
            for names in (("--quiet", "-q"), ("--verbose", "-v"), ("--debug",))
        ]
        if "--context" not in own:
            named: Any = {"expose_value": False, "hidden": True, "callback": _in_context}
            command.params.append(TyperOption(param_decls=["--context"], is_eager=True, **named))
    return command


def _complete(parameter: Any, context: Any, incomplete: str) -> Any:
    """Return what a parameter may be completed to: of what devbox knows, else as typer has it."""
    from devbox.cli.completion import words

    known = words(parameter, context, incomplete)
    if known is None:
        return type(parameter).shell_complete(parameter, context, incomplete)
    from typer._click.shell_completion import CompletionItem  # typer has no public name for it

    return [CompletionItem(word) for word in known]


def _format_options(command: Any, context: typer.Context, formatter: Any) -> None:
    from devbox.cli.help import format_options

    format_options(command, context, formatter)


def _format_commands(themes: Mapping[str, str], command: Any, _: typer.Context, formatter: Any) -> None:
    from devbox.cli.help import format_commands

    format_commands(themes, command, formatter)


def _metavar(argument: Any, ctx: typer.Context, *, usage: bool = False) -> str:
    """Return an argument's name as typer makes it, but for the braces around a required one, and for a hidden one."""
    return "" if argument.hidden else str(type(argument).make_metavar(argument, ctx=ctx, usage=usage).strip("{}"))


def _with_both_names(command: Any) -> None:
    """Let a command that is about a checkout take it by `-w`, and as PATH where nothing else is positional."""
    path = next((one for one in command.params if one.name == "path"), None)
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    if path in arguments:
        other: Any = TyperOption(param_decls=[_OTHER, "--workspace", "-w"], metavar="PATH", help="The same as PATH.")
    elif path is not None and not arguments:
        told = {"help": path.help, "show_default": path.show_default}
        path.help, path.show_default = "The same as PATH.", False
        other = TyperArgument(param_decls=[_OTHER], metavar="PATH", **told)
    else:
        return
    command.params.insert(command.params.index(path) + 1, other)
    inner = command.callback

    def callback(**values: Any) -> Any:
        named = values.pop(_OTHER)
        if named is not None and values["path"] is not None:
            raise UsageError(f"the checkout is named twice: {values['path']} and {named}", hint="leave one of them out")
        return inner(**{**values, "path": values["path"] if named is None else named})

    command.callback = update_wrapper(callback, inner)


def _in_place(command: Any) -> None:
    """Have a command look where the containers of its checkout are, before it asks for an engine."""
    inner = command.callback

    def callback(**values: Any) -> Any:
        see_place_of(values.get("path"))
        return inner(**values)

    command.callback = update_wrapper(callback, inner)


def _globally(context: typer.Context, option: TyperOption, value: bool) -> None:
    """Do what a global option after the command asks for."""
    run_ = application(context)
    match option.name if value else None:
        case "quiet":
            run_.console.quiet = True
        case "verbose":
            run_.console.verbose = True
        case "debug":
            run_.debug = True


def _in_context(_: typer.Context, __: TyperOption, value: str | None) -> None:
    """Have the engine used that is named after the command."""
    if value:
        from devbox.engine.address import choose

        choose(value)


class _LazyGroup(TyperGroup):
    """The root command. Its subcommands are imported one at a time."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Commands()  # type: ignore[assignment]  # nothing is added to it

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002  # as the group's is
        """Write the commands by theme, for which none of them has to be imported."""
        for title, theme in THEMES.items():
            with formatter.section(title):
                formatter.write_dl([(name, summary) for name, (_, summary) in theme.items()])


app = typer.Typer(
    name="devbox",
    cls=_LazyGroup,
    help="Dev containers and incremental builds for large C++/CUDA inference trees.",
    no_args_is_help=True,
    add_completion=False,
    # Rich help and rich tracebacks cost more than the start-up budget.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _global_options(
    context: typer.Context,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only warnings and errors.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show every line of inner commands.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[bool, typer.Option("--version", "-V", help="Print the version.")] = False,
    engine: Annotated[  # `devbox.__main__` has taken it already
        str | None, typer.Option("--context", metavar="NAME", help="Use the engine of this docker context.")
    ] = None,
) -> None:
    if version:
        from devbox._version import __version__

        sys.stdout.write(f"devbox {__version__}\n")
        raise typer.Exit
    run_ = application(context)
    run_.console.quiet = quiet
    run_.console.verbose = verbose
    run_.debug = debug


def _own(args: Sequence[str]) -> Sequence[str]:
    """Return the arguments that are devbox's own: those before `--`."""
    return args[: args.index("--")] if "--" in args else args


def run(args: Sequence[str]) -> int:
    """Run the command line and return the exit code. No foreseen error leaves this function as an exception."""
    own = _own(args)
    run_ = Application(Console(environ=os.environ), os.environ, json="--json" in own, debug="--debug" in own)
    return ended(run_, lambda: _invoke(run_, args))


def _invoke(run_: Application, args: Sequence[str]) -> int:
    """Run the command that `args` name.

    Not through typer's own `main`, which turns an interrupt into an exit code before it can be told.
    """
    try:
        command = typer.main.get_command(app)
        with command.make_context("devbox", list(args), obj=run_) as context:
            command.invoke(context)
    except typer.Exit as left:
        return left.exit_code
    except typer.Abort:
        raise KeyboardInterrupt from None
    except _CLICK_ERROR as error:
        raise _usage(error, args) from None
    return EXIT_OK


def _usage(error: Any, args: Sequence[str]) -> UsageError:  # typer does not export the type
    context = getattr(error, "ctx", None)
    if context is not None:
        application(context)  # which command it is
    if context is not None and type(error).__name__ == "NoArgsIsHelpError":
        # Its message is the whole help.
        name = context.command_path
        return UsageError(f"{name} needs a command", hint=f"{name} --help", detail=error.format_message())
    # The parser of options knows no context.
    named = " ".join(["devbox", *[word for word in args[:1] if word in COMMANDS]])
    hint = f"{named if context is None else context.command_path} --help"
    return UsageError(error.format_message().rstrip("."), hint=hint)
