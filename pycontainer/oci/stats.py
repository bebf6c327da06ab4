"""What a container uses, in the form of runc's `events` (its types/events.go)."""

from __future__ import annotations

import os
import time

from pycontainer import jsontext
from pycontainer.errors import NotFound
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from pycontainer.oci.state import Home, State


def events(home: Home, name: str, *, once: bool, interval: float) -> None:
    """Print a line of JSON, or one every ``interval`` seconds until the container has ended."""
    state = home.read(name)
    if home.status(state) == "stopped":
        raise NotFound(f"container {name} is not running")
    while True:
        print(jsontext.dump({"type": "stats", "id": name, "data": gather(state)}), flush=True)
        if once:
            return
        time.sleep(interval)
        if home.status(state) == "stopped":
            return


def gather(state: State) -> dict[str, Any]:
    """Nanoseconds, bytes and counts."""
    return {
        "cpu": _cpu(state),
        "cpuset": {},
        "memory": _memory(state),
        "pids": _drop_none({"current": _number(state, "pids.current"), "limit": _number(state, "pids.max") or 0}),
        "blkio": {},
        "hugetlb": {},
        "intel_rdt": {},
        "network_interfaces": None,
    }


def _cpu(state: State) -> dict[str, Any]:
    stat = _table(state, "cpu.stat")
    if (total := _number(state, "cpuacct.usage")) is not None:
        ticks = 10**9 // os.sysconf("SC_CLK_TCK")
        acct = _table(state, "cpuacct.stat")
        percpu = [int(part) for part in (_text(state, "cpuacct.usage_percpu") or "").split()]
        usage = {
            "total": total,
            "percpu": percpu,
            "kernel": acct.get("system", 0) * ticks,
            "user": acct.get("user", 0) * ticks,
        }
        throttled = stat.get("throttled_time", 0)
    else:
        usage = {
            "total": stat.get("usage_usec", 0) * 1000,
            "kernel": stat.get("system_usec", 0) * 1000,
            "user": stat.get("user_usec", 0) * 1000,
        }
        throttled = stat.get("throttled_usec", 0) * 1000
    throttling = {
        "periods": stat.get("nr_periods", 0),
        "throttledPeriods": stat.get("nr_throttled", 0),
        "throttledTime": throttled,
    }
    return {"usage": usage, "throttling": throttling}


def _memory(state: State) -> dict[str, Any]:
    raw = _table(state, "memory.stat")
    v1 = {
        "usage": _number(state, "memory.usage_in_bytes"),
        "max": _number(state, "memory.max_usage_in_bytes"),
        "limit": _number(state, "memory.limit_in_bytes"),
        "failcnt": _number(state, "memory.failcnt"),
    }
    v2 = {"usage": _number(state, "memory.current"), "limit": _number(state, "memory.max")}
    usage = _drop_none(v1) or _drop_none(v2)
    return {"cache": raw.get("cache", raw.get("file", 0)), "usage": usage, "raw": raw}


def _drop_none(numbers: dict[str, int | None]) -> dict[str, int]:
    return {key: value for key, value in numbers.items() if value is not None}


def _text(state: State, file: str) -> str | None:
    for directory in state.cgroups:
        try:
            with open(f"{directory}/{file}") as opened:
                return opened.read()
        except OSError:
            continue
    return None


def _number(state: State, file: str) -> int | None:
    found = (_text(state, file) or "").strip()
    return int(found) if found.isdecimal() else None


def _table(state: State, file: str) -> dict[str, int]:
    """``name number`` lines."""
    pairs = (line.split() for line in (_text(state, file) or "").splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}
