"""``pyc inspect``: all that is known about containers and images, as JSON or through a template."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

from pycontainer.cli import Session
from pycontainer.cli.listing import for_each
from pycontainer.cli.template import Template, to_json
from pycontainer.engine import containers
from pycontainer.engine.inspect import Document, container_document, image_document
from pycontainer.engine.options import Roots
from pycontainer.errors import NotFound
from pycontainer.image.store import Store


def _container(roots: Roots, name: str) -> Document:
    return container_document(roots, containers.find(roots, name))


def _image(roots: Roots, name: str) -> Document:
    return image_document(Store(roots.root).find(name))


def _either(roots: Roots, name: str) -> Document:
    try:
        return _container(roots, name)
    except NotFound:
        pass
    try:
        return _image(roots, name)
    except NotFound:
        raise NotFound(f"no such container or image: {name}") from None


_FIND: dict[str, Callable[[Roots, str], Document]] = {"container": _container, "image": _image, "": _either}


def show(roots: Roots, kind: str, names: tuple[str, ...], form: str) -> int:
    """Print the documents; one that is missing does not stop the others."""
    template = Template(form) if form not in ("", "json") else None
    found: list[Document] = []
    status = for_each(names, lambda name: found.append(_FIND[kind](roots, name)))
    if form == "":
        click.echo(json.dumps(found, indent=4, ensure_ascii=False))
    for document in found if form else ():
        click.echo(template.render(document) if template else to_json(document))
    return status


def _make(name: str, kind: str, help: str) -> click.Command:
    @click.command(name, help=help)
    @click.option("-f", "--format", "form", default="", metavar="TEMPLATE", help="json, or a template")
    @click.option("-s", "--size", is_flag=True, expose_value=False, hidden=True)
    @click.argument("names", metavar="NAME...", nargs=-1, required=True)
    @click.pass_obj
    def command(session: Session, /, names: tuple[str, ...], form: str, **options: Any) -> int:
        return show(session.roots, options.get("kind", kind), names, form)

    return command


of_containers = _make("inspect", "container", "Show all that is known about containers.")
of_images = _make("inspect", "image", "Show all that is known about images.")
command = _make("inspect", "", "Show all that is known about containers and images.")
command.params.append(
    click.Option(["--type", "kind"], type=click.Choice(["container", "image", ""]), default="", help="Look only there")
)
