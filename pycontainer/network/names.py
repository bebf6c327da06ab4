"""How the containers of a network find each other by name: lines of /etc/hosts, kept by us (hosts(5)).

No name server: it would be a process that lives as long as its network, that can die, and that forwards questions out
of internal networks. The file of each member lists the others; who joins or leaves has them all written again. That is
right for as many members as a host has, and glibc, musl and busybox all read the file anew for each question.
"""

from __future__ import annotations

import os

from pycontainer.light import suppress
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Callable

BEGIN, END = "# pyc: the containers of its networks", "# pyc: end"


class Member(Record):
    """A container in a network: its addresses there, and what it is called."""

    addresses: tuple[str, ...]
    names: tuple[str, ...]


def lines(members: list[Member]) -> str:
    """The part of the file that is ours."""
    listed = [f"{address}\t{' '.join(member.names)}" for member in members for address in member.addresses]
    return "".join(line + "\n" for line in [BEGIN, *listed, END]) if listed else ""


def rewrite(path: str, members: list[Member]) -> None:
    """Put our part into the file, and leave alone what a container wrote into the rest.

    Raises nothing: one that has just ended, or does not let us, is not told.
    """

    def ours(old: str) -> str:
        head, begin, rest = old.partition(BEGIN + "\n")
        return head + lines(members) + (rest.partition(END + "\n")[2] if begin else "")

    _change(path, ours)


def replace(path: str, text: str) -> None:
    """Replace all that is in a file of a container that runs, in the same way."""
    _change(path, lambda old: text)


def _change(path: str, new_of: Callable[[str], str]) -> None:
    """The file is bound into the container, so it must stay the same inode: it is written in place, in one write.

    And the container may own it, so we wait for nothing: with a lease (fcntl(2), F_SETLEASE) it could keep who opens
    its file waiting for three quarters of a minute, with our lock on the networks.
    """
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            old = os.pread(descriptor, 1 << 20, 0)
            new = new_of(old.decode(errors="surrogateescape")).encode(errors="surrogateescape")
            if new != old:
                os.pwrite(descriptor, new, 0)
                os.ftruncate(descriptor, len(new))
        finally:
            os.close(descriptor)
