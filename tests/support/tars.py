"""Tar archives byte by byte, so that they can be wrong in every way; and what became of them on disk."""

from __future__ import annotations

import os
import stat

from pycontainer.image.layer import unpack_layer
from pycontainer.image.model import LayerFacts

USTAR, GNU, V7 = b"ustar\x0000", b"ustar  \0", bytes(8)
FILE, LINK, SYMLINK, CHAR, BLOCK, DIR, FIFO = (b"0", b"1", b"2", b"3", b"4", b"5", b"6")
END = bytes(1024)


def octal(number: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, number)


def base256(number: int, width: int) -> bytes:
    return bytes([0x80 if number >= 0 else 0xFF]) + number.to_bytes(width - 1, "big", signed=number < 0)


def header(
    name: bytes,
    kind: bytes = FILE,
    size: int | bytes = 0,
    *,
    mode: int | bytes = 0o644,
    uid: int | bytes = 0,
    gid: int | bytes = 0,
    mtime: int | bytes = 1_700_000_000,
    target: bytes = b"",
    magic: bytes = USTAR,
    device: tuple[int, int] = (0, 0),
    prefix: bytes = b"",
    checksum: bytes = b"",
    tail: bytes = b"",
) -> bytes:
    """One header block. Numbers given as bytes are taken as they are; ``tail`` replaces everything from byte 345."""

    def number(value: int | bytes, width: int) -> bytes:
        return (octal(value, width) if isinstance(value, int) else value).ljust(width, b"\0")

    block = b"".join(
        [
            name.ljust(100, b"\0"),
            number(mode, 8),
            number(uid, 8),
            number(gid, 8),
            number(size, 12),
            number(mtime, 12),
            b" " * 8,
            kind,
            target.ljust(100, b"\0"),
            magic,
            bytes(64),
            octal(device[0], 8),
            octal(device[1], 8),
            tail.ljust(167, b"\0") if tail else prefix.ljust(155, b"\0") + bytes(12),
        ]
    )
    assert len(block) == 512, len(block)
    return block[:148] + (checksum or b"%06o\0 " % sum(block)) + block[156:]


def pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def member(name: bytes, data: bytes = b"", kind: bytes = FILE, **fields: object) -> bytes:
    return header(name, kind, len(data), **fields) + pad(data)  # type: ignore[arg-type]


def directory(name: bytes, **fields: object) -> bytes:
    return header(name, DIR, **{"mode": 0o755, **fields})  # type: ignore[arg-type]


def symlink(name: bytes, target: bytes, **fields: object) -> bytes:
    return header(name, SYMLINK, target=target, **{"mode": 0o777, **fields})  # type: ignore[arg-type]


def link(name: bytes, target: bytes, **fields: object) -> bytes:
    return header(name, LINK, target=target, **fields)  # type: ignore[arg-type]


def record(key: bytes, value: bytes) -> bytes:
    body = b" " + key + b"=" + value + b"\n"
    length = len(body)
    while length != len(body) + len(b"%d" % length):
        length = len(body) + len(b"%d" % length)
    return b"%d" % length + body


def pax(*records: tuple[bytes, bytes], raw: bytes = b"", kind: bytes = b"x") -> bytes:
    return member(b"PaxHeaders/x", raw or b"".join(record(*one) for one in records), kind)


def tar(*members: bytes) -> bytes:
    return b"".join(members) + END


def snapshot(root: str, *, skip: str = "", times: bool = True) -> dict[str, tuple[object, ...]]:
    """Everything about every file below ``root``: kind and mode, owner, time, links, device, attributes, content."""
    seen: dict[str, tuple[object, ...]] = {}
    first_name: dict[tuple[int, int], str] = {}
    for path in sorted(
        [root, *(os.path.join(at, name) for at, below, files in os.walk(root) for name in below + files)]
    ):
        name = os.path.relpath(path, root)
        if skip and (path == skip or path.startswith(skip + "/")):
            continue
        found = os.lstat(path)
        content: object = ""
        if stat.S_ISLNK(found.st_mode):
            content = os.readlink(path)
        elif stat.S_ISREG(found.st_mode):
            with open(path, "rb") as file:
                content = (found.st_size, hash(file.read()))
        xattrs = {x: os.getxattr(path, x, follow_symlinks=False) for x in os.listxattr(path, follow_symlinks=False)}
        same = first_name.setdefault((found.st_dev, found.st_ino), name)
        seen[name] = (
            oct(found.st_mode),
            (found.st_uid, found.st_gid),
            found.st_mtime_ns if times else 0,
            same if not stat.S_ISDIR(found.st_mode) else "",
            found.st_rdev,
            sorted(xattrs.items()),
            content,
        )
    return seen


def sparse_old(name: bytes, pairs: list[tuple[int, int]], real: int, data: bytes, more: bytes = b"\0") -> bytes:
    items = b"".join(octal(a, 12) + octal(b, 12) for a, b in pairs[:4]).ljust(96, b"\0")
    tail = bytes(41) + items + more + octal(real, 12)
    return header(name, b"S", len(data), magic=GNU, tail=tail) + data + bytes(-len(data) % 512)


def sparse_1_0(map_lines: list[object], real: int, data: bytes) -> bytes:
    text = "".join(f"{line}\n" for line in map_lines).encode()
    text += bytes(-len(text) % 512)
    records = [(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", b"f"),
               (b"GNU.sparse.realsize", b"%d" % real)]  # fmt: skip
    return pax(*records) + member(b"GNUSparseFile.1/f", text + data)


class Place:
    """A directory to unpack into, with something beside it that must stay as it is."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.root = f"{base}/layer"
        os.makedirs(f"{base}/outside/dir")
        os.mkdir(self.root)
        for name, mode in (("canary", 0o640), ("outside/secret", 0o600), ("outside/dir/file", 0o4755)):
            with open(f"{base}/{name}", "w") as file:
                file.write(f"content of {name}")
            os.chmod(f"{base}/{name}", mode)
        self.before = self._outside()

    def _outside(self) -> dict[str, tuple[object, ...]]:
        return {name: found for name, found in snapshot(self.base, skip=self.root).items() if name != "."}

    def unpack(self, archive: bytes, step: int = 1 << 20) -> LayerFacts:
        chunks = (archive[at : at + step] for at in range(0, len(archive), step))
        fds = len(os.listdir("/proc/self/fd"))
        fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return unpack_layer(fd, chunks)
        finally:
            os.close(fd)
            assert self._outside() == self.before, "something outside changed"
            assert len(os.listdir("/proc/self/fd")) == fds, "a descriptor leaked"

    def tree(self) -> set[str]:
        return {name for name in snapshot(self.root) if name != "."}

    def path(self, name: str) -> str:
        return f"{self.root}/{name}"
