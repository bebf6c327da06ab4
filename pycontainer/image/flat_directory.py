"""What skopeo writes to ``dir:PATH``: one image, its files side by side (containers-transports(5)).

::

    version   manifest.json   <hex of a blob's digest>   <hex of a manifest's digest>.manifest.json

``manifest.json`` is the manifest as the registry had it, or an index, whose manifests then have files of their own.
"""

from __future__ import annotations

from pycontainer.errors import ImageError
from pycontainer.image.archive import Archive, DirectoryFiles, Files, Offer, read
from pycontainer.image.digest import digest_of
from pycontainer.image.manifest import Descriptor, Index, Manifest, parse_document

VERSION_FILE, MANIFEST_FILE = "version", "manifest.json"
_VERSION = "Directory Transport Version: 1."


def is_flat_directory(files: Files) -> bool:
    """True if it is a directory that somebody wrote as one of these."""
    return isinstance(files, DirectoryFiles) and files.has(VERSION_FILE) and files.has(MANIFEST_FILE)


def open_flat_directory(files: Files) -> Archive:
    """Read what a directory has.

    Raises:
        ImageError: it is of another version, or malformed.
    """
    version = read(files, VERSION_FILE, 4096).decode(errors="replace").strip()
    if not version.startswith(_VERSION):
        raise ImageError(f"{files.what} is of version {version[:60]!r}, not {_VERSION}*")
    data = read(files, MANIFEST_FILE)
    parsed = parse_document(data, "")
    digest = digest_of(data)
    blobs = {digest: MANIFEST_FILE}
    if isinstance(parsed, Index):
        for entry in parsed.manifests:
            name = f"{_hex(entry)}.manifest.json"
            if files.has(name):  # of an index, not all platforms need be there
                blobs[entry.digest] = name
                blobs |= _blobs(parse_document(read(files, name), entry.media_type))
    else:
        blobs |= _blobs(parsed)
    return Archive(files, (Offer(Descriptor(parsed.media_type, digest, len(data)), ()),), {}, blobs)


def _blobs(parsed: Index | Manifest) -> dict[str, str]:
    if isinstance(parsed, Index):
        return {}
    return {blob.digest: _hex(blob) for blob in (parsed.config, *parsed.layers)}


def _hex(descriptor: Descriptor) -> str:
    return descriptor.digest.partition(":")[2]
