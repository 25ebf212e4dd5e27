"""Options that several commands share, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

PathArgument = Annotated[
    Optional[Path],  # noqa: UP045  # typer reads this at run time
    typer.Argument(metavar="PATH", help="The checkout.", show_default="the current folder"),
]
WorkspaceOption = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--workspace", "-w", metavar="PATH", help="The checkout.", show_default="the current folder"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON envelope on stdout.")]
YesOption = Annotated[
    bool, typer.Option("--yes", "-y", help="Answer questions with yes. Does not give consent; see --trust.")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Print the docker commands that would run, and change nothing.")
]
FrameworkOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--framework", "-f", metavar="NAME", help="The framework; without it, detected from the checkout."),
]
VariantOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--variant", metavar="NAME", help="The framework's variant, such as cuda13 or cpu."),
]
