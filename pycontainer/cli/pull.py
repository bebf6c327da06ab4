"""``pyc pull``: download an image."""

from __future__ import annotations

import sys

from pycontainer.cli import Session, declare, progress
from pycontainer.cli.declare import echo
from pycontainer.cli.listing import for_each
from pycontainer.cli.registry_flags import creds_flag, insecure, registry_flags
from pycontainer.engine import events
from pycontainer.errors import NotFound, UsageError
from pycontainer.image.platform import Platform
from pycontainer.image.reference import Reference
from pycontainer.image.store import Store
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.image.credentials import Login
    from pycontainer.image.model import Image
    from pycontainer.image.registry import Credentials


@declare.command("pull", help="Download an image from a registry.")
@declare.option("-a", "--all-tags", is_flag=True, help="Download all tags of the repository")
@declare.option("--platform", default="", metavar="OS/ARCH", help="Want the image for this os/architecture[/variant]")
@declare.option("-q", "--quiet", is_flag=True, help="Show only its name when it is here")
@declare.option("--explain", is_flag=True, help="Say what happens while it happens")
@registry_flags
@creds_flag
@declare.option("--disable-content-trust", is_flag=True, hidden=True, expose_value=False)
@declare.argument("names", metavar="NAME[:TAG|@DIGEST]...", nargs=-1, required=True)
@declare.pass_obj
def command(
    session: Session,
    /,
    names: tuple[str, ...],
    all_tags: bool,
    platform: str,
    quiet: bool,
    explain: bool,
    tls_verify: bool | None,
    creds: Login | None,
) -> int:
    """Download images."""
    from pycontainer.engine.image.login import for_registry_of

    wanted = Platform.parse(platform) if platform else None
    anyhow = insecure(tls_verify)

    def one(name: str) -> None:
        known = for_registry_of(name, creds)
        for tagged in _all_tags(name, anyhow, known) if all_tags else [name]:
            _pull(session, tagged, wanted, known, quiet=quiet, explain=explain, anyhow=anyhow)

    if len(names) > 1:
        return for_each(names, one)
    one(names[0])
    return 0


def _all_tags(name: str, anyhow: bool | None, known: Credentials | None) -> list[str]:
    from pycontainer.engine.image.obtain import REGISTRY
    from pycontainer.engine.image.search import tags  # requests: +80 ms
    from pycontainer.image.shortnames import candidates

    reference = candidates(name.removeprefix(REGISTRY))[0]
    if reference.digest or ":" in name.rpartition("/")[2]:
        raise UsageError("a tag can't be used with --all-tags")
    return [f"{reference.name}:{tag}" for tag in tags(reference, insecure=anyhow, credentials=known)]


def _pull(
    session: Session,
    name: str,
    wanted: Platform | None,
    known: Credentials | None,
    *,
    quiet: bool,
    explain: bool,
    anyhow: bool | None,
) -> None:
    from pycontainer.engine.image.obtain import of_candidates
    from pycontainer.engine.image.pull import pull  # requests: +80 ms
    from pycontainer.engine.image.sources import open_source

    source = open_source(name)
    listener: progress.Listener = progress.for_stream(sys.stdout)
    if explain:
        from pycontainer.explain.pull import PullNarrator

        listener = PullNarrator(sys.stderr)
    store, told = Store(session.roots.root), None if quiet else listener

    def from_registry(reference: Reference) -> Image:
        before = _image_id(store, str(reference))
        if not quiet:
            if reference.tag == "latest" and ":latest" not in name:
                echo("Using default tag: latest")
            echo(f"{reference.tag or reference.digest}: Pulling from {reference.repository}")
        image = pull(store, reference, platform=wanted, progress=told, insecure=anyhow, credentials=known)
        listener.close()
        events.tell(session.roots, "image", "pull", reference.familiar, name=reference.familiar_name)
        return _tell(image, reference, before, quiet=quiet)

    try:
        if source:
            before = _image_id(store, str(source.reference))
            image = source.take(store, platform=wanted, progress=told)
            listener.close()
            _tell(image, source.reference, before, quiet=quiet)
        else:
            of_candidates(name, from_registry, told)
    finally:
        listener.close()


def _tell(image: Image, reference: Reference, before: str, *, quiet: bool) -> Image:
    if not quiet:
        echo(f"Digest: {image.digest}")
        status = "Image is up to date" if before == image.id else "Downloaded newer image"
        echo(f"Status: {status} for {reference.familiar}")
    echo(str(reference))
    return image


def _image_id(store: Store, name: str) -> str:
    try:
        return store.find(name).id
    except NotFound:
        return ""
