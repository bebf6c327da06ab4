"""``pyc save``: write images into an archive."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click

from pycontainer.cli import Session
from pycontainer.engine import events
from pycontainer.errors import StoreError, UsageError
from pycontainer.image.platform import Platform
from pycontainer.image.store import Store


@click.command("save", help="Write images with their names into a tar archive, which docker and podman can load.")
@click.option("-o", "--output", default="", metavar="FILE", help="Write to a file instead of stdout")
@click.option(
    "--platform", default="", metavar="OS/ARCH", help="Write only an image for this os/architecture[/variant]"
)
@click.option(
    "--format",
    "form",
    default="docker-archive",
    metavar="FORMAT",
    help="docker-archive, which is an image layout as well, or oci-archive, which is nothing else",
)
@click.argument("names", metavar="IMAGE...", nargs=-1, required=True)
@click.pass_obj
def command(session: Session, /, names: tuple[str, ...], output: str, platform: str, form: str) -> None:
    """Write images into an archive."""
    from pycontainer.engine.archives import save  # +30 ms

    if not output and os.isatty(1):
        raise UsageError("cowardly refusing to save to a terminal", hint="say -o FILE, or redirect")
    wanted = Platform.parse(platform) if platform else None
    with _opened(output) as fd:
        save(Store(session.roots.root), names, fd, form=form, platform=wanted)
    for name in names:
        events.tell(session.roots, "image", "save", name, name=name)


@contextmanager
def _opened(path: str) -> Iterator[int]:
    """A descriptor to write to; a file appears when it is complete, and not at all after an error."""
    if not path:
        yield 1
        return
    special = _is_special(path)
    partial = path if special else f"{path}.{os.getpid()}.partial"
    flags = os.O_WRONLY | os.O_CLOEXEC | (0 if special else os.O_CREAT | os.O_EXCL)
    try:
        fd = os.open(partial, flags, 0o600)
    except OSError as error:
        raise StoreError(f"can't write {path}: {(error.strerror or '').lower()}") from None
    try:
        yield fd
        if not special:
            os.rename(partial, path)
    except BaseException:
        if not special:
            with suppress(OSError):
                os.unlink(partial)
        raise
    finally:
        os.close(fd)


def _is_special(path: str) -> bool:
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False
