"""The command line of runc, as engines call it: ``pyc-oci [global options] command [options] [arguments]``.

What may be said to each is in :mod:`pycontainer.oci.words`.
"""

from __future__ import annotations

import os
import sys

from pycontainer import __version__, modules
from pycontainer.errors import PycError, UsageError
from pycontainer.oci import log
from pycontainer.oci.state import VERSION, Home
from pycontainer.oci.words import ALIASES, CHECKPOINT, EXEC, GLOBAL, MADE, RESTORE, SHORT, UPDATED, parse
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    Options = dict[str, Any]


class Command(Record):
    """A command.

    Attributes:
        summary: one line.
        usage: its arguments.
        options: their names -> "" for a switch, "TEXT" or "NUMBER" for those with a value, "LIST" for repeated ones.
        arguments: the least and the most number of them.
        run: what does it, and returns the exit code.
    """

    summary: str
    usage: str
    options: dict[str, str]
    arguments: tuple[int, int]
    run: Callable[[Home, Options, list[str]], int]


# --- commands ---------------------------------------------------------------------------------------------------------


def _create(home: Home, options: Options, words: list[str]) -> int:
    from pycontainer.oci import runtime

    runtime.create(home, words[0], _asked(options))
    return 0


def _run(home: Home, options: Options, words: list[str]) -> int:
    from pycontainer.oci import runtime

    asked = _asked(options)
    if options.get("detach"):
        runtime.create(home, words[0], asked)
        _start_or_delete(home, words[0])
        return 0
    from pycontainer.oci import foreground

    return foreground.run(home, words[0], asked, keep=options.get("keep", False))


def _start_or_delete(home: Home, name: str) -> None:
    from pycontainer.oci import control, runtime

    try:
        runtime.start(home, name)
    except BaseException:
        control.delete(home, name, force=True)
        raise


def _asked(options: Options) -> Any:
    from pycontainer.oci.runtime import Asked

    return Asked(
        systemd=bool(options["global"].get("systemd-cgroup")),
        bundle=options.get("bundle") or ".",
        pid_file=options.get("pid-file", ""),
        console_socket=options.get("console-socket", ""),
        preserve_fds=options.get("preserve-fds", 0) + int(os.environ.get("LISTEN_FDS") or 0),
        no_pivot=options.get("no-pivot", False),
        no_new_keyring=options.get("no-new-keyring", False),
    )


def _start(home: Home, options: Options, words: list[str]) -> int:
    from pycontainer.oci import runtime

    runtime.start(home, words[0])
    return 0


def _state(home: Home, options: Options, words: list[str]) -> int:
    from pycontainer.oci.state import shown

    state = home.read(words[0])
    told = shown(state, home.status(state)) | {"rootfs": state.rootfs, "created": state.created, "owner": ""}
    told.setdefault("pid", 0)
    _print(told)
    return 0


def _print(value: Any) -> None:
    from json import dumps  # for people: with indentation

    print(dumps(value, indent=2))


def _kill(home: Home, options: Options, words: list[str]) -> int:
    from pycontainer.oci import control

    control.kill(
        home, words[0], signal_number(words[1] if len(words) > 1 else "TERM"), everybody=options.get("all", False)
    )
    return 0


def signal_number(name: str) -> int:
    """``9``, ``KILL`` and ``SIGKILL`` are the same. Raises UsageError."""
    import signal

    if name.isdecimal() and 0 < int(name) < signal.NSIG:
        return int(name)
    upper = name.upper().removeprefix("SIG")
    base, plus, offset = upper.partition("+")
    if base == "RTMIN" and plus and offset.isdecimal():
        return signal.SIGRTMIN + int(offset)
    try:
        return signal.Signals[f"SIG{upper}"].value
    except KeyError:
        raise UsageError(f"unknown signal {name!r}") from None


def _delete(home: Home, options: Options, words: list[str]) -> int:
    from pycontainer.oci import control

    control.delete(home, words[0], force=options.get("force", False))
    return 0


def _pause(home: Home, options: Options, words: list[str]) -> int:
    from pycontainer.oci import control

    control.pause(home, words[0], frozen=True)
    return 0


def _resume(home: Home, options: Options, words: list[str]) -> int:
    from pycontainer.oci import control

    control.pause(home, words[0], frozen=False)
    return 0


