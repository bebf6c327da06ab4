"""Directories of our state, and the files in them: nobody but their owner may look into them."""

from __future__ import annotations

import os

from pycontainer.core.failpoint import hit
from pycontainer.light import suppress


def make_private(path: str) -> None:
    """Make a directory, and those above it that are missing, with mode 0700; os.makedirs opens those above to all.

    Raises OSError.
    """
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    except FileNotFoundError:
        above = os.path.dirname(path)
        if not above:
            raise
        make_private(above)  # or somebody else has, meanwhile
        with suppress(FileExistsError):
            os.mkdir(path, 0o700)


def make_new(path: str) -> None:
    """Make a directory that nobody has made, with mode 0700, and those above it where they are missing.

    Raises OSError, FileExistsError for one that is there.
    """
    try:
        os.mkdir(path, 0o700)
    except FileNotFoundError:
        make_private(os.path.dirname(path))
        os.mkdir(path, 0o700)


def link_new(target: str, path: str) -> None:
    """Make a symbolic link in a directory that is made where it is missing. Raises OSError, FileExistsError too."""
    try:
        os.symlink(target, path)
    except FileNotFoundError:
        make_private(os.path.dirname(path))
        os.symlink(target, path)


def entries(path: str) -> list[str]:
    """The names in a directory; none if it is not there. Raises OSError."""
    try:
        return os.listdir(path)
    except FileNotFoundError:
        return []


def write_new(path: str, text: str) -> None:
    """Write a file. A start waits for this, and `open` has much to do for a text. Raises OSError."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        data = text.encode()
        while data:
            data = data[os.write(file, data) :]
    finally:
        os.close(file)


def replace_file(path: str, text: str, *, written: str = "") -> None:
    """Make or replace a file, whole or not at all; a power cut may lose it. Raises OSError.

    ``written`` is the failpoint between its two steps.
    """
    fresh = f"{path}.{os.getpid()}"  # two may do so at once
    write_new(fresh, text)
    hit(written)
    os.rename(fresh, path)
