"""Records the terminal pictures of the tutorial from real runs, as SVG: `python docs/record.py CHECKOUT`.

CHECKOUT is one of llama.cpp without a dev container. It takes tmux, an engine, and as long as the builds take; the
container and its volumes stay, for a look. Each command is typed into a terminal of tmux; rich draws what stands there.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

IMAGES = Path(__file__).resolve().parent / "images"
WIDTH, HEIGHT = 100, 60
SERVER = "devbox-record"
TARGET = "ggml"
EDITED = "ggml/src/ggml-threading.cpp"
# The shell says when it waits for the next command.
_RC = f"""
PS1='$ '; PROMPT_COMMAND='tmux -L {SERVER} wait-for -S "$TMUX_PANE"'
export PATH='{Path(sys.executable).parent}':$PATH DEVBOX_STATE_DIR= CI=
"""


def tmux(*words: str) -> str:
    """Run a command of tmux's on the server of these terminals, and return what it says."""
    return subprocess.run(["tmux", "-L", SERVER, *words], check=True, capture_output=True, text=True).stdout


class Terminal:
    """A shell in a terminal of its own."""

    def __init__(self, folder: Path, rc: str) -> None:
        size = ("-x", str(WIDTH), "-y", str(HEIGHT))
        words = ("new-session", "-d", "-P", "-F", "#{pane_id}", *size, "-c", str(folder), "bash", "--rcfile", rc, "-i")
        self.pane = tmux(*words).strip()
        self.wait()

    def wait(self) -> None:
        """Wait for the prompt."""
        tmux("wait-for", self.pane)

    def type(self, command: str) -> None:
        """Type a command on an empty screen."""
        tmux("send-keys", "-t", self.pane, "C-l")
        tmux("clear-history", "-t", self.pane)
        tmux("send-keys", "-t", self.pane, "-l", command)
        tmux("send-keys", "-t", self.pane, "Enter")

    def screen(self) -> str:
        """Return what stands there, with its colours, without the empty end and the last prompt."""
        text = tmux("capture-pane", "-e", "-p", "-J", "-t", self.pane).rstrip()
        return re.sub(r"\n(\x1b\[[0-9;]*m)*\$\s*$", "", text)


def picture(name: str, title: str, text: str) -> None:
    """Draw a screen. The fonts are the reader's own: rich's format would fetch one."""
    from rich._export_format import CONSOLE_SVG_FORMAT
    from rich.console import Console
    from rich.text import Text

    console = Console(record=True, width=WIDTH, file=open(os.devnull, "w", encoding="utf-8"), force_terminal=True)  # noqa: PTH123, SIM115
    console.print(Text.from_ansi(text))
    own = re.sub(r"@font-face \{\{.*?\n    \}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    own = own.replace("Fira Code, monospace", "ui-monospace, monospace")
    drawn = console.export_svg(title=title, code_format=own, unique_id=name)
    (IMAGES / f"{name}.svg").write_text(drawn.replace("\xa0", "&#160;"), encoding="utf-8")


def _is_under_way(screen: str) -> bool:
    """Tell whether a third of a build is done, and not all of it."""
    found = re.search(r"(\d+)/(\d+) .*left", screen)
    return found is not None and int(found[2]) <= 3 * int(found[1])


def main(checkout: Path) -> None:
    """Record all of them."""
    with tempfile.NamedTemporaryFile("w", suffix=".bashrc") as rc:
        rc.write(_RC)
        rc.flush()
        try:
            shell = Terminal(checkout, rc.name)
            for name, command in (
                ("doctor", "devbox doctor engine gpu memory checkout"),
                ("up", "devbox up --framework cuda --variant cpu --base-image package"),
            ):
                shell.type(command)
                shell.wait()
                picture(f"terminal-{name}", command, shell.screen())
            shell.type(f"devbox build --target {TARGET}")
            other = Terminal(checkout, rc.name)
            other.type("devbox top .")
            while not _is_under_way(top := other.screen()):
                time.sleep(0.2)
            picture("terminal-top", "devbox top .", top)
            tmux("send-keys", "-t", other.pane, "q")
            shell.wait()
            with (checkout / EDITED).open("a", encoding="utf-8") as source:
                source.write("int edited(void);\n")
            shell.type(f"devbox build --target {TARGET}")
            shell.wait()
            picture("terminal-build", f"devbox build --target {TARGET}", shell.screen())
        finally:
            tmux("kill-server")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
