"""Mounts, in docker's four ways to write them: ``-v``, ``--mount``, ``--tmpfs``, ``--volumes-from``."""

from __future__ import annotations

import os

from pycontainer.errors import Unsupported, UsageError
from pycontainer.oci.grammar.numbers import integer, size
from pycontainer.oci.grammar.users import MAX_ID
from pycontainer.oci.grammar.volumes import volume_driver, volume_name, volume_option
from pycontainer.oci.grammar.words import (
    absolute_path,
    boolean,
    choice,
    csv_fields,
    key_value,
    matches,
    plain,
    target_path,
)
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


class Mount(Record):
    """One ``-v``, ``--mount`` or ``--tmpfs``.

    Attributes:
        type: ``bind``, ``volume``, ``image`` or ``tmpfs``.
        source: a bind's absolute host path, a volume's name ("" for one without), an image's reference, else "".
        target: an absolute path in the container.
        readonly: whether the container may not write to it.
        options: further words of mount(8): ``nosuid``, ``exec``, ``rslave``, ``size=65536``, ...
        recursive: whether a bind brings the mounts below its source.
        writable_below: only the source itself is read-only, what is mounted below it is not.
        subpath: the directory or file of a volume or an image that is mounted, instead of all of it.
        nocopy: don't fill an empty volume with what the image has at the target.
        idmap: show the owner of a bind's source as the user that the container runs as, and the other way round.
        labels, driver_options: for a volume that has to be made.
        make_source: make a bind's source, a directory of root's, where nothing is.
    """

    type: str
    source: str
    target: str
    readonly: bool = False
    options: tuple[str, ...] = ()
    recursive: bool = True
    writable_below: bool = False
    subpath: str = ""
    nocopy: bool = False
    idmap: bool = False
    labels: tuple[tuple[str, str], ...] = ()
    driver_options: tuple[tuple[str, str], ...] = ()
    make_source: bool = False


_PROPAGATION = ("rprivate", "private", "rshared", "shared", "rslave", "slave")
_FLAGS = (
    *("suid", "nosuid", "dev", "nodev", "exec", "noexec", "atime", "noatime", "relatime", "strictatime"),
    *("nostrictatime", "diratime", "nodiratime", "symfollow", "nosymfollow"),
)


def volume(text: str) -> Mount:
    """``[/host|name:]/container[:options]`` with options ``ro``, ``rw``, a propagation, ``nosuid`` and its kind.

    Also ``nocopy`` for a volume, ``idmap`` for a bind, and ``z``/``Z``, which mean something to SELinux only.
    ``.`` and ``..`` at the start are taken from the working directory. A source that is missing is made, a directory
    of root's, as docker does; ``--mount`` refuses that, which is better against typing errors.
    """
    parts = text.split(":")
    if len(parts) > 3 or not parts[0]:
        raise UsageError("must be [/host/path or name:]/container/path[:options]")
    if len(parts) == 1:
        return Mount("volume", "", target_path(text))
    source = parts[0]
    if source.partition("/")[0] in (".", ".."):
        source = os.path.normpath(f"{os.getcwd()}/{source}")
    words = parts[2].split(",") if len(parts) == 3 else []
    target = _part("the container's path", target_path, parts[1])
    if not source.startswith("/"):
        return _with_words(Mount("volume", volume_name(source), target), words)
    return _with_words(Mount("bind", absolute_path(plain(source)), target, make_source=True), words)


def _part(called: str, parse: Callable[[str], str], text: str) -> str:
    """A part of a longer text, whose errors must say which."""
    try:
        return parse(text)
    except UsageError as error:
        raise UsageError(f"{called}, {text!r}: {error.message}") from None


def _with_words(made: Mount, words: Iterable[str]) -> Mount:
    bind = made.type == "bind"
    words = list(words)
    for choices in (("ro", "rw"), _PROPAGATION, ("nocopy", "copy")):
        if len(both := [word for word in words if word in choices]) > 1:
            raise UsageError(f"{both[0]} and {both[1]} contradict each other")
    for word in words:
        if word in ("ro", "rw"):
            made = made._replace(readonly=word == "ro")
        elif word in _FLAGS or (word in _PROPAGATION and bind):
            made = made._replace(options=(*made.options, word))
        elif word in ("bind", "rbind") and bind:
            made = made._replace(recursive=word == "rbind")
        elif word == "idmap" and bind:
            made = made._replace(idmap=True)
        elif word in ("nocopy", "copy") and not bind:
            made = made._replace(nocopy=word == "nocopy")
        elif word not in ("z", "Z", "consistent", "cached", "delegated"):  # SELinux and macOS: nothing to do here
            raise UsageError(f"invalid mode: {word!r}" + (" for a bind" if bind else " for a volume"))
    return made


def volumes_from(text: str) -> tuple[str, bool]:
    """``container[:ro|rw|z|Z]`` -> the container, and whether nothing may be written."""
    name, colon, mode = plain(text).partition(":")
    if not name:
        raise UsageError("must be container[:ro|rw]")
    words = mode.split(",") if colon else []
    for word in words:
        choice("ro", "rw", "z", "Z")(word)
    return name, "ro" in words


def tmpfs(text: str) -> Mount:
    """``/path[:options]`` with options of tmpfs(5) and mount(8)."""
    target, _, words = text.partition(":")
    readonly, options = False, []
    for word in filter(None, words.split(",")):
        if word in ("ro", "rw"):
            readonly = word == "ro"
        else:
            options.append(_tmpfs_option(word))
    return Mount("tmpfs", "", target_path(target), readonly, tuple(options))


_TMPFS_WORDS = ("sync", "async", "dirsync", "lazytime", "nolazytime", "mand", "nomand", "inode32", "inode64", "noswap")


