"""Plans that are kept for containers that differ in their IDs only: no root, no kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pycontainer.cgroups import Group
from pycontainer.core.performer import PlanFailed
from pycontainer.core.wire import HEADER, Outcome, encode
from pycontainer.engine import planned
from pycontainer.engine.planned import Planned
from pycontainer.plan import slots
from pycontainer.plan.container import Networking, Setting, container
from pycontainer.plan.monitor import Command, Watch
from pycontainer.plan.seccomp import Filter
from pycontainer.rootfs.overlay import Overlay

ONE, OTHER = "1a" * 32, "2b" * 32
GIVEN = (slots.STDOUT, slots.FROM_STDOUT)


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch) -> dict[bytes, Any]:
    fresh: dict[bytes, Any] = {}
    monkeypatch.setattr(planned, "_kept", fresh)
    monkeypatch.setattr(planned, "_starts", 1)
    return fresh


def spec(container_id: str) -> Any:
    return {
        "root": {"path": "rootfs"},
        "process": {"args": ["sh"], "env": [f"HOSTNAME={container_id[:12]}"], "cwd": "/", "user": {"uid": 0, "gid": 0}},
        "hostname": container_id[:12],
        "mounts": [
            {
                "destination": "/etc/hosts",
                "type": "bind",
                "source": f"/run/x/{container_id}/hosts",
                "options": ["rbind"],
            }
        ],
        "linux": {"namespaces": [{"type": name} for name in ("mount", "pid", "uts")]},
    }


def setting(container_id: str, **other: Any) -> Setting:
    own = f"../containers/{container_id}"
    values: dict[str, Any] = {
        "container": container_id,
        "rootfs": Overlay("/var/lib/x/layers", ("b/fs", "a/fs"), f"{own}/upper", f"{own}/work"),
        "mount_point": f"/var/lib/x/containers/{container_id}",
        "group": Group(()),
        "kernel": (6, 18),
        "kind_of": lambda path: "file" if path.endswith("hosts") else "",
        "filter": Filter(bytes(16), 0),
        "given": frozenset(GIVEN),
        "watch": Watch(
            "/var/lib/x", "/run/x", container_id, afterwards=Command(("/usr/bin/pyc", "ended", container_id))
        ),
    }
    return Setting(**{**values, **other})


def body(image: bytes) -> bytes:
    """Without the header, which says how many slots all plans so far have used."""
    return image[HEADER.size :]


def test_what_serves_again_is_what_would_have_been_made(kept: dict[bytes, Any]) -> None:
    first, second = (Planned(spec(each), setting(each)) for each in (ONE, OTHER))
    first.score(GIVEN)
    assert first.plan is second.plan
    assert len(kept) == 1
    made = encode(container(spec(OTHER), setting(OTHER)), GIVEN)
    assert body(second.score(GIVEN).image) == body(made)
    assert ONE[:12].encode() not in made
    assert made.count(OTHER.encode()) > 5
    assert body(first.score(GIVEN).image).count(ONE.encode()) == made.count(OTHER.encode())


def test_the_descriptors_may_be_others() -> None:
    first, second = (Planned(spec(each), setting(each)) for each in (ONE, OTHER))
    first.score(GIVEN)
    assert second.score((*GIVEN, slots.USERS)).image == encode(
        container(spec(OTHER), setting(OTHER)), (*GIVEN, slots.USERS)
    )


def environment(document: Any) -> None:
    document["process"]["env"].append(f"PEER={ONE}")


def masked(document: Any) -> None:
    document["linux"]["maskedPaths"] = ["/etc/hosts"]


@pytest.mark.parametrize("changed", [environment, masked, lambda document: document.update(hostname="own")])
def test_another_spec_has_another_plan(changed: Callable[[Any], None]) -> None:
    other = spec(OTHER)
    changed(other)
    first, second = Planned(spec(ONE), setting(ONE)), Planned(other, setting(OTHER))
    assert first.plan is not second.plan
    assert second.plan == container(other, setting(OTHER))


OTHERS: dict[str, Any] = {
    "kernel": (5, 15),
    "kind_of": lambda path: "directory",
    "filter": Filter(bytes(8), 0),
    "given": frozenset(),
    "init": True,
    "watch": Watch("/var/lib/x", "/run/x", OTHER),
    "keyring": False,
    "memory": "/proc/7/ns/mnt",
    "rootfs": Overlay("/var/lib/x/layers", ("c/fs", "a/fs"), "u", "w", True),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_setting_has_another_plan(name: str) -> None:
    changed = setting(OTHER, **{name: OTHERS[name]})
    first, second = Planned(spec(ONE), setting(ONE)), Planned(spec(OTHER), changed)
    assert first.plan is not second.plan
    assert second.plan == container(spec(OTHER), changed)


def test_a_part_of_a_bind_that_has_become_a_file_has_another_plan() -> None:
    def bound(container_id: str) -> Any:
        document = spec(container_id)
        options = ["bind", "X-mount.subdir=part"]
        document["mounts"].append({"destination": "/data", "type": "bind", "source": "/volume", "options": options})
        return document

    kinds = {"/volume": "directory", "/volume/part": "directory"}
    first = Planned(bound(ONE), setting(ONE, kind_of=lambda path: kinds.get(path, "")))
    assert Planned(bound(OTHER), setting(OTHER, kind_of=lambda path: kinds.get(path, ""))).plan is first.plan
    kinds["/volume/part"] = "file"
    second = Planned(bound(OTHER), setting(OTHER, kind_of=lambda path: kinds.get(path, "")))
    assert second.plan is not first.plan
    assert Planned(bound(ONE), setting(ONE, kind_of=lambda path: kinds.get(path, ""))).plan is second.plan


def test_whose_steps_are_shown_has_a_plan_of_its_own() -> None:
    first, second = Planned(spec(ONE), setting(ONE)), Planned(spec(OTHER), setting(OTHER), watched=True)
    assert first.plan is not second.plan
    assert ONE not in repr(second.plan)


def test_who_is_in_a_network_has_a_plan_of_its_own(kept: dict[bytes, Any]) -> None:
    for each in (ONE, OTHER):
        Planned(spec(each), setting(each, network=Networking()))
    assert not kept


def test_a_process_that_starts_one_container_keeps_nothing(
    kept: dict[bytes, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planned, "_starts", 0)
    Planned(spec(ONE), setting(ONE))
    assert not kept
    Planned(spec(OTHER), setting(OTHER))
    assert len(kept) == 1


def test_only_the_last_are_kept(kept: dict[bytes, Any]) -> None:
    for number in range(3 * planned.MOST):
        Planned(spec(ONE), setting(ONE, kernel=(6, number)))
        assert 0 < len(kept) <= planned.MOST


def test_a_failure_is_told_of_the_container_that_failed() -> None:
    Planned(spec(ONE), setting(ONE))
    second = Planned(spec(OTHER), setting(OTHER))
    calls = second.score(GIVEN).calls
    at, (step, call) = next((at, pair) for at, pair in enumerate(calls) if ONE in repr(pair))
    own = second.own(PlanFailed(step, call, Outcome(at, 2, -2, 0), {}))
    assert OTHER in repr((own.step, own.call))
    assert ONE not in repr((own.step, own.call))
    assert own.record.error == 2
