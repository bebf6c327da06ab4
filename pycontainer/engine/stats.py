"""``stats``: what containers use, from their cgroups and their first processes."""

from __future__ import annotations

import time

from pycontainer import cgroups
from pycontainer.cgroups.usage import usage
from pycontainer.engine import containers
from pycontainer.errors import NotFound
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots


class Sample(Record):
    """A container at one moment.

    Attributes:
        container: which one, and its state then.
        at: when, in seconds of a clock that only counts.
        cpu: nanoseconds of CPU time since it began.
        memory: bytes in use, without what the page cache could give back.
        memory_limit: its limit, or all the memory there is.
        received, sent: bytes through its network interfaces, loopback left out.
        read, written: bytes from and to block devices.
        tasks: processes and threads.
        cpu_percent: of one CPU, since the sample before.
    """

    container: Container
    at: float = 0.0
    cpu: int = 0
    memory: int = 0
    memory_limit: int = 0
    received: int = 0
    sent: int = 0
    read: int = 0
    written: int = 0
    tasks: int = 0
    cpu_percent: float = 0.0

    @property
    def memory_percent(self) -> float:
        """Of the limit."""
        return 100 * self.memory / self.memory_limit if self.memory_limit else 0.0

    def after(self, before: Sample | None) -> Sample:
        """The same with what has happened since another sample of it."""
        if before is None or self.at <= before.at or self.container.started != before.container.started:
            return self
        spent = max(0, self.cpu - before.cpu) / 1e9
        return self._replace(cpu_percent=100 * spent / (self.at - before.at))


def sample(container: Container) -> Sample:
    """What it uses now; nothing if it does not run."""
    if not container.runs:
        return Sample(container, time.monotonic())
    used = usage(cgroups.detect().existing(container.cgroup, container.pid).directories)
    received, sent = _network(container)
    return Sample(
        container,
        time.monotonic(),
        used.cpu,
        used.memory,
        used.memory_limit or _all_memory(),
        received,
        sent,
        used.read,
        used.written,
        used.tasks,
    )


def chosen(roots: Roots, names: Sequence[str], *, all_: bool) -> list[Container]:
    """The containers named; without names those that run, or all. Raises NotFound."""
    if names:
        return [containers.find(roots, name) for name in names]
    every = containers.listing(roots)
    return every if all_ else [container for container in every if container.runs]


def again(roots: Roots, before: Sequence[Container], names: Sequence[str], *, all_: bool) -> list[Container]:
    """The same a moment later: of those named some may have been removed."""
    if not names:
        return chosen(roots, (), all_=all_)
    found = []
    for container in before:
        try:
            found.append(containers.find(roots, container.id))
        except NotFound:
            continue
    return found


def _network(container: Container) -> tuple[int, int]:
    """Sums over the interfaces of its network namespace; (0, 0) where that is not its own."""
    if container.options.get("network") == "host":
        return 0, 0
    received = sent = 0
    try:
        with open(f"/proc/{container.pid}/net/dev", errors="replace") as file:
            lines = file.read().splitlines()[2:]
    except OSError:
        return 0, 0
    for line in lines:
        name, _, counts = line.partition(":")
        fields = counts.split()
        if name.strip() != "lo" and len(fields) >= 9:
            received, sent = received + int(fields[0]), sent + int(fields[8])
    return received, sent


def _all_memory() -> int:
    with open("/proc/meminfo") as file:
        return int(file.readline().split()[1]) * 1024
