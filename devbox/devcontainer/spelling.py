r"""How the label `devcontainer.local_folder` spells a folder of a WSL distribution.

VS Code runs on Windows there and writes `\\wsl.localhost\Ubuntu\home\me\vllm`, older versions
`\\wsl$\Ubuntu\home\me\vllm`; the reference CLI inside the distribution writes `/home/me/vllm`. Labels are compared as
text, so devbox writes what the editor looks for, and reads all of them.

`exec` reads labels, so this module imports nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_HOSTS = ("wsl.localhost", "wsl$")


def wsl_distribution(environ: Mapping[str, str], kernel: str) -> str | None:
    """Return the name of the WSL distribution that this is, or None elsewhere.

    `kernel` is the kernel's release or the text of /proc/version. Both have to agree: the variable alone may have come
    along through ssh, and the kernel is a container's, too.
    """
    return environ.get("WSL_DISTRO_NAME") or None if "microsoft" in kernel.lower() else None


def windows_spelling(folder: str, distribution: str) -> str:
    """Return the absolute `folder` of a WSL distribution as programs on Windows spell it."""
    return f"\\\\{_HOSTS[0]}\\{distribution}{folder}".replace("/", "\\")


def host_spelling(label: str) -> str:
    """Return the folder or file that a label names as it is called here; other labels are returned as they are."""
    if not label.startswith(("\\\\", "//")):
        return label
    host, _, rest = label.replace("\\", "/").lstrip("/").partition("/")
    if host.lower() not in _HOSTS:
        return label
    return f"/{rest.partition('/')[2]}"
