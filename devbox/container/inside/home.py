"""The home folder of a user inside: where $HOME is another's, cannot be written, or is not there.

Images have users without one (`useradd --system`), users that are a number alone, and an `ENV HOME` of another user.
"""

from __future__ import annotations

# For scripts that run inside: `own_home` prints what the accounts say, if anything. Not every image has getent.
OWN_HOME = r"""
own_home() {
  { getent passwd "$(id -u)" || grep "^[^:]*:[^:]*:$(id -u):" /etc/passwd; } 2>/dev/null | head -n 1 | cut -d: -f6
}
"""
# How such a script ends where neither that nor $HOME can be written.
HOMELESS = 3


def homeless(user: str) -> str:
    """Return the sentence about a user without a home folder."""
    return (
        f"{user} has no home folder in the container that it can write to: git does not know there who you are, and "
        "that lifecycle commands were run is remembered on this machine alone. `RUN useradd --create-home` or a "
        '`chown` in the Dockerfile gives it one, and so does "containerEnv": {"HOME": "/tmp"}'
    )
