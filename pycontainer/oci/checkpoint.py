"""Checkpoint and restore: a container is written to files, and made again from these, by CRIU (criu.org).

What CRIU can't know is told to it from the spec: which mounts show directories of the host's, which namespaces are
others', what the streams were connected to. Of the files that it has written nothing says what to mount or to run:
a restored container has the bundle's sources, its cgroup and its limits.
"""

from __future__ import annotations

import contextlib
import os

from pycontainer import jsontext
from pycontainer.cgroups.request import ScopeRequest
from pycontainer.core import kernel
from pycontainer.core.performer import Performance, PlanFailed
from pycontainer.core.step import Plan, Slot
from pycontainer.errors import Conflict, HostLacks, Unsupported, UsageError
from pycontainer.oci import bundle, cgroup, control, failures, log
from pycontainer.oci.state import Home, State, start_time
from pycontainer.plan import criu, mounts
from pycontainer.plan.slots import STDERR, STDIN, STDOUT
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pycontainer.cgroups import Group
    from pycontainer.oci.asked import Asked
    from pycontainer.oci.spec import Spec

    Options = dict[str, Any]

STREAMS = "descriptors.json"
"""What descriptors 0, 1 and 2 were, as a list of three words; the name and form are runc's."""
_KEPT = 100  # the number of the first descriptor that CRIU is given
_ROOTS = {"network": "extRootNetNS", "pid": "extRootPidNS"}
_FILES = {"network": "net", "pid": "pid"}
_SWITCHES = "ext-unix-sk tcp-established tcp-close shell-job lazy-pages file-locks auto-dedup link-remap".split()


# --- checkpoint -------------------------------------------------------------------------------------------------------


def checkpoint(home: Home, name: str, options: Options) -> None:
    """Write it to files. It ends with that, and is deleted, unless it is to go on. Raises PycError."""
    state = home.read(name)
    status = home.status(state)
    if status not in ("running", "paused"):
        raise Conflict(f"cannot checkpoint a container that is {status}")
    spec = home.spec(name)
    if spec["process"].get("terminal"):
        raise Unsupported("process.terminal: what holds the terminal's other side is no part of a checkpoint")
    stays = options.get("leave-running", False) or options.get("pre-dump", False)
    images = _directory(options.get("image-path") or "checkpoint")
    work = _directory(options.get("work-path") or images)
    streams = _streams(state.pid)
    with open(f"{images}/{STREAMS}", "w") as file:
        file.write(jsontext.dump(streams))
    group = cgroup.group_of(state.cgroup, spec)
    argv = (_program(options), *dump_arguments(spec, state, options, streams), *_only(group), "-D", images, "-W", work)
    try:
        _perform(criu.become(argv, {}), {}, name, "checkpoint", f"{work}/dump.log")
    except PlanFailed as error:
        raise failures.failure(error, {"process": {"args": [argv[0]]}, "linux": {}}) from None
    if not stays:
        control.delete(home, name, force=True)


def dump_arguments(spec: Spec, state: State, options: Options, streams: list[str]) -> list[str]:
    """What ``criu`` is told, but for the directories. Raises UsageError."""
    pre = options.get("pre-dump", False)
    words = ["pre-dump" if pre else "dump", "-t", str(state.pid), "-o", "dump.log", "--root", state.rootfs]
    words += _shared(options)
    words += ["--track-mem"] if pre else []
    words += ["--leave-running"] if options.get("leave-running") and not pre else []
    words += ["--skip-in-flight"] if options.get("tcp-skip-in-flight") else []
    if parent := options.get("parent-path"):
        if os.path.isabs(parent):
            raise UsageError(f"--parent-path {parent}: it is relative to --image-path")
        words += ["--prev-images-dir", parent, "--track-mem"]
    if server := options.get("page-server"):
        address, colon, port = server.rpartition(":")
        if not colon or not port.isdecimal():
            raise UsageError(f"--page-server {server}: want ADDRESS:PORT")
        words += ["--page-server", "--address", address, "--port", port]
    if freezer := next((d for d in state.cgroups if _can_freeze(d)), None):
        words += ["--freeze-cgroup", freezer]
    for destination in sources(spec):
        words += ["--external", f"mnt[{_resolved(state.pid, destination)}]:{destination}"]
    for kind, inode in _joined(spec, state.pid):
        words += ["--external", f"{_FILES[kind]}[{inode}]:{_ROOTS[kind]}"]
    for word in dict.fromkeys(streams):
        words += ["--external", word] if word.startswith("file[") else []
    return words


def _only(group: Group) -> list[str]:
    """In v1, leave alone the hierarchies that it has no cgroup in: CRIU would make the cgroups of all others again."""
    names = [name for tree in group.trees if tree.hierarchy.version == 1 for name in tree.hierarchy.controllers]
    return [word for name in names for word in ("--cgroup-dump-controller", name)]


