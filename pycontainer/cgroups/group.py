"""A container's cgroup: a directory in each hierarchy it needs, as steps that make, enter and remove it (cgroups(7)).

In v1 the container's first process enters its cgroups by writing to their files ``tasks``; in v2 it is born in its
cgroup, because clone3(2) takes a descriptor of the directory.
"""

from __future__ import annotations

import errno
import os
from itertools import groupby, pairwise

from pycontainer.cgroups import devices, scope
from pycontainer.cgroups.hierarchy import Hierarchies, Hierarchy, own_cgroup
from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.step import INIT, MONITOR, Call, Plan, Proof, Slot, Step
from pycontainer.errors import UsageError
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycontainer.cgroups.limit import Limit, Look

CGROUP = Slot("cgroup")  # the v2 directory
COUNTERS = Slot("memory counters")
SCOPE = Slot("word of the scope")  # a byte comes, by this pipe, when systemd has made it
PLACE = "linux.cgroupsPath"  # the field that asks for a cgroup
_DETACHED = Slot("detached cgroup")
_FILE = Slot("cgroup file")

# What each controller is for: the end of a title, and why.
_PURPOSE = {
    "memory": (
        "memory",
        "When the processes in this cgroup need more, the kernel kills one of them, and counts it: that tells us why",
    ),
    "pids": ("the number of tasks", "A fork bomb fills this budget and not the host's table of processes"),
    "cpu": ("CPU time", "Shares count only when CPUs are busy; a quota stops the cgroup until the next period begins"),
    "cpuset": ("which CPUs may be used", "Processes in this cgroup run on these CPUs and take memory near them"),
    "devices": ("access to devices", "A device node is a number; only those allowed here open anything"),
    "blkio": ("disk traffic", "Weights divide a busy disk; a rate makes whoever exceeds it wait"),
    "io": ("disk traffic", "Weights divide a busy disk; a rate makes whoever exceeds it wait"),
    "hugetlb": ("huge pages", "Huge pages are reserved for the whole host, so one container must not take them all"),
    "rdma": ("RDMA handles", "A network card has only so many of them"),
    "net_cls": ("the class of packets", "Firewalls and traffic control can tell this container's packets by it"),
    "net_prio": ("the priority of packets", "Which packets leave first when a network card is busy"),
    "cgroup": ("the cgroup itself", "Asked for literally, through the runtime-spec's `unified`"),
}


class Tree(Record):
    """One directory in one hierarchy.

    Attributes:
        hierarchy: which one.
        path: of the cgroup, below the mount: ``/pyc/<id>``.
        controllers: that are used here.
        limits: what is written to its files, in order.
        above: v1 only: (directory, limit) for files that must be filled in above first.
        rules: for devices.
        delegated: v2 only: the directory from which on they are ours, if not from the top. Its user has been given it.
    """

    hierarchy: Hierarchy
    path: str
    controllers: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    above: tuple[tuple[str, Limit], ...] = ()
    rules: tuple[devices.Rule, ...] = ()
    delegated: str = ""

    @property
    def directory(self) -> str:
        """The whole path."""
        return self.hierarchy.mount + self.path

    @property
    def parents(self) -> list[str]:
        """The directories between the mount and this one, from the top down."""
        names = self.path.strip("/").split("/")[:-1]
        return [f"{self.hierarchy.mount}/{'/'.join(names[:depth])}" for depth in range(1, len(names) + 1)]

    @property
    def scope(self) -> scope.Scope | None:
        """Systemd's unit that it is in, if the path is of one."""
        return scope.of_path(self.path) if self.hierarchy.version == 2 else None


class View(Record):
    """A hierarchy as the container mounts it.

    Attributes:
        fstype: ``cgroup`` or ``cgroup2``.
        name: the directory below /sys/fs/cgroup; "" for /sys/fs/cgroup itself.
        options: of the filesystem, one flag for each controller.
        links: further names of the same directory.
        directory: the container's cgroup on the host, to be bound where it has no cgroup namespace.
    """

    fstype: str
    name: str
    options: tuple[str, ...]
    links: tuple[str, ...]
    directory: str = ""


