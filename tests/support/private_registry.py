"""A registry that asks for a password."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from images.registry import Registry

PASSWORD = "sec:ret é"
HTPASSWD = "me:$2b$05$FLr3/dBXeRge8oaUJ4Pwv.ytzUPr7tOU5xTga897gFcMiSlLfCg6q\n"


@contextlib.contextmanager
def private_registry(directory: Path) -> Iterator[Registry]:
    """One that lets ``me`` in with PASSWORD; busybox is in it."""
    (directory / "htpasswd").write_text(HTPASSWD)
    with Registry(str(directory), htpasswd=str(directory / "htpasswd")) as running:
        running.publish("busybox", credentials=f"me:{PASSWORD}")
        yield running
