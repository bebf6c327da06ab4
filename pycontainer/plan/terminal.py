"""The session, the terminal or the pipes, and what becomes 0, 1 and 2 (setsid(2), pty(7))."""

from __future__ import annotations

from _struct import pack  # `struct` itself is a file more to be read

from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.step import INIT, MONITOR, Call, Proof, Slot, Step
from pycontainer.plan import devices, mounts
from pycontainer.plan.slots import CONSOLE, DEV, MASTER, PTS, ROOT, STDERR, STDIN, STDOUT, TTY
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.oci.spec import IDMapping, Spec


def wanted(spec: Spec) -> bool:
    """Whether the container's stdio is a terminal."""
    return spec["process"].get("terminal", False)


def open_pty(spec: Spec, given: frozenset[Slot] = frozenset()) -> tuple[Step, ...]:
    """Before the clone, so that the monitor keeps the master and init inherits the filesystem.

    Where a console socket is given, the master goes there, and its new owner says whether it blocks.
    """
    if not wanted(spec):
        return ()
    mount = next((m for m in spec.get("mounts") or () if m.get("type") == "devpts"), None)
    options = mounts.attributes(mounts.labelled(spec, mount).get("options") or [] if mount else [])
    options = options._replace(data=_owned_inside(spec, options.data))
    blocking = 0 if CONSOLE in given else k.O_NONBLOCK
    return (
        Step(
            "Open a terminal",
            "The monitor keeps the master, the container gets the other side, in a devpts that holds no other terminal",
            MONITOR,
            (
                *mounts.filesystem("devpts", options, out=PTS),
                calls.openat2(PTS, "ptmx", k.O_RDWR | k.O_NOCTTY | blocking, out=MASTER),
                calls.ioctl(MASTER, k.TIOCSPTLCK, bytes(4)),
                *resize(spec),
            ),
            "pty(7)",
            field="process.terminal",
        ),
    )


def open_inside(spec: Spec, given: frozenset[Slot], *, blocking: bool = True) -> tuple[Step, ...]:
    """A terminal of the container's own devpts, found without following anything that the container has put there.

    Where a console socket is given, the master goes there.
    """
    if not wanted(spec):
        return ()
    resolve = k.RESOLVE_IN_ROOT | k.RESOLVE_NO_SYMLINKS
    flags = k.O_RDWR | k.O_NOCTTY | (0 if blocking else k.O_NONBLOCK)
    sent = (calls.sendmsg(CONSOLE, b"/dev/ptmx", MASTER),) if CONSOLE in given else ()
    return (
        Step(
            "Open a terminal",
            "It is one of the container's own devpts, whose name programs in there can find",
            INIT,
            (
                calls.openat2(ROOT, "dev/pts/ptmx", flags, resolve=resolve, out=MASTER),
                calls.ioctl(MASTER, k.TIOCSPTLCK, bytes(4)),
                *resize(spec),
                *sent,
            ),
            "pty(7)",
            field="process.terminal",
        ),
    )


def resize(spec: Spec) -> tuple[Call, ...]:
    """Give the terminal the size that is asked for, in characters."""
    size = spec["process"].get("consoleSize") or {}
    window = pack("HHHH", size.get("height", 0), size.get("width", 0), 0, 0)
    return (calls.ioctl(MASTER, k.TIOCSWINSZ, window),) if size else ()


def _owned_inside(spec: Spec, options: tuple[str, ...]) -> tuple[str, ...]:
    """In devpts' options ids are the host's; in a spec they are the container's."""
    if not mounts.has_users(spec):
        return options
    owners = {"uid": spec["linux"].get("uidMappings") or [], "gid": spec["linux"].get("gidMappings") or []}
    asked = dict(option.split("=", 1) for option in options if option.startswith(("uid=", "gid=")))
    mapped = [f"{kind}={host_id(int(asked.get(kind, 0)), maps)}" for kind, maps in owners.items()]
    return (*(option for option in options if not option.startswith(("uid=", "gid="))), *mapped)


def host_id(inside: int, maps: list[IDMapping]) -> int:
    """What an id of the container's is on the host; the overflow id where no range holds it."""
    for part in maps:
        if 0 <= inside - part["containerID"] < part["size"]:
            return inside - part["containerID"] + part["hostID"]
    return 65534


def hand_over(spec: Spec, given: frozenset[Slot]) -> tuple[Step, ...]:
    """Give the master away, through the socket that the engine listens at."""
    if not wanted(spec) or CONSOLE not in given:
        return ()
    return (
        Step(
            "Hand the terminal over",
            "The engine holds the master of the terminal: a descriptor can be sent through a socket",
            MONITOR,
            (calls.sendmsg(CONSOLE, b"/dev/ptmx", MASTER),),
            "unix(7)",
            field="process.terminal",
        ),
    )


def own_pipes(spec: Spec, given: frozenset[Slot], *, inherited: bool) -> tuple[Step, ...]:
    """In a user namespace: the pipes become the container's user's, who may open them again as /dev/stdout."""
    if wanted(spec) or inherited or not mounts.has_users(spec):
        return ()
    uid = host_id(spec["process"]["user"].get("uid", 0), spec["linux"].get("uidMappings") or [])
    return (
        Step(
            "Give it its pipes",
            "A program may open its streams by name, /dev/stdout; inside, nobody could give them away any more",
            MONITOR,
            tuple(
                calls.fchownat(pipe, "", uid, -1, k.AT_EMPTY_PATH) for pipe in (STDIN, STDOUT, STDERR) if pipe in given
            ),
            "pipe(7)",
        ),
    )


def session(spec: Spec, given: frozenset[Slot], *, inherited: bool, pty: bool) -> tuple[Step, ...]:
    """A session of its own, so that no terminal of the host's is its controlling terminal.

    ``inherited``: the streams are the caller's, and so are their owners. ``pty``: the monitor has opened the
    terminal, since it was to hold it.
    """
    before = () if pty else open_inside(spec, given)
    uid = spec["process"]["user"].get("uid", 0)
    stdio: tuple[Slot, ...]
    if wanted(spec):
        stdio = (TTY, TTY, TTY)
        begin = (
            calls.setsid(),
            calls.ioctl(MASTER, k.TIOCGPTPEER, k.O_RDWR | k.O_NOCTTY | k.O_CLOEXEC, out=TTY),
            calls.ioctl(TTY, k.TIOCSCTTY, 0),
            *devices.console(TTY),
        )
    else:
        null = Slot("/dev/null")
        pipes = (STDIN, STDOUT, STDERR)
        stdio = tuple(pipe if pipe in given else null for pipe in pipes)
        # The container's own node: through a descriptor of the host's it could change the host's.
        opened = (calls.openat2(DEV, "null", k.O_RDWR, out=null),) if null in stdio else ()
        begin = (calls.setsid(), *opened)
    given_away = inherited or mounts.has_users(spec)
    owned = dict.fromkeys(slot for slot in stdio if slot is TTY or (slot in given and not given_away)) if uid else {}
    return (
        *before,
        Step(
            "Start a session",
            "Without a session of its own it could type into the terminal that started it",
            INIT,
            (
                *begin,
                *(calls.fchownat(slot, "", uid, -1, k.AT_EMPTY_PATH) for slot in owned),
                *(calls.dup3(slot, number) for number, slot in enumerate(stdio)),
            ),
            "setsid(2)",
            Proof("/proc/{pid}/fd/0"),
        ),
    )
