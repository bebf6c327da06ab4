"""What a root filesystem is made of. Nothing is mounted here: :mod:`pycontainer.plan.root` turns it into steps."""

from __future__ import annotations

from typing import NamedTuple


class Overlay(NamedTuple):
    """Layers under one writable directory.

    Attributes:
        base: the directory that the other paths are relative to, so that many layers fit into one mount option.
        lowers: the layers, the top one first.
        upper: where changes go, or "" for a read-only tree of at least two layers.
        work: overlay's scratch directory, on the same filesystem as ``upper``.
        volatile: skip syncing at unmount; right where the container is removed when it ends.
    """

    base: str
    lowers: tuple[str, ...]
    upper: str
    work: str
    volatile: bool = False


class Directory(NamedTuple):
    """A directory that is the root filesystem as it is, as in an OCI bundle."""

    path: str


RootFS = Overlay | Directory
