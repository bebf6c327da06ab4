"""``pyc manifest``: one name for the images of several kinds of machines."""

from __future__ import annotations

import json
import sys

import click

from pycontainer.cli import Session, progress
from pycontainer.cli.listing import for_each
from pycontainer.cli.registry_flags import creds_flag, insecure, registry_flags
from pycontainer.cli.template import to_json
from pycontainer.image.store import Store
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.engine.image.manifests import Access
    from pycontainer.image.credentials import Login


_INSECURE = click.option(
    "--insecure", "insecurely", is_flag=True, help="The registry may be plain HTTP, or have any certificate"
)


def _access(name: str, insecurely: bool, tls_verify: bool | None, creds: Login | None = None) -> Access:
    """How to reach the registry of that name, and others."""
    from pycontainer.engine.image.login import for_registry_of
    from pycontainer.engine.image.manifests import Access

    return Access(True if insecurely else insecure(tls_verify), for_registry_of(name, creds))


@click.command("create", help="Make a list of images: of this machine, or of registries.")
@click.option("-a", "--amend", is_flag=True, help="Add to a list that is there")
@_INSECURE
@registry_flags
@click.argument("name", metavar="LIST")
@click.argument("manifests", metavar="IMAGE...", nargs=-1, required=True)
@click.pass_obj
def create(
    session: Session,
    /,
    name: str,
    manifests: tuple[str, ...],
    amend: bool,
    insecurely: bool,
    tls_verify: bool | None,
) -> None:
    """Make a list."""
    from pycontainer.engine.image import manifests as engine  # requests: +80 ms

    access = _access(name, insecurely, tls_verify)
    made = engine.create(Store(session.roots.root), name, manifests, amend=amend, access=access)
    click.echo(f"Created manifest list {made}")


@click.command("annotate", help="Say what an image of a list is for.")
@click.option("--arch", default="", help="The processor's architecture, as amd64")
@click.option("--os", "os_name", default="", help="The operating system, as linux")
@click.option("--os-features", multiple=True, help="A feature of the operating system that is needed")
@click.option("--os-version", default="", help="The version of the operating system")
@click.option("--variant", default="", help="The variant of the architecture, as v7")
@click.argument("name", metavar="LIST")
@click.argument("manifest", metavar="IMAGE")
@click.pass_obj
def annotate(
    session: Session,
    /,
    name: str,
    manifest: str,
    arch: str,
    os_name: str,
    os_features: tuple[str, ...],
    os_version: str,
    variant: str,
) -> None:
    """Say what an image is for."""
    from pycontainer.engine.image import manifest_list

    manifest_list.annotate(
        Store(session.roots.root),
        name,
        manifest,
        architecture=arch,
        os_name=os_name,
        variant=variant,
        os_version=os_version,
        os_features=[word for words in os_features for word in words.split(",")],
    )


@click.command("push", help="Send a list to its registry, and what is missing there of its images.")
@click.option("-p", "--purge", is_flag=True, help="Forget the list afterwards")
@_INSECURE
@registry_flags
@creds_flag
@click.argument("name", metavar="LIST")
@click.pass_obj
def push(
    session: Session, /, name: str, purge: bool, insecurely: bool, tls_verify: bool | None, creds: Login | None
) -> None:
    """Send a list."""
    from pycontainer.engine.image import manifests as engine

    bars = progress.for_stream(sys.stderr, progress.PUSH)
    try:
        access = _access(name, insecurely, tls_verify, creds)
        pushed = engine.push(Store(session.roots.root), name, purge=purge, progress=bars, access=access)
    finally:
        bars.close()
    click.echo(pushed.digest)


@click.command("inspect", help="Show a list, an image of it, or what a registry has under a name.")
@click.option("-v", "--verbose", is_flag=True, help="Show the manifests of a list as well")
@_INSECURE
@registry_flags
@creds_flag
@click.argument("names", metavar="[LIST] NAME", nargs=-1, required=True)
@click.pass_obj
def inspect(
    session: Session,
    /,
    names: tuple[str, ...],
    verbose: bool,
    insecurely: bool,
    tls_verify: bool | None,
    creds: Login | None,
) -> None:
    """Show a list or manifest."""
    if len(names) > 2:
        raise click.UsageError("there are more than two names")
    from pycontainer.engine.image import manifests as engine

    store, access = Store(session.roots.root), _access(names[0], insecurely, tls_verify, creds)
    document: Any = json.loads(engine.inspect(store, *names, access=access).data)
    if verbose:
        document = engine.details(store, *names, access=access)
    click.echo(to_json(document, indent=3))


@click.command("rm", help="Forget lists; images are not touched.")
@click.argument("names", metavar="LIST...", nargs=-1, required=True)
@click.pass_obj
def rm(session: Session, /, names: tuple[str, ...]) -> int:
    """Forget lists."""
    from pycontainer.engine.image import manifest_list

    return for_each(names, lambda name: manifest_list.remove(Store(session.roots.root), name))
