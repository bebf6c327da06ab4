"""``pyc push``: send an image to its registry."""

from __future__ import annotations

import sys

from pycontainer.cli import Session, declare, progress
from pycontainer.cli.declare import echo
from pycontainer.cli.registry_flags import creds_flag, insecure, registry_flags
from pycontainer.engine import events
from pycontainer.errors import StoreError
from pycontainer.image.platform import Platform
from pycontainer.image.reference import Reference
from pycontainer.image.store import Store
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.image.credentials import Login
    from pycontainer.image.events import Listener


@declare.command("push", help="Send an image to the registry that its name says.")
@declare.option("-a", "--all-tags", is_flag=True, help="Send all tags of the repository")
@declare.option(
    "--platform", default="", metavar="OS/ARCH", help="Send only an image for this os/architecture[/variant]"
)
@declare.option("-q", "--quiet", is_flag=True, help="Show only its name when it is there")
@declare.option("-f", "--format", "form", default="", metavar="FORMAT", help="In this format: oci or docker (or v2s2)")
@declare.option("--compression-format", "compression", default="", metavar="NAME", help="All layers so: gzip or zstd")
@declare.option("--digestfile", default="", metavar="FILE", help="Write the digest of what was sent there")
@registry_flags
@creds_flag
@declare.option("--disable-content-trust", is_flag=True, hidden=True, expose_value=False)
@declare.argument("name", metavar="NAME[:TAG]")
@declare.pass_obj
def command(
    session: Session,
    /,
    name: str,
    all_tags: bool,
    platform: str,
    quiet: bool,
    form: str,
    compression: str,
    digestfile: str,
    tls_verify: bool | None,
    creds: Login | None,
) -> None:
    """Send an image."""
    from pycontainer.engine.image.login import for_registry_of
    from pycontainer.engine.image.push import tags_of  # requests: +80 ms

    store = Store(session.roots.root)
    references = tags_of(store, name) if all_tags else [Reference.parse(name)]
    wanted = Platform.parse(platform) if platform else None
    if not quiet:
        if not all_tags and references[0].tag == "latest" and ":latest" not in name:
            echo("Using default tag: latest")
        echo(f"The push refers to repository [{references[0].name}]")
    known, anyhow = for_registry_of(str(references[0]), creds), insecure(tls_verify)
    how = {"platform": wanted, "credentials": known, "insecure": anyhow, "form": form, "compression": compression}
    digests = [_push(store, reference, quiet=quiet, **how) for reference in references]
    for reference in references:
        events.tell(session.roots, "image", "push", reference.familiar, name=reference.familiar_name)
    if digestfile:
        _write(digestfile, "\n".join(digests))


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError as error:
        raise StoreError(f"can't write {path}: {(error.strerror or '').lower()}") from None


def _push(store: Store, reference: Reference, *, quiet: bool, **how: Any) -> str:
    from pycontainer.engine.image.push import push

    bars = progress.for_stream(sys.stdout, progress.PUSH)
    listener: Listener | None = None if quiet else bars
    try:
        pushed = push(store, reference, progress=listener, **how)
    finally:
        bars.close()
    if quiet:
        echo(str(reference))
    else:
        echo(f"{reference.tag}: digest: {pushed.digest} size: {pushed.size}")
    return pushed.digest
