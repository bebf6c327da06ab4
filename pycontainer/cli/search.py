"""``pyc search``: repositories in a registry, or the tags of one."""

from __future__ import annotations

import click

from pycontainer.cli import Session, listing
from pycontainer.errors import UsageError

HEADERS = {"Name": "NAME", "Description": "DESCRIPTION", "StarCount": "STARS", "IsOfficial": "OFFICIAL"}
TAG_HEADERS = {"Name": "NAME", "Tag": "TAG"}
_SHORT = 45


@click.command("search", help="Search a registry, Docker Hub unless TERM is HOST/TERM.")
@click.option("-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="is-official=BOOL, stars=NUMBER")
@click.option("--format", "form", default="", metavar="TEMPLATE", help="table, json, table TEMPLATE or TEMPLATE")
@click.option("--limit", default=25, metavar="NUMBER", help="Show at most so many (25)")
@click.option("--list-tags", is_flag=True, help="Show the tags of the repository TERM")
@click.option("--no-trunc", is_flag=True, help="Don't shorten")
@click.argument("term")
@click.pass_obj
def command(
    session: Session, /, filters: tuple[str, ...], form: str, limit: int, list_tags: bool, no_trunc: bool, term: str
) -> None:
    """Search."""
    from pycontainer.engine import search  # requests: +80 ms

    chosen = listing.Filters(filters, () if list_tags else ("is-official", "stars"))
    if list_tags:
        from pycontainer.image.reference import Reference

        reference = Reference.parse(term)
        tags = [{"Name": reference.familiar_name, "Tag": tag} for tag in search.tags(reference)]
        return listing.write(tags, TAG_HEADERS, "{{.Name}}\t{{.Tag}}", form)
    stars = max([0, *map(_number, chosen.get("stars"))])
    official = [text in ("true", "1") for text in chosen.get("is-official")]
    rows = []
    for found in search.search(term, limit=limit):
        if found.stars < stars or (official and found.official not in official):
            continue
        text = found.description
        if not no_trunc and len(text) > _SHORT:
            text = text[: _SHORT - 1] + "…"
        mark = "[OK]" if found.official else ""
        rows.append({"Name": found.name, "Description": text, "StarCount": found.stars, "IsOfficial": mark})
    listing.write(rows, HEADERS, "{{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}", form)


def _number(text: str) -> int:
    if not text.isdigit():
        raise UsageError(f"invalid filter: stars={text} is no number")
    return int(text)
