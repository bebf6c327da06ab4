"""Passwords, from the user to us: asked for without being shown, and out of the list of arguments at once."""

from __future__ import annotations

import os
import sys

from pycontainer.cli.declare import echo
from pycontainer.errors import UsageError
from pycontainer.image.credentials import Login

MAX = 64 << 10
_ARG_START, _ARG_END = 45, 46  # fields 48 and 49 of proc_pid_stat(5), counted from the one after the name


def hide(secret: str) -> None:
    """Overwrite a secret among our arguments, as everybody on this host can read them (proc_pid_cmdline(5)).

    Until we came to that, for some hundredths of a second, they could; and the shell may remember.
    """
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    start, end, wanted = int(fields[_ARG_START]), int(fields[_ARG_END]), os.fsencode(secret)
    try:
        memory = os.open("/proc/self/mem", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return  # this kernel forbids it
    try:
        arguments = os.pread(memory, end - start, start).split(b"\0")
        hidden = [each[: -len(wanted)] + b"*" * len(wanted) if each.endswith(wanted) else each for each in arguments]
        os.pwrite(memory, b"\0".join(hidden), start)
    finally:
        os.close(memory)


def warn(flag: str, instead: str) -> None:
    """Say that a password was in the list of arguments."""
    echo(f"WARNING! A password after {flag} can be read by others on this host, and stays in your shell's "
               f"history. {instead}", err=True)  # fmt: skip


def ask() -> str:
    """A password: typed without being shown, or a line of standard input if that is no terminal."""
    if not sys.stdin.isatty():
        return sys.stdin.readline(MAX).rstrip("\r\n")
    from getpass import getpass  # 2 ms

    return getpass("Password: ")


def login(user: str, password: str) -> Login:
    """Both, if they can be sent. Raises UsageError."""
    if not user or not password:
        raise UsageError(f"{'password' if user else 'user'} is missing")
    if ":" in user or not (user + password).isprintable():
        raise UsageError("a user must have no colon, and neither user nor password a control character")
    return Login(user, password)
