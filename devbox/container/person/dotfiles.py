"""Dotfiles: a person's own repository, cloned and installed in each of their dev containers.

As the reference CLI does it: after `postCreateCommand` and before `postStartCommand`, once a container, with the same
settings, install scripts and marker. Unlike there, the marker is left when it has worked, so that what failed is tried
again by the next `up`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from devbox.values import dataclass

if TYPE_CHECKING:
    from devbox.config import Settings

# The name of its marker, and of its place among the lifecycle commands.
NAME = "dotfiles"
TARGET = "~/dotfiles"
# Tried in this order, as the reference does.
SCRIPTS = (
    "install.sh", "install", "bootstrap.sh", "bootstrap", "script/bootstrap", "setup.sh", "setup", "script/setup",
)  # fmt: skip
_PATH = re.compile(r"\.{0,2}/")

# The arguments are the folder, the install command or "", and the names of scripts to look for. The repository and its
# credentials are in the environment.
_INSTALL = r"""
folder=$1 install=$2
shift 2
case $folder in
  "~") folder=$HOME ;;
  "~/"*) folder=$HOME/${folder#"~/"} ;;
  /*) ;;
  *) folder=$HOME/$folder ;;
esac
if [ ! -e "$folder" ]; then
  command -v git >/dev/null || { echo "there is no git in the container" >&2; exit 127; }
  GIT_TERMINAL_PROMPT=0 git clone --depth 1 -- "$DEVBOX_DOTFILES" "$folder" || exit
fi
unset DEVBOX_DOTFILES DEVBOX_GIT_USER DEVBOX_GIT_PASSWORD GIT_CONFIG_COUNT GIT_CONFIG_KEY_0 GIT_CONFIG_VALUE_0
cd "$folder" || exit
run() {
  echo "running $1 of the dotfiles"
  [ -x "$1" ] || chmod +x "$1" || exit
  case $1 in /*) exec "$1" ;; *) exec "./$1" ;; esac
}
if [ -n "$install" ]; then
  case $install in "~/"*) install=$HOME/${install#"~/"} ;; esac
  [ ! -f "$install" ] || run "$install"
  exec sh -c "$install"
fi
for script; do
  [ ! -f "$script" ] || run "$script"
done
for file in .[!.]* ..?*; do
  # A pattern that matches nothing stays as it is.
  [ -e "$file" ] && [ "$file" != .git ] || continue
  [ -h "$HOME/$file" ] || [ ! -d "$HOME/$file" ] || { echo "kept the folder $HOME/$file"; continue; }
  echo "linking $file"
  ln -sfn "$folder/$file" "$HOME/$file" || exit
done
"""
_HELPER = '!f() { echo "username=$DEVBOX_GIT_USER"; echo "password=$DEVBOX_GIT_PASSWORD"; }; f'


@dataclass(frozen=True, slots=True, repr=False)
class Dotfiles:
    """Whose dotfiles to install: a git URL, a path in the container or OWNER/REPO, how, and into which folder."""

    repository: str
    install_command: str = ""
    target: str = TARGET

    @property
    def url(self) -> str:
        """What git is to clone, without a password; OWNER/REPO is on GitHub, as with the reference CLI."""
        if ":" not in self.repository and not _PATH.match(self.repository):
            return f"https://github.com/{self.repository}.git"
        return _without_credentials(self.repository)[0]

    def argv(self) -> tuple[str, ...]:
        """Return the command that installs them in the container; it runs in `environ`."""
        return ("sh", "-c", _INSTALL, NAME, self.target, self.install_command, *SCRIPTS)

    def environ(self) -> dict[str, str]:
        """Return the variables for `argv`. A password in the URL is told to git when it asks: it is in no argv."""
        variables = {"DEVBOX_DOTFILES": self.url}
        _, user, password = _without_credentials(self.repository)
        if user or password:
            variables |= {
                "DEVBOX_GIT_USER": user,
                "DEVBOX_GIT_PASSWORD": password,
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": "credential.helper",
                "GIT_CONFIG_VALUE_0": _HELPER,
            }
        return variables

    def secrets(self) -> tuple[str, ...]:
        """Return what of it must not be shown."""
        _, user, password = _without_credentials(self.repository)
        # A token may stand in the user's place, without a password.
        return tuple(value for value in (password or user,) if value)

    def __repr__(self) -> str:
        return f"Dotfiles({self.url!r}, {self.install_command!r}, {self.target!r})"


def of(settings: Settings) -> Dotfiles | None:
    """Return the dotfiles that the settings name, or None."""
    if not settings.dotfiles_repository:
        return None
    return Dotfiles(
        settings.dotfiles_repository, settings.dotfiles_install_command or "", settings.dotfiles_target_path or TARGET
    )


def _without_credentials(url: str) -> tuple[str, str, str]:
    """Return an http(s) URL without user and password, and these two; any other URL as it is."""
    if not url.lower().startswith(("http://", "https://")):
        return url, "", ""
    parts = urlsplit(url)
    login, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, "", ""
    user, _, password = login.partition(":")
    return urlunsplit(parts._replace(netloc=host)), unquote(user), unquote(password)
