"""The plan as data: a :class:`Call` is one system call, a :class:`Step` a few of them with the reason why.

The same objects are printed by ``--dry-run``, narrated by ``--explain``, asserted by unit tests and encoded for the
performer, so none of them can drift from what happens.
"""

from __future__ import annotations

from pycontainer.record import Record

# Who performs a step. The monitor is the container's parent, in the host's namespaces. Init is the container's first
# process, before and after it has become that. Program is init's child under `--init`. A keeper is a child of the
# monitor's that lives as long as it takes to make a user namespace.
MONITOR, INIT, PROGRAM, KEEPER = "monitor", "init", "program", "keeper"
ROLES = (MONITOR, INIT, PROGRAM, KEEPER)


class Slot(Record):
    """A register of the performer: it holds the result of one call, a descriptor or a pid, for later ones."""

    name: str


class Struct(Record):
    """Bytes that hold pointers to other bytes, or descriptors known only when the call is performed.

    Attributes:
        data: the C structure, with zeros where a pointer or descriptor goes.
        pointers: (offset, what it points to) pairs; each fills 8 bytes. What is pointed to may have pointers itself.
        slots: (offset, slot) pairs; each fills 4 bytes.
    """

    data: bytes
    pointers: tuple[tuple[int, bytes | Struct], ...] = ()
    slots: tuple[tuple[int, Slot], ...] = ()


class Strings(Record):
    """A NULL-terminated array of C strings, as execve(2) takes."""

    items: tuple[str, ...]


Arg = int | str | bytes | Slot | Struct | Strings


class Call(Record):
    """One system call.

    Attributes:
        name: of the system call, or ``supervise`` and ``reap``, the performer's own two loops.
        args: at most six.
        out: where the result goes.
        tolerate: error numbers that are no failure here. A later call that needs the descriptor is then skipped.
        expect: the only result that is a success.
        report: the engine needs the result even when it does not narrate.
        child: the role of the new process, for a call that makes one.
        patient: try again for some milliseconds while the answer is EBUSY.
    """

    name: str
    args: tuple[Arg, ...] = ()
    out: Slot | None = None
    tolerate: tuple[int, ...] = ()
    expect: int | None = None
    report: bool = False
    child: str | None = None
    patient: bool = False


class Proof(Record):
    """Where the kernel shows what a step did, read from outside before and after it.

    Attributes:
        path: a file, symbolic link or directory under /proc or /sys; ``{pid}`` in it is the process that performs
            the step, and after a step that made a process, that one; ``{name of a slot}`` is the number it holds.
        line: of a file, only the lines with this in them.
    """

    path: str
    line: str = ""


class Step(Record):
    """A few calls with one purpose.

    Attributes:
        title: an imperative, as in a list of contents.
        why: one sentence.
        role: who performs it: one of ROLES, or ``pyc`` itself.
        calls: in order.
        man: the pages that explain it, for example ``"pivot_root(2)"``.
        proof: where to look, or None.
        field: of config.json, that asks for it; "" if a container can't do without it.
    """

    title: str
    why: str
    role: str
    calls: tuple[Call, ...]
    man: str
    proof: Proof | None = None
    field: str = ""


Plan = tuple[Step, ...]
