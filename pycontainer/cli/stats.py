"""``pyc stats``: a table of what containers use, once or again and again."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from pycontainer.cli import Session, declare, human, listing
from pycontainer.cli.declare import echo
from pycontainer.engine import stats
from pycontainer.engine.stats import Sample

SHOWN = "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}"
HEADERS = {
    "Container": "CONTAINER",
    "ID": "CONTAINER ID",
    "Name": "NAME",
    "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O",
    "PIDs": "PIDS",
}
INTERVAL = 1.0  # seconds between two samples, as docker's
_HOME, _CLEAR_LINE, _CLEAR_REST = "\x1b[H", "\x1b[K", "\x1b[J"


@declare.command("stats", help="Show what containers use, as it changes; those that run if none is named.")
@declare.option("-a", "--all", "all_", is_flag=True, help="Those that don't run too")
@declare.option("--no-stream", is_flag=True, help="Show it once")
@declare.option("--no-trunc", is_flag=True, help="Show whole IDs")
@declare.option("--format", "form", default="", metavar="TEMPLATE", help="table, json, or a template")
@declare.argument("names", metavar="[CONTAINER...]", nargs=-1)
@declare.pass_obj
def command(
    session: Session, /, names: tuple[str, ...], all_: bool, no_stream: bool, no_trunc: bool, form: str
) -> None:
    """Sample once a second; what is shown of CPU time is about the last one."""
    found = stats.chosen(session.roots, names, all_=all_)
    called = {one.id: name for one, name in zip(found, names, strict=False)}
    before: dict[str, Sample] = {one.id: stats.sample(one) for one in found}
    screen = not no_stream and sys.stdout.isatty() and form.partition(" ")[0] in ("", "table")
    while True:
        time.sleep(INTERVAL)
        found = stats.again(session.roots, found, names, all_=all_)
        samples = [stats.sample(one).after(before.get(one.id)) for one in found]
        _print(samples, form, called, short=not no_trunc, screen=screen)
        if no_stream:
            return
        before = {one.container.id: one for one in samples}


def _print(samples: Sequence[Sample], form: str, called: Mapping[str, str], *, short: bool, screen: bool) -> None:
    """On a screen each table replaces the one before."""
    rows = [row(one, called, short=short) for one in samples]
    if not screen:
        listing.write(rows, HEADERS, SHOWN, form)
        sys.stdout.flush()
        return
    lines = listing.lines(rows, HEADERS, SHOWN, form)
    echo(_HOME + "".join(line + _CLEAR_LINE + "\n" for line in lines) + _CLEAR_REST, nl=False)


def row(sample: Sample, called: Mapping[str, str], *, short: bool) -> dict[str, Any]:
    """One container as the fields of ``--format``; ``called``: how its user named it, by ID."""
    container = sample.container
    shown = container.id[:12] if short else container.id
    return {
        "Container": called.get(container.id, shown),
        "ID": shown,
        "Name": container.name,
        "CPUPerc": f"{sample.cpu_percent:.2f}%",
        "MemUsage": f"{human.binary_size(sample.memory)} / {human.binary_size(sample.memory_limit)}",
        "MemPerc": f"{sample.memory_percent:.2f}%",
        "NetIO": f"{human.size(sample.received)} / {human.size(sample.sent)}",
        "BlockIO": f"{human.size(sample.read)} / {human.size(sample.written)}",
        "PIDs": str(sample.tasks),
    }
