"""Where the paths of a container lead before there is one: through its root, and what will be mounted there.

What is asked of them is where each mount point is (see rootfs/links.py), and what a mount will cover.
"""

from __future__ import annotations

import os
import stat

from pycontainer.core.kernel import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2
from pycontainer.errors import Unsupported
from pycontainer.light import contextmanager, suppress
from pycontainer.plan.mounts import REPLACEABLE_PROC, is_bind
from pycontainer.record import TYPE_CHECKING
from pycontainer.rootfs.links import led

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycontainer.oci.spec import Mount, Spec

_KERNEL_S = ("proc", "sysfs")  # a link in their place is a trap, and stays one: the step takes a directory only


class Places:
    """The container's files, as far as they can be seen from outside. Methods that look at one raise OSError."""

    def __init__(self, rootfs: str) -> None:
        self.copied: list[tuple[str, int]] = []  # mount points of tmpfs that begin with what they cover, which is open
        self._shown = {"": rootfs}  # mount point -> what of the host's is there; "" where that can't be seen

    def mount(self, mount: Mount) -> None:
        """From now on it is in the way."""
        self._shown[mount["destination"].rstrip("/")] = mount["source"] if is_bind(mount) else ""

    def led(self, path: str) -> str:
        """The path without the symbolic links in it."""
        return led(path, self._link)

    def _link(self, path: str) -> str:
        at = self._mount_point(path)
        try:
            return os.readlink(self._shown[at] + path[len(at) :]) if self._shown[at] else ""
        except OSError:  # it is none, or nothing is there
            return ""

    def _mount_point(self, path: str) -> str:
        while path not in self._shown:
            path = path.rpartition("/")[0]
        return path

    def status(self, path: str) -> os.stat_result:
        """stat(2), of a path without links."""
        with self._opened(path, os.O_PATH | os.O_NOFOLLOW) as fd:
            return os.fstat(fd)

    def read(self, path: str, limit: int) -> bytes:
        """The content of a regular file: its first ``limit`` bytes."""
        with self._opened(self.led(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY) as fd:
            return os.read(fd, limit) if stat.S_ISREG(os.fstat(fd).st_mode) else b""

    def copy(self, mount: Mount) -> None:
        """Remember what it will cover, if that is a directory."""
        with suppress(OSError), self._opened(mount["destination"], os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW) as fd:
            self.copied.append((mount["destination"], os.dup(fd)))

    def fill(self, pid: int) -> None:
        """Copy what was remembered into the container of this first process."""
        if self.copied:
            from pycontainer.oci import tmpfs  # seldom asked for

            tmpfs.fill(pid, self.copied)

    @contextmanager
    def _opened(self, path: str, flags: int) -> Iterator[int]:
        at = self._mount_point(path)
        top = os.open(self._shown[at], os.O_PATH | os.O_CLOEXEC)
        try:
            below = path[len(at) :].lstrip("/")
            resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
            fd = openat2(top, below, flags | os.O_CLOEXEC, 0, resolve) if below else os.open(self._shown[at], flags)
        finally:
            os.close(top)
        try:
            yield fd
        finally:
            os.close(fd)


def settle(spec: Spec, rootfs: str) -> Places:
    """Let each mount point be where its path leads, and an empty /tmp have the mode of the one that it covers.

    Raises Unsupported for one in /proc, where a program relies on what the kernel says.
    """
    places = Places(rootfs)
    for index, mount in enumerate(spec.get("mounts") or ()):
        if mount.get("type") not in _KERNEL_S or is_bind(mount):
            mount["destination"] = places.led(mount["destination"])
            _leave_proc(mount, f"mounts[{index}].destination")
        if mount.get("type") == "tmpfs" and not is_bind(mount):
            _keep_mode(mount, places)
            if "tmpcopyup" in (options := mount.get("options") or ()) and "ro" not in options:
                places.copy(mount)
        places.mount(mount)
    return places


def _leave_proc(mount: Mount, name: str) -> None:
    at = mount["destination"]
    if at == "/":
        raise Unsupported(f"{name}: nothing can be mounted on the root itself")
    if not (at + "/").startswith("/proc/") or at in REPLACEABLE_PROC:
        return
    if not is_bind(mount) or not (os.path.realpath(mount["source"]) + "/").startswith("/proc/"):
        raise Unsupported(f"{name}: {at} can't be covered: /proc must be the kernel's own")


def _keep_mode(mount: Mount, places: Places) -> None:
    """A directory that is closed to others must not be opened to them by an empty one."""
    options = mount.get("options") or []
    if any(option.startswith("mode=") for option in options):
        return
    try:
        covered = places.status(mount["destination"])
    except OSError:
        return
    mount["options"] = [*options, f"mode={stat.S_IMODE(covered.st_mode):o}"]
