"""``run --dry-run``: the plan of a container that is not made. It reads, and touches nothing."""

from __future__ import annotations

from pycontainer import cgroups
from pycontainer.engine.create import describe
from pycontainer.engine.identity import new_identity
from pycontainer.engine.image.sources import open_source
from pycontainer.engine.options import Roots, RunOptions
from pycontainer.engine.run import stdio_of
from pycontainer.engine.start import given_slots, group_for, plan_for
from pycontainer.errors import NotFound, StoreError
from pycontainer.image.manifest import Descriptor, ImageConfig
from pycontainer.image.model import Image, Layer, LayerFacts
from pycontainer.image.store import Store
from pycontainer.oci.user import User
from pycontainer.plan.container import NO_NETWORK
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.core.step import Plan
    from pycontainer.engine.bundle import Bundle
    from pycontainer.plan.container import Networking


def preview(roots: Roots, options: RunOptions) -> tuple[Plan, str, bool]:
    """The plan, the container's name in it, and whether the image is here.

    Without the image, an empty one of a single layer stands in for it.
    """
    image, here = _image(roots, options)
    container_id, name = new_identity(options)
    bundle = describe(roots, image, options, container_id, name, user=None if here else User(0, 0, (), "/", "root"))
    tty = options.container.tty
    group, given = group_for(bundle, cgroups.detect()), given_slots(stdio_of(options), tty=tty)
    return plan_for(roots, bundle, group, given, network=_network(roots, bundle)), name, here


def _network(roots: Roots, bundle: Bundle) -> Networking:
    if bundle.asked.network in ("none", "host"):
        return NO_NETWORK
    from pycontainer.engine.network.foresight import foresee
    from pycontainer.plan import network

    return network.steps(foresee(roots, bundle))


def _image(roots: Roots, options: RunOptions) -> tuple[Image, bool]:
    source = open_source(options.image)
    try:
        return Store(roots.root).find(str(source.reference) if source else options.image, mend=False), True
    except (NotFound, StoreError):
        digest = "sha256:" + "0" * 64
        return Image(
            id=digest,
            digest=digest,
            names=(options.image,),
            config=ImageConfig(cmd=("sh",)),
            layers=(Layer(digest, f"{roots.root}/layers/LAYER/fs", LayerFacts()),),
            size=0,
            created="",
            manifest=Descriptor("", digest, 0),
        ), False