class Group(Record):
    """A container's cgroup. The steps are performed in the order of the methods here.

    Attributes:
        trees: its directories.
        skipped: what the host has no controller for and nobody asked for, by its key below ``linux.resources``.
    """

    trees: tuple[Tree, ...]
    skipped: tuple[str, ...] = ()

    def remove_now(self, *, kill: bool) -> tuple[str, ...]:
        """Remove from here what the monitor did not: it was killed, or processes outlived the container's first one.

        ``kill`` ends those that are still in it; only to be set when it is certain that :meth:`create` made the
        group. Returns the directories that are still in use after a while.
        """
        left = [directory for directory in self.directories if os.path.exists(directory)]
        if not left:
            return ()
        from pycontainer.cgroups.removal import remove  # a repair is rare

        return remove(left, kill=kill, timeout=5 if kill else 1)

    @property
    def directories(self) -> tuple[str, ...]:
        """To be kept in the container's state: enough to find, enter and remove the cgroup again."""
        return tuple(tree.directory for tree in self.trees)

    def create(self) -> Plan:
        """The monitor makes the directories and writes the limits, before there is anything to limit."""
        steps: list[Step] = []
        for tree in self.trees:
            steps += _create_v2(tree) if tree.hierarchy.version == 2 else _create_v1(tree)
        return (*steps, *self.open())

    def open(self) -> Plan:
        """The monitor opens what init enters by, and the counters that tell later whether memory ran out."""
        opened: list[Call] = []
        for tree in self.trees:
            if tree.hierarchy.version == 2:
                opened += _open_v2(tree.directory)
            else:
                opened.append(calls.openat(k.AT_FDCWD, f"{tree.directory}/tasks", k.O_WRONLY, out=_tasks(tree)))
            if "memory" in tree.controllers:
                file = "memory.events" if tree.hierarchy.version == 2 else "memory.oom_control"
                opened.append(calls.openat(k.AT_FDCWD, f"{tree.directory}/{file}", k.O_RDONLY, out=COUNTERS))
        if not opened:
            return ()
        why = "A process that is cut off from the host's files can still use the descriptors that it was given"
        return (Step("Open the way in", why, MONITOR, tuple(opened), "cgroups(7)", Proof("/proc/{pid}/fd"), PLACE),)

    @property
    def scope(self) -> scope.Scope | None:
        """The unit that systemd is to make around the monitor, before it can go on: the byte for SCOPE tells it."""
        return next((found for tree in self.trees if (found := tree.scope)), None)

    @property
    def clone_into(self) -> Slot | None:
        """The descriptor for clone3(2), where there is a v2 directory."""
        return CGROUP if any(tree.hierarchy.version == 2 for tree in self.trees) else None

    def enter(self) -> Plan:
        """Init enters the v1 hierarchies, first of all: what it does from here on is counted and limited."""
        slots = [_tasks(tree) for tree in self.trees if tree.hierarchy.version == 1]
        if not slots:
            return ()
        # `0` is whoever writes it. `tasks` moves one thread and takes no lock; `cgroup.procs` moves a process, for
        # which the kernel keeps every fork and exit on the host waiting: 5 ms, where `tasks` takes 0.05.
        entered = tuple(calls.write(slot, b"0") for slot in slots)
        why = "Who writes 0 to `tasks` is moved into that cgroup; all its children will be born there"
        return (Step("Enter the cgroups", why, INIT, entered, "cgroups(7)", Proof("/proc/{pid}/cgroup"), PLACE),)

    @property
    def entrances(self) -> list[Slot]:
        """What :meth:`open` has opened to be entered by."""
        return [CGROUP if tree.hierarchy.version == 2 else _tasks(tree) for tree in self.trees]

    def let_go(self) -> Plan:
        """Init, which was born in its cgroup of v2, does not keep the directory."""
        if not self.clone_into:
            return ()
        why = "It was needed to be born by, and nobody inside has a use for it"
        return (
            Step(
                "Let go of the cgroup's directory",
                why,
                INIT,
                (calls.close(CGROUP),),
                "close(2)",
                Proof("/proc/{pid}/fd"),
            ),
        )

    @property
    def counters(self) -> Slot | None:
        """A descriptor of the file that counts out-of-memory kills: :func:`oom_killed` reads its text."""
        return COUNTERS if any("memory" in tree.controllers for tree in self.trees) else None

    @property
    def views(self) -> tuple[View, ...]:
        """What belongs under the container's /sys/fs/cgroup: the hierarchies it has a place in."""
        if all(tree.hierarchy.version == 2 for tree in self.trees):
            return tuple(View("cgroup2", "", (), (), tree.directory) for tree in self.trees)
        views = []
        for tree in self.trees:
            controllers = tree.hierarchy.controllers
            if tree.hierarchy.version == 2:
                views.append(View("cgroup2", "unified", (), (), tree.directory))
            else:
                links = controllers if len(controllers) > 1 else ()
                views.append(View("cgroup", tree.hierarchy.name, controllers, links, tree.directory))
        return tuple(views)

    def remove(self) -> Plan:
        """The monitor removes the directories, once the container has ended."""
        if not self.trees:
            return ()
        # Busy is a cgroup in which another process was put, or cgroups that the container made: removal.py's work.
        tolerate = (errno.ENOENT, errno.EBUSY)
        removed = tuple(
            calls.unlinkat(k.AT_FDCWD, directory, k.AT_REMOVEDIR, tolerate=tolerate, patient=True)
            for directory in self.directories
        )
        why = "The kernel lets go of a cgroup when its directory is removed, which needs that nobody is left in it"
        return (Step("Remove the cgroups", why, MONITOR, removed, "cgroups(7)"),)


