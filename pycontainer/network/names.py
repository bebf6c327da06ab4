"""How the containers of a network find each other by name: lines of /etc/hosts, kept by us (hosts(5)).

No name server: it would be a process that lives as long as its network, that can die, and that forwards questions out
of internal networks. The file of each member lists the others; who joins or leaves has them all written again. That is
right for as many members as a host has, and glibc, musl and busybox all read the file anew for each question.
"""

from __future__ import annotations

import os

from pycontainer.record import Record

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

    The file is bound into the container, so it must stay the same inode: it is written in place, in one write.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return  # it has just ended
    try:
        old = os.pread(descriptor, 1 << 20, 0).decode(errors="surrogateescape")
        head, begin, rest = old.partition(BEGIN + "\n")
        tail = rest.partition(END + "\n")[2] if begin else ""
        new = (head + lines(members) + tail).encode(errors="surrogateescape")
        if new != old.encode(errors="surrogateescape"):
            os.pwrite(descriptor, new, 0)
            os.ftruncate(descriptor, len(new))
    finally:
        os.close(descriptor)
