"""Documents about images and containers in docker's shape, for ``inspect`` and later for the API."""

from __future__ import annotations

import json
import time
from typing import Any

from pycontainer.engine import health, life, network_documents, policy
from pycontainer.engine.containers import UNSEEN
from pycontainer.engine.mounts import mount_points
from pycontainer.image.reference import Reference
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots
    from pycontainer.image.manifest import ImageConfig
    from pycontainer.image.store import Image

Document = dict[str, Any]
ZERO_TIME = "0001-01-01T00:00:00Z"
"""How Go writes "never"."""


# --- images -----------------------------------------------------------------------------------------------------------


def image_document(image: Image) -> Document:
    """What ``docker image inspect`` says of an image (Engine API, ImageInspect)."""
    config, references = image.config, [Reference.parse(name) for name in image.names]
    digests = {f"{reference.familiar_name}@{image.digest}" for reference in references if image.digest}
    return {
        "Id": image.id,
        "RepoTags": [reference.familiar for reference in references if reference.tag],
        "RepoDigests": sorted(digests),
        "Parent": "",
        "Comment": config.history[-1].comment if config.history else "",
        "Created": image.created or ZERO_TIME,
        "DockerVersion": "",
        "Author": config.author,
        "Config": image_config(config),
        "Architecture": config.architecture,
        "Variant": config.variant,
        "Os": config.os,
        "Size": image.size,
        "GraphDriver": {
            "Name": "overlay",
            "Data": {"LowerDir": ":".join(layer.path_of_fs for layer in reversed(image.layers))},
        },
        "RootFS": {"Type": "layers", "Layers": [layer.diff_id for layer in image.layers]},
        "Metadata": {"LastTagTime": ZERO_TIME},
        "Descriptor": image.manifest._replace(annotations={}).to_json(),
    }


def image_config(config: ImageConfig) -> Document:
    """How an image wants to be run (Engine API, ImageConfig)."""
    document: Document = {
        "User": config.user,
        "ExposedPorts": {port: {} for port in config.exposed_ports} or None,
        "Env": list(config.env),
        "Cmd": list(config.cmd) or None,
        "Volumes": {path: {} for path in config.volumes} or None,
        "WorkingDir": config.working_dir,
        "Entrypoint": list(config.entrypoint) or None,
        "OnBuild": list(config.on_build) or None,
        "Labels": dict(config.labels) or None,
    }
    if config.stop_signal:
        document["StopSignal"] = config.stop_signal
    if config.healthcheck:
        words = {
            "".join(part.capitalize() for part in k.split("_")): v for k, v in config.healthcheck._asdict().items()
        }
        document["Healthcheck"] = {
            name: value for name, value in (words | {"Test": list(words["Test"])}).items() if value
        }
    if config.shell:
        document["Shell"] = list(config.shell)
    return document


# --- containers -------------------------------------------------------------------------------------------------------


def container_document(roots: Roots, container: Container) -> Document:
    """What ``docker container inspect`` says of a container (Engine API, ContainerInspect), as far as we have it."""
    where = roots.container(container.id)
    spec = _read_spec(where)
    program, *arguments = container.command or ("",)
    return {
        "Id": container.id,
        "Created": rfc3339(container.created),
        "Path": program,
        "Args": arguments,
        "State": _state(roots, container),
        "Image": container.image_id,
        "ResolvConfPath": f"{where}/resolv.conf",
        "HostnamePath": f"{where}/hostname",
        "HostsPath": f"{where}/hosts",
        "LogPath": "" if container.options.get("log_driver") == "none" else f"{where}/log",
        "Name": f"/{container.name}",
        "RestartCount": policy.tries(roots, container.id).times,
        "Driver": "overlay",
        "Platform": "linux",
        "MountLabel": spec.get("linux", {}).get("mountLabel", ""),
        "ProcessLabel": spec.get("process", {}).get("selinuxLabel", ""),
        "AppArmorProfile": spec.get("process", {}).get("apparmorProfile", ""),
        "ExecIDs": None,
        "HostConfig": _host_config(container, spec),
        "GraphDriver": {
            "Name": "overlay",
            "Data": {"MergedDir": f"{where}/rootfs", "UpperDir": f"{where}/upper", "WorkDir": f"{where}/work"},
        },
        "Mounts": mount_points(roots, container),
        "Config": _container_config(container, spec),
        "NetworkSettings": network_documents.settings_document(roots, container),
    }


def _read_spec(bundle: str) -> Document:
    try:
        with open(f"{bundle}/config.json", "rb") as file:
            spec: Document = json.load(file)
    except (OSError, ValueError):
        return {}  # it was never finished, or it is damaged: say what else we know
    return spec


