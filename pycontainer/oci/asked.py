"""What create, run and exec are asked for by options, and what a caller hands over with these: open descriptors."""

from __future__ import annotations

import os
import stat

from pycontainer.core import kernel
from pycontainer.errors import UsageError
from pycontainer.light import contextmanager, suppress
from pycontainer.plan import program, slots, terminal
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycontainer.core.step import Slot
    from pycontainer.light import ExitStack
    from pycontainer.oci.spec import IDMapping, Process

FIRST_KEPT, MOST_KEPT = 3, 128


class Asked(Record):
    """The options of create, run and exec.

    Attributes:
        bundle: the directory of config.json.
        pid_file: where the pid is written, or "".
        console_socket: who takes the terminal, or "".
        preserve_fds: how many descriptors from 3 on the program gets.
        sockets: how many of them are a service manager's, as it is told.
        no_pivot, no_new_keyring: as they say.
        systemd: the container's cgroup is a scope of systemd's.
        rootless: do without cgroups where they may not be made.
    """

    bundle: str = "."
    pid_file: str = ""
    console_socket: str = ""
    preserve_fds: int = 0
    sockets: int = 0
    no_pivot: bool = False
    no_new_keyring: bool = False
    systemd: bool = False
    rootless: bool = False

    def write_pid(self, pid: int) -> None:
        """Into the pid file, by rename, since engines read it as soon as it is there."""
        if self.pid_file:
            directory, name = os.path.split(self.pid_file)
            unfinished = os.path.join(directory, f".{name}")
            with open(unfinished, "w") as file:
                file.write(str(pid))
            os.rename(unfinished, self.pid_file)


def descriptors(
    process: Process, asked: Asked, console: int, ours: ExitStack, users: list[IDMapping] | None
) -> dict[Slot, int]:
    """What a new process is given of the caller's: streams, or the socket that takes the terminal; and what is kept.

    ``console`` is that socket, or -1 for the one that is asked for; ``users`` maps the container's user ids; ``ours``
    closes what is opened here. Raises UsageError.
    """
    given = (
        _console(asked, console, ours) if process.get("terminal") else _streams(process["user"].get("uid", 0), users)
    )
    if asked.preserve_fds > MOST_KEPT:
        raise UsageError(f"--preserve-fds {asked.preserve_fds}: at most {MOST_KEPT}")
    for number in range(FIRST_KEPT, FIRST_KEPT + asked.preserve_fds):
        if not _is_the_callers(number):
            raise UsageError(f"--preserve-fds {asked.preserve_fds}: descriptor {number} is not open")
        given[program.preserved(number)] = number
    return given


def _console(asked: Asked, console: int, ours: ExitStack) -> dict[Slot, int]:
    if console < 0:
        try:
            with reachable(os.path.dirname(asked.console_socket) or ".") as directory:
                console = kernel.connect(f"{directory}/{os.path.basename(asked.console_socket)}")
        except OSError as error:
            raise UsageError(f"--console-socket {asked.console_socket}: {error.strerror}") from None
        ours.callback(os.close, console)
    return {slots.CONSOLE: console}


def _streams(uid: int, users: list[IDMapping] | None) -> dict[Slot, int]:
    """The caller's as they are; but they are the program's, who may open them again by name."""
    given = {}
    for number, slot in enumerate((slots.STDIN, slots.STDOUT, slots.STDERR)):
        given[slot] = number
        if (uid or users) and not stat.S_ISCHR(os.fstat(number).st_mode):  # a device is everybody's
            with suppress(OSError):
                os.fchown(number, terminal.host_id(uid, users) if users else uid, -1)
    return given


def _is_the_callers(number: int) -> bool:
    """Whether this descriptor has come to us by execve: those that we have opened would be closed by one."""
    with suppress(OSError):
        return os.get_inheritable(number)
    return False


@contextmanager
def reachable(directory: str) -> Iterator[str]:
    """A short name of the directory: the address of a socket has 108 bytes (unix(7))."""
    fd = os.open(directory, os.O_PATH | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)
