"""Ports of a container as ``ps`` shows them: neighbours together, ``0.0.0.0:8080-8082->80-82/tcp``."""

from __future__ import annotations

from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycontainer.network.connection import Port

    Row = tuple[str, str, int, int]  # protocol, address of the host or "", port of the host or 0, port of the container


def shown(published: Iterable[Port], exposed: Iterable[str]) -> str:
    """Those that the host leads to, and those that are only spoken of (``80/tcp``)."""
    rows: list[Row] = [(port.protocol, port.host, port.port, port.target_port) for port in published]
    led_to = {(protocol, inner) for protocol, _, _, inner in rows}
    for text in exposed:
        number, _, protocol = text.partition("/")
        if (protocol, int(number)) not in led_to:
            rows.append((protocol, "", 0, int(number)))
    return ", ".join(_group(first, count) for first, count in _neighbours(sorted(rows)))


def _neighbours(rows: list[Row]) -> list[tuple[Row, int]]:
    """The first of each run in which both numbers grow by one, and how long it is."""
    runs: list[tuple[Row, int]] = []
    for row in rows:
        if runs:
            (protocol, host, outer, inner), count = runs[-1]
            if row == (protocol, host, outer and outer + count, inner + count):
                runs[-1] = runs[-1][0], count + 1
                continue
        runs.append((row, 1))
    return runs


def _group(first: Row, count: int) -> str:
    protocol, host, outer, inner = first
    if not host:
        return f"{_range(inner, count)}/{protocol}"
    return f"{f'[{host}]' if ':' in host else host}:{_range(outer, count)}->{_range(inner, count)}/{protocol}"


def _range(first: int, count: int) -> str:
    return str(first) if count == 1 else f"{first}-{first + count - 1}"