def _shared(options: Options) -> list[str]:
    """What both commands are told in the same words."""
    words = [f"--{name}" for name in _SWITCHES if options.get(name)]
    words += [f"--manage-cgroups={options.get('manage-cgroups-mode') or 'soft'}", "-v4"]
    for kind in filter(None, (options.get("empty-ns") or "").split(",")):
        if kind != "network":
            raise UsageError(f"--empty-ns {kind}: want network")
        words += ["--empty-ns", "net"]
    if options.get("status-fd"):
        words += ["--status-fd", options["status-fd"]]
    return words


def sources(spec: Spec) -> dict[str, str]:
    """Destination -> source of what is mounted from the host."""
    return {mount["destination"]: mount["source"] for mount in spec.get("mounts") or () if mounts.is_bind(mount)}


def _can_freeze(directory: str) -> bool:
    return any(os.path.exists(f"{directory}/{file}") for file in ("freezer.state", "cgroup.freeze"))


def _resolved(pid: int, destination: str) -> str:
    """Where a mount is, behind symbolic links of the container's."""
    with contextlib.ExitStack() as opened:
        root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_CLOEXEC)
        opened.callback(os.close, root)
        place = kernel.openat2(root, destination, os.O_PATH, 0, kernel.RESOLVE_IN_ROOT | kernel.RESOLVE_NO_MAGICLINKS)
        opened.callback(os.close, place)
        return os.readlink(f"/proc/self/fd/{place}")


def _joined(spec: Spec, pid: int) -> Iterator[tuple[str, int]]:
    """The kinds of namespaces that it has from others, as far as CRIU can leave them to those, and their inodes."""
    for namespace in spec["linux"].get("namespaces") or ():
        if namespace.get("path") and namespace["type"] in _FILES:
            yield namespace["type"], os.stat(f"/proc/{pid}/ns/{_FILES[namespace['type']]}").st_ino


def _streams(pid: int) -> list[str]:
    """Descriptors 0, 1 and 2 as CRIU names them where they lead out of the container."""
    with open(f"/proc/{pid}/mountinfo", errors="replace") as file:
        inside = {line.split(" ", 1)[0] for line in file}
    words = []
    for number in range(3):
        link = os.readlink(f"/proc/{pid}/fd/{number}")
        with open(f"/proc/{pid}/fdinfo/{number}") as file:
            mount = next(line.split()[1] for line in file if line.startswith("mnt_id:"))
        if link.startswith("/") and mount not in inside:
            link = f"file[{int(mount):x}:{os.stat(f'/proc/{pid}/fd/{number}').st_ino:x}]"
        words.append(link)
    return words


# --- restore ----------------------------------------------------------------------------------------------------------


def restore(home: Home, name: str, asked: Asked, options: Options) -> State:
    """Make it again from files, as a child of ours. Raises PycError, with everything undone."""
    made_from = bundle.read(asked.bundle)
    spec = made_from.spec
    images = os.path.realpath(options.get("image-path") or "checkpoint")
    streams = _read_streams(images)
    program = _program(options)
    where = home.reserve(name)
    group, begun = None, False
    try:
        path = cgroup.cgroup_of(name, spec, systemd=asked.systemd)
        group = cgroup.group_of(path, spec)
        cgroup.make_room(group)
        with open(f"{where}/config.json", "w") as file:
            file.write(made_from.copy())
        work = _directory(options.get("work-path") or images)
        place = _directory(f"{where}/root")
        with contextlib.ExitStack() as ours:
            ours.callback(os.rmdir, place)
            given, kept, named = _inherited(spec, streams, ours)
            argv = [program, *restore_arguments(spec, options, named), "--root", place, "-D", images, "-W", work]
            argv += ["--pidfile", f"{where}/pid"]
            argv += _places(group)
            root = criu.root_as_a_mount(made_from.rootfs, place)
            plan = (*group.create(), *root, *criu.become(tuple(argv), kept))
            begun = True
            with ScopeRequest(group) as scoped:
                _perform(plan, given | scoped.given, name, "restore", f"{work}/restore.log", scoped)
        with open(f"{where}/pid") as file:
            pid = int(file.read())
        _warn_of_what_is_lost(spec, pid)
        state = made_from.state(name, path, group)._replace(pid=pid, began=start_time(pid))
        home.write(state)
        asked.write_pid(pid)
        return state
    except BaseException as error:
        if group and begun:
            group.remove_now(kill=not failures.is_anothers(error))
        home.remove(name)
        if isinstance(error, PlanFailed):
            raise failures.failure(error, spec) from None
        raise


def _warn_of_what_is_lost(spec: Spec, pid: int) -> None:
    """A CRIU before 3.19 does not give back no_new_privs, and nobody can set it from outside."""
    if not spec["process"].get("noNewPrivileges"):
        return
    with open(f"/proc/{pid}/status", errors="replace") as file:
        if "NoNewPrivs:\t0" in file.read():
            log.warning(
                "process.noNewPrivileges is lost: this CRIU does not keep it, and set-user-ID programs give privileges"
            )


