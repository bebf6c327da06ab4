"""Where all of a bench happens, and what its sections share: a scratch directory, engines, an image, the floor in C.

Everything is in a mount and a network namespace that end with it, so that no bridge, no rule and no mount of anybody
stays behind. /run and /var/lib are overlays there: what peers write in places of their own is gone with them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property, partial

from bench import peers
from bench.measure import OURS, Failed, available, command
from bench.peers import Engine, installed
from bench.processes import end_all
from images import build

IMAGE = "bench:latest"
_OVERLAYS = "".join(
    f"mkdir -p /mnt/{name}/upper /mnt/{name}/work; mount -t overlay overlay "
    f"-o lowerdir=/{path},upperdir=/mnt/{name}/upper,workdir=/mnt/{name}/work /{path}; "
    for name, path in (("run", "run"), ("lib", "var/lib"))
)
_SETUP = f"mount -t tmpfs tmpfs /mnt; {_OVERLAYS}"
PARENTS = ("docker", "libpod_parent")  # cgroups that peers make for all of their containers
_INSIDE = "PYC_BENCH_INSIDE"


def is_apart() -> bool:
    """Whether this process is in namespaces of its own already."""
    return _INSIDE in os.environ


def go_apart(module: str, arguments: list[str]) -> None:
    """Replace this process by itself in namespaces of its own."""
    environment = {**os.environ, _INSIDE: "1"}
    environment["PATH"] = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # or a module that has changed is compiled at each start
    argv = peers.apart([sys.executable, "-m", module, *arguments], setup=_SETUP)
    os.execvpe(argv[0], argv, environment)


class Stage:
    """What the sections share; each thing is made when first asked for.

    Attributes:
        scratch: a directory that is gone at the end.
        absent: which of the engines is not here, and why.
    """

    def __init__(self, scratch: str, stack: ExitStack) -> None:
        self.scratch, self._stack = scratch, stack
        self.absent: dict[str, str] = {}

    @cached_property
    def engines(self) -> dict[str, Engine]:
        """pyc, podman and docker with the image loaded: those that are here."""

        def opened(name: str, opener: peers.Opener) -> Engine:
            engine = self._stack.enter_context(opener(f"{self.scratch}/{name}"))
            engine("load", "-q", "-i", self.archive)
            return engine

        openers: dict[str, peers.Opener] = {OURS: peers.pyc, "podman": peers.podman, "docker": peers.docker}
        found, self.absent = available({name: partial(opened, name, opener) for name, opener in openers.items()})
        if OURS not in found:
            raise Failed(self.absent[OURS])
        return found

    @contextmanager
    def store(self, name: str) -> Iterator[Engine]:
        """Ours, with a state of its own that has the image."""
        with peers.pyc(f"{self.scratch}/{name}") as engine:
            engine("load", "-q", "-i", self.archive)
            yield engine

    @contextmanager
    def fresh(self, place: str = "") -> Iterator[str]:
        """An empty directory, gone at the end, and all that was written so far is on disk: nobody pays for others.

        Whatever is made in it gets a neighbourhood of its own on ext4 (chattr(1), "T"). Else each run would be slower
        than the last: without a journal, ext4 looks at all inodes freed nearby in the last minutes before it takes one.
        """
        place = place or self.scratch
        with tempfile.TemporaryDirectory(prefix="pyc-bench-", dir=place, ignore_cleanup_errors=True) as path:
            subprocess.run(["chattr", "+T", path], capture_output=True)
            os.sync()
            time.sleep(0.2)
            try:
                yield path
            finally:
                peers.unmount_below(path)

    @cached_property
    def archive(self) -> str:
        """BusyBox as a docker archive, which all engines load."""
        path = f"{self.scratch}/busybox.tar"
        with peers.pyc(f"{self.scratch}/maker") as engine:
            peers.save(engine, f"oci:{build.layout('busybox')}:latest", IMAGE, path)
        return path

    @cached_property
    def rootfs(self) -> str:
        """The same image as a directory, for those that know no images."""
        path = f"{self.scratch}/rootfs"
        os.makedirs(path, exist_ok=True)
        with self.store("exporter") as engine:
            engine("export", "--output", path + ".tar", engine("create", IMAGE))
        command(["tar", "-xf", path + ".tar", "-C", path])()
        return path

    @cached_property
    def plain(self) -> str:
        """The floor: bench/plain.c, compiled."""
        binary = f"{self.scratch}/plain"
        source = os.path.join(os.path.dirname(os.path.realpath(__file__)), "plain.c")
        command([installed("cc"), "-std=c11", "-O2", "-Wall", "-o", binary, source])()
        return binary


@contextmanager
def stage() -> Iterator[Stage]:
    """A stage; at the end its engines have ended, and its directory is gone."""
    earlier = parents()
    with tempfile.TemporaryDirectory(prefix="pyc-bench-", ignore_cleanup_errors=True) as scratch:
        try:
            with ExitStack() as stack:
                yield Stage(scratch, stack)
        finally:
            end_all(scratch)
            peers.unmount_below(scratch)
            for path in parents():
                if path not in earlier:
                    with suppress(OSError):  # somebody else is in it
                        os.rmdir(path)


def parents() -> list[str]:
    """The cgroups of peers in each hierarchy, innermost first."""
    tops = ["/sys/fs/cgroup", *(entry.path for entry in os.scandir("/sys/fs/cgroup") if entry.is_dir())]
    return [path for top in tops for name in PARENTS for path, _, _ in os.walk(f"{top}/{name}", topdown=False)]
