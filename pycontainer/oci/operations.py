"""The operations of runtime.md as commands: create, start, state, kill, delete; and run, which is all of them."""

from __future__ import annotations

import os

from pycontainer.errors import UsageError
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.oci.asked import Asked
    from pycontainer.oci.state import Home

    Options = dict[str, Any]


def create(home: Home, options: Options, words: list[str]) -> int:
    """Make a container, and leave it before its program."""
    from pycontainer.oci.create import create as create_container

    create_container(home, words[0], asked_of(options))
    return 0


def run(home: Home, options: Options, words: list[str]) -> int:
    """Create, start, wait and delete; or with --detach the first two."""
    asked = asked_of(options)
    if options.get("detach"):
        from pycontainer.oci.create import create as create_container

        create_container(home, words[0], asked)
        _start_or_delete(home, words[0])
        return 0
    from pycontainer.oci import foreground

    return foreground.run(home, words[0], asked, keep=options.get("keep", False))


def _start_or_delete(home: Home, name: str) -> None:
    from pycontainer.oci import control
    from pycontainer.oci.start import start as start_container

    try:
        start_container(home, name)
    except BaseException:
        control.delete(home, name, force=True)
        raise


def asked_of(options: Options) -> Asked:
    """The options of create, run and exec, as the runtime takes them."""
    from pycontainer.oci.asked import Asked
    from pycontainer.oci.caller import is_rootless

    sockets = _handed_over()
    return Asked(
        systemd=bool(options["global"].get("systemd-cgroup")),
        rootless=is_rootless(options["global"].get("rootless", "auto")),
        bundle=options.get("bundle") or ".",
        pid_file=options.get("pid-file", ""),
        console_socket=options.get("console-socket", ""),
        preserve_fds=max(0, options.get("preserve-fds", 0)) + sockets,
        sockets=sockets,
        no_pivot=options.get("no-pivot", False),
        no_new_keyring=options.get("no-new-keyring", False),
    )


def _handed_over() -> int:
    """How many sockets a service manager hands over: sd_listen_fds(3). An engine that passes them on says PID 1."""
    count, whose = os.environ.get("LISTEN_FDS", ""), os.environ.get("LISTEN_PID", "1")
    return int(count) if count.isdecimal() and len(count) < 5 and whose in ("1", str(os.getpid())) else 0


def start(home: Home, options: Options, words: list[str]) -> int:
    """Let the program of a created container begin."""
    from pycontainer.oci.start import start as start_container

    start_container(home, words[0])
    return 0


def state(home: Home, options: Options, words: list[str]) -> int:
    """Print what is known, as JSON."""
    from pycontainer.oci.state import shown

    state = home.read(words[0])
    told = shown(state, home.status(state)) | {"rootfs": state.rootfs, "created": state.created}
    told["owner"] = owner_of(home.directory(state.id))
    told.setdefault("pid", 0)
    show(told)
    return 0


def owner_of(directory: str) -> str:
    """Whose container it is: a name, or the number where it has none."""
    from pwd import getpwuid

    uid = os.stat(directory).st_uid
    try:
        return getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def show(value: Any) -> None:
    """Print it as JSON for people."""
    from json import dumps  # for people: with indentation

    print(dumps(value, indent=2))


def kill(home: Home, options: Options, words: list[str]) -> int:
    """Send a signal."""
    from pycontainer.oci import control

    control.kill(home, words[0], signal_number("".join(words[1:]) or "TERM"), everybody=options.get("all", False))
    return 0


def signal_number(text: str) -> int:
    """``9``, ``KILL`` and ``SIGKILL`` are the same, and 0 asks whether it is there: kill(2). Raises UsageError."""
    from pycontainer.oci.grammar import signals

    if text == "0":
        return 0
    try:
        return signals.signal_number(signals.signal_name(text))
    except UsageError:
        raise UsageError(f"unknown signal {text!r}") from None


def delete(home: Home, options: Options, words: list[str]) -> int:
    """Remove a container that has ended."""
    from pycontainer.oci import control

    control.delete(home, words[0], force=options.get("force", False))
    return 0