def restore_arguments(spec: Spec, options: Options, named: dict[int, str]) -> list[str]:
    """What ``criu`` is told, but for the directories; ``named`` are the descriptors that it is to hand on."""
    words = ["restore", "-o", "restore.log", "--restore-detached", "--restore-sibling", *_shared(options)]
    for destination, source in sources(spec).items():
        words += ["--external", f"mnt[{destination}]:{source}"]
    for number, word in named.items():
        words += ["--inherit-fd", f"fd[{number}]:{word}"]
    for option in ("lsm-profile", "lsm-mount-context"):
        words += [f"--{option}", options[option]] if options.get(option) else []
    return words


def _places(group: Group) -> list[str]:
    """Its cgroup in each hierarchy, which may be another one than it had."""
    words = []
    for tree in group.trees:
        controllers = ",".join(tree.hierarchy.controllers) + ":" if tree.hierarchy.version == 1 else ""
        words += ["--cgroup-root", f"{controllers}{tree.path}"]
    return words


def _inherited(
    spec: Spec, streams: list[str], ours: contextlib.ExitStack
) -> tuple[dict[Slot, int], dict[Slot, int], dict[int, str]]:
    """What the restored container gets of ours: our streams for what its own were, and the namespaces of others.

    Returns the descriptors, their numbers in CRIU, and what CRIU knows each of them as.
    """
    given: dict[Slot, int] = {}
    names: dict[Slot, str] = {}
    for number, (slot, word) in enumerate(zip((STDIN, STDOUT, STDERR), streams, strict=True)):
        if not word.startswith("/") and word not in names.values():
            given[slot], names[slot] = number, word
    for namespace in spec["linux"].get("namespaces") or ():
        if (path := namespace.get("path")) and (name := _ROOTS.get(namespace["type"])):
            slot = Slot(f"{namespace['type']} namespace")
            try:
                given[slot], names[slot] = os.open(path, os.O_RDONLY | os.O_CLOEXEC), name
            except OSError as error:
                raise UsageError(f"linux.namespaces: {path}: {error.strerror}") from None
            ours.callback(os.close, given[slot])
    kept = {slot: _KEPT + index for index, slot in enumerate(given)}
    return given, kept, {kept[slot]: name for slot, name in names.items()}


def _read_streams(images: str) -> list[str]:
    """What was written at checkpoint. The files may come from anywhere: a word is only compared, never opened."""
    path = f"{images}/{STREAMS}"
    try:
        with open(path) as file:
            words = jsontext.load(file.read(65536))
    except FileNotFoundError:
        raise UsageError(f"{images} holds no checkpoint: there is no {STREAMS}") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {error}") from None
    if not isinstance(words, list) or len(words) != 3 or not all(isinstance(word, str) for word in words):
        raise UsageError(f"{path}: want a list of three strings")
    return words


# --- CRIU -------------------------------------------------------------------------------------------------------------


def _program(options: Options) -> str:
    """Where CRIU is: ``--criu``, or the first in PATH. Raises HostLacks."""
    asked = options["global"].get("criu") or "criu"
    places = [asked] if "/" in asked else [f"{d}/{asked}" for d in os.environ.get("PATH", os.defpath).split(":")]
    found = next((place for place in places if os.access(place, os.X_OK)), "")
    if not found:
        raise HostLacks(f"checkpoint and restore need CRIU, and there is no {asked}", hint="apt-get install criu")
    return os.path.realpath(found)


def _directory(path: str) -> str:
    """Make it, where it is missing, for nobody else: memory of processes is written there."""
    try:
        os.makedirs(path, 0o700, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or '').lower()}") from None
    return os.path.realpath(path)


def _perform(
    plan: Plan, given: dict[Slot, int], name: str, verb: str, log: str, scoped: ScopeRequest | None = None
) -> None:
    """Perform the plan, at whose end CRIU is, and wait for its end. Raises PycError."""
    performance = Performance(plan, given, name=f"{name} {verb}")
    try:
        if scoped:
            scoped.fulfil(performance.monitor)
        while performance.read_records():
            pass
        ended = os.waitid(os.P_PIDFD, performance.pidfd, os.WEXITED | os.WNOWAIT)
    finally:
        performance.close()
    if ended and ended.si_status:
        raise failures.RuntimeFailed(
            f"CRIU could not {verb} {name}: {_first_error(log)}", hint=f"all of it is in {log}"
        )


def _first_error(log: str) -> str:
    """The first thing that went wrong, of which the others are consequences; it can do without higher limits."""
    try:
        with open(log, errors="replace") as file:
            errors = [line.partition("Error (")[2].partition("): ")[2].strip() for line in file if "Error (" in line]
    except OSError:
        errors = []
    return next((error for error in errors if error and not error.startswith("rlimit:")), "it said nothing")