def _list(home: Home, options: Options, words: list[str]) -> int:
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
                "owner": "root",
            }
        )
    if options.get("format", "table") == "json":
        from json import dumps

        print(dumps(rows))
        return 0
    table: list[tuple[str, ...]] = [("ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER")]
    table += [tuple(str(row[key]) for key in ("id", "pid", "status", "bundle", "created", "owner")) for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        print("   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    return 0


def _ps(home: Home, options: Options, words: list[str]) -> int:
    from pycontainer.oci import control

    found = control.pids(home.read(words[0]))
    if options.get("format", "table") == "json":
        from pycontainer import jsontext

        print(jsontext.dump(found))
        return 0
    import subprocess  # +8 ms

    listed = subprocess.run(["ps", *(words[1:] or ["-ef"])], capture_output=True, text=True, check=False)
    if listed.returncode:
        raise UsageError(f"ps: {listed.stderr.strip() or listed.returncode}")
    head, *lines = listed.stdout.splitlines()
    columns = head.split()
    if "PID" not in columns:
        raise UsageError("couldn't find PID field in ps output")
    at = columns.index("PID")
    print("\n".join([head, *(line for line in lines if int(line.split()[at]) in found)]))
    return 0


def _exec(home: Home, options: Options, words: list[str]) -> int:
    from pycontainer.oci import foreground, inside

    process = _process(home, words[0], options, words[1:])
    wanted = inside.Wanted(_asked(options), options.get("ignore-paused", False))
    if options.get("detach"):
        inside.execute(home, words[0], process, wanted)
        return 0
    try:
        return foreground.execute(home, words[0], process, wanted)
    except PycError as error:
        log.error(error)
        return 255


def _process(home: Home, name: str, options: Options, args: list[str]) -> Any:
    """The process that --process FILE describes, or the container's own with what the options change."""
    if options.get("process"):
        from pycontainer.oci import shape

        try:
            with open(options["process"]) as file:
                return shape.read(file.read(), shape.PROCESS, "process")
        except (OSError, ValueError) as error:
            raise UsageError(f"--process {options['process']}: {error}") from None
    if not args:
        raise UsageError("exec args cannot be empty")
    process: dict[str, Any] = {**home.spec(name)["process"], "args": args, "terminal": options.get("tty", False)}
    process["env"] = [*process.get("env", []), *options.get("env", [])]
    if "cwd" in options:
        process["cwd"] = options["cwd"]
    if "user" in options:
        uid, _, gid = options["user"].partition(":")
        if not uid.isdecimal() or not (gid or "0").isdecimal():
            raise UsageError(f"--user {options['user']}: want numbers, UID[:GID]")
        process["user"] = {**process.get("user", {}), "uid": int(uid), "gid": int(gid or 0)}
    if "additional-gids" in options:
        process["user"] = {**process["user"], "additionalGids": [int(gid) for gid in options["additional-gids"]]}
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
    return process


def _update(home: Home, options: Options, words: list[str]) -> int:
    from pycontainer.oci import update

    update.update(home, words[0], update.asked(options))
    return 0


def _events(home: Home, options: Options, words: list[str]) -> int:
    from pycontainer.oci import stats

    interval = options.get("interval", "5s")
    seconds = float(interval.rstrip("s") or 5) if interval.rstrip("s").replace(".", "").isdecimal() else 5.0
    stats.events(home, words[0], once=options.get("stats", False), interval=seconds)
    return 0


def _spec(home: Home, options: Options, words: list[str]) -> int:
    from json import dumps

    from pycontainer.oci.example import example

    path = os.path.join(options.get("bundle") or ".", "config.json")
    if os.path.exists(path):
        raise UsageError(f"File {path} exists. Remove it first")
    with open(path, "w") as file:
        file.write(dumps(example(rootless=options.get("rootless", False)), indent="\t") + "\n")
    return 0


def _features(home: Home, options: Options, words: list[str]) -> int:
    from pycontainer.oci.features import features

    _print(features())
    return 0


def _checkpoint(home: Home, options: Options, words: list[str]) -> int:
    from pycontainer.oci import checkpoint

    checkpoint.checkpoint(home, words[0], options)
    return 0


def _restore(home: Home, options: Options, words: list[str]) -> int:
    from pycontainer.oci import checkpoint, foreground

    asked = _asked(options)
    if options.get("detach"):
        checkpoint.restore(home, words[0], asked, options)
        return 0
    return foreground.restore(home, words[0], asked, options)


COMMANDS: dict[str, Command] = {
    "create": Command("Create a container", "ID", MADE, (1, 1), _create),
    "start": Command("Start a created container", "ID", {}, (1, 1), _start),
    "run": Command(
        "Create and start a container", "ID", MADE | {"detach": "", "keep": "", "no-subreaper": ""}, (1, 1), _run
    ),
    "state": Command("Show the state of a container as JSON", "ID", {}, (1, 1), _state),
    "kill": Command("Send a signal to a container", "ID [SIGNAL]", {"all": ""}, (1, 2), _kill),
    "delete": Command("Remove a container that has ended", "ID", {"force": ""}, (1, 1), _delete),
    "exec": Command("Start another process in a container", "ID [COMMAND ...]", EXEC, (1, 9999), _exec),
    "list": Command("List containers", "", {"format": "TEXT", "quiet": ""}, (0, 0), _list),
    "ps": Command("List the processes of a container", "ID [PS OPTIONS]", {"format": "TEXT"}, (1, 9999), _ps),
    "pause": Command("Let a container stand still", "ID", {}, (1, 1), _pause),
    "resume": Command("Let a paused container go on", "ID", {}, (1, 1), _resume),
    "update": Command("Change the limits of a container", "ID", UPDATED, (1, 1), _update),
    "events": Command("Show what a container uses", "ID", {"interval": "TEXT", "stats": ""}, (1, 1), _events),
    "spec": Command("Write an example config.json", "", {"bundle": "TEXT", "rootless": ""}, (0, 0), _spec),
    "features": Command("Show what this runtime can do", "", {}, (0, 0), _features),
    "checkpoint": Command("Write a running container to files, through CRIU", "ID", CHECKPOINT, (1, 1), _checkpoint),
    "restore": Command("Make a container again from such files", "ID", RESTORE, (1, 1), _restore),
}


# --- the border -------------------------------------------------------------------------------------------------------


def main() -> NoReturn:
    """Run the command line and leave, without the 5 ms in which the interpreter would tidy up its memory."""
    try:
        code = command_line(sys.argv[1:])
    except KeyboardInterrupt:
        code = 130
    try:
        sys.stdout.flush()
    except OSError:
        code = code or 1
    modules.keep()
    os._exit(code)


def command_line(words: list[str]) -> int:
    """Do what the words say; the exit code is runc's."""
    options: Options = {}
    try:
        options, rest = parse(words, GLOBAL, ALIASES, "")
        log.begin(options)
        if options.get("version"):
            print(f"pyc-oci version {__version__}\nspec: {VERSION}")
            return 0
        if options.get("help") or not rest or rest[0] in ("help", "h"):
            print(help_text())
            return 0
        command = COMMANDS.get(rest[0])
        if command is None:
            raise UsageError(f"no such command: {rest[0]}", hint="pyc-oci --help lists them")
        return _call(rest[0], command, rest[1:], options)
    except PycError as error:
        log.error(error)
        return 1
    except OSError as error:
        log.error(PycError(f"{error.strerror}: {error.filename or ''}".rstrip(": ").lower()))
        return 1
    except Exception as error:
        _unexpected(error, debug=bool(options.get("debug")))
        return 1


def _unexpected(error: Exception, *, debug: bool) -> None:
    """A mistake of ours; an engine's log gets one line all the same."""
    if debug:
        import traceback

        traceback.print_exception(error)
    said = f"this is a bug: {type(error).__name__}: {error}"
    log.error(PycError(said, hint="pyc-oci --debug shows where it happened; please report it"))


def _call(name: str, command: Command, words: list[str], chosen: Options) -> int:
    known = command.options | {"help": ""}
    options, arguments = parse(words, known, SHORT.get(name, {}) | {"h": "help"}, name)
    if options.get("help"):
        listed = "\n".join(f"   --{option} {kind}".rstrip() for option, kind in known.items())
        print(f"pyc-oci {name} [options] {command.usage}\n\n{command.summary}\n\n{listed}")
        return 0
    least, most = command.arguments
    if (name != "exec" and len(arguments) > most) or len(arguments) < least:
        raise UsageError(f"{name}: want {command.usage or 'no arguments'}, got {len(arguments)} arguments")
    root = chosen.get("root") or default_root()
    return command.run(Home(os.path.join(os.getcwd(), root)), options | {"global": chosen}, arguments)


def default_root() -> str:
    """Where states are kept unless --root says."""
    if os.geteuid() == 0:
        return "/run/pycontainer/oci"
    return os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.geteuid()}") + "/pycontainer/oci"


def help_text() -> str:
    """All commands and global options."""
    commands = "\n".join(f"   {name:11} {command.summary}" for name, command in COMMANDS.items())
    listed = "\n".join(f"   --{option} {kind}".rstrip() for option, kind in GLOBAL.items())
    return f"pyc-oci [global options] command [options] [arguments]\n\n{commands}\n\nglobal options:\n{listed}"