def _tmpfs_option(word: str) -> str:
    key, _, value = word.partition("=")
    if word in _FLAGS or word in _PROPAGATION:
        return word
    if key == "size":
        return word if matches(r"[0-9]{1,2}%|100%", value) else f"size={size(value)}"
    if key == "mode" and matches(r"[0-7]{1,4}", value):
        return word
    if key in ("nr_inodes", "nr_blocks"):
        return f"{key}={size(value)}"
    if key in ("uid", "gid"):
        return f"{key}={integer(0, MAX_ID)(value)}"
    if word in _TMPFS_WORDS or (key in ("huge", "mpol") and value):
        return plain(word)
    raise UsageError(f"invalid tmpfs option {word!r}")


_MOUNT_KEYS = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
_MOUNT_SWITCHES = ("readonly", "bind-nonrecursive", "bind-create-src", "volume-nocopy", "idmap")
_MOUNT_TYPES = ("bind", "volume", "tmpfs", "image")


def mount(text: str) -> Mount:
    """``type=bind,source=/host,target=/container[,readonly][,bind-propagation=rslave][,tmpfs-size=64m]...``.

    Commas inside a value can be kept by quoting the whole field as CSV does: ``"source=/a,b"``.
    """
    keys: dict[str, str] = {}
    repeated: dict[str, list[str]] = {"volume-label": [], "volume-opt": []}
    for field in csv_fields(text):
        key, equals, value = field.partition("=")
        key = _MOUNT_KEYS.get(key, key)
        if not equals and key not in _MOUNT_SWITCHES:
            raise UsageError(f"invalid field {field!r}: must be key=value")
        if key in repeated:
            repeated[key].append(value)
        else:
            keys[key] = value if equals else "true"
    keys.pop("consistency", "")  # for Docker Desktop's file sharing; means nothing on Linux
    kind = keys.pop("type", "volume")
    if kind in ("cluster", "npipe"):
        raise Unsupported(f"mounts of type {kind} are not supported: they are for swarms and for Windows")
    if kind not in _MOUNT_TYPES:
        raise UsageError(f"mount type {kind!r} unknown: must be bind, volume, tmpfs or image")
    if "target" not in keys:
        raise UsageError("target is required")
    target = target_path(keys.pop("target"))
    readonly = boolean(keys.pop("readonly", "false"))
    if kind == "volume":
        made = _named(keys, repeated, target, readonly)
    else:
        made = {"bind": _bind, "tmpfs": _mounted_tmpfs, "image": _image}[kind](keys, target, readonly)
        keys |= {key: "" for key, values in repeated.items() if values}
    if keys:
        raise UsageError(f"unexpected key {next(iter(keys))!r} for type {kind}")
    return made


def _bind(keys: dict[str, str], target: str, readonly: bool) -> Mount:
    source = keys.pop("source", "")
    if not source:
        raise UsageError("source is required for type bind")
    if not source.startswith("/"):
        raise UsageError("source must be an absolute path")
    options = [choice(*_PROPAGATION)(keys.pop("bind-propagation"))] if "bind-propagation" in keys else []
    recursive = not boolean(keys.pop("bind-nonrecursive", "false"))
    mode = choice("enabled", "disabled", "writable", "readonly")(keys.pop("bind-recursive", "enabled"))
    if mode == "readonly" and not readonly:
        raise UsageError("bind-recursive=readonly needs readonly too")
    if mode == "readonly" and options not in ([], ["rprivate"]):
        raise UsageError("bind-recursive=readonly needs bind-propagation=rprivate")
    return Mount(
        "bind",
        absolute_path(plain(source)),
        target,
        readonly,
        tuple(options),
        recursive and mode != "disabled",
        writable_below=mode == "writable",
        idmap=boolean(keys.pop("idmap", "false")),
        make_source=boolean(keys.pop("bind-create-src", "false")),
    )


def _named(keys: dict[str, str], repeated: Mapping[str, list[str]], target: str, readonly: bool) -> Mount:
    volume_driver(keys.pop("volume-driver", ""))
    source = keys.pop("source", "")
    return Mount(
        "volume",
        volume_name(source) if source else "",
        target,
        readonly,
        subpath=_subpath(keys.pop("volume-subpath", "")),
        nocopy=boolean(keys.pop("volume-nocopy", "false")),
        labels=tuple(key_value(label) for label in repeated["volume-label"]),
        driver_options=tuple(volume_option(option) for option in repeated["volume-opt"]),
    )


def _image(keys: dict[str, str], target: str, readonly: bool) -> Mount:
    source = keys.pop("source", "")
    if not source:
        raise UsageError("source is required for type image")
    return Mount("image", plain(source), target, True, subpath=_subpath(keys.pop("image-subpath", "")))


def _subpath(text: str) -> str:
    """A path below a volume's or an image's top."""
    if text.startswith("/"):
        raise UsageError("a subpath must be relative")
    path = os.path.normpath(plain(text)) if text else ""
    if path == ".." or path.startswith("../"):
        raise UsageError("a subpath must not lead out")
    return "" if path == "." else path


def _mounted_tmpfs(keys: dict[str, str], target: str, readonly: bool) -> Mount:
    if keys.pop("source", ""):
        raise UsageError("source makes no sense for type tmpfs")
    options = [_tmpfs_option(f"{key}={keys.pop('tmpfs-' + key)}") for key in ("size", "mode") if "tmpfs-" + key in keys]
    options += [_tmpfs_option(word) for word in keys.pop("tmpfs-options", "").split(",") if word]
    return Mount("tmpfs", "", target, readonly, tuple(options))
