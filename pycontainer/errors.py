"""Every error that pycontainer raises on purpose, as one tree.

::

    PycError                      exit 125: the engine could not do it
    ├── UsageError                an option or argument that makes no sense
    ├── Unsupported               a flag or field that pycontainer does not have yet, refused by name
    ├── HostLacks                 this host misses a feature that was asked for
    ├── NotFound                  no such container, image, ...
    ├── Conflict                  a name in use, an image in use, a container that still runs
    ├── StoreError                the state on disk is damaged or the disk is full
    ├── ImageError                an image that can't be used
    │   ├── InvalidReference      not an image name
    │   ├── RegistryError         a registry that can't be reached or answers wrongly
    │   ├── VerificationError     bytes whose digest or size is not what was promised
    │   └── LayerError            a layer archive that is malformed or hostile
    ├── CommandFailed             a program that ended with another exit code than 0 (for Python programs)
    └── KernelError               a call the kernel refused, with the step it belonged to
        ├── CommandNotExecutable  exit 126
        └── CommandNotFound       exit 127

An error is one line: what failed, on what, and why; lower case, no full stop. ``hint`` is a second
line that says what to do about it.
"""

from __future__ import annotations

import errno as _errno
import os


class PycError(Exception):
    """Base of all expected errors.

    Attributes:
        message: one line, without the ``pyc:`` prefix.
        hint: what the user can do, or "".
    """

    exit_code = 125

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle and copy it with all its attributes: a process pool hands an error on to another process."""
        from copyreg import __newobj__  # type: ignore[attr-defined]  # what pickle itself makes ordinary objects with

        return __newobj__, (type(self), *self.args), vars(self)


class UsageError(PycError):
    """An option or argument whose value can't be right."""


class Unsupported(PycError):
    """Something docker or the runtime-spec has and pycontainer refuses by name."""


class HostLacks(PycError):
    """A kernel feature, cgroup controller or privilege that was asked for and is not here."""


class NotFound(PycError):
    """No object of that name."""


class Conflict(PycError):
    """The request contradicts what exists: a name taken, an object in use."""


class StoreError(PycError):
    """The state on disk can't be read or written."""


class CommandFailed(PycError):
    """A program in a container ended with another exit code than 0, and its caller wanted to be told so.

    Attributes:
        code: the exit code.
        stderr: what it wrote there.
    """

    def __init__(self, message: str, code: int, stderr: bytes) -> None:
        super().__init__(message)
        self.code, self.stderr = code, stderr


class ImageError(PycError):
    """An image that can't be used."""


class InvalidReference(ImageError):
    """A string that is not an image reference."""


class RegistryError(ImageError):
    """A registry that can't be reached, refuses, or answers with something else than asked."""


class VerificationError(ImageError):
    """Content whose digest or size differs from its descriptor."""


class LayerError(ImageError):
    """A layer archive that is malformed or tries something it must not."""


def errno_name(number: int) -> str:
    """``13`` -> ``"EACCES"``."""
    return _errno.errorcode.get(number, f"errno {number}")


class KernelError(PycError):
    """A call that the kernel refused.

    Attributes:
        call: the call as the narrator prints it.
        errno: the error number.
        step: the title of the step it belonged to.
        cause: a sentence about the cause that was checked after the failure, or "".
        read: where the manual explains it, for example ``"pivot_root(2)"``.
    """

    def __init__(
        self, call: str, errno: int, *, step: str = "", cause: str = "", read: str = "", hint: str = ""
    ) -> None:
        lines = [f"{call}: {os.strerror(errno)} ({errno_name(errno)})"]
        if step:
            lines.append(f"  while    {step}")
        if cause:
            lines.append(f"  because  {cause}")
        if read:
            lines.append(f"  read     {read}")
        super().__init__("\n".join(lines), hint=hint)
        self.call, self.errno, self.step, self.cause, self.read = call, errno, step, cause, read


class CommandNotExecutable(KernelError):
    """The command exists and can't be executed (docker: exit 126)."""

    exit_code = 126


class CommandNotFound(KernelError):
    """The command does not exist (docker: exit 127)."""

    exit_code = 127
