"""Kernel parameters that a namespace has its own copy of (sysctl(8))."""

from __future__ import annotations

from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.step import INIT, Call, Slot, Step
from pycontainer.light import lru_cache
from pycontainer.plan.slots import PROC
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.oci.spec import Spec


def path_of(name: str) -> str:
    """``net.ipv4.conf.eth0/1.x`` -> ``net/ipv4/conf/eth0.1/x``; whichever comes first separates (sysctl(8))."""
    slash, dot = name.find("/"), name.find(".")
    return name if 0 <= slash < dot or dot < 0 else name.translate({ord("."): "/", ord("/"): "."})


def write_all(spec: Spec) -> tuple[Step, ...]:
    """Through the new /proc itself, where nothing is mounted over, and before /proc/sys becomes read-only."""
    return _written(tuple((spec["linux"].get("sysctl") or {}).items()))


@lru_cache(maxsize=64)  # the same for most containers of a process
def _written(values: tuple[tuple[str, str], ...]) -> tuple[Step, ...]:
    if not values:
        return ()
    file = Slot("sysctl")
    result: list[Call] = []
    for name, value in values:
        path = f"sys/{path_of(name)}"
        resolve = k.RESOLVE_BENEATH | k.RESOLVE_NO_SYMLINKS | k.RESOLVE_NO_XDEV
        result += (
            calls.openat2(PROC, path, k.O_WRONLY, resolve=resolve, out=file),
            calls.write(file, value),
            calls.close(file),
        )
    return (
        Step(
            "Set kernel parameters",
            "Only parameters that a namespace has a copy of: the others are the host's",
            INIT,
            tuple(result),
            "sysctl(8)",
            field="linux.sysctl",
        ),
    )
