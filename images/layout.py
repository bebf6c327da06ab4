"""A writer of OCI image layouts, small enough to read in one sitting.

It is deliberately not pycontainer's own store: the images that test an engine must not be made by that engine.
Same input, same bytes: entries carry one fixed time, archives no host names, gzip no clock.

Sources: OCI image-spec, image-layout.md, manifest.md, config.md, layer.md.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from datetime import UTC, datetime
from typing import Any

OCI = "application/vnd.oci.image."
LAYER_TYPES = {"plain": OCI + "layer.v1.tar", "gzip": OCI + "layer.v1.tar+gzip", "zstd": OCI + "layer.v1.tar+zstd"}
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv64", "ppc64le": "ppc64le", "s390x": "s390x"}

Descriptor = dict[str, Any]


def host_architecture() -> str:
    """This machine's architecture by its OCI name."""
    machine = os.uname().machine
    return ARCHITECTURES.get(machine, machine)


class Layer:
    """A layer archive under construction; paths are relative to the root and parents come first."""

    def __init__(self, mtime: int) -> None:
        self._mtime = mtime
        self._buffer = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._buffer, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115

    def _add(
        self, path: str, kind: bytes, mode: int, owner: tuple[int, int], target: str = "", data: bytes = b""
    ) -> Layer:
        entry = tarfile.TarInfo(path)
        entry.type, entry.mode, entry.mtime, entry.linkname, entry.size = kind, mode, self._mtime, target, len(data)
        entry.uid, entry.gid = owner
        self._tar.addfile(entry, io.BytesIO(data) if data else None)
        return self

    def directory(self, path: str, mode: int = 0o755, owner: tuple[int, int] = (0, 0)) -> Layer:
        return self._add(path, tarfile.DIRTYPE, mode, owner)

    def file(self, path: str, data: bytes | str, mode: int = 0o644, owner: tuple[int, int] = (0, 0)) -> Layer:
        return self._add(path, tarfile.REGTYPE, mode, owner, data=data.encode() if isinstance(data, str) else data)

    def symlink(self, path: str, target: str) -> Layer:
        return self._add(path, tarfile.SYMTYPE, 0o777, (0, 0), target)

    def hardlink(self, path: str, target: str, mode: int = 0o755) -> Layer:
        return self._add(path, tarfile.LNKTYPE, mode, (0, 0), target)

    def whiteout(self, path: str) -> Layer:
        """Delete ``path`` of the layers below."""
        parent, name = os.path.split(path)
        return self.file(os.path.join(parent, ".wh." + name), b"", 0o000)

    def opaque(self, path: str) -> Layer:
        """Hide everything that the layers below have in the directory ``path``."""
        return self.file(os.path.join(path, ".wh..wh..opq"), b"", 0o000)

    def archive(self) -> bytes:
        self._tar.close()
        return self._buffer.getvalue()


def compress(archive: bytes, how: str) -> bytes:
    """``how``: plain, gzip or zstd."""
    if how == "gzip":
        return gzip.compress(archive, 6, mtime=0)
    if how == "zstd":
        import zstandard

        return zstandard.ZstdCompressor(level=3).compress(archive)
    return archive


class Layout:
    """An OCI image layout in the new directory ``path``; several tags may share its blobs."""

    def __init__(self, path: str, mtime: int) -> None:
        self.path, self.mtime = path, mtime
        self._tags: list[Descriptor] = []
        os.makedirs(os.path.join(path, "blobs/sha256"))

    @property
    def tags(self) -> list[str]:
        return [tag["annotations"]["org.opencontainers.image.ref.name"] for tag in self._tags]

    def layer(self) -> Layer:
        return Layer(self.mtime)

    def image(
        self,
        layers: list[bytes],
        config: dict[str, Any],
        *,
        how: str = "gzip",
        architecture: str = "",
        system: str = "linux",
    ) -> Descriptor:
        """Write one image of uncompressed ``layers``, bottom first; ``config`` is what a Dockerfile would set."""
        architecture = architecture or host_architecture()
        created = datetime.fromtimestamp(self.mtime, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        diff_ids = ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]
        document = {
            "created": created,
            "architecture": architecture,
            "os": system,
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [
                {"created": created, "created_by": "images/build.py", "comment": "from Debian packages"} for _ in layers
            ],
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI + "manifest.v1+json",
            "config": self._json(document, OCI + "config.v1+json"),
            "layers": [self._blob(compress(layer, how), LAYER_TYPES[how]) for layer in layers],
        }
        platform = {"architecture": architecture, "os": system}
        return {**self._json(manifest, OCI + "manifest.v1+json"), "platform": platform}

    def index(self, images: list[Descriptor]) -> Descriptor:
        """Write an index, the document that lets one name stand for several platforms."""
        document = {"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": images}
        return self._json(document, OCI + "index.v1+json")

    def tag(self, name: str, image: Descriptor) -> None:
        annotations = {**image.get("annotations", {}), "org.opencontainers.image.ref.name": name}
        self._tags.append({**image, "annotations": annotations})

    def close(self) -> None:
        """Write index.json and oci-layout; the directory is not a layout before."""
        self._write("index.json", json.dumps({"schemaVersion": 2, "manifests": self._tags}).encode())
        self._write("oci-layout", b'{"imageLayoutVersion": "1.0.0"}')

    def _json(self, document: object, media_type: str) -> Descriptor:
        return self._blob(json.dumps(document, separators=(",", ":")).encode(), media_type)

    def _blob(self, data: bytes, media_type: str) -> Descriptor:
        digest = hashlib.sha256(data).hexdigest()
        self._write("blobs/sha256/" + digest, data)
        return {"mediaType": media_type, "digest": "sha256:" + digest, "size": len(data)}

    def _write(self, name: str, data: bytes) -> None:
        with open(os.path.join(self.path, name), "wb") as file:
            file.write(data)
