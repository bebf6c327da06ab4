"""``commit``: a container becomes an image: its image's layers, and one more with what it has changed."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Sequence

from pycontainer.engine import containers, events, filesystem
from pycontainer.engine.image.fetch import arriving, fetch
from pycontainer.engine.moments import rfc3339
from pycontainer.errors import InvalidReference
from pycontainer.image import changes, derive
from pycontainer.image.docker_archive import manifest_bytes
from pycontainer.image.manifest import OCI_CONFIG, OCI_MANIFEST, Manifest, load_object
from pycontainer.image.store import Store
from pycontainer.oci import instructions
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots
    from pycontainer.image.model import Image
    from pycontainer.image.reference import Reference


def commit(
    roots: Roots,
    name_or_id: str,
    name: Reference | None = None,
    *,
    author: str = "",
    message: str = "",
    change: Sequence[str] = (),
    pause: bool = True,
) -> Image:
    """Make an image of a container.

    Args:
        name: what to call it; without, it is known by its ID.
        author, message: go into its config and history.
        change: instructions of a Dockerfile that change its config, as ``CMD ["sh"]``.
        pause: let the container stand still meanwhile, if it runs.

    Raises:
        NotFound: no such container. UsageError: a change that is none.
        ImageError: it has files that no layer can hold. StoreError: the disk is full.
    """
    if name and name.digest:
        raise InvalidReference(f"{name.familiar}: an image that is made here can't be given a digest")
    container, store = containers.find(roots, name_or_id), Store(roots.root)
    store.prepare()
    image = store.find(container.image_id)
    config: dict[str, Any] = load_object(store.read_blob(image.id), "the image's config")
    config["config"] = instructions.apply_all(_as_run(config.get("config") or {}, container), change)
    with arriving(store):
        with filesystem.upper(roots, container) as written, _still(container, pause):
            has_written = bool(os.listdir(f"/proc/self/fd/{written}"))
            layer = derive.write_layer(store, changes.layer(written)) if has_written else None
        _add_history(config, container, layer, author, message)
        made = _enter(store, image, config, layer, name)
    events.write(roots, "commit", container, imageID=made.id)
    return made


def _as_run(config: dict[str, Any], container: Container) -> dict[str, Any]:
    """The image's config with what the container was asked to do otherwise; as in docker, its command too."""
    asked, config = container.options, dict(config)
    if asked.get("entrypoint") is not None:
        config["Entrypoint"], config["Cmd"] = list(filter(None, [asked["entrypoint"]])), []
    if asked.get("command"):
        config["Cmd"] = list(asked["command"])
    variables = {entry.partition("=")[0]: entry for entry in config.get("Env") or []}
    for entry in asked.get("env", ()):
        variables[entry.partition("=")[0]] = entry
    config["Env"] = [entry for entry in variables.values() if "=" in entry]
    for key, field in (("User", "user"), ("WorkingDir", "workdir")):
        if asked.get(field):
            config[key] = asked[field]
    if container.labels:
        config["Labels"] = {**(config.get("Labels") or {}), **container.labels}
    return config


def _add_history(
    config: dict[str, Any], container: Container, layer: derive.NewLayer | None, author: str, message: str
) -> None:
    created = rfc3339(time.time())
    step = {"created": created, "created_by": " ".join(container.command), "author": author, "comment": message}
    if layer:
        rootfs = config["rootfs"]
        config["rootfs"] = {**rootfs, "diff_ids": [*rootfs["diff_ids"], layer.diff_id]}
    else:
        step["empty_layer"] = True  # type: ignore[assignment]
    config["history"] = [*(config.get("history") or []), {key: value for key, value in step.items() if value}]
    config["created"] = created
    if author:
        config["author"] = author


def _enter(
    store: Store, base: Image, config: dict[str, Any], layer: derive.NewLayer | None, name: Reference | None
) -> Image:
    """Write what describes the image, and bring it in as if it had been pulled from here."""
    layers = tuple(map(derive.as_oci, store.manifest(base.manifest).layers))
    described = derive.write_document(store, json.dumps(config).encode(), OCI_CONFIG)
    manifest = Manifest(OCI_MANIFEST, described, (*layers, layer.blob) if layer else layers, {})
    written = derive.write_document(store, manifest_bytes(manifest), OCI_MANIFEST)
    found = fetch(store, derive.Here(store), written.digest, "the new image", jobs=1)
    return store.add(name, found.image_id, found.manifest, found.source)


def _still(container: Container, pause: bool) -> contextlib.AbstractContextManager[None]:
    """Whatever the container runs stands still, so that all its files are from one moment."""
    if not pause or container.state != "running":
        return contextlib.nullcontext()
    from pycontainer import cgroups

    return cgroups.detect().frozen(container.cgroup)
