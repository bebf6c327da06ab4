"""Run in the VM: compare every blob with its name, and every layer's files with the archive that it came from.

``python -m tests.vm.intact ROOT`` prints what is wrong, a line each, and how much it has looked at.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import sys
import tarfile
from collections.abc import Iterator

from pycontainer.image.store import Store


def damage(root: str) -> Iterator[str]:
    """Everything that an image claims to have and has not."""
    images = Store(root).images()
    archives: dict[str, bytes] = {}
    for name, data in _blobs(root):
        if hashlib.sha256(data).hexdigest() != name:
            yield f"blob {name} is not what it is called"
        elif data[:2] == b"\x1f\x8b":
            archive = gzip.decompress(data)
            archives["sha256:" + hashlib.sha256(archive).hexdigest()] = archive
    for layer in {layer.diff_id: layer for image in images for layer in image.layers}.values():
        if layer.diff_id in archives:
            yield from _files(layer.path_of_fs, archives[layer.diff_id])
        else:
            yield f"no archive of {layer.diff_id}"


def _blobs(root: str) -> Iterator[tuple[str, bytes]]:
    directory = f"{root}/oci/blobs/sha256"
    for name in os.listdir(directory):
        with open(f"{directory}/{name}", "rb") as file:
            yield name, file.read()


def _files(directory: str, archive: bytes) -> Iterator[str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            path = os.path.join(directory, member.name)
            if os.path.basename(member.name).startswith(".wh.") or not (member.isfile() or member.islnk()):
                continue
            content = tar.extractfile(member)
            try:
                with open(path, "rb") as file:
                    if content is None or file.read() != content.read():
                        yield f"{path} has other bytes than its archive"
            except OSError as error:
                yield f"{path}: {error.strerror}"


if __name__ == "__main__":
    wrong = list(damage(sys.argv[1]))
    print("\n".join(wrong) or f"intact: {len(Store(sys.argv[1]).images())} images")
    sys.exit(bool(wrong))
