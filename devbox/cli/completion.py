"""`devbox completion`: the scripts that shells load, and the words that they ask for while somebody types."""

from __future__ import annotations

import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from devbox.cli.application import Application, application, workspace
from devbox.cli.options import examples
from devbox.errors import DevboxError
from devbox.masking import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

app = typer.Typer()

# What stands between bash's words, as COMP_WORDBREAKS has it: it completes only what comes behind the last of these.
_BREAKS = re.compile(r"[=:@]")
# The words of a metavar that are meant as they are: `ccache|sccache|none`, and not `PATH`, `90` or `redis,etcd`.
_LITERAL = re.compile(r"[a-z][a-z-]*")
_PLAIN = re.compile(r"[\w@%+=:,./-]+")
_BUILD_TYPES = ("Debug", "Release", "RelWithDebInfo", "MinSizeRel")
# How long the container may take to say what it has: nobody waits longer for a key that was pressed.
_SECONDS = 3.0


class Shell(StrEnum):
    """The shells that are known."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"


@app.command()
@examples({"devbox completion bash": "For ~/.bashrc: source <(devbox completion bash)"})
def completion(
    context: typer.Context,
    shell: Annotated[Shell, typer.Argument(metavar="bash|zsh|fish", help="Whose script it is to be.")],
    words: Annotated[list[str] | None, typer.Argument(metavar="[-- WORD]…", hidden=True)] = None,
) -> None:
    """Print what a shell has to load to complete commands, options and names: devbox completion bash."""
    from devbox.paths import data_dir

    run = application(context)
    if words is None:
        script = (data_dir("templates") / "completion" / shell.value).read_text(encoding="utf-8")
        run.show({"shell": shell.value, "script": script}, lambda: script)
        return
    typed, cut = words, 0
    if shell is Shell.bash:
        typed = _split(words[0])
        cut = max((found.end() for found in _BREAKS.finditer(typed[-1])), default=0)
    for value, said in candidates(run, typed):
        sys.stdout.write(f"{value[cut:]}\t{said}\n")


def _split(line: str) -> list[str]:
    """Return the words of a command line up to the cursor, without the program; the last is the one being typed."""
    import shlex

    lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    found: list[str] = []
    try:
        found.extend(lexer)
    except ValueError:  # a quote is still open
        found.append(lexer.token)
    if line[-1:].isspace() and not line.endswith("\\ "):
        found.append("")
    return found[1:] or [""]


def candidates(run: Application, typed: Sequence[str]) -> list[tuple[str, str]]:
    """Return what the last of the words typed could become, each with a few words on it; nothing for file names."""
    from typer._completion_classes import BashComplete  # the class of typer's click, which has no public name

    from devbox.cli.app import app as root

    *before, last = typed or [""]
    search = BashComplete(typer.main.get_command(root), {"obj": run}, "devbox", "")
    found = [one for one in search.get_completions(before, last) if one.type == "plain"]
    # A name may come from a checkout, and bash puts it into the line as it is: what a shell would act on is none.
    begun = last[: last.find("=") + 1] if last.startswith("--") else ""
    return [(f"{begun}{one.value}", visible(one.help or "")) for one in found if _PLAIN.fullmatch(one.value)]


def words(parameter: Any, context: Any, incomplete: str) -> list[str] | None:
    """Return the words that a parameter of a command may have, as far as they can be told; None for what typer knows.

    Nothing that goes wrong here is told: somebody is typing.
    """
    command = context.command_path.partition(" ")[2]
    source = _SOURCES.get((command, parameter.name)) or _SOURCES.get(parameter.name)
    try:
        if source is not None:
            known: Iterable[str] = source(context)
        else:
            known = filter(_LITERAL.fullmatch, (parameter.metavar or "").strip("[]").split("|"))
            known = tuple(known)
            if not known:
                return None
        return sorted(word for word in known if word.startswith(incomplete) and not word.startswith("-"))
    except (DevboxError, OSError, ValueError):
        return []


def _folder(context: Any) -> Path:
    named = context.params.get("path") or context.params.get("path_")
    return workspace(Path(named) if named else None)


def _frameworks(context: Any) -> Iterable[str]:
    from devbox.frameworks.load import available

    return available(_folder(context))


def _named(context: Any) -> list[str]:
    """Return the frameworks that were typed: one, or several of `image build`."""
    said = context.params.get("framework") or context.params.get("name") or ()
    return [re.split("[/=]", one)[0] for one in ([said] if isinstance(said, str) else said)]


def _variants(context: Any) -> Iterable[str]:
    from devbox.container import which
    from devbox.frameworks.load import variants

    folder = _folder(context)
    names = _named(context) or [one.name for one in which.frameworks(folder)]
    return {variant for name in names for one in variants(name, folder) for variant in one.variants}


def _stages(context: Any) -> Iterable[str]:
    from devbox.container import which
    from devbox.frameworks.load import load

    folder = _folder(context)
    names = _named(context) or [one.name for one in which.frameworks(folder)]
    loaded = [load(name, None, folder) for name in names]
    # Their files are called after stage and framework: `wheel-vllm`.
    return {stage.partition("-")[0] for one in loaded for stage in (*one.stages, *one.image_stages)}


def _checks(_: Any) -> Iterable[str]:
    from devbox.doctor.run import CHECKS

    return CHECKS


def _images(context: Any) -> Iterable[str]:
    run: Application = context.obj
    listed = run.engine.run(["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"], check=False, timeout=_SECONDS)
    return (name for name in listed.stdout.split() if "<none>" not in name)


def _inside(context: Any, script: str) -> list[str]:
    """Return the lines that a script prints in the container, for the user who builds there."""
    from devbox.container.inside.find import running_container
    from devbox.engine.exec import Exec

    run: Application = context.obj
    target = running_container(run.engine, _folder(context))
    asked = Exec(target.container, ("sh", "-c", script), target.user, interactive=False)
    return run.engine.execute(asked, timeout=_SECONDS).stdout.splitlines()


def _trees(context: Any) -> Iterable[str]:
    return (line.rpartition("-")[2] for line in _inside(context, "ls -d /build/*/build.ninja | cut -d/ -f3"))


def _targets(context: Any) -> Iterable[str]:
    lines = _inside(context, "cd /build/current && ninja -t targets all | sed -n 's/: phony$//p'")
    return (line for line in lines if "/" not in line)


# By the name of a parameter, or by the command's and the parameter's.
_SOURCES: dict[Any, Callable[[Any], Iterable[str]]] = {
    "framework": _frameworks,
    ("frameworks show", "name"): _frameworks,
    "variant": _variants,
    "build_type": lambda _: _BUILD_TYPES,
    "stages": _stages,
    "checks": _checks,
    "key": _trees,
    "keys": _trees,
    "tree": _trees,
    ("build", "target"): _targets,
    ("image run", "image"): _images,
    ("image inspect", "image"): _images,
    ("image rm", "names"): _images,
    "images": _images,
}
