"""Where the parts of a store are, and the locks beside them."""

from __future__ import annotations

import fcntl
import os

from pycontainer.core.directories import make_private
from pycontainer.image.disk import trouble
from pycontainer.light import contextmanager
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME_OF_LAYER = 24
"""Hex digits of the diff ID that name a layer's directory: 96 bits; overlay's option string must stay short."""


class Places:
    """Where everything of a store is. Making one touches nothing.

    Attributes:
        root: the directory of all state.
        oci: the OCI image layout in it; ``index`` is its list of images.
        layers: the unpacked layers.
        summaries: a file for each image of many layers.
        staging: what is half made.
        unsynced: markers of what may not be on disk yet.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.oci = f"{root}/oci"
        self.index = f"{self.oci}/index.json"
        self.layers = f"{root}/layers"
        self.summaries = f"{root}/cache/layers"
        self.staging = f"{root}/tmp"
        self.unsynced = f"{root}/unsynced"

    def layer_path(self, diff_id: str) -> str:
        """The directory of a layer, there or not."""
        return f"{self.layers}/{diff_id.partition(':')[2][:NAME_OF_LAYER]}"

    def blob_path(self, digest: str) -> str:
        """The file of a blob, there or not."""
        algorithm, _, encoded = digest.partition(":")
        return f"{self.oci}/blobs/{algorithm}/{encoded}"

    @contextmanager
    def locked(self, name: str, how: int) -> Iterator[bool]:
        """Take a lock file; yields False if ``how`` has LOCK_NB and somebody else has it."""
        path, flags = f"{self.root}/{name}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            fd = os.open(path, flags, 0o600)
        except FileNotFoundError:  # the very first command
            make_private(self.root)
            fd = os.open(path, flags, 0o600)
        except OSError as error:
            raise trouble(self.root, f"can't make {path}", error) from None
        try:
            try:
                fcntl.flock(fd, how)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(fd)
