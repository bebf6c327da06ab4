"""Where a path leads by the symbolic links in it, whether something is there or not.

A mount point may be behind a link of an image's whose target is missing: /etc/resolv.conf often is one into an empty
/run. No call of the kernel makes a directory through a link, so such links are followed here. What comes out is only a
path, for steps that look it up again with the new root as /: whoever swaps a directory meanwhile gains nothing.
"""

from __future__ import annotations

from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LINKS_MAX = 40  # the kernel's own limit: path_resolution(7)


def led(path: str, link: Callable[[str], str]) -> str:
    """The absolute path without links. A loop of them is left to the kernel, to be refused.

    ``link`` returns the target of what is at a path whose parent has no links, or "" if that is no link, or missing.
    """
    pending, where, links = path.split("/")[::-1], "", 0
    while pending:
        name = pending.pop()
        if name in ("", "."):
            continue
        if name == "..":
            where = where.rpartition("/")[0]
        elif target := link(f"{where}/{name}"):
            links += 1
            if links > LINKS_MAX:
                return path
            where = "" if target.startswith("/") else where
            pending += target.split("/")[::-1]
        else:
            where = f"{where}/{name}"
    return where or "/"
