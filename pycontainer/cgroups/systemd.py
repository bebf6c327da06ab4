"""Asking systemd for a scope, over D-Bus. Imported only for containers that are to be in one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pycontainer.errors import HostLacks

if TYPE_CHECKING:
    from typing import Any

    from jeepney.io.blocking import DBusConnection

    from pycontainer.cgroups.scope import Scope

SECONDS = 30.0  # until we give up; a busy host may take some


def require() -> None:
    """Raises HostLacks unless systemd keeps this host's cgroups, in version 2."""
    if not os.path.isdir("/run/systemd/system"):
        raise HostLacks("no systemd runs here, which was to make the cgroup", hint="pyc --cgroup-manager cgroupfs")
    if not os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        raise HostLacks("cgroups by systemd need cgroup v2, and this host has v1", hint="pyc --cgroup-manager cgroupfs")


def make(scope: Scope, pid: int) -> None:
    """Make the scope around a process, and wait until it is there. Raises HostLacks with systemd's own reason.

    Source: StartTransientUnit in org.freedesktop.systemd1(5).
    """
    properties = [
        ("Description", ("s", f"pycontainer {scope.unit.removesuffix('.scope')}")),
        ("Slice", ("s", scope.slice)),
        ("PIDs", ("au", [pid])),
        ("Delegate", ("b", True)),
        ("DefaultDependencies", ("b", False)),  # containers end by `pyc system halt`, or when all processes are ended
        ("CollectMode", ("s", "inactive-or-failed")),  # none is left behind, also after an out-of-memory kill
    ]
    from jeepney import MatchRule

    try:
        with _connection(user=scope.user) as bus:
            done = MatchRule(type="signal", interface=_MANAGER, member="JobRemoved", path=_PATH)
            with bus.filter(done) as ended:
                _bus(bus, "AddMatch", "s", (done.serialise(),))
                job = _call(bus, "StartTransientUnit", "ssa(sv)a(sa(sv))", (scope.unit, "fail", properties, []))[0]
                while True:
                    _, path, _, result = bus.recv_until_filtered(ended, timeout=SECONDS).body
                    if path == job:
                        break
    except (OSError, KeyError, ValueError) as error:  # jeepney's own errors are ValueErrors; a time-out is an OSError
        raise HostLacks(f"can't ask systemd for {scope.unit}: {error}", hint=_HINTS[scope.user]) from None
    if result != "done":
        raise HostLacks(f"systemd did not make {scope.unit}: its job ended as {result!r}")


_HINTS = {False: "is dbus running?", True: "is there a bus of your session, at $DBUS_SESSION_BUS_ADDRESS?"}


def top_of_users() -> str:
    """The cgroup in which the user's own systemd has all of its own.

    Root in a user namespace is perhaps a user, and perhaps root of a machine that somebody made a container: "" where
    the session's systemd is root's, or there is none. Raises HostLacks where an ordinary user has none.
    """
    try:
        with _connection(user=True) as bus:
            if _bus(bus, "GetConnectionUnixUser", "s", (_NAME,))[0] == 0:
                return ""
            return str(_call(bus, "Get", "ss", (_MANAGER, "ControlGroup"), "org.freedesktop.DBus.Properties")[0][1])
    except (OSError, KeyError, ValueError) as error:
        if os.geteuid() == 0:
            return ""
        raise HostLacks(f"can't ask systemd for its cgroup: {error}", hint=_HINTS[True]) from None


def _connection(*, user: bool) -> DBusConnection:
    """To the system's bus, or to that of the user's session: as who we are outside of our user namespace."""
    from jeepney.io.blocking import DBusConnection, open_dbus_connection  # +30 ms

    if not user:
        return open_dbus_connection(bus="SYSTEM")
    import socket
    from binascii import hexlify

    from jeepney.bus import get_bus

    address = os.environ.get("DBUS_SESSION_BUS_ADDRESS") or f"unix:path={os.environ.get('XDG_RUNTIME_DIR', '')}/bus"
    connected = socket.socket(socket.AF_UNIX)
    connected.settimeout(SECONDS)
    connected.connect(get_bus(address))
    connected.sendall(b"\0AUTH EXTERNAL %b\r\n" % hexlify(str(_uid_outside()).encode()))
    if not connected.recv(1024).startswith(b"OK "):
        raise OSError("the bus does not let us in")
    connected.sendall(b"BEGIN\r\n")
    connected.settimeout(None)
    return DBusConnection(connected)


def _uid_outside() -> int:
    """Our user's id in the user namespace above, which is ours too where ours is the first (user_namespaces(7))."""
    with open("/proc/self/uid_map") as file:
        for inside, outside, size in (map(int, line.split()) for line in file):
            if 0 <= os.geteuid() - inside < size:
                return os.geteuid() - inside + outside
    return os.geteuid()


_NAME, _PATH, _MANAGER = "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"


def _call(
    bus: DBusConnection, method: str, signature: str, arguments: tuple[Any, ...], interface: str = _MANAGER
) -> tuple[Any, ...]:
    """Call a method of systemd's manager."""
    from jeepney import DBusAddress, MessageType, new_method_call

    manager = DBusAddress(_PATH, _NAME, interface)
    reply = bus.send_and_get_reply(new_method_call(manager, method, signature, arguments), timeout=SECONDS)
    if reply.header.message_type is MessageType.error:
        raise HostLacks(f"systemd refused {arguments[0]}: {reply.body[0] if reply.body else method}")
    body: tuple[Any, ...] = reply.body
    return body


def _bus(bus: DBusConnection, method: str, signature: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Call a method of the bus itself."""
    from jeepney import DBusAddress, new_method_call

    address = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")
    body: tuple[Any, ...] = bus.send_and_get_reply(
        new_method_call(address, method, signature, arguments), timeout=SECONDS
    ).body
    return body
