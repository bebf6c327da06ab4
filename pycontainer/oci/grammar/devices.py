"""Devices: nodes of /dev, what may be done with them and how fast."""

from __future__ import annotations

from pycontainer.errors import Unsupported, UsageError
from pycontainer.oci.grammar.numbers import INT64_MAX, integer, size
from pycontainer.oci.grammar.words import absolute_path, matches, plain, target_path
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from collections.abc import Callable


class DeviceMapping(Record):
    """One ``--device``: a node of the host, its path in the container, and the allowed access (of ``rwm``)."""

    host: str
    container: str
    access: str


class DeviceRule(Record):
    """One ``--device-cgroup-rule``: type ``a``, ``b`` or ``c``; a number or None for all; access (of ``rwm``)."""

    type: str
    major: int | None
    minor: int | None
    access: str


class DeviceRate(Record):
    """A block device of the host and its weight (10-1000) or its rate (bytes or operations per second)."""

    path: str
    rate: int


def device(text: str) -> DeviceMapping:
    """``/dev/host[:/dev/container][:rwm]``."""
    if not text.startswith("/") and "=" in text:
        raise Unsupported("devices by CDI name are not supported yet: name a node of /dev")
    host, *rest = plain(text).split(":")
    if len(rest) > 2:
        raise UsageError("must be /dev/host[:/dev/container][:rwm]")
    if len(rest) == 1 and not rest[0].startswith("/"):
        rest = [host, rest[0]]
    container, access = (*rest, *(host, "rwm")[len(rest) :])
    return DeviceMapping(absolute_path(host), target_path(container), _access(access))


def device_rule(text: str) -> DeviceRule:
    """``c 1:3 rwm``, ``b 8:* r``, ``a *:* rwm``: the v1 devices controller's language."""
    match = matches(r"([abc]) ([0-9]{1,7}|\*):([0-9]{1,7}|\*) ([rwm]{1,3})", text)
    if not match:
        raise UsageError("must be like 'c 1:3 rwm'")
    kind, major, minor, access = match.groups()
    return DeviceRule(kind, None if major == "*" else int(major), None if minor == "*" else int(minor), _access(access))


def _access(text: str) -> str:
    if not matches(r"[rwm]{1,3}", text) or len(set(text)) != len(text):
        raise UsageError(f"{text!r} is not an access mode (some of r, w, m)")
    return text


def _device_number(number: Callable[[str], int]) -> Callable[[str], DeviceRate]:
    def parse(text: str) -> DeviceRate:
        path, colon, value = text.rpartition(":")
        if not colon or not path.startswith("/dev/"):
            raise UsageError("must be /dev/name:number")
        return DeviceRate(absolute_path(plain(path)), number(value))

    return parse


device_bps = _device_number(size)
"""``/dev/sda:1mb`` -> bytes per second."""

device_iops = _device_number(integer(0, INT64_MAX))
"""``/dev/sda:1000`` -> operations per second."""

device_weight = _device_number(integer(10, 1000))
"""``/dev/sda:500`` -> a weight."""
