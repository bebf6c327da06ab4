"""Options of containers from Python are the flags of ``run``, all of them, and read as those."""

from __future__ import annotations

from pathlib import Path
from signal import SIGINT

import pytest

from pycontainer import containers, images, networks, volumes
from pycontainer.cli.run_flags import FLAGS, THIS_COMMAND
from pycontainer.engine.update import FIELDS
from pycontainer.errors import UsageError
from pycontainer.oci.grammar.mounts import Mount
from pycontainer.oci.grammar.ports import Publication
from pycontainer.options import PLURALS, Limits, Options, limits, run_options, signal, words

OF_THE_COMMAND = {"name", "rm", "pull", "platform"}  # of the others Python has its own: detach, input, progress


def flag_of(option: str) -> str:
    return "--" + PLURALS.get(option, option).replace("_", "-")


def test_every_flag_that_makes_a_container_is_an_option_and_nothing_else() -> None:
    shown = [flag for flags in FLAGS.sections.values() for flag in flags if flag.help and flag not in THIS_COMMAND]
    names = {name for flag in shown for name in flag.names.split(", ") if name.startswith("--")}
    assert names | {flag_of(option) for option in OF_THE_COMMAND} == set(map(flag_of, Options.__annotations__))


def test_what_can_be_changed_is_what_update_changes() -> None:
    fields = {FLAGS.by_name[flag_of(option)].field for option in Limits.__annotations__}
    assert fields == set(FIELDS)


def test_texts_numbers_lists_mappings_and_the_engine_s_own_types() -> None:
    made = run_options(
        "box",
        "sh -c 'echo a b'",
        {
            "name": "mine",
            "rm": True,
            "memory": "64m",
            "shm_size": 1 << 20,
            "cpus": 1.5,
            "memory_swap": -1,
            "env": {"A": "1"},
            "env_file": [],
            "labels": ["k=v"],
            "volumes": {"data": "/data:ro"},
            "mounts": [Mount("tmpfs", "", "/own"), "type=tmpfs,dst=/text"],
            "tmpfs": "/x:size=1m",
            "publish": {"8080": "80"},
            "ulimits": {"nofile": "10:20"},
            "health_interval": 0.5,
            "health_timeout": "2s",
            "network": ["one", "name=two,alias=deux"],
            "security_opt": ["no-new-privileges"],
            "cap_add": ["net_admin"],
            "tty": True,
        },
        detach=False,
    )
    asked = made.container
    assert (made.name, made.rm, made.detach, asked.command) == ("mine", True, False, ("sh", "-c", "echo a b"))
    assert (asked.memory, asked.shm_size, asked.nano_cpus, asked.memory_swap) == (64 << 20, 1 << 20, 1500000000, -1)
    assert (asked.env, dict(asked.labels), asked.tty) == (("A=1",), {"k": "v"}, True)
    assert {mount.target: mount.type for mount in asked.mounts} == {
        "/data": "volume",
        "/own": "tmpfs",
        "/text": "tmpfs",
        "/x": "tmpfs",
    }
    assert asked.publish == (Publication("", 8080, 8080, 80, 80, "tcp"),)
    assert (asked.ulimits[0].soft, asked.ulimits[0].hard) == (10, 20)
    assert (asked.health_interval, asked.health_timeout) == (0.5, 2.0)
    assert [(each.name, each.aliases) for each in asked.endpoints] == [("one", ()), ("two", ("deux",))]
    assert (asked.no_new_privileges, asked.cap_add) == ("on", ("CAP_NET_ADMIN",))
    assert limits({"memory": "32m", "restart": "always"}) == {"memory": 32 << 20, "restart": "always"}


def test_numbers_and_paths_are_what_they_would_be_as_text() -> None:
    made = run_options(
        "box",
        ["cat", Path("/data/file")],
        {
            "user": 1000,
            "group_add": [5],
            "workdir": Path("/data"),
            "volumes": {Path("/srv"): "/data:ro"},
            "publish": {8080: 80},
            "expose": 90,
            "stop_signal": SIGINT,
            "health_interval": 2,
            "env": None,
            "hostname": None,
        },
        detach=False,
    ).container
    assert (made.command, made.user, made.group_add) == (("cat", "/data/file"), "1000", ("5",))
    assert (made.workdir, made.mounts[0].source, made.publish[0].host_first) == ("/data", "/srv", 8080)
    assert (made.expose, made.stop_signal, made.health_interval) == (("90",), "SIGINT", 2.0)
    assert (made.env, made.hostname) == ((), "")
    assert (words([b"echo", "a"]), signal(SIGINT)) == (("echo", "a"), "SIGINT")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"nonsense": 1}, TypeError, "no such option: nonsense"),
        ({"detach_keys": "a"}, TypeError, "no such option"),
        ({"entrypoint": ["sh", "-c"]}, TypeError, r"entrypoint can't be made of \['sh', '-c'\]"),
        ({"env": {"A": None}}, TypeError, "env can't be made of None"),
        ({"hostname": b"box"}, TypeError, "hostname can't be made of b'box'"),
        ({"health_interval": -1}, UsageError, "health_interval=-1: not a duration"),
        ({"restart": "sometimes"}, UsageError, "restart='sometimes'"),
        ({"pull": "perhaps"}, UsageError, "pull='perhaps'"),
        ({"memory": "1x"}, UsageError, "memory='1x'"),
        ({"memory": -5}, UsageError, "memory=-5"),
        ({"health_on_failure": "cry"}, UsageError, "health_on_failure"),
        ({"publish": ["80:"]}, UsageError, "publish='80:'"),
        ({"network": ["none", "one"]}, UsageError, "conflicting options"),
    ],
)
def test_mistakes_are_named(options: dict[str, object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        run_options("box", (), options, detach=False)


def test_what_can_not_be_changed_is_no_limit() -> None:
    with pytest.raises(TypeError, match="no such option: env"):
        limits({"env": ["A=1"]})


def test_a_command_that_ends_amid_a_quotation_is_an_error_of_ours() -> None:
    assert words("echo 'a b'") == ("echo", "a b")
    with pytest.raises(UsageError, match='command "echo \'a b": no closing quotation'):
        words("echo 'a b")


def test_a_signal_that_there_is_not_is_named() -> None:
    assert signal("term") == "SIGTERM"
    with pytest.raises(UsageError, match="signal='BOGUS': no such signal"):
        signal("BOGUS")


def test_roots_that_are_none_are_named() -> None:
    for module in (containers, images, networks, volumes):
        with pytest.raises(TypeError, match=r"roots: want pycontainer\.Roots"):
            module.list(roots="/tmp/state")  # type: ignore[attr-defined]
