"""Who a container's process is: ``--user``, ``USER`` and ``--group-add`` against the image's passwd and group files.

Resolved as docker does, with four differences, all stricter: a number is always an id, never the
name of an account or group (CVE-2016-3697); an account whose ids are not numbers is skipped, not
root; ids reach to 2^32-2 and wrap nowhere (CVE-2024-40635); a third ``:`` is an error.

Sources: passwd(5), group(5), docker-run(1) on ``--user``, credentials(7).
"""

from __future__ import annotations

import errno
import io

from pycontainer.errors import ImageError, UsageError
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from typing import Protocol

    class Files(Protocol):
        """Where the files are: the layers of an image, or the root of a container that runs."""

        def read(self, path: str, limit: int) -> bytes:
            """The content of a regular file of at most ``limit`` bytes. Raises OSError."""


MAX_ID = 2**32 - 2
"""The largest id; 2^32-1 is the kernel's "no id"."""

_LIMIT = 10 << 20  # bytes of /etc/passwd that we are willing to read
_MAX_GROUPS = 65536  # NGROUPS_MAX, setgroups(2)


class User(Record):
    """Identity of a process inside the container.

    Attributes:
        uid: user id.
        gid: primary group id.
        groups: supplementary group ids, the primary one first, each once.
        home: what HOME is unless the image or the user sets it.
        name: name of the account, "" if the id has none.
    """

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    name: str


class _Account(Record):
    name: str
    uid: int
    gid: int
    home: str


def resolve_user(spec: str, group_add: Sequence[str], view: Files) -> User:
    """``{name|uid}[:{name|gid}]`` and ``--group-add`` values -> a User.

    An empty user is uid 0. A user found in /etc/passwd has its group and home, and without an
    explicit group the supplementary groups of /etc/group too. A number needs no entry.

    Raises:
        UsageError: no such user or group, or an id out of range.
        ImageError: /etc/passwd or /etc/group can't be used: not a regular file, larger than 10 MiB.
    """
    who, _, group = spec.partition(":")
    if ":" in group or not spec.isprintable():
        raise UsageError(f"--user {spec!r}: want user or user:group, each a name or a number")
    account = _find_account(who, view)
    numbers, listed = _read_groups({group, *group_add}, "" if group else account.name, view)

    def gid_of(text: str) -> int:
        gid = numbers.get(text) if (number := _number(text, "group")) is None else number
        if gid is None:
            raise UsageError(f"unable to find group {text}: no matching entries in group file")
        return gid

    gid = gid_of(group) if group else account.gid
    groups = tuple(dict.fromkeys((gid, *listed, *map(gid_of, group_add))))
    return User(account.uid, gid, groups, account.home, account.name)


def _find_account(who: str, view: Files) -> _Account:
    uid = _number(who or "0", "user")
    for account in _accounts(view):
        if account.name == who if uid is None else account.uid == uid:
            return account
    if uid is None:
        raise UsageError(f"unable to find user {who}: no matching entries in passwd file")
    return _Account("", uid, 0, "/")


def _read_groups(names: Collection[str], member: str, view: Files) -> tuple[dict[str, int], list[int]]:
    """One pass over /etc/group: the ids of ``names`` (the first of each), and of the groups that list ``member``."""
    numbers: dict[str, int] = {}
    listed: list[int] = []
    for fields in _lines(view, "/etc/group"):
        if len(fields) < 3 or not fields[0] or (gid := _id(fields[2])) is None:
            continue
        if fields[0] in names:
            numbers.setdefault(fields[0], gid)
        if member and len(fields) > 3 and f",{member}," in f",{fields[3]},":
            listed.append(gid)
            if len(listed) > _MAX_GROUPS:
                raise ImageError(f"/etc/group puts {member} into more than {_MAX_GROUPS} groups")
    return numbers, listed


def _number(text: str, kind: str) -> int | None:
    """The id that ``text`` is, or None if it is a name."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()):
        return None
    # Length first: int() of a million digits takes seconds.
    if text[0] == "-" or len(digits) > 20 or int(digits) > MAX_ID:
        raise UsageError(f"{kind} id {text[:24]} is out of range: ids are 0 to {MAX_ID}")
    return int(digits)


def _accounts(view: Files) -> Iterator[_Account]:
    for fields in _lines(view, "/etc/passwd"):
        if len(fields) < 4 or not fields[0] or (uid := _id(fields[2])) is None or (gid := _id(fields[3])) is None:
            continue
        home = fields[5] if len(fields) > 5 else ""
        # HOME goes into an environment and perhaps a file: nothing but a path (CVE-2026-15809).
        yield _Account(fields[0], uid, gid, home if home.startswith("/") and home.isprintable() else "/")


def _id(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= MAX_ID else None


def _lines(view: Files, path: str) -> Iterator[list[str]]:
    """The fields of each line of a file in the image; none if the file does not exist."""
    try:
        content = view.read(path, _LIMIT)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return
        raise ImageError(f"can't use {path}: {(error.strerror or str(error)).lower()}") from None
    # Line by line, and few fields of each: a hostile 10 MiB must not become a gigabyte of little strings.
    for line in io.BytesIO(content):
        yield line.decode("utf-8", "surrogateescape").strip().split(":", 6)
