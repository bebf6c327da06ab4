"""Documents about images and containers in docker's shape, for ``inspect`` and later for the API."""

from __future__ import annotations

from pycontainer import jsontext
from pycontainer.engine import health, life, policy
from pycontainer.engine.containers import UNSEEN
from pycontainer.engine.host_config import host_config, port_bindings
from pycontainer.engine.moments import NEVER, rfc3339
from pycontainer.engine.mounts import mount_points
from pycontainer.engine.network import documents
from pycontainer.engine.recall import recalled
from pycontainer.errors import NotFound, StoreError
from pycontainer.image.reference import Reference
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots
    from pycontainer.image.manifest import ImageConfig
    from pycontainer.image.model import Image

    Document = dict[str, Any]


# --- images -----------------------------------------------------------------------------------------------------------


def image_document(image: Image) -> Document:
    """What ``docker image inspect`` says of an image (Engine API, ImageInspect)."""
    config, references = image.config, [Reference.parse(name) for name in image.names]
    digests = {f"{Reference.parse(name).familiar_name}@{image.known_by(name)}" for name in image.names}
    return {
        "Id": image.id,
        "RepoTags": [reference.familiar for reference in references if reference.tag],
        "RepoDigests": sorted(digests),
        "Parent": "",
        "Comment": config.history[-1].comment if config.history else "",
        "Created": image.created or NEVER,
        "DockerVersion": "",
        "Author": config.author,
        "Config": image_config(config),
        "Architecture": config.architecture,
        "Variant": config.variant,
        "Os": config.os,
        "Size": image.size,
        "GraphDriver": {
            "Name": "overlay",
            "Data": {"LowerDir": _lower_directories(image)},
        },
        "RootFS": {"Type": "layers", "Layers": [layer.diff_id for layer in image.layers]},
        "Metadata": {"LastTagTime": NEVER},
        "Descriptor": image.manifest._replace(annotations={}).to_json(),
    }


def _lower_directories(image: Image) -> str:
    return ":".join(layer.path_of_fs for layer in reversed(image.stack))


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
    made_of = _image_of(roots, container)
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
        "HostConfig": host_config(container, spec),
        "GraphDriver": {
            "Name": "overlay",
            "Data": {
                "LowerDir": _lower_directories(made_of) if made_of else "",
                "MergedDir": f"{where}/rootfs",
                "UpperDir": f"{where}/upper",
                "WorkDir": f"{where}/work",
            },
        },
        "Mounts": mount_points(roots, container),
        "Config": _container_config(container, made_of, spec),
        "NetworkSettings": documents.settings_document(roots, container),
    }


def _read_spec(bundle: str) -> Document:
    try:
        with open(f"{bundle}/config.json", "rb") as file:
            spec: Document = jsontext.load(file.read().decode())
    except (OSError, ValueError):
        return {}  # it was never finished, or it is damaged: say what else we know
    return spec if isinstance(spec, dict) else {}


def _state(roots: Roots, container: Container) -> Document:
    code, error = life.error(roots, container.id)
    if container.state == "exited" and container.exit_code == UNSEEN and not life.has_run(roots, container.id):
        error = error or "nobody saw how it ended: its monitor was killed, or the host went down"
    state = {
        "Status": container.state,
        "Running": container.is_up,
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


def _container_config(container: Container, made_of: Image | None, spec: Document) -> Document:
    """What is the same wherever it runs (Engine API, ContainerConfig): what was asked for, and the image's own."""
    from pycontainer.image.manifest import ImageConfig

    asked = recalled(container.options)
    image = made_of.config if made_of else ImageConfig(cmd=container.command)
    entrypoint = list(image.entrypoint) if asked.entrypoint is None else [asked.entrypoint] if asked.entrypoint else []
    command = asked.command or (image.cmd if asked.entrypoint is None else ())
    exposed = {
        port if "/" in port else f"{port}/tcp" for port in (*image.exposed_ports, *port_bindings(asked), *asked.expose)
    }
    return {
        "Hostname": spec.get("hostname", ""),
        "Domainname": spec.get("domainname", ""),
        "User": asked.user or image.user,
        "AttachStdin": container.options.get("stdin_once", False),
        "AttachStdout": not container.options.get("detached", False),
        "AttachStderr": not container.options.get("detached", False),
        **({"ExposedPorts": {port: {} for port in sorted(exposed)}} if exposed else {}),
        "Tty": asked.tty,
        "OpenStdin": asked.interactive,
        "StdinOnce": container.options.get("stdin_once", False),
        "Env": _environment(asked.env, image.env),
        "Cmd": list(command) or None,
        **({"Healthcheck": _healthcheck(container.options["health"])} if container.options.get("health") else {}),
        "Image": container.image,
        "Volumes": {path: {} for path in image.volumes} or None,
        "WorkingDir": asked.workdir or image.working_dir,
        "Entrypoint": entrypoint or None,
        "OnBuild": list(image.on_build) or None,
        "Labels": container.labels,
        "StopSignal": container.options.get("stop_signal", "SIGTERM"),
        **({"StopTimeout": asked.stop_timeout} if asked.stop_timeout is not None else {}),
        **({"Shell": list(image.shell)} if image.shell else {}),
    }


def _environment(asked: Sequence[str], of_image: Sequence[str]) -> list[str]:
    """What was asked for, then what the image sets and nobody has changed or removed (a name without a value)."""
    named = {entry.partition("=")[0] for entry in asked}
    kept = [entry for entry in of_image if entry.partition("=")[0] not in named]
    return [*(entry for entry in asked if "=" in entry), *kept]


def _image_of(roots: Roots, container: Container) -> Image | None:
    """The container's image; None if that has been removed by force."""
    from pycontainer.image.store import Store

    try:
        return Store(roots.root).find(container.image_id)
    except (NotFound, StoreError):
        return None


def _healthcheck(wanted: Document) -> Document:
    """Durations are nanoseconds here."""
    names = ("Interval", "Timeout", "StartPeriod", "StartInterval")
    fields = ("interval", "timeout", "start_period", "start_interval")
    durations = {name: round(wanted[field] * 1e9) for name, field in zip(names, fields, strict=True)}
    return {"Test": wanted["test"], **durations, "Retries": wanted["retries"]}
