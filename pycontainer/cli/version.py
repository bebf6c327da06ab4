"""``pyc version``."""

from __future__ import annotations

import os
import sys

from pycontainer import __version__
from pycontainer.cli import declare
from pycontainer.cli.declare import echo
from pycontainer.cli.documents import to_json


@declare.command("version", help="Show the version of pyc and of what it stands on.")
@declare.option("-f", "--format", "form", default="", metavar="TEMPLATE", help="json, or a template")
def command(form: str) -> None:
    """Show the version."""
    document = describe()
    if form == "json":
        echo(to_json(document))
    elif form:
        from pycontainer.cli.template import Template  # +6 ms

        echo(Template(form).render(document))
    else:
        client = document["Client"]
        echo(f"pyc {client['Version']}")
        for title in ("Python", "Kernel", "Os", "Arch", "RuntimeSpec"):
            echo(f" {title + ':':<13}{client[title]}")


def describe() -> dict[str, dict[str, str]]:
    """The version in docker's two halves: there is no daemon, so both are this program."""
    from pycontainer.image.platform import Platform
    from pycontainer.oci.build import SPEC_VERSION

    host = os.uname()
    half = {
        "Version": __version__,
        "Python": ".".join(map(str, sys.version_info[:3])),
        "Kernel": host.release,
        "KernelVersion": host.release,
        "Os": "linux",
        "Arch": Platform.of("linux", host.machine).architecture,
        "RuntimeSpec": SPEC_VERSION,
    }
    return {"Client": half, "Server": half}
