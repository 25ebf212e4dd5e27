"""`devbox image list`, `inspect`, `rm` and `prune`."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING, Annotated

import typer

from devbox.cli.application import Application, application, workspace
from devbox.cli.options import AllOption, UnaskedOption, WorkspaceOption, WouldRemoveOption, examples
from devbox.cli.removing import agreed, parse_age, were_kept
from devbox.masking import folded
from devbox.ui.console import size
from devbox.ui.tables import age, table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from devbox.image.building.copies import CheckoutCopy
    from devbox.image.life import Details, OwnImage


app = typer.Typer()


@app.command("list")
@examples({"devbox image list": "All images that devbox made."})
def list_(context: typer.Context) -> None:
    """List devbox's images on the engine: package bases, stages, and those of dev containers."""
    from devbox.image.life import images

    run = application(context)
    found = images(run.engine)
    run.show(found, lambda: _table(found) or "no images")


@app.command()
@examples({"devbox image inspect devbox-base:cuda13.0-debian12": "What an image is, and who uses it."})
def inspect(
    context: typer.Context,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="Its name or id.")],
) -> None:
    """Show what an image is: what it was made from, its user, program, ports and labels, and who uses it."""
    from devbox.image.life import details

    run = application(context)
    found = details(run.engine, image)
    run.show(found, lambda: _about(found, str if run.console.verbose else folded))


@app.command()
@examples({"devbox image rm devbox-base:cuda13.0-debian12 --yes": "Remove an image without asking."})
def rm(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="IMAGE…", help="Their names or ids.")],
    yes: UnaskedOption = False,
    dry_run: WouldRemoveOption = False,
) -> None:
    """Remove images of devbox's. One that a container is made from is never removed."""
    from devbox.disk.prune import of_image
    from devbox.image.life import removable

    run = application(context)
    doomed = [(one, "you named it") for one in removable(run.engine, names)]
    goings = [of_image(one, why, run.engine) for one, why in doomed]
    dry_run = not agreed(run, goings, again=shlex.join(["devbox", "image", "rm", *names]), yes=yes, dry_run=dry_run)
    _remove(run, doomed, dry_run=dry_run)


@app.command()
@examples(
    {
        "devbox image prune": "Images of this checkout that newer ones have replaced.",
        "devbox image prune --all --unused --dry-run": "See all that no container is made from.",
    }
)
def prune(
    context: typer.Context,
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="30d|12h", help="Spare images that are newer.")
    ] = None,
    path: WorkspaceOption = None,
    everything: AllOption = False,
    unused: Annotated[
        bool, typer.Option("--unused", help="Also the newest of each: all that no container is made from.")
    ] = False,
    bases: Annotated[bool, typer.Option("--bases", help="With --all --unused, also the package bases.")] = False,
    yes: UnaskedOption = False,
    dry_run: WouldRemoveOption = False,
) -> None:
    """Remove images of a checkout that a newer one has replaced; never one in use. With --all all of devbox's.

    These are also those of frameworks, which checkouts share, and those that have no name any more. The copies of
    checkouts for image builds go too, where the checkout is gone or was not built for 30 days.
    """
    from devbox.container.desired import slug
    from devbox.disk.prune import of_copy, of_image
    from devbox.image.building import copies, source
    from devbox.image.life import images, is_of, prunable

    run = application(context)
    limit = None if older_than is None else parse_age(older_than)
    known, kept = images(run.engine), copies.copies()
    if not everything:
        folder = workspace(path)
        known = tuple(one for one in known if is_of(one, slug(folder.name)))
        kept = tuple(one for one in kept if one.checkout == folder)
    doomed = prunable(known, now=time.time(), older_than=limit, everything=unused, bases=bases)
    sources = copies.prunable(kept, now=time.time())
    if kept:
        taken = size(sum(one.size for one in kept))
        run.console.info(
            f"note: copies of checkouts for image builds take {taken}: {len(kept)} in {source.copies_dir()}"
        )
    if not doomed and not sources:
        if not everything:
            run.console.info("devbox image prune --all   # looks at every workspace")
        run.show({"removed": []}, lambda: "nothing to remove")
        return
    goings = [*(of_image(one, why, run.engine) for one, why in doomed), *(of_copy(one, why) for one, why in sources)]
    dry_run = not agreed(run, goings, again="devbox image prune …", yes=yes, dry_run=dry_run)
    _remove(run, doomed, [copy for copy, _ in sources], dry_run=dry_run)


def _remove(
    run: Application,
    doomed: Sequence[tuple[OwnImage, str]],
    sources: Sequence[CheckoutCopy] = (),
    *,
    dry_run: bool,
) -> None:
    from devbox.disk.prune import of_copy, of_image
    from devbox.image.building.copies import kept_by
    from devbox.image.life import remove

    chosen = [one for one, _ in doomed]
    if dry_run:
        goings = [*(of_image(one, "", run.engine) for one in chosen), *(of_copy(copy, "") for copy in sources)]
        lines = [line for one in goings for line in one.commands]
        shown = {"would_remove": chosen, "would_remove_copies": sources, "commands": lines}
        run.show(shown, lambda: "\n".join(lines))
        return
    gone = remove(run.engine, chosen)
    why = {copy: kept_by(copy) for copy in sources}
    left = [copy for copy in sources if why[copy] is None]
    were_kept(
        run,
        [
            *(of_image(one, "something else is made from it", run.engine) for one in chosen if one not in gone),
            *(of_copy(copy, reason) for copy, reason in why.items() if reason is not None),
        ],
    )
    names = [*(one.shown for one in gone), *(str(copy.folder) for copy in left)]
    run.show({"removed": gone, "removed_copies": left}, lambda: "\n".join(names) or "nothing was removed")


def _table(images: Sequence[OwnImage]) -> str:
    rows = [
        (
            one.shown,
            one.kind,
            f"{one.framework} ({one.variant})" if one.variant else one.framework or "-",
            one.stage or "-",
            size(one.size),
            age(one.created),
            ", ".join(one.used_by) or "-",
        )
        for one in images
    ]
    return table(("image", "kind", "framework", "stage", "size", "made", "used by"), rows)


def _about(found: Details, shown: Callable[[str], str]) -> str:
    rows = [
        ("id", found.id.removeprefix("sha256:")[:12]),
        ("names", ", ".join(found.names)),
        ("digests", ", ".join(found.digests)),
        ("made", found.created.partition(".")[0]),
        ("platform", found.platform),
        ("size", f"{size(found.size)} in {found.layers} layers"),
        ("user", found.user),
        ("folder", found.workdir),
        ("program", " ".join((*found.entrypoint, *found.command))),
        ("ports", ", ".join(found.ports)),
        ("variables", ", ".join(map(shown, found.env))),
        ("used by", ", ".join(found.used_by)),
    ]
    lines = [f"{name:<10} {value}" for name, value in rows if value]
    return "\n".join([*lines, *(f"{'label':<10} {name}={shown(value)}" for name, value in found.labels)])
