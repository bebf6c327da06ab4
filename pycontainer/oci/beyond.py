"""The commands that runc has beyond the operations of runtime.md."""

from __future__ import annotations

import os

from pycontainer.errors import PycError, Unsupported, UsageError
from pycontainer.oci import log
from pycontainer.oci.operations import asked_of, owner_of, show
from pycontainer.oci.state import VERSION, Home
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.oci.spec import Process, User

    Options = dict[str, Any]


def pause(home: Home, options: Options, words: list[str]) -> int:
    """Let its processes stand still."""
    from pycontainer.oci import control

    control.pause(home, words[0], frozen=True)
    return 0


def resume(home: Home, options: Options, words: list[str]) -> int:
    """Let them go on."""
    from pycontainer.oci import control

    control.pause(home, words[0], frozen=False)
    return 0


def list_(home: Home, options: Options, words: list[str]) -> int:
    """Print all containers."""
    as_json = _wants_json(options)
    states = [home.read(name) for name in home.names()]
    if options.get("quiet"):
        print("".join(f"{state.id}\n" for state in states), end="")
        return 0
    rows = []
    for state in states:
        status = home.status(state)
        rows.append(
            {
                "ociVersion": VERSION,
                "id": state.id,
                "pid": 0 if status == "stopped" else state.pid,
                "status": status,
                "bundle": state.bundle,
                "rootfs": state.rootfs,
                "created": state.created,
                **({"annotations": state.annotations} if state.annotations else {}),
                "owner": owner_of(home.directory(state.id)),
            }
        )
    if as_json:
        from json import dumps

        print(dumps(rows))
        return 0
    table: list[tuple[str, ...]] = [("ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER")]
    table += [tuple(str(row[key]) for key in ("id", "pid", "status", "bundle", "created", "owner")) for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        print("   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    return 0


def _wants_json(options: Options) -> bool:
    wanted = options.get("format", "table")
    if wanted not in ("table", "json"):
        raise UsageError(f"--format {wanted}: want table or json")
    return bool(wanted == "json")


def ps(home: Home, options: Options, words: list[str]) -> int:
    """Print the processes of a container."""
    from pycontainer.oci import control

    as_json = _wants_json(options)
    found = control.pids(home.read(words[0]))
    if as_json:
        from pycontainer import jsontext

        print(jsontext.dump(found))
        return 0
    import subprocess  # +8 ms

    listed = subprocess.run(
        ["ps", *(words[1:] or ["-ef"])], capture_output=True, text=True, errors="replace", check=False
    )
    if listed.returncode:
        raise UsageError(f"ps: {listed.stderr.strip() or listed.returncode}")
    head, *lines = listed.stdout.rstrip("\n").split("\n")  # a command line may have what else ends lines in Unicode
    columns = head.split()
    if "PID" not in columns:
        raise UsageError("couldn't find PID field in ps output")
    at = columns.index("PID")
    print("\n".join([head, *(line for line in lines if int(line.split()[at]) in found)]))
    return 0


def exec_(home: Home, options: Options, words: list[str]) -> int:
    """Start one more process in a container."""
    from pycontainer.oci import foreground, inside

    try:
        if below := "".join(options.get("cgroup", [])).strip("/"):
            raise Unsupported(f"--cgroup {below}: a process enters the container's own cgroup, none below it")
        wanted = inside.Wanted(asked_of(options), options.get("ignore-paused", False))
        process = _process(home.spec(words[0])["process"], options, words[1:])
        if not options.get("detach"):
            return foreground.execute(home, words[0], process, wanted)
        inside.execute(home, words[0], process, wanted)
        return 0
    except PycError as error:
        log.error(error)
        return 255


def _process(first: Process, options: Options, args: list[str]) -> Process:
    """The process that --process FILE describes, or the container's own with what the options change.

    What such a file says nothing of is the container's, as it is for runc: to have no capabilities, for one, is said
    by an object without any.
    """
    if path := options.get("process"):
        from pycontainer.oci import shape

        try:
            with open(path) as file:
                described: Process = shape.read(file.read(), shape.PROCESS, "process")
        except (OSError, ValueError) as error:
            raise UsageError(f"--process {path}: {error}") from None
        process: Any = {"user": {"uid": 0, "gid": 0}, **described}
        for key in _INHERITED:
            if key in first and process.get(key) in (None, "", []):
                process[key] = first[key]  # type: ignore[literal-required]
        return process  # type: ignore[no-any-return]
    if not args:
        raise UsageError("exec args cannot be empty")
    process = {**first, "args": args, "terminal": options.get("tty", False)}
    process["env"] = [*(process.get("env") or ()), *options.get("env", [])]
    process["cwd"] = options.get("cwd") or process.get("cwd")
    process["user"] = _user(first.get("user") or {}, options)
    if options.get("cap"):
        sets = process.get("capabilities") or {}
        kinds = ("bounding", "effective", "permitted")
        process["capabilities"] = sets | {kind: [*(sets.get(kind) or []), *options["cap"]] for kind in kinds}
    for option, key in (
        ("no-new-privs", "noNewPrivileges"),
        ("apparmor", "apparmorProfile"),
        ("process-label", "selinuxLabel"),
    ):
        if option in options:
            process[key] = options[option]
    return process  # type: ignore[no-any-return]


_INHERITED = ("capabilities", "rlimits", "apparmorProfile", "selinuxLabel")


def _user(first: User, options: Options) -> User:
    """Who --user and --additional-gids make it."""
    from pycontainer.oci.grammar.numbers import integer
    from pycontainer.oci.grammar.users import MAX_ID

    def number(option: str, text: str) -> int:
        try:
            return integer(0, MAX_ID)(text)
        except UsageError as error:
            raise UsageError(f"--{option} {text}: {error.message}; want numbers") from None

    user: User = {**first}
    if "user" in options:
        uid, colon, gid = options["user"].partition(":")
        user = {**user, "uid": number("user", uid), "gid": number("user", gid) if colon else 0}
    if "additional-gids" in options:
        user["additionalGids"] = [number("additional-gids", gid) for gid in options["additional-gids"]]
    return user


def update(home: Home, options: Options, words: list[str]) -> int:
    """Change its limits."""
    from pycontainer.oci import update

    update.update(home, words[0], update.asked(options))
    return 0


def events(home: Home, options: Options, words: list[str]) -> int:
    """Print what it uses."""
    from pycontainer.oci import stats
    from pycontainer.oci.grammar.numbers import duration

    try:
        seconds = duration(options.get("interval", "5s"))
    except UsageError as error:
        raise UsageError(f"--interval {options['interval']}: {error.message}") from None
    if not seconds:
        raise UsageError(f"--interval {options['interval']}: must be greater than 0")
    stats.events(home, words[0], once=options.get("stats", False), interval=seconds)
    return 0


def spec(home: Home, options: Options, words: list[str]) -> int:
    """Write an example config.json."""
    from json import dumps

    from pycontainer.oci.example import example

    path = os.path.join(options.get("bundle") or ".", "config.json")
    if os.path.exists(path):
        raise UsageError(f"File {path} exists. Remove it first")
    with open(path, "w") as file:
        file.write(dumps(example(rootless=options.get("rootless", False)), indent="\t") + "\n")
    return 0


def features(home: Home, options: Options, words: list[str]) -> int:
    """Print what this runtime can do."""
    from pycontainer.oci.features import features

    show(features())
    return 0


def checkpoint(home: Home, options: Options, words: list[str]) -> int:
    """Write it to files, through CRIU."""
    from pycontainer.oci import checkpoint

    checkpoint.checkpoint(home, words[0], options)
    return 0


def restore(home: Home, options: Options, words: list[str]) -> int:
    """Make it again from such files."""
    from pycontainer.oci import checkpoint, foreground

    asked = asked_of(options)
    if options.get("detach"):
        checkpoint.restore(home, words[0], asked, options)
        return 0
    return foreground.restore(home, words[0], asked, options)
