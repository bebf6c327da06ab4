"""``pyc ps``: the containers."""

from __future__ import annotations

from pycontainer.cli import Session, human, listing
from pycontainer.cli.flags import Flag, Flags, each, switch, with_help
from pycontainer.engine import containers, health, trash
from pycontainer.engine.repair import repair
from pycontainer.errors import NotFound, StoreError, UsageError
from pycontainer.light import suppress
from pycontainer.oci.grammar.numbers import integer
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots
    from pycontainer.network.connection import Port

HEADERS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED",
    "Status": "STATUS",
    "State": "STATE",
    "Ports": "PORTS",
    "Names": "NAMES",
    "Size": "SIZE",
    "Labels": "LABELS",
    "Mounts": "MOUNTS",
    "LocalVolumes": "LOCAL VOLUMES",
    "Networks": "NETWORKS",
    "Label": lambda name: name,
}
DEFAULT = "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}"

FILTERS = frozenset(
    {
        *("ancestor", "before", "exited", "expose", "health", "id", "is-task", "isolation", "label", "name"),
        *("network", "publish", "since", "status", "volume"),
    }
)
STATES = frozenset(["created", "restarting", "running", "removing", "paused", "exited", "dead"])


HELP = "List containers: those that run, or with -a all of them."

FLAGS = Flags(
    {
        "Options": (
            switch("-a, --all", "every", "Show all, not only those that run"),
            each("-f, --filter", "KEY=VALUE", "filters", str, listing.of_filters(FILTERS)),
            Flag("--format", "string", "form", str, "table, json, table TEMPLATE or TEMPLATE"),
            Flag("-n, --last", "int", "last", integer(-1, 2**31 - 1), "Show the N made last, in any state"),
            switch("-l, --latest", "latest", "Show the one made last, in any state"),
            switch("--no-trunc", "no_trunc", "Don't shorten"),
            switch("-q, --quiet", "quiet", "Show IDs only"),
            switch("-s, --size", "size", "Show how much each has written"),
            switch("-h, --help", "help", "Print this page"),
        ),
    }
)


def start(session: Session, args: list[str]) -> int:
    """List containers."""
    try:
        values, rest = FLAGS.parse(args)
        if values.get("help"):
            from pycontainer.cli import front  # click: +10 ms

            return front.start(session, ["ps", "--help"])
        if rest:
            raise UsageError(f"'ps' accepts no arguments: {rest[0]}", hint="pyc ps --filter name=NAME")
        filters = listing.Filters(values.get("filters", ()), FILTERS)
    except UsageError as error:
        raise with_help(error, "ps") from None
    roots, last = session.roots, values.get("last", -1)
    with suppress(OSError):  # on a read-only disk one may look nevertheless
        repair(roots)
        trash.empty(roots)
    newest = bool(values.get("latest")) or last >= 0
    found = select(containers.listing(roots), filters, every=values.get("every", False) or newest, roots=roots)
    if newest:
        found = found[: 1 if values.get("latest") else last]
    size, short = values.get("size", False), not values.get("no_trunc")
    rows = [row(roots, container, short=short, size=size) for container in found]
    form = values.get("form", "") or ("{{.ID}}" if values.get("quiet") else "")
    listing.write(rows, HEADERS, DEFAULT + ("\t{{.Size}}" if size else ""), form)
    return 0


def select(
    everything: list[Container], filters: listing.Filters, *, every: bool, roots: Roots | None = None
) -> list[Container]:
    """The containers that pass the filters; only running ones unless ``every``, or a filter asks for a state.

    Without ``roots`` none has a port.
    """
    for state in filters.get("status"):
        if state not in STATES:
            raise UsageError(f"invalid filter status={state}", hint="states: " + ", ".join(sorted(STATES)))
    every = every or "status" in filters or "exited" in filters
    tests = _tests(everything, filters, roots)
    return [c for c in everything if (every or c.is_up) and all(test(c) for test in tests)]


def _tests(
    everything: list[Container], filters: listing.Filters, roots: Roots | None
) -> list[Callable[[Container], bool]]:
    def number(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 3):
            raise UsageError(f"invalid filter exited={text}: must be an exit code")
        return int(text)

    before = [_created(everything, name) for name in filters.get("before")]
    since = [_created(everything, name) for name in filters.get("since")]
    exited = [number(text) for text in filters.get("exited")]
    return [
        lambda c: filters.any("id", c.id.startswith),
        lambda c: filters.any("name", lambda text: _is_called(c, text)),
        lambda c: filters.any("status", lambda text: text == c.state),
        lambda c: not exited or (c.state == "exited" and c.exit_code in exited),
        lambda c: filters.any("ancestor", lambda text: _is_image(c, text)),
        lambda c: filters.any("volume", lambda text: text in (*c.mounts, *_mount_points(c))),
        lambda c: filters.any("health", lambda text: text == _health(roots, c)),
        lambda c: filters.any("is-task", lambda text: text in ("false", "0")),
        lambda c: filters.labels(c.labels),
        lambda c: all(c.created < moment for moment in before) and all(c.created > moment for moment in since),
        lambda c: "isolation" not in filters,  # that is for Windows
        lambda c: filters.any("network", lambda text: text in _networks(c)),
        lambda c: filters.any("publish", lambda text: _is_among(text, _outer_ports(roots, c))),
        lambda c: filters.any("expose", lambda text: _is_among(text, _inner_ports(roots, c))),
    ]


