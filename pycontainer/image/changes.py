"""What a container has changed: its writable directory as a list of changes, and as a layer.

overlayfs keeps a deletion as a 0:0 character device and a replaced directory as the attribute trusted.overlay.opaque
(kernel documentation, filesystems/overlayfs.rst); a layer keeps them as ``.wh.NAME`` and ``.wh..wh..opq`` (image-spec,
layer.md, "Whiteouts"). This is the inverse of layer.py.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator

from pycontainer.core.kernel import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2
from pycontainer.errors import ImageError, Unsupported
from pycontainer.image.layer import OPAQUE, WHITEOUT
from pycontainer.image.pack import Item, archive, portable_xattrs, walk
from pycontainer.image.tar import CHAR, DIRECTORY, FILE, Entry
from pycontainer.record import Record

ADDED, CHANGED, DELETED = "A", "C", "D"
_OPAQUE_MARK = b"trusted.overlay.opaque"
_OVERLAY, _ESCAPED = b"trusted.overlay.", b"trusted.overlay.overlay."
_REDIRECTS = (b"trusted.overlay.redirect", b"trusted.overlay.metacopy")


class Change(Record):
    """One difference from the image: ``A``dded, ``C``hanged or ``D``eleted, and the absolute path."""

    kind: str
    path: str


def changes(upper: int, below: int) -> list[Change]:
    """How the writable directory differs from what is below it, in the order of paths.

    Args:
        upper: descriptor of overlay's upper directory.
        below: descriptor of the root that the image's layers make together.

    A directory that only leads to a change is changed itself, as docker has it.
    """
    found: dict[bytes, str] = {}
    hiding: set[bytes] = set()  # directories below which the layers are not seen
    for item in walk(upper, b".", b""):
        entry, path = item.entry, item.entry.name
        _refuse_redirects(entry)
        if entry.kind == DIRECTORY and (_is_opaque(entry) or path.rpartition(b"/")[0] in hiding):
            hiding.add(path)
            found.update((gone, DELETED) for gone in _missing(item.fd, below, path))
        old = _status(below, path)
        if not path or (is_whiteout(entry) and not old):
            continue
        if is_whiteout(entry):
            found[path] = DELETED
        elif old is None:
            found[path] = ADDED
        elif not _is_same_directory(entry, old):
            found[path] = CHANGED
    for path, kind in list(found.items()):
        parent = path.rpartition(b"/")[0]
        if kind != CHANGED and parent:
            found.setdefault(parent, CHANGED)
    return [Change(kind, "/" + os.fsdecode(path)) for path, kind in sorted(found.items())]


def _open_below(below: int, path: bytes, flags: int) -> int:
    return openat2(below, path or b".", flags, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)


def _status(below: int, path: bytes) -> os.stat_result | None:
    """What the layers have under a path, itself no link's target."""
    try:
        fd = _open_below(below, path, os.O_PATH | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def _missing(directory: int, below: int, path: bytes) -> list[bytes]:
    """Paths that the layers have in a directory, and the writable one lacks."""
    try:
        old = _open_below(below, path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return []
    new = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        names = set(os.listdir(old)) - set(os.listdir(new))
    finally:
        os.close(new)
        os.close(old)
    return [path + b"/" + os.fsencode(name) if path else os.fsencode(name) for name in names]


def _is_same_directory(entry: Entry, old: os.stat_result) -> bool:
    if entry.kind != DIRECTORY or not stat.S_ISDIR(old.st_mode):
        return False
    before = stat.S_IMODE(old.st_mode), old.st_uid, old.st_gid, old.st_mtime_ns
    return (entry.mode, entry.uid, entry.gid, entry.mtime) == before


def layer(upper: int) -> Iterator[bytes]:
    """The writable directory as the tar stream of a layer.

    Raises:
        ImageError: a file whose name would be read as a deletion.
        Unsupported: overlayfs was told to keep renames as redirections.
    """
    return archive(_translate(walk(upper, b".", b"")))


def _translate(items: Iterable[Item]) -> Iterator[Item]:
    for item in items:
        entry = item.entry
        _refuse_redirects(entry)
        parent, slash, name = entry.name.rpartition(b"/")
        if name.startswith(WHITEOUT):
            raise ImageError(f"/{os.fsdecode(entry.name)!r} can't be in a layer: its name means a deletion there")
        if is_whiteout(entry):
            yield _marker(parent + slash + WHITEOUT + name)
            continue
        yield item._replace(entry=entry._replace(xattrs=_layer_xattrs(entry.xattrs)))
        if _is_opaque(entry):
            yield _marker(entry.name + b"/" + OPAQUE if entry.name else OPAQUE)


def _marker(name: bytes) -> Item:
    return Item(Entry(FILE, name, b"", 0o600, 0, 0, 0, 0, (0, 0), None, None), -1)


def _layer_xattrs(xattrs: dict[bytes, bytes] | None) -> dict[bytes, bytes] | None:
    """Overlay's own attributes are about this host's directories; those of an inner overlay lose their disguise."""
    kept = portable_xattrs(xattrs) or {}
    for name, value in (xattrs or {}).items():
        if name.startswith(_ESCAPED):
            kept[_OVERLAY + name[len(_ESCAPED) :]] = value
    return kept or None


def is_whiteout(entry: Entry) -> bool:
    """Whether overlayfs takes it for a deletion."""
    return entry.kind == CHAR and entry.device == (0, 0)


def _is_opaque(entry: Entry) -> bool:
    return entry.kind == DIRECTORY and (entry.xattrs or {}).get(_OPAQUE_MARK) == b"y"


def _refuse_redirects(entry: Entry) -> None:
    if any(name in (entry.xattrs or {}) for name in _REDIRECTS):
        raise Unsupported(
            f"/{os.fsdecode(entry.name)} was moved by overlayfs without its content",
            hint="switch the kernel's overlay parameters redirect_dir and metacopy off",
        )
