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
    from jeepney.io.blocking import open_dbus_connection  # +30 ms

    try:
        with open_dbus_connection(bus="SYSTEM") as bus:
            done = MatchRule(type="signal", interface=_MANAGER, member="JobRemoved", path=_PATH)
            with bus.filter(done) as ended:
                _bus(bus, "AddMatch", "s", (done.serialise(),))
                job = _call(bus, "StartTransientUnit", "ssa(sv)a(sa(sv))", (scope.unit, "fail", properties, []))[0]
                while True:
                    _, path, _, result = bus.recv_until_filtered(ended, timeout=SECONDS).body
                    if path == job:
                        break
    except (OSError, KeyError, ValueError) as error:  # jeepney's own errors are ValueErrors; a time-out is an OSError
        raise HostLacks(f"can't ask systemd for {scope.unit}: {error}", hint="is dbus running?") from None
    if result != "done":
        raise HostLacks(f"systemd did not make {scope.unit}: its job ended as {result!r}")


_NAME, _PATH, _MANAGER = "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"


def _call(bus: DBusConnection, method: str, signature: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Call a method of systemd's manager."""
    from jeepney import DBusAddress, MessageType, new_method_call

    manager = DBusAddress(_PATH, _NAME, _MANAGER)
    reply = bus.send_and_get_reply(new_method_call(manager, method, signature, arguments), timeout=SECONDS)
    if reply.header.message_type is MessageType.error:
        raise HostLacks(f"systemd refused {arguments[0]}: {reply.body[0] if reply.body else method}")
    body: tuple[Any, ...] = reply.body
    return body


def _bus(bus: DBusConnection, method: str, signature: str, arguments: tuple[Any, ...]) -> None:
    """Call a method of the bus itself."""
    from jeepney import DBusAddress, new_method_call

    address = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")
    bus.send_and_get_reply(new_method_call(address, method, signature, arguments), timeout=SECONDS)