def _mount_points(container: Container) -> list[str]:
    return [mount[2] for mount in container.options.get("mounts", ())]


def _is_among(text: str, ports: Iterable[tuple[int, str]]) -> bool:
    """Whether ``8080``, ``8080/udp`` or one of ``8000-8010`` is among the ports."""
    from pycontainer.oci.grammar.ports import expose  # where somebody filters by port

    return not {(one.first, one.protocol) for one in expose(text)}.isdisjoint(ports)


def _outer_ports(roots: Roots | None, container: Container) -> set[tuple[int, str]]:
    return {(port.port, port.protocol) for port in _ports(roots, container)}


def _inner_ports(roots: Roots | None, container: Container) -> set[tuple[int, str]]:
    """The ports of the container that the host leads to, or that are only spoken of."""
    spoken_of = {(int(number), protocol) for number, _, protocol in (text.partition("/") for text in container.ports)}
    return spoken_of | {(port.target_port, port.protocol) for port in _ports(roots, container)}


def _is_called(container: Container, text: str) -> bool:
    """A name filter is a regular expression over ``/name``; ``^name`` is meant without the slash."""
    import re  # +3 ms, where somebody filters by name

    try:
        return re.search(re.sub(r"^\^/?", "^/", text), "/" + container.name) is not None
    except re.error as error:
        raise UsageError(f"invalid filter name={text}: {error}") from None


def _is_image(container: Container, text: str) -> bool:
    digest = container.image_id.rpartition(":")[2]
    names = {container.image, container.image.removesuffix(":latest"), container.image_id}
    return text in names or text.removesuffix(":latest") in names or (len(text) >= 4 and digest.startswith(text))


def _created(everything: list[Container], name: str) -> float:
    for container in everything:
        if container.name == name or container.id.startswith(name):
            return container.created
    raise NotFound(f"no such container: {name}")


def row(roots: Roots, container: Container, *, short: bool, size: bool) -> dict[str, Any]:
    """One container as the fields of ``--format``."""
    return {
        "ID": container.id[:12] if short else container.id,
        "Image": container.image,
        "Command": shown_command(container, short=short),
        "CreatedAt": human.date(container.created),
        "RunningFor": human.ago(container.created),
        "Status": status(roots, container),
        "State": container.state,
        "Ports": _shown_ports(roots, container),
        "Names": container.name,
        "Size": _size(roots, container) if size else "0B",
        "Labels": listing.join_labels(container.labels),
        "Mounts": ",".join(human.ellipsis(mount, 15) if short else mount for mount in container.mounts),
        "LocalVolumes": str(sum(mount[0] == "volume" for mount in container.options.get("mounts", ()))),
        "Networks": ",".join(_networks(container)),
        "Label": lambda name: container.labels.get(name, ""),
    }


def shown_command(container: Container, *, short: bool = True) -> str:
    """``"sh -c 'sleep 5'"``: what it runs, in quotes."""
    words = " ".join(f"'{word}'" if " " in word else word for word in container.command)
    return '"' + (human.ellipsis(words, 20) if short else words).replace('"', '\\"') + '"'


def _networks(container: Container) -> list[str]:
    """The networks that it was made for, or the mode that is none."""
    mode, asked = container.options.get("network", "bridge"), container.options.get("endpoints") or [["bridge"]]
    return [endpoint[0] for endpoint in asked] if mode == "bridge" else [mode]


def _ports(roots: Roots | None, container: Container) -> tuple[Port, ...]:
    """The ports that lead into it now."""
    if roots is None or container.options.get("network", "bridge") != "bridge" or not container.runs:
        return ()
    from pycontainer.engine.network.attachments import attachment_of  # +5 ms, where somebody has a network

    attachment = attachment_of(roots, container.id)
    return attachment.ports if attachment else ()


def _shown_ports(roots: Roots, container: Container) -> str:
    published = _ports(roots, container)
    if not published and not (container.ports and container.runs):
        return ""
    from pycontainer.cli.ports import shown  # most have none

    return shown(published, container.ports)


def status(roots: Roots, container: Container) -> str:
    """``Up 5 minutes (healthy)``, ``Exited (0) 3 hours ago``."""
    state, age = container.state, human.ago(container.finished)
    if container.runs:
        known = _health(roots, container)
        shown = {"none": "", "starting": "health: starting"}.get(known, known) if state == "running" else "Paused"
        return "Up " + human.ago(container.started).removesuffix(" ago") + (f" ({shown})" if shown else "")
    if state in ("exited", "restarting"):
        return f"{'Restarting' if state == 'restarting' else 'Exited'} ({container.exit_code}) {age}"
    return state.capitalize()


def _health(roots: Roots | None, container: Container) -> str:
    if roots is None or not container.options.get("health"):
        return "none"
    return str(health.read(roots, container.id)["Status"])


def _size(roots: Roots, container: Container) -> str:
    """What it has written; and in brackets that, and its image."""
    from pycontainer.engine.disk_usage import written
    from pycontainer.image.store import Store

    own, image = written(roots, container.id), 0
    with suppress(NotFound, StoreError):  # the image may have been removed by force
        image = Store(roots.root).find(container.image_id).size
    return f"{human.size(own)} (virtual {human.size(own + image)})"
