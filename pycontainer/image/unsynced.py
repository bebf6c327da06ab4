"""What is whole, but perhaps not on disk yet.

Whole things are renamed into place without fsync, which would cost more than the unpacking. A marker in ROOT/unsynced
named after the boot id says so, and is taken away once syncfs(2) has run. image/after_reboot.py looks at those
that are left of an earlier boot, so no power cut makes us use a file of zeros (containerd#5854).
"""

from __future__ import annotations

import os
import sys
import time

from pycontainer.errors import StoreError
from pycontainer.image.disk import trouble, unlink
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.image.places import Places


def boot_id() -> str:
    """The random name of this boot (proc(5), random/boot_id)."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def mark(store: Places, name: str) -> None:
    """Note that a thing about to appear may be lost by a power cut. The journal orders this before the rename.

    A mark is never used twice, as a thing that is deleted and made again may come while the first one is settled.
    """
    path = f"{store.unsynced}/{boot_id()}.{name}.{time.monotonic_ns()}"
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise trouble(store.root, f"can't make {path}", error) from None


def settle(store: Places) -> None:
    """Wait until all that is marked is on disk, and take the marks away. Seconds, on a slow disk."""
    import ctypes  # 12 ms; Python has no syncfs

    names = os.listdir(store.unsynced)
    fd = os.open(store.unsynced, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syncfs(fd) < 0:
            raise StoreError(f"syncfs of {store.root}: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(fd)
    boot = boot_id()
    for name in names:
        if name.startswith(boot):
            unlink(f"{store.unsynced}/{name}")


def settle_later(store: Places) -> None:
    """``settle`` in a process of its own, so that nobody waits for the disk and we may exit."""
    import threading

    argv = [sys.executable, "-P", "-m", "pycontainer.image.unsynced", store.root]
    # -P: the working directory may be anybody's
    quiet = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    pid = os.posix_spawn(sys.executable, argv, environment, file_actions=quiet, setsid=True)
    threading.Thread(target=os.waitpid, args=(pid, 0), daemon=True).start()  # no zombie, if we live on


if __name__ == "__main__":
    from pycontainer.image.places import Places

    settle(Places(sys.argv[1]))
