"""Where the program of a process is, before execve is asked: so an engine hears of a mistake when it creates."""

from __future__ import annotations

import errno
import os
import stat

from pycontainer.core import kernel
from pycontainer.errors import UsageError
from pycontainer.oci.failures import RuntimeFailed, exec_failure
from pycontainer.plan import program
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.oci.spec import Process, Spec


def check_inside(process: Process, pid: int) -> None:
    """Look for the program where execve will, in the root of the process ``pid``. Raises RuntimeFailed."""
    try:
        root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_CLOEXEC)
    except PermissionError:
        return  # only root may look into a process that hides; others hear of it at the start
    try:
        _find(process, root)
    finally:
        os.close(root)


def is_seen_from_outside(spec: Spec, rootfs: str) -> bool:
    """Whether the program is in the root directory, with no mount in the way: then it will be there inside."""
    try:
        root = os.open(rootfs, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return False  # as the performer will find, too
    try:
        name, real = _find(spec["process"], root)
    except RuntimeFailed:
        return False
    finally:
        os.close(root)
    covered = tuple(mount["destination"].rstrip("/") + "/" for mount in spec.get("mounts") or ())
    return not name.startswith(covered) and not real.removeprefix(rootfs).startswith(covered)


def _find(process: Process, root: int) -> tuple[str, str]:
    """What execve will be asked for below ``root``, and where that is, as we see it.

    Raises RuntimeFailed, in the words that engines look for.
    """
    args = process.get("args") or []
    if not args:
        raise UsageError("process.args must not be empty")
    found = errno.ENOENT
    for path in program.candidates(args[0], tuple(process.get("env") or ())):
        full = path if path.startswith("/") else f"{process.get('cwd', '/')}/{path}"
        try:
            fd = kernel.openat2(root, full, os.O_PATH, 0, kernel.RESOLVE_IN_ROOT | kernel.RESOLVE_NO_MAGICLINKS)
        except OSError as error:
            found = (error.errno or found) if "/" in args[0] else found
            continue
        try:
            mode = os.fstat(fd).st_mode
            if stat.S_ISREG(mode) and mode & 0o111:
                return full, os.readlink(f"/proc/self/fd/{fd}")
        finally:
            os.close(fd)
        found = errno.EACCES
    raise RuntimeFailed(exec_failure(args[0], found))