def _tasks(tree: Tree) -> Slot:
    return Slot(f"tasks of {tree.hierarchy.name}")


# --- steps that make a directory --------------------------------------------------------------------------------------


def _write(directory: str, lines: Iterable[tuple[str, str]]) -> list[Call]:
    """Each (file, text) in one call, as these files want it; a file that gets several lines is opened once."""
    written: list[Call] = []
    for file, same in groupby(lines, lambda line: line[0]):
        written.append(calls.openat(k.AT_FDCWD, f"{directory}/{file}", k.O_WRONLY, out=_FILE))
        written += [calls.write(_FILE, text) for _, text in same]
        written.append(calls.close(_FILE))
    return written


def _open_v2(directory: str) -> tuple[Call, ...]:
    """Open it as a mount that is attached nowhere, for reading only.

    Whoever is born by its descriptor holds a copy until it has closed it, and somebody in the container who may trace
    it could take that. From a plain directory ``..`` would lead to the host's root; from this one it leads nowhere.
    Without the right to mount, the container has no more rights than its caller.
    """
    return (
        calls.openat(k.AT_FDCWD, directory, k.O_PATH | k.O_DIRECTORY, out=CGROUP),
        calls.open_tree(CGROUP, "", k.OPEN_TREE_CLONE | k.AT_EMPTY_PATH, out=_DETACHED, tolerate=(errno.EPERM,)),
        calls.mount_setattr(_DETACHED, 0, set=k.MOUNT_ATTR_RDONLY),
        calls.dup3(_DETACHED, CGROUP, k.O_CLOEXEC),
        calls.close(_DETACHED),
    )


def _create_v1(tree: Tree) -> list[Step]:
    """One step for each hierarchy: the directory, its limits, its rules."""
    made: list[Call] = []
    for directory in tree.parents:
        made.append(calls.mkdirat(k.AT_FDCWD, directory, 0o755, tolerate=(errno.EEXIST,)))
        for above, limit in tree.above:
            if above == directory:
                made += _write(directory, [limit.line])
    made.append(calls.mkdirat(k.AT_FDCWD, tree.directory, 0o755))
    lines = [*(limit.line for limit in tree.limits), *devices.lines(tree.rules)]
    made += _write(tree.directory, lines)
    shown = "devices.list" if tree.rules else lines[0][0] if lines else "cgroup.procs"
    what, why = _purpose(tree.controllers)
    verb = "Limit" if lines else "Count"
    field = "linux.resources" if lines else PLACE
    return [Step(f"{verb} {what}", why, MONITOR, tuple(made), "cgroups(7)", Proof(f"{tree.directory}/{shown}"), field)]


def _purpose(controllers: tuple[str, ...]) -> tuple[str, str]:
    known = [_PURPOSE.get(controller, (controller, "Asked for by the runtime-spec")) for controller in controllers]
    return " and ".join(what for what, _ in known), ". ".join(why for _, why in known)