def _state(roots: Roots, container: Container) -> Document:
    code, error = life.error(roots, container.id)
    if container.state == "exited" and container.exit_code == UNSEEN and not life.has_run(roots, container.id):
        error = error or "nobody saw how it ended: its monitor was killed, or the host went down"
    state = {
        "Status": container.state,
        "Running": container.state in ("running", "paused", "restarting"),
        "Paused": container.state == "paused",
        "Restarting": container.state == "restarting",
        "OOMKilled": container.oom_killed,
        "Dead": False,
        "Pid": container.pid,
        "ExitCode": code or container.exit_code,
        "Error": error,
        "StartedAt": rfc3339(container.started),
        "FinishedAt": rfc3339(container.finished),
    }
    return state | {"Health": health.read(roots, container.id)} if container.options.get("health") else state


def _container_config(container: Container, spec: Document) -> Document:
    process, asked = spec.get("process", {}), container.options
    return {
        "Hostname": spec.get("hostname", ""),
        "Domainname": spec.get("domainname", ""),
        "User": asked.get("user", ""),
        "AttachStdin": asked.get("stdin_once", False),
        "AttachStdout": not asked.get("detached", False),
        "AttachStderr": not asked.get("detached", False),
        "Tty": process.get("terminal", False),
        "OpenStdin": asked.get("interactive", False),
        "StdinOnce": asked.get("stdin_once", False),
        "Env": process.get("env", []),
        "Cmd": list(container.command),
        "Image": container.image,
        "WorkingDir": process.get("cwd", ""),
        "Labels": container.labels,
        "StopSignal": asked.get("stop_signal", "SIGTERM"),
        **({"StopTimeout": asked["stop_timeout"]} if asked.get("stop_timeout") is not None else {}),
        **({"Healthcheck": _healthcheck(asked["health"])} if asked.get("health") else {}),
    }


def _host_config(container: Container, spec: Document) -> Document:
    linux, process = spec.get("linux", {}), spec.get("process", {})
    limits = linux.get("resources", {})
    memory, cpu = limits.get("memory", {}), limits.get("cpu", {})
    kinds = {namespace["type"] for namespace in linux.get("namespaces", ())}
    return {
        "AutoRemove": container.rm,
        "NetworkMode": _network_mode(container.options),
        "IpcMode": "private" if "ipc" in kinds else "host",
        "PidMode": "" if "pid" in kinds else "host",
        "UTSMode": "" if "uts" in kinds else "host",
        "CgroupnsMode": "private" if "cgroup" in kinds else "host",
        "UsernsMode": "",
        "Init": container.options.get("init", False),
        "ReadonlyRootfs": spec.get("root", {}).get("readonly", False),
        "OomScoreAdj": process.get("oomScoreAdj", 0),
        "Memory": memory.get("limit", 0),
        "MemoryReservation": memory.get("reservation", 0),
        "MemorySwap": memory.get("swap", 0),
        "CpuShares": cpu.get("shares", 0),
        "CpuPeriod": cpu.get("period", 0),
        "CpuQuota": cpu.get("quota", 0),
        "CpusetCpus": cpu.get("cpus", ""),
        "CpusetMems": cpu.get("mems", ""),
        "PidsLimit": limits.get("pids", {}).get("limit"),
        "MaskedPaths": linux.get("maskedPaths", []),
        "ReadonlyPaths": linux.get("readonlyPaths", []),
        "Sysctls": linux.get("sysctl", {}),
        "Ulimits": [
            {"Name": limit["type"].removeprefix("RLIMIT_").lower(), "Hard": limit["hard"], "Soft": limit["soft"]}
            for limit in process.get("rlimits", ())
        ],
        "RestartPolicy": _restart_policy(container.options.get("restart") or "no"),
        "LogConfig": {
            "Type": container.options.get("log_driver") or "json-file",
            "Config": container.options.get("log_opts", {}),
        },
        "Runtime": "pyc",
    }


def _restart_policy(asked: str) -> Document:
    name, _, limit = asked.partition(":")
    return {"Name": name, "MaximumRetryCount": int(limit or 0)}


def _healthcheck(wanted: Document) -> Document:
    """Durations are nanoseconds here."""
    names = ("Interval", "Timeout", "StartPeriod", "StartInterval")
    fields = ("interval", "timeout", "start_period", "start_interval")
    durations = {name: round(wanted[field] * 1e9) for name, field in zip(names, fields, strict=True)}
    return {"Test": wanted["test"], **durations, "Retries": wanted["retries"]}


def _network_mode(options: Document) -> str:
    mode: str = options.get("network", "bridge")
    if mode == "bridge" and options.get("endpoints"):
        mode = options["endpoints"][0][0]
    return mode


def rfc3339(moment: float) -> str:
    """Seconds since the epoch as UTC (RFC 3339); Go's zero time for 0."""
    if not moment:
        return ZERO_TIME
    whole, nanoseconds = divmod(round(moment * 1e9), 10**9)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{nanoseconds:09d}Z"
