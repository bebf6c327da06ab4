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

from pycontainer.image.model import Image
from pycontainer.image.store import Store


def damage(root: str) -> Iterator[str]:
    """Everything that an image claims to have and has not."""
    store = Store(root)
    for image in store.images():
        yield from _blobs(root, image)
        archives = _archives(root)
        for layer in image.layers:
            if layer.diff_id not in archives:
                yield f"{image.id}: no archive of {layer.diff_id}"
            else:
                yield from _files(layer.path_of_fs, archives[layer.diff_id])


def _blobs(root: str, image: Image) -> Iterator[str]:
    directory = f"{root}/oci/blobs/sha256"
    for name in os.listdir(directory):
        with open(f"{directory}/{name}", "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != name:
                yield f"{image.id}: blob {name} is not what it is called"


def _archives(root: str) -> dict[str, bytes]:
    """Every tar archive among the blobs, by its diff ID."""
    directory, found = f"{root}/oci/blobs/sha256", {}
    for name in os.listdir(directory):
        with open(f"{directory}/{name}", "rb") as file:
            data = file.read()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
            found["sha256:" + hashlib.sha256(data).hexdigest()] = data
    return found


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
