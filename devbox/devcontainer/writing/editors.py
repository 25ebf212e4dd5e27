"""What a contract tells the editors: extensions, settings and backends for people who write C++ and CUDA."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from devbox.agent.volume import CURRENT as LINK

if TYPE_CHECKING:
    from devbox.devcontainer.jsonc import JSON
    from devbox.frameworks.model import Framework

# `devbox build` keeps this link on the build tree that was built last.
CURRENT = f"/build/{LINK}"

_CLANGD = "llvm-vs-code-extensions.vscode-clangd"
_CMAKE_TOOLS = "ms-vscode.cmake-tools"


def editors(framework: Framework) -> JSON:
    """Return the `customizations` of VS Code and of JetBrains' editors for `framework`.

    nvcc's own flags, which clangd does not know, are taken away by a configuration file in the image, so that neither
    the checkout nor the settings hold it.
    """
    settings: dict[str, Any] = {}
    if _CLANGD in framework.extensions:
        settings["clangd.arguments"] = [f"--compile-commands-dir={CURRENT}", "--background-index"]
        # Two language servers over one tree cost twice the memory and contradict each other. The other extension is
        # there for its debugger.
        settings["C_Cpp.intelliSenseEngine"] = "disabled"
    if _CMAKE_TOOLS in framework.extensions:
        # The build trees are devbox's: the extension would configure one of its own inside the checkout.
        settings["cmake.configureOnOpen"] = False
        settings["cmake.automaticReconfigure"] = False
    return {
        "vscode": {"extensions": list(framework.extensions), "settings": settings | dict(framework.settings)},
        "jetbrains": {"backend": "CLion"},
    }
