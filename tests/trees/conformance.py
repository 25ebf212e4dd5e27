"""What a project's own script would run beside what devbox runs, from a real checkout: `make conformance TREE=…`.

The lines are those of the migration pages; the script runs in its own dry run (`make -n`, `run.sh --dry-run`) on this
machine, or with a docker that only says what it is asked. What each hands to docker is recorded in
tests/data/conformance as facts, with the checkout's revision and the day, and what moved since the last recording is
shown. A Dockerfile that a script writes first is a fact by its bytes. The pages of docs/ are written from it, with the
reasons of the migration page.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from devbox.cli.app import run
from devbox.facts.makefile import read_makefile
from devbox.facts.stated import assigned
from devbox.paths import cache_dir
from tests.machine import programs_in, stand_on

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

DATA = Path(__file__).resolve().parents[1] / "data"
# Options of docker that stand alone; all others take a value.
_ALONE = frozenset(
    {"--pull", "--load", "--push", "--rm", "-it", "-i", "-t", "--interactive", "--tty", "--init", "--detach"}
)
_ALONE |= {"--no-cache", "--amend", "--privileged"}
# What is only shown, or only devbox's own to know its images by.
_SHOWN = ("build progress", "build --load", "build label", "run label")
# How an option is told, where one thing has several.
_NAMES = {"--volume": "mount", "-v": "mount", "--mount": "mount", "-p": "port", "--publish": "port", "-f": "file"}
_NAMES |= {"-e": "env", "-w": "workdir"}
_COMMANDS = (("buildx", "imagetools", "create"), ("buildx", "build"), ("manifest", "create"), ("manifest", "push"))
_IF = ("if", "[", "left", "=", "right", "]")
# What a checkout's script writes.
_RENDERED = "container/rendered.Dockerfile"
# A docker that says what it is asked.
_DOCKER = f"#!{sys.executable}\nimport shlex, sys\nprint(shlex.join(['docker', *sys.argv[1:]]), flush=True)\n"


class Difference(NamedTuple):
    """A fact that only one side has, and why; "" where no reason is known. `same`: what comes of it is the same."""

    side: str
    fact: str
    why: str
    same: bool = False


def facts(text: str, tree: Path, folder: str = "") -> list[str]:
    """Return what the docker commands in `text` say, sorted. They run in `folder` of the tree."""
    found: set[str] = set()
    try:
        commands = [*_docker(text)]
    except ValueError:  # a script that talks beside its commands: an apostrophe opens no quotation
        commands = [words for line in text.splitlines() if line.startswith("docker ") for words in _docker(line)]
    for words in commands:
        found |= set(_facts(words, tree / folder))
    return sorted({_plain(fact, tree) for fact in found if not fact.startswith(_SHOWN)})


def _docker(text: str) -> Iterator[list[str]]:
    """Yield the words after `docker` of each command, less those of a shell's branch that is not taken."""
    lexer = shlex.shlex(re.sub(r"\\\n", " ", text), posix=True, punctuation_chars=";&\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t", True, ""
    skipped = False
    for separates, group in itertools.groupby(lexer, key=lambda word: not word.strip(";&\n")):
        words = [] if separates else list(group)
        words = words[1:] if words[:1] == ["then"] else words
        if len(words) == len(_IF) and (words[0], words[3]) == ("if", "="):
            skipped = words[2] != words[4]
        elif words[:1] == ["fi"]:
            skipped = False
        while words and re.fullmatch(r"\w+=\S*", words[0]):
            words.pop(0)
        if words[:1] == ["docker"] and not skipped:
            yield words[1:]


def _facts(words: Sequence[str], folder: Path) -> Iterator[str]:
    command = next((one for one in _COMMANDS if tuple(words[: len(one)]) == one), (words[0],))
    name = " ".join(command).removeprefix("buildx ")
    rest, place = list(words[len(command) :]), list[str]()
    while rest:
        word = rest.pop(0)
        if not word.startswith("-") or (place and name == "run"):
            place.append(word)
            continue
        option, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if word in _ALONE and (word, name) != ("-t", "build"):
            yield f"{name} {word}"
            continue
        value = value if equals else rest.pop(0)
        option = "tag" if option == "-t" else _NAMES.get(option, option.lstrip("-"))
        if option == "mount":
            value = next(iter([*re.findall(r"(?:target|dst)=([^,]+)", value), *value.split(":")[1:2], value]))
        yield f"{name} {option} {os.path.normpath(folder / value) if option == 'file' else value}"
    if name == "build":
        place = [os.path.normpath(folder / one) for one in place]
    yield f"{name} of {' '.join(place)}"


def _plain(fact: str, tree: Path) -> str:
    """Return a fact without what differs from one machine and one run to the next."""
    text = fact.replace(str(tree), "{tree}").replace("{tree}/", "")
    text = re.sub(rf"{re.escape(str(cache_dir()))}/(sources|dockerfiles)/[0-9a-f]+", r"{cache}/\1/{hash}", text)
    text = text.replace(f"{{hash}}/{tree.name}", "{hash}/{tree}")
    text = re.sub(r"\b[0-9a-f]{40}\b", "{commit}", text)
    text = re.sub(r"-j \d+", "-j {jobs}", text)
    text = re.sub(r"\bcap-add CAP_", "cap-add ", text)
    # Which groups a host has, and how a checkout's folder is called, is no matter of the two.
    text = re.sub(r"\bgroup-add [1-9]\d*$", "group-add {host}", text)
    text = text.replace(f"/mnt/{tree.name}", "/mnt/{tree}").replace(f"devbox-{tree.name}-", "devbox-{tree}-")
    text = re.sub(r"(devbox-\{tree\}-)[0-9a-f]{6}\b", r"\1{hash}", text)
    return re.sub(r"\bdevbox-image-[0-9a-f]{8}\b", "devbox-image-{token}", text)


def lines_of(page: dict[str, Any], tree: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the lines of a migration page that a project's own script is run for, and its own dry run.

    A line, or its table, may say the dry run as `dry`: {asked} is what is replaced, less a remark and what follows a
    comma. A line of another tree, one with `dry = ""`, and a table that is known by files that `tree` lacks, have none.
    """
    rule = page.get("conformance", {})
    for table in page["tables"]:
        known_by = table.get("known_by", ())
        if not rule or not all((tree / one).exists() for one in known_by) or ("tree" in table and not known_by):
            continue
        for row in table["rows"]:
            if "devbox" not in row or "unshown" in row or "tree" in row:
                continue
            was = re.sub(r" \([^()]*\)$", "", row["was"]).partition(",")[0]
            dry = row.get("dry", table.get("dry", rule.get("dry", "") if was.startswith(rule["prefix"]) else ""))
            if dry:
                yield row, dry.replace("{asked}", was.removeprefix(rule["prefix"]))


def differences(page: dict[str, Any], row: dict[str, Any]) -> list[Difference]:
    """Return in what a recorded line differs, each with the first reason of its page that fits.

    Where devbox refuses, or builds stages of its own, that is the one difference. What both sides say, and say
    differently, is told as changed: a reason for what one side lacks is none for that.
    """
    there, here = set(row["there"]), set(row["here"])
    refused = [("here", fact) for fact in sorted(here) if fact.startswith("error: ")]
    if "image build" in row["devbox"] and not {"--upstream", "--file"} & set(row["devbox"].split()):
        refused = [("here", "stages of devbox's own")]
    only = [("there", one) for one in sorted(there - here)] + [("here", one) for one in sorted(here - there)]
    keys = [_key(fact) for _, fact in only]
    told = [
        (side, f"changed {fact}" if key and keys.count(key) > 1 else fact)
        for (side, fact), key in zip(only, keys, strict=True)
    ]
    return [Difference(side, fact, *_why(page.get("reasons", ()), f"{side} {fact}")) for side, fact in refused or told]


def _key(fact: str) -> str:
    """Return what a fact gives a value, "" for one that may be there several times."""
    found = re.match(r"build (?:build-arg \w+(?==)|target\b|file\b)", fact)
    return found[0] if found else ""


def _why(reasons: Sequence[dict[str, Any]], text: str) -> tuple[str, bool]:
    found: dict[str, Any] = next((one for one in reasons if fnmatchcase(text, one["what"])), {})
    return found.get("why", ""), found.get("same", False)


def record(tree: Path, name: str, page: dict[str, Any]) -> dict[str, Any]:
    """Run both sides of each line in a checkout, and return what they say."""
    revision = subprocess.run(["git", "-C", str(tree), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    rule = page["conformance"]
    version = assigned(tree, rule["version"], rule.get("version_key", "__version__"))
    folder_of_docker = rule.get("folder", "")
    makefile = read_makefile(tree, f"{folder_of_docker}/Makefile", {})
    rows = []
    with (
        tempfile.TemporaryDirectory() as folder,
        programs_in(Path(folder)) as programs,
        pytest.MonkeyPatch.context() as patch,
    ):
        docker = Path(folder) / "bin/docker"
        docker.parent.mkdir()
        docker.write_text(_DOCKER)
        docker.chmod(0o755)
        environ = {"PATH": f"{docker.parent}:{os.environ['PATH']}", "HOME": "/home/kim", "USER": "kim"}
        stand_on(programs, patch)
        patch.chdir(tree)
        for row, dry in lines_of(page, tree):
            was, devbox = row["was"], row["devbox"]
            target = was.removeprefix(rule["prefix"]).split()[0]
            if makefile is not None and target.rpartition("_")[0] not in makefile.prefixes():
                continue  # `%_build` takes any name: a target that this checkout does not know builds what nobody meant
            with patch.context() as one:
                for variable, value in row.get("env", {}).items():
                    one.setenv(variable, value)
                here = _here(devbox, tree, environ)
            there = facts(_run(dry, tree, {**environ, **row.get("env", {})}), tree, folder_of_docker)
            if there:  # else this checkout's script does not know it
                rows.append({"was": was, "devbox": devbox, "there": there, "here": here})
    return {
        "system": name,
        "version": version.value if version else "",
        "revision": revision.stdout.strip(),
        "date": time.strftime("%Y-%m-%d"),
        "rows": rows,
    }


def _run(line: str, tree: Path, environ: dict[str, str]) -> str:
    """Return what a line of shell prints, and which Dockerfile it writes."""
    for file in tree.glob(_RENDERED):
        file.unlink()
    done = subprocess.run(["bash", "-c", line], cwd=tree, env=environ, capture_output=True, text=True, check=False)
    made = "".join(
        f"\ndocker rendered {hashlib.sha256(file.read_bytes()).hexdigest()[:16]}\n" for file in tree.glob(_RENDERED)
    )
    return done.stdout + made


def _here(line: str, tree: Path, environ: dict[str, str]) -> list[str]:
    """Return what devbox's commands would have docker do, or what it says instead."""
    found: list[str] = []
    for command in line.split(" && "):
        args = shlex.split(command)[1:]
        if args[0] not in {"up", "image"}:
            continue
        end = args.index("--") if "--" in args else len(args)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run([*args[:end], *(["--trust"] if args[0] == "up" else []), "--dry-run", *args[end:]])
        said = next((text for text in err.getvalue().splitlines() if text.startswith("error: ")), "")
        printed = out.getvalue()
        printed += "".join(_run(one, tree, environ) for one in printed.splitlines() if one.startswith("env -C "))
        made = facts(printed, tree) if code == 0 else [said]
        # What `up` builds first is of devbox's own stages.
        found += [fact for fact in made if args[0] != "up" or not fact.startswith(("build ", "pull "))]
    return sorted(set(found))


def moved(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """Yield what is not as it was recorded, line by line."""
    old = {row["was"]: row for row in before.get("rows", ())}
    for row in now["rows"]:
        for side in ("there", "here"):
            was, is_now = set(old.get(row["was"], {}).get(side, ())), set(row[side])
            yield from (f"{row['was']}: {side} no more: {fact}" for fact in sorted(was - is_now))
            yield from (f"{row['was']}: {side} now: {fact}" for fact in sorted(is_now - was))


def main(trees: Iterable[str]) -> int:
    """Record each checkout, and show what moved and what has no reason."""
    code = 0
    for tree in (Path(one).resolve() for one in trees):
        name, page = next(
            (file.stem, page)
            for file in sorted((DATA / "migration").glob("*.toml"))
            if "conformance" in (page := tomllib.loads(file.read_text(encoding="utf-8")))
            and all((tree / one).exists() for one in page["conformance"]["known_by"])
        )
        now = record(tree, name, page)
        file = DATA / "conformance" / f"{name}-{now['version'] or now['revision'][:12]}.json"
        before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        for text in moved(before, now):
            print(text)
        unexplained = [(row["was"], one) for row in now["rows"] for one in differences(page, row) if not one.why]
        for was, one in unexplained:
            print(f"no reason: {was}: {one.side} alone: {one.fact}")
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
        print(f"{file}: {len(now['rows'])} lines, {len(unexplained)} differences without a reason")
        code |= bool(unexplained)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
