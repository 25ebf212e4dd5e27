"""Options that several commands share, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PathArgument = Annotated[
    Path | None, typer.Argument(metavar="PATH", help="The checkout.", show_default="the current folder")
]
WorkspaceOption = Annotated[
    Path | None,
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
    str | None,
    typer.Option("--framework", "-f", metavar="NAME", help="The framework; without it, detected from the checkout."),
]
VariantOption = Annotated[
    str | None, typer.Option("--variant", metavar="NAME", help="The framework's variant, such as cuda13 or cpu.")
]
ArchOption = Annotated[
    str | None, typer.Option("--arch", metavar="auto|90|9.0", help="The GPU architectures to compile for.")
]
TrustOption = Annotated[bool, typer.Option("--trust", help="Consent to what the contract reaches on the host.")]
BaseImageOption = Annotated[
    str | None,
    typer.Option("--base-image", metavar="IMAGE", help="Build on this image; 'package' means the package base."),
]
GpusOption = Annotated[
    str | None, typer.Option("--gpus", metavar="none|auto|all|0,1|UUID", help="The GPUs that the container gets.")
]
UserOption = Annotated[
    str | None, typer.Option("--user", metavar="host|root|UID:GID[:NAME]", help="Who you are inside.")
]
FlatOption = Annotated[bool, typer.Option("--flat", help="Write .devcontainer.json at the top of the checkout.")]
FindLinksOption = Annotated[
    Path | None,
    typer.Option("--find-links", metavar="FOLDER|none", help="A folder of wheels that image builds may install from."),
]
SecretsFileOption = Annotated[
    Path | None,
    typer.Option(
        "--secrets-file",
        metavar="FILE",
        envvar="DEVBOX_SECRETS_FILE",
        help="A JSON file of names and values, for lifecycle commands alone; - is stdin.",
    ),
]
NameOption = Annotated[str | None, typer.Option("--name", metavar="NAME", help="The container's name.")]
ServicesOption = Annotated[
    str | None, typer.Option("--services", metavar="redis,etcd|none", help="What runs beside it, with --compose.")
]
RepositoriesOption = Annotated[
    str | None, typer.Option("--repositories", metavar="PATH,…|none", help="Further checkouts in the same container.")
]
RepositoryOption = Annotated[
    str | None, typer.Option("--repository", metavar="NAME", help="A further checkout in the container, such as vllm.")
]
MountOption = Annotated[
    list[str] | None,
    typer.Option("--mount", metavar="SOURCE:TARGET[:ro]|type=…|none", help="A further mount. May be repeated."),
]
EnvOption = Annotated[
    list[str] | None,
    typer.Option(
        "--env", "-e", metavar="NAME[=VALUE]|none", help="A variable; by its name, the host's. May be repeated."
    ),
]
PortOption = Annotated[
    list[str] | None,
    typer.Option(
        "--port",
        "-p",
        metavar="[[ADDRESS:]OUTER:]INNER|none",
        help="A port to publish, on this machine alone unless an address is named. May be repeated.",
    ),
]
RunArgOption = Annotated[
    list[str] | None,
    typer.Option(
        "--run-arg", metavar="WORD|none", help="A word for `docker run`, such as --network=host. May be repeated."
    ),
]
ComposeOption = Annotated[
    bool, typer.Option("--compose", help="Start it with Docker Compose, with services beside it.")
]
CompilerCacheOption = Annotated[
    str | None, typer.Option("--compiler-cache", metavar="ccache|sccache|none", help="The compiler cache.")
]
