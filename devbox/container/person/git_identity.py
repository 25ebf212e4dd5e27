"""The user's git identity inside: who commits, and the habits that git commands depend on. No credential is copied.

VS Code copies `~/.gitconfig` into a container that has none. devbox writes the lesser file beside it,
`~/.config/git/config`: git reads it first, so all that the container has of its own wins, and VS Code, which looks at
`~/.gitconfig` alone, still copies what it always copies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.container import memory
from devbox.container.inside.home import HOMELESS, OWN_HOME, homeless
from devbox.engine.exec import Exec
from devbox.facts.git import git

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from devbox.container.inside.probe import Reading
    from devbox.engine.docker import Engine

# What is copied: of these sections all or some keys. Nothing that holds a path or a program of the host, or a secret.
_SECTIONS = frozenset(
    {"alias", "advice", "branch", "color", "column", "fetch", "log", "pull", "push", "rebase", "rerere"}
)
_KEYS = frozenset(
    {
        "user.name",
        "user.email",
        "author.name",
        "author.email",
        "committer.name",
        "committer.email",
        "commit.cleanup",
        "commit.verbose",
        "core.abbrev",
        "core.autocrlf",
        "core.quotepath",
        "core.whitespace",
        "diff.algorithm",
        "diff.colormoved",
        "diff.mnemonicprefix",
        "diff.renames",
        "init.defaultbranch",
        "merge.conflictstyle",
        "merge.ff",
        "status.short",
        "status.showuntrackedfiles",
        "tag.sort",
    }
)

# How deep repositories below the workspace are looked for.
_DEPTH = 6

# $1 is the workspace's folder; the settings come on stdin. A file that is there is the container's own, and gets none;
# with `again` as $2 one that is gone stays so.
# git refuses a repository of another user, and says so only when it is used: then its folder is named as safe. That is
# the workspace's, and each one below it, such as a submodule's, and no other. Those that come later are named by the
# next `up`, and git from 2.46 on takes all below a folder. Prints whether there are such repositories.
_WRITE = rf"""
{OWN_HOME}
umask 077
for home in "$HOME" "$(own_home)"; do
  [ -n "$home" ] && mkdir -p "$home" 2>/dev/null && [ -w "$home" ] && break
  home=
done
[ -n "$home" ] || exit {HOMELESS}
command -v git >/dev/null 2>&1 || exit 0
place=${{XDG_CONFIG_HOME:-$home/.config}}/git
file=$place/config
[ "$2" != again ] || [ -e "$file" ] || exit 0
mkdir -p "$place" || exit 1
new=$file
if [ -e "$file" ]; then cat >/dev/null; else new=$file.$$; cat >"$new" || exit 1; fi
top=$1
while [ "$top" != / ] && [ ! -e "$top/.git" ]; do top=${{top%/*}}; top=${{top:-/}}; done
{{
  [ "$top" = / ] || echo "$top"
  find "$1" -xdev -maxdepth {_DEPTH} \( -name node_modules -o -name .git \) -prune -name .git -print 2>/dev/null
}} | sed 's|/\.git$||' | sort -u | while IFS= read -r folder; do
  case $(LC_ALL=C git -C "$folder" rev-parse --git-dir 2>&1 >/dev/null) in
    *"dubious ownership"* | *"unsafe repository"*)
      below=$(git config --file "$new" --get-all safe.directory)
      [ -n "$below" ] || git config --file "$new" --add safe.directory "$1/*"
      git config --file "$new" --add safe.directory "$folder" ;;
  esac
done
! git config --file "$new" --get safe.directory >/dev/null || echo foreign
[ "$new" != "$file" ] || exit 0
[ -s "$new" ] || {{ rm -f "$new"; exit 0; }}
mv "$new" "$file"
"""


def of_host(workspace: Path, environ: Mapping[str, str]) -> str:
    """Return what git on the host would use in `workspace`, as a git config file; empty without git.

    The user's and the system's settings count, with their conditional includes; not the repository's own, which the
    container sees anyway.
    """
    done = git(workspace, "config", "--list", "--null", "--show-scope", "--includes", environ=environ)
    if done is None or not done.ok:
        return ""
    items = done.stdout.split("\0")
    return config_file(
        (name, value)
        for scope, entry in zip(items[::2], items[1::2], strict=False)
        if scope in {"system", "global"}
        for name, _, value in (entry.partition("\n"),)
    )


def config_file(settings: Iterable[tuple[str, str]]) -> str:
    """Return those of the settings (name as git prints it, value) that are copied, as a git config file.

    An alias that runs a program of its own is left out: it may hold anything.
    """
    lines: list[str] = []
    for name, value in settings:
        section, _, rest = name.partition(".")
        subsection, _, key = rest.rpartition(".")
        wanted = name in _KEYS or (section in _SECTIONS and not subsection)
        if not wanted or (section == "alias" and value.startswith("!")):
            continue
        lines += [f"[{section}]\n", f"\t{key} = {_quoted(value)}\n"]
    return "".join(lines)


def _quoted(value: str) -> str:
    """Write a value so that git reads it back as it is, whatever is in it."""
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\b": "\\b"}
    return '"' + "".join(escapes.get(character, character) for character in value) + '"'


def provide(engine: Engine, read: Reading) -> str | None:
    """Write the identity into a running container, once in its life; return a warning if that failed.

    Where repositories in it belong to another user, each time: further ones may have come.
    """
    if memory.identity_given(read.id) and not memory.has_foreign(read.id):
        return None
    again = memory.identity_given(read.id)
    text = "" if again else of_host(read.workspace, engine.environ)
    argv = ("sh", "-c", _WRITE, "identity", read.folder, "again" if again else "first")
    done = engine.execute(Exec(read.id, argv, read.user), input_text=text)
    memory.remember_identity(read.id, foreign="foreign" in done.stdout.split())
    if done.ok:
        return None
    if done.code == HOMELESS:
        return homeless(read.user)
    return f"git inside does not know who you are ({done.stderr.strip() or f'exit code {done.code}'})"
