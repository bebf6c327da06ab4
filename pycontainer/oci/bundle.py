"""A bundle: a directory with config.json, which says what container to make, and the files that it starts with.

Bundles and their layout are defined in bundle.md of the runtime-spec, config.json in config.md.
"""

from __future__ import annotations

import os

from pycontainer import jsontext
from pycontainer.errors import UsageError
from pycontainer.oci import fields, shape
from pycontainer.oci.failures import by_its_field
from pycontainer.oci.state import State, now
from pycontainer.plan.seccomp import load as load_filter
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from pycontainer.cgroups import Group
    from pycontainer.oci.spec import Spec
    from pycontainer.plan.seccomp import Filter

FILTERS = "/run/pycontainer/seccomp"  # compiled once: the engines pass the same few profiles again and again


class Bundle(Record):
    """A bundle whose config.json can be performed.

    Attributes:
        path: the directory, absolute.
        rootfs: the root directory, absolute.
        document: config.json as it stands there.
        spec: the same as data.
    """

    path: str
    rootfs: str
    document: str
    spec: Spec

    def copy(self) -> str:
        """What a container keeps as its config.json. Once checked, that has no null."""
        return jsontext.dump(self.spec) if "null" in self.document else self.document

    def state(self, name: str, cgroup: str, group: Group) -> State:
        """What is known of a container made from it, before it has a process; ``cgroup`` is the path of ``group``."""
        return State(
            id=name,
            pid=0,
            began=0,
            bundle=self.path,
            rootfs=self.rootfs,
            created=now(),
            cgroups=group.directories,
            cgroup=cgroup,
            annotations=self.spec.get("annotations") or {},
            calls={},
        )


def read(directory: str) -> Bundle:
    """Raises UsageError, with the field of config.json that is wrong, and Unsupported."""
    path = os.path.realpath(directory)
    document, spec = _config(f"{path}/config.json")
    fields.check(spec, path)
    return Bundle(path, os.path.realpath(os.path.join(path, spec["root"]["path"])), document, spec)


def _config(path: str) -> tuple[str, Spec]:
    try:
        with open(path) as file:
            document = file.read()
        spec: Spec = shape.read(document, shape.SPEC, "")
    except FileNotFoundError:
        raise UsageError(f"JSON specification file {path} not found") from None
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or '').lower()}") from None
    except ValueError as error:
        digits = "Exceeds the limit" in str(error)  # of int(); it is told before there is a field
        raise UsageError(f"{path}: {'a number of more digits than any field takes' if digits else error}") from None
    return document, spec


def filter_of(spec: Spec) -> Filter | None:
    """The compiled system call filter, if one is wanted. Raises PycError, with the field that is wrong."""
    profile = spec["linux"].get("seccomp")
    with by_its_field():
        return load_filter(profile, FILTERS) if profile else None
