"""``pyc save``: write images into an archive."""

from __future__ import annotations

import os
from contextlib import nullcontext

from pycontainer.cli import Session, declare
from pycontainer.engine import events
from pycontainer.errors import UsageError
from pycontainer.image.platform import Platform
from pycontainer.image.store import Store


@declare.command("save", help="Write images with their names into a tar archive, which docker and podman can load.")
@declare.option("-o", "--output", default="", metavar="FILE", help="Write to a file instead of stdout")
@declare.option(
    "--platform", default="", metavar="OS/ARCH", help="Write only an image for this os/architecture[/variant]"
)
@declare.option(
    "--format",
    "form",
    default="docker-archive",
    metavar="FORMAT",
    help="docker-archive, which is an image layout as well, or oci-archive, which is nothing else",
)
@declare.argument("names", metavar="IMAGE...", nargs=-1, required=True)
@declare.pass_obj
def command(session: Session, /, names: tuple[str, ...], output: str, platform: str, form: str) -> None:
    """Write images into an archive."""
    from pycontainer.engine.image.archives import save  # +30 ms
    from pycontainer.engine.output import whole_file

    if not output and os.isatty(1):
        raise UsageError("cowardly refusing to save to a terminal", hint="say -o FILE, or redirect")
    wanted = Platform.parse(platform) if platform else None
    with whole_file(output) if output else nullcontext(1) as fd:
        save(Store(session.roots.root), names, fd, form=form, platform=wanted)
    for name in names:
        events.tell(session.roots, "image", "save", name, name=name)
