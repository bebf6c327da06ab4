"""``pyc events``: what happens to containers, images, networks and volumes."""

from __future__ import annotations

from datetime import datetime

from pycontainer.cli import Session, declare
from pycontainer.cli.declare import echo
from pycontainer.cli.documents import to_json
from pycontainer.cli.listing import Filters, for_stdout, of_filters, printable
from pycontainer.cli.moments import stamp
from pycontainer.cli.template import Template
from pycontainer.engine.event_reader import Happening, read

FILTERS = frozenset(
    "config container daemon event image label network node plugin scope secret service type volume".split()
)


@declare.command("events", help="Show what happens, until Ctrl-C; or what has happened between two times.")
@declare.option("-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help=of_filters(FILTERS))
@declare.option("--format", "form", default="", metavar="TEMPLATE", help="json or TEMPLATE")
@declare.option("--since", default="", metavar="TIME", help="Begin there: a time, or how long ago (10m)")
@declare.option("--until", default="", metavar="TIME", help="End there")
@declare.pass_obj
def command(session: Session, /, filters: tuple[str, ...], form: str, since: str, until: str) -> None:
    """Show them."""
    chosen = Filters(filters, FILTERS)
    form = {"{{json .}}": "json"}.get(form, form)
    template = Template(form.replace("\\t", "\t").replace("\\n", "\n")) if form not in ("", "json") else None
    begin = stamp(since) if since or until else stamp("0s")
    for happening in read(session.roots, since=begin, until=stamp(until), follow=True):
        if not fits(happening, chosen):
            continue
        if template:
            echo(for_stdout(template.render(in_go(happening))))
        else:
            echo(to_json(happening.document()) if form == "json" else text(happening))


def in_go(happening: Happening) -> dict[str, object]:
    """The document under the names that its fields have in Go, which are those of docker's templates."""
    document = happening.document()
    names = {"status": "Status", "id": "ID", "from": "From", "scope": "Scope", "time": "Time", "timeNano": "TimeNano"}
    return {"Status": "", "ID": "", "From": "", **{names.get(name, name): document[name] for name in document}}


def fits(happening: Happening, filters: Filters) -> bool:
    """Whether it passes the filters."""
    kind, attributes, what = happening.kind, happening.attributes, happening.id

    def is_it(of: str) -> bool:
        return filters.any(of, lambda text: kind == of and (text == attributes.get("name") or _begins(what, text)))

    def is_image(text: str) -> bool:
        names = (what, attributes.get("name", "")) if kind == "image" else (attributes.get("image", ""),)
        return kind in ("image", "container") and any(text in (name, name.rpartition(":")[0]) for name in names)

    return (
        all(is_it(of) for of in ("container", "network", "volume"))
        and filters.any("image", is_image)
        and filters.any("type", lambda text: text == kind)
        and filters.any("scope", lambda text: text == "local")
        and filters.any("event", lambda text: text in (happening.action, happening.action.partition(":")[0]))
        and filters.labels(attributes)
        and not any(of in filters for of in ("config", "daemon", "node", "plugin", "secret", "service"))
    )


def _begins(what: str, text: str) -> bool:
    return bool(text) and what.startswith(text)


def text(happening: Happening) -> str:
    """One line, as docker writes it: the time is local."""
    zone = datetime.fromtimestamp(happening.nanoseconds // 10**9).astimezone()
    offset = zone.isoformat()[19:]
    when = f"{zone:%Y-%m-%dT%H:%M:%S}.{happening.stamp[20:29]}{'Z' if offset == '+00:00' else offset}"
    said = ", ".join(f"{key}={value}" for key, value in happening.attributes.items())
    return printable(f"{when} {happening.kind} {happening.action} {happening.id}" + (f" ({said})" if said else ""))
