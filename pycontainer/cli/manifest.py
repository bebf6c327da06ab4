"""``pyc manifest``: one name for the images of several kinds of machines."""

from __future__ import annotations

import json
import sys

from pycontainer.cli import Session, declare, progress
from pycontainer.cli.declare import echo
from pycontainer.cli.documents import to_json
from pycontainer.cli.listing import for_each
from pycontainer.cli.registry_flags import creds_flag, insecure, registry_flags
from pycontainer.errors import UsageError
from pycontainer.image.store import Store
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.engine.image.manifests import Access
    from pycontainer.image.credentials import Login


_INSECURE = declare.option(
    "--insecure", "insecurely", is_flag=True, help="The registry may be plain HTTP, or have any certificate"
)


def _access(name: str, insecurely: bool, tls_verify: bool | None, creds: Login | None = None) -> Access:
    """How to reach the registry of that name, and others."""
    from pycontainer.engine.image.login import for_registry_of
    from pycontainer.engine.image.manifests import Access

    return Access(True if insecurely else insecure(tls_verify), for_registry_of(name, creds))


@declare.command("create", help="Make a list of images: of this machine, or of registries.")
@declare.option("-a", "--amend", is_flag=True, help="Add to a list that is there")
@_INSECURE
@registry_flags
@declare.argument("name", metavar="LIST")
@declare.argument("manifests", metavar="IMAGE...", nargs=-1, required=True)
@declare.pass_obj
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
    echo(f"Created manifest list {made}")


@declare.command("annotate", help="Say what an image of a list is for.")
@declare.option("--arch", default="", help="The processor's architecture, as amd64")
@declare.option("--os", "os_name", default="", help="The operating system, as linux")
@declare.option("--os-features", multiple=True, help="A feature of the operating system that is needed")
@declare.option("--os-version", default="", help="The version of the operating system")
@declare.option("--variant", default="", help="The variant of the architecture, as v7")
@declare.argument("name", metavar="LIST")
@declare.argument("manifest", metavar="IMAGE")
@declare.pass_obj
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


@declare.command("push", help="Send a list to its registry, and what is missing there of its images.")
@declare.option("-p", "--purge", is_flag=True, help="Forget the list afterwards")
@_INSECURE
@registry_flags
@creds_flag
@declare.argument("name", metavar="LIST")
@declare.pass_obj
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
    echo(pushed.digest)


@declare.command("inspect", help="Show a list, an image of it, or what a registry has under a name.")
@declare.option("-v", "--verbose", is_flag=True, help="Show the manifests of a list as well")
@_INSECURE
@registry_flags
@creds_flag
@declare.argument("names", metavar="[LIST] NAME", nargs=-1, required=True)
@declare.pass_obj
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
        raise UsageError("there are more than two names", hint="see 'pyc manifest inspect --help'")
    from pycontainer.engine.image import manifests as engine

    store, access = Store(session.roots.root), _access(names[0], insecurely, tls_verify, creds)
    document: Any = json.loads(engine.inspect(store, *names, access=access).data)
    if verbose:
        document = engine.details(store, *names, access=access)
    echo(to_json(document, indent=3))


@declare.command("rm", help="Forget lists; images are not touched.")
@declare.argument("names", metavar="LIST...", nargs=-1, required=True)
@declare.pass_obj
def rm(session: Session, /, names: tuple[str, ...]) -> int:
    """Forget lists."""
    from pycontainer.engine.image import manifest_list

    return for_each(names, lambda name: manifest_list.remove(Store(session.roots.root), name))
