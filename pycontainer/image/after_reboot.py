"""After a reboot: what was marked as perhaps not on disk is dropped, unless it is provably whole."""

from __future__ import annotations

import fcntl
import os

from pycontainer.image import unsynced
from pycontainer.image.disk import unlink
from pycontainer.image.staging import trash
from pycontainer.light import suppress
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.image.places import Places


def drop_unsynced(store: Places) -> None:
    """Drop what an earlier boot has marked."""
    boot = unsynced.boot_id()
    if all(name.startswith(boot) for name in os.listdir(store.unsynced)):
        return
    with store.locked("unsynced.lock", fcntl.LOCK_EX):  # or a slower process would drop what we made anew
        for name in os.listdir(store.unsynced):
            if not name.startswith(boot):
                kind, digest = name[len(boot) + 1 :].split(".")[:2]
                _drop_one(store, kind, digest)
                unlink(f"{store.unsynced}/{name}")


def _drop_one(store: Places, kind: str, digest: str) -> None:
    if kind == "layer":
        trash(store, store.layer_path(digest))
    else:
        drop_damaged_blob(store, digest)


def drop_damaged_blob(store: Places, digest: str) -> None:
    """Hash a blob, and delete it if it is not what its name says."""
    from pycontainer.image.digest import digest_of_file  # 4 ms, only after a crash

    path = store.blob_path(digest)
    with suppress(FileNotFoundError):
        if digest_of_file(path, digest.partition(":")[0]) != digest:
            unlink(path)