def _create_v2(tree: Tree) -> list[Step]:
    """One directory; the controllers must be handed down to it from the top."""
    chain = [tree.hierarchy.mount, *tree.parents, tree.directory]
    if tree.scope:
        chain = chain[-2:]  # down to the scope, systemd hands them
    elif tree.delegated:
        chain = chain[chain.index(tree.delegated) :]
    enabled = " ".join(f"+{name}" for name in tree.controllers if name in tree.hierarchy.controllers)
    made: list[Call] = []
    for above, directory in pairwise(chain):
        if enabled:
            made += _write(above, [("cgroup.subtree_control", enabled)])
        tolerate = () if directory == tree.directory else (errno.EEXIST,)
        made.append(calls.mkdirat(k.AT_FDCWD, directory, 0o755, tolerate=tolerate))
    steps = [
        *_enter_scope(tree),
        Step(
            "Make the cgroup",
            "A cgroup is a directory; a controller works in it when the directory above has handed it down",
            MONITOR,
            tuple(made),
            "cgroups(7)",
            Proof(f"{tree.directory}/cgroup.controllers"),
            field=PLACE,
        ),
    ]
    by_controller: dict[str, list[Limit]] = {}
    for limit in tree.limits:
        by_controller.setdefault(limit.file.split(".")[0], []).append(limit)
    for controller, limits in by_controller.items():
        what, why = _purpose((controller,))
        proof = Proof(f"{tree.directory}/{limits[0].file}")
        written = tuple(_write(tree.directory, [limit.line for limit in limits]))
        steps.append(Step(f"Limit {what}", why, MONITOR, written, "cgroups(7)", proof, field="linux.resources"))
    if tree.rules:
        steps.append(_filter_devices(tree))
    return steps


def _enter_scope(tree: Tree) -> list[Step]:
    """The monitor, around which systemd makes the scope, waits for it and makes room in it."""
    if tree.scope is None:
        return []
    wait = Step(
        "Wait for the scope",
        "Systemd keeps this tree: pyc asks it for a branch around the monitor, below which everything is ours",
        MONITOR,
        (calls.read(SCOPE, 1, expect=1), calls.close(SCOPE)),
        "systemd.scope(5)",
    )
    beside = f"{tree.parents[-1]}/monitor"
    room = Step(
        "Make room in the scope",
        "A v2 cgroup hands controllers down only if nobody is in it, so the monitor gets one beside the container's",
        MONITOR,
        (calls.mkdirat(k.AT_FDCWD, beside, 0o755), *_write(beside, [("cgroup.procs", "0")])),
        "cgroups(7)",
        Proof("/proc/{pid}/cgroup"),
        field=PLACE,
    )
    return [wait, room]


def _filter_devices(tree: Tree) -> Step:
    opened = calls.openat(k.AT_FDCWD, tree.directory, k.O_PATH | k.O_DIRECTORY, out=CGROUP)
    return Step(
        "Limit access to devices",
        "cgroup v2 has no files for devices: the kernel asks this small program about each open and mknod",
        MONITOR,
        (opened, *devices.attach(tree.rules, CGROUP), calls.close(CGROUP)),
        "bpf(2)",
        field="linux.resources.devices",
    )


# --- finding it -------------------------------------------------------------------------------------------------------


def existing(hierarchies: Hierarchies, path: str, look: Look, membership: str) -> Group:
    """The group at ``path`` as it is, wherever it has a directory.

    Of v2 it may be a directory below: there no process can be in a cgroup that hands controllers down, so a container
    that makes cgroups of its own has moved. ``membership`` is the text of its first process's /proc/PID/cgroup.
    """
    trees = []
    for home in {home.mount: home for home in (*hierarchies.v1.values(), hierarchies.v2) if home}.values():
        at = below(home, path, look)
        if not os.path.isdir(home.mount + at):
            continue
        if home.version == 2 and membership:
            moved = own_cgroup(home, membership)
            at = moved if moved.startswith(at + "/") else at
        trees.append(Tree(home, at))
    return Group(tuple(trees))


def below(home: Hierarchy, path: str, look: Look) -> str:
    """``path`` from the top of a hierarchy; one without a leading slash begins where this process is."""
    names = path.split("/")
    if not path.strip("/") or ".." in names or any(len(name) > 255 for name in names) or "\0" in path or "\n" in path:
        raise UsageError(f"cgroup {path!r}: not a path below the root of a hierarchy")
    above = "" if path.startswith("/") else own_cgroup(home, look.read("/proc/self/cgroup"))
    return "/".join([above, *(name for name in names if name not in ("", "."))])
