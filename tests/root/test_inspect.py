"""``pyc inspect`` of a container has docker's shape, and says what was asked for."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.support.cli import Pyc

pytestmark = pytest.mark.root

# Of the Engine API's v1.50, without what is for Windows alone; what docker leaves out where it is empty may be absent.
TOP = """
Id Created Path Args State Image ResolvConfPath HostnamePath HostsPath LogPath Name RestartCount Driver Platform
MountLabel ProcessLabel AppArmorProfile ExecIDs HostConfig GraphDriver Mounts Config NetworkSettings
"""
STATE = "Status Running Paused Restarting OOMKilled Dead Pid ExitCode Error StartedAt FinishedAt"
HOST_CONFIG = """
Binds ContainerIDFile LogConfig NetworkMode PortBindings RestartPolicy AutoRemove VolumeDriver VolumesFrom CapAdd
CapDrop CgroupnsMode Dns DnsOptions DnsSearch ExtraHosts GroupAdd IpcMode Cgroup Links OomScoreAdj PidMode Privileged
PublishAllPorts ReadonlyRootfs SecurityOpt UTSMode UsernsMode ShmSize Runtime Isolation CpuShares Memory NanoCpus
CgroupParent BlkioWeight BlkioWeightDevice BlkioDeviceReadBps BlkioDeviceWriteBps BlkioDeviceReadIOps
BlkioDeviceWriteIOps CpuPeriod CpuQuota CpuRealtimePeriod CpuRealtimeRuntime CpusetCpus CpusetMems Devices
DeviceCgroupRules DeviceRequests MemoryReservation MemorySwap MemorySwappiness OomKillDisable PidsLimit Ulimits CpuCount
CpuPercent IOMaximumIOps IOMaximumBandwidth MaskedPaths ReadonlyPaths
"""
CONFIG = """
Hostname Domainname User AttachStdin AttachStdout AttachStderr Tty OpenStdin StdinOnce Env Cmd Image Volumes WorkingDir
Entrypoint OnBuild Labels
"""
NETWORK = """
Bridge SandboxID SandboxKey Ports EndpointID Gateway GlobalIPv6Address GlobalIPv6PrefixLen IPAddress IPPrefixLen
IPv6Gateway MacAddress Networks
"""
ASKED = """
--name seen --hostname h --user 1000:7 --workdir /tmp --env A=1 --label k=v --entrypoint sleep --cap-add SYS_PTRACE
--cap-drop CHOWN --memory 64m --memory-swap 128m --cpus 0.5 --pids-limit 9 --read-only --tmpfs /x:size=1m
--ulimit nofile=10:20 --add-host a:1.2.3.4 --dns 9.9.9.9 --group-add 27 --oom-score-adj 100 --shm-size 1m --init
--restart on-failure:3 --stop-signal INT --stop-timeout 5 --log-opt max-file=2 --sysctl net.ipv4.ip_forward=1
--device /dev/null:/dev/nothing:r --expose 90
"""


@pytest.fixture
def seen(stocked: Pyc, image: str) -> dict[str, Any]:
    stocked("create", *ASKED.split(), "-v", f"{stocked.scratch}:/data:ro", image, "1000").ok()
    found: list[dict[str, Any]] = json.loads(stocked("inspect", "seen").ok().stdout)
    return found[0]


def test_every_field_of_docker_s_is_there(seen: dict[str, Any]) -> None:
    for wanted, part in (
        (TOP, seen),
        (STATE, seen["State"]),
        (HOST_CONFIG, seen["HostConfig"]),
        (CONFIG, seen["Config"]),
        (NETWORK, seen["NetworkSettings"]),
    ):
        assert set(wanted.split()) - part.keys() == set()


def test_it_says_what_was_asked_for(seen: dict[str, Any], stocked: Pyc) -> None:
    host, config = seen["HostConfig"], seen["Config"]
    expected = {
        "Binds": [f"{stocked.scratch}:/data:ro"],
        "CapAdd": ["CAP_SYS_PTRACE"],
        "CapDrop": ["CAP_CHOWN"],
        "Memory": 64 << 20,
        "MemorySwap": 128 << 20,
        "NanoCpus": 500_000_000,
        "PidsLimit": 9,
        "ReadonlyRootfs": True,
        "Tmpfs": {"/x": "size=1048576"},
        "ExtraHosts": ["a:1.2.3.4"],
        "Dns": ["9.9.9.9"],
        "GroupAdd": ["27"],
        "OomScoreAdj": 100,
        "ShmSize": 1 << 20,
        "Init": True,
        "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
        "NetworkMode": "none",
        "ConsoleSize": [0, 0],
        "Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/nothing", "CgroupPermissions": "r"}],
    }
    assert {name: host[name] for name in expected} == expected
    assert seen["NetworkSettings"]["Networks"].keys() == {"none"} and seen["GraphDriver"]["Data"]["LowerDir"]
    assert {"Name": "nofile", "Hard": 20, "Soft": 10} in host["Ulimits"]
    assert host["LogConfig"]["Type"] == "json-file" and host["LogConfig"]["Config"].keys() == {"max-file"}
    assert (config["Entrypoint"], config["Cmd"], seen["Path"], seen["Args"]) == (["sleep"], ["1000"], "sleep", ["1000"])
    assert (config["User"], config["WorkingDir"], config["Hostname"]) == ("1000:7", "/tmp", "h")
    assert (config["StopSignal"], config["StopTimeout"]) == ("SIGINT", 5)
    assert "A=1" in config["Env"] and config["Labels"]["k"] == "v" and "90/tcp" in config["ExposedPorts"]


def test_the_image_s_command_is_shown_where_none_was_asked_for(stocked: Pyc, image: str) -> None:
    stocked("create", "--name", "plain", image).ok()
    form = "{{json .Config.Cmd}} {{json .Config.Entrypoint}} {{.State.Status}} {{.State.Running}}"
    shown = stocked("inspect", "-f", form, "plain").ok().stdout
    assert re.fullmatch(r'\["\S*sh"\] null created false\n', shown)


def test_types(stocked: Pyc, image: str) -> None:
    stocked("create", "--name", "typed", image).ok()
    stocked("volume", "create", "vol").ok()
    assert stocked("inspect", "--type", "container", "-f", "{{.Name}}", "typed").ok().stdout == "/typed\n"
    assert stocked("inspect", "--type", "image", "-f", "{{.Os}}", image).ok().stdout == "linux\n"
    assert stocked("inspect", "--type", "network", "-f", "{{.Driver}}", "none").ok().stdout == "null\n"
    assert stocked("inspect", "--type", "volume", "-f", "{{.Driver}}", "vol").ok().stdout == "local\n"
    assert "no such" in stocked("inspect", "--type", "image", "typed").stderr
    assert stocked("inspect", "-s", "-f", "{{.SizeRw}}", "typed").ok().stdout == "0\n"
    both = json.loads(stocked("inspect", "typed", "vol").ok().stdout)
    assert [each["Name"] for each in both] == ["/typed", "vol"]
    stocked("volume", "rm", "vol").ok()
