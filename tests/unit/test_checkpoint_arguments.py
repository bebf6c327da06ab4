"""What CRIU is told of a container (criu(8)), without a CRIU."""

from __future__ import annotations

import itertools
import os
from typing import Any

import pytest

from pycontainer.errors import UsageError
from pycontainer.oci.checkpoint import dump_arguments, restore_arguments
from pycontainer.oci.example import example
from pycontainer.oci.state import State

STATE = State("c", os.getpid(), 1, "/b", "/b/rootfs", "", (), "/pyc/c", {}, {})
PIPES = ["/dev/null", "pipe:[7]", "pipe:[7]"]


def spec() -> dict[str, Any]:
    made: dict[str, Any] = dict(example())
    made["mounts"] = [{"destination": "/proc", "type": "bind", "source": "/here", "options": ["rbind"]}]
    return made


def pairs(words: list[str]) -> list[tuple[str, str]]:
    return list(itertools.pairwise(words))


def test_a_dump_names_the_process_its_root_and_what_is_the_host_s() -> None:
    words = dump_arguments(spec(), STATE, {}, PIPES)
    assert words[0] == "dump" and "--leave-running" not in words
    assert {("-t", str(os.getpid())), ("--root", "/b/rootfs"), ("--external", "mnt[/proc]:/proc")} <= set(pairs(words))
    assert "--manage-cgroups=soft" in words


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"leave-running": True}, ["--leave-running"]),
        ({"tcp-established": True}, ["--tcp-established"]),
        ({"tcp-close": True}, ["--tcp-close"]),
        ({"tcp-skip-in-flight": True}, ["--skip-in-flight"]),
        ({"ext-unix-sk": True}, ["--ext-unix-sk"]),
        ({"shell-job": True}, ["--shell-job"]),
        ({"file-locks": True}, ["--file-locks"]),
        ({"link-remap": True}, ["--link-remap"]),
        ({"lazy-pages": True, "status-fd": "5"}, ["--lazy-pages", "--status-fd", "5"]),
        ({"auto-dedup": True}, ["--auto-dedup"]),
        ({"empty-ns": "network"}, ["--empty-ns", "net"]),
        ({"manage-cgroups-mode": "ignore"}, ["--manage-cgroups=ignore"]),
        ({"page-server": "127.0.0.1:77"}, ["--page-server", "--address", "127.0.0.1", "--port", "77"]),
        ({"parent-path": "../one"}, ["--prev-images-dir", "../one", "--track-mem"]),
        ({"pre-dump": True}, ["pre-dump", "--track-mem"]),
    ],
)
def test_each_option_has_its_words(options: dict[str, Any], words: list[str]) -> None:
    told = dump_arguments(spec(), STATE, options, PIPES)
    assert [word for word in told if word in words] == words


@pytest.mark.parametrize(
    "options", [{"parent-path": "/abs"}, {"page-server": "nohost"}, {"page-server": "h:x"}, {"empty-ns": "mount"}]
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        dump_arguments(spec(), STATE, options, PIPES)


def test_a_stream_that_is_a_file_of_the_host_s_is_external() -> None:
    words = dump_arguments(spec(), STATE, {}, ["/dev/null", "file[1a:2b]", "file[1a:2b]"])
    assert [pair for pair in pairs(words) if pair[1].startswith("file")] == [("--external", "file[1a:2b]")]


def test_a_namespace_of_others_is_left_to_them() -> None:
    made = spec()
    made["linux"]["namespaces"] = [{"type": "network", "path": "/run/netns/x"}, {"type": "pid"}]
    inode = os.stat("/proc/self/ns/net").st_ino
    assert ("--external", f"net[{inode}]:extRootNetNS") in pairs(dump_arguments(made, STATE, {}, PIPES))


def test_a_restore_mounts_what_the_bundle_says_and_hands_its_streams_on() -> None:
    words = restore_arguments(spec(), {"lsm-profile": "apparmor:x"}, {100: "pipe:[7]"})
    assert words[0] == "restore" and {"--restore-detached", "--restore-sibling"} <= set(words)
    told = {("--external", "mnt[/proc]:/here"), ("--inherit-fd", "fd[100]:pipe:[7]"), ("--lsm-profile", "apparmor:x")}
    assert told <= set(pairs(words))
