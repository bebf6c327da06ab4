"""An image in another format, or with its layers compressed in another way, for who is to receive it.

The config stays the same bytes, and so the image's ID; the manifest is another, and so is its digest.
"""

from __future__ import annotations

from pycontainer.errors import NotFound, UsageError
from pycontainer.image import derive
from pycontainer.image.compression import UNPACKED_MAX, decompress
from pycontainer.image.digest import pieces_of, verified
from pycontainer.image.docker_archive import MADE_OF, manifest_bytes
from pycontainer.image.manifest import DOCKER_CONFIG, DOCKER_MANIFEST, OCI_CONFIG, OCI_MANIFEST, Descriptor, Manifest
from pycontainer.image.model import Image
from pycontainer.image.store import Store

FORMATS = {"oci": OCI_MANIFEST, "docker": DOCKER_MANIFEST, "v2s2": DOCKER_MANIFEST}
"""What users call them -> media type of the manifest."""
COMPRESSIONS = ("gzip", "zstd")
_OCI_LAYER, _DOCKER_LAYER = "application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar"


_packed_before: dict[tuple[str, str], Descriptor] = {}
"""What this process has compressed: the tags of one image are often pushed together."""


def converted(store: Store, image: Image, *, form: str = "", compression: str = "") -> Descriptor:
    """The manifest of an image as it is wanted. The caller holds the store, which has its blobs then.

    Args:
        store, image: what there is.
        form: one of FORMATS; by default the one it has.
        compression: one of COMPRESSIONS, for all layers; by default they stay as they are. But those of docker's
            archives, which are not compressed and for which we wrote the manifest ourselves, become gzip.

    Raises:
        UsageError: there is no such format, or the two do not go together. NotFound: a layer is not here.
    """
    if form not in ("", *FORMATS) or compression not in ("", *COMPRESSIONS):
        wrong, known = (form, FORMATS) if form not in ("", *FORMATS) else (compression, COMPRESSIONS)
        raise UsageError(f"unknown format {wrong!r}", hint=" or ".join(known))
    old = store.manifest(image.manifest)
    kind = FORMATS.get(form, old.media_type)
    if kind == DOCKER_MANIFEST and compression == "zstd":
        raise UsageError("docker's format has no zstd", hint="--format oci")
    layers = []
    for diff_id, layer in zip(image.config.diff_ids, old.layers, strict=True):
        now = _compression(layer)
        wanted = compression or now or ("gzip" if MADE_OF in old.annotations else "")
        if kind == DOCKER_MANIFEST and wanted == "zstd":
            wanted = "gzip"
        layers.append(_typed(layer if wanted == now else _packed(store, layer, diff_id, wanted), kind, wanted))
    config = old.config._replace(media_type=OCI_CONFIG if kind == OCI_MANIFEST else DOCKER_CONFIG)
    notes = {key: text for key, text in old.annotations.items() if key != MADE_OF and kind == OCI_MANIFEST}
    new = Manifest(kind, config, tuple(layers), notes)
    return image.manifest if new == old else derive.write_document(store, manifest_bytes(new), kind)


def _compression(layer: Descriptor) -> str:
    return next((name for name in COMPRESSIONS if layer.media_type.endswith(name)), "")


def _typed(layer: Descriptor, kind: str, compression: str) -> Descriptor:
    """A layer under the type that a format has for it; one that may not be distributed keeps its own."""
    if layer.is_foreign:
        return layer
    plain, mark = (_OCI_LAYER, "+") if kind == OCI_MANIFEST else (_DOCKER_LAYER, ".")
    return layer._replace(media_type=plain + (mark + compression if compression else ""))


def _packed(store: Store, layer: Descriptor, diff_id: str, compression: str) -> Descriptor:
    """A layer compressed anew, as a further blob of the store."""
    if layer.is_foreign or not store.has_blob(layer):
        raise NotFound(
            f"layer {layer.digest} is not here", hint="pull the image again: only what is missing is fetched"
        )
    key = layer.digest, compression
    if (before := _packed_before.get(key)) and store.has_blob(before):
        return before
    tar = verified(
        decompress(pieces_of(store.blob_path(layer.digest)), UNPACKED_MAX), diff_id, "the layer's diff ID is"
    )
    _packed_before[key] = derive.write_layer(store, tar, compression).blob._replace(annotations=layer.annotations)
    return _packed_before[key]
