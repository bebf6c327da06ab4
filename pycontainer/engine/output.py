"""A file that a user names for our output: there when it is whole, and not at all after an error."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pycontainer.errors import StoreError


@contextmanager
def whole_file(path: str) -> Iterator[int]:
    """A descriptor to write to. The file appears under its name, replacing another, when the block ends well.

    What is no regular file, ``/dev/null`` or a pipe, is written to and never replaced.

    Raises:
        StoreError: it can't be written.
    """
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
