"""The instructions of a Dockerfile that only change an image's config, for ``--change`` of ``commit`` and ``import``.

Source: docs.docker.com/reference/dockerfile. A line is an instruction and its arguments; a list in JSON is taken as it
is ("exec form"), any other text of CMD and ENTRYPOINT is given to the shell. Variables are those of ENV.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Iterable
from typing import Any

from pycontainer.errors import UsageError
from pycontainer.oci import dockerfile_words as words
from pycontainer.oci.grammar.numbers import duration, integer
from pycontainer.oci.grammar.signals import signal_name

Config = dict[str, Any]
"""The ``config`` object of an image's config (image-spec, config.md), with docker's additions."""

_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?", re.IGNORECASE)
_DEFAULT_SHELL = ["/bin/sh", "-c"]


def apply_all(config: Config, lines: Iterable[str]) -> Config:
    """The config after the instructions, one after the other.

    A new entrypoint drops the command that was there before all of them, as that was meant for another one.
    Raises UsageError as :func:`apply`.
    """
    inherited = config.get("Cmd")
    for line in (line for text in lines for line in words.lines_of(text)):
        before, config = config, apply(config, line)
        if config.get("Entrypoint") is not before.get("Entrypoint") and config.get("Cmd") is inherited:
            config.pop("Cmd", None)
    return config


def apply(config: Config, line: str) -> Config:
    """The config after one instruction; ``config`` itself stays as it is.

    Raises UsageError for an instruction that is unknown, malformed, or does more than change the config.
    """
    word, *others = line.split(None, 1) or [""]
    name, rest = word.upper(), "".join(others)
    if name not in _INSTRUCTIONS:
        raise UsageError(
            f"{name or repr(line)} is not an instruction that changes an image's config",
            hint=f"those that do: {', '.join(_INSTRUCTIONS)}",
        )
    if not rest.strip():
        raise UsageError(f"{name} needs an argument")
    changed = dict(config)
    _INSTRUCTIONS[name](changed, rest.strip())
    return changed


def _cmd(config: Config, text: str) -> None:
    config["Cmd"] = _command(config, text)


def _entrypoint(config: Config, text: str) -> None:
    config["Entrypoint"] = _command(config, text)


def _command(config: Config, text: str) -> list[str]:
    listed = _json_list(text)
    return listed if listed is not None else [*(config.get("Shell") or _DEFAULT_SHELL), text]


def _shell(config: Config, text: str) -> None:
    listed = _json_list(text)
    if not listed:
        raise UsageError("SHELL must be a JSON list")
    config["Shell"] = listed


def _env(config: Config, text: str) -> None:
    kept = _variables(config)
    for name, value in _pairs(config, "ENV", text):
        kept[name] = value
    config["Env"] = [f"{name}={value}" for name, value in kept.items()]


def _variables(config: Config) -> dict[str, str]:
    return dict(entry.partition("=")[::2] for entry in config.get("Env") or [])


def _label(config: Config, text: str) -> None:
    config["Labels"] = {**(config.get("Labels") or {}), **dict(_pairs(config, "LABEL", text))}


def _pairs(config: Config, instruction: str, text: str) -> list[tuple[str, str]]:
    """``a=b "c d"=e``; in the old form, one name and the rest of the line."""
    written, variables = words.split(text), _variables(config)
    if "=" not in written[0]:
        name, *value = text.split(None, 1)
        if not value:
            raise UsageError(f"{instruction} {name} needs a value")
        return [(words.expand(name, variables), words.expand(value[0], variables))]
    pairs = [[words.expand(part, variables) for part in word.partition("=")] for word in written]
    if any(not name or not equals for name, equals, _ in pairs):
        raise UsageError(f"{instruction} must be NAME=VALUE...: {text}")
    return [(name, value) for name, _, value in pairs]


def _expand(config: Config, text: str) -> str:
    """One word, whose spaces may stand as they are."""
    return words.expand(text, _variables(config))


def _expose(config: Config, text: str) -> None:
    ports = dict(config.get("ExposedPorts") or {})
    for word in _expand(config, text).split():
        match = _PORT.fullmatch(word)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
        if not (match and 0 < first <= last < 1 << 16):
            raise UsageError(f"EXPOSE {word}: must be a port or a range, and /tcp, /udp or /sctp")
        ports.update({f"{port}/{(match[3] or 'tcp').lower()}": {} for port in range(first, last + 1)})
    config["ExposedPorts"] = ports


def _volume(config: Config, text: str) -> None:
    listed = _json_list(text)
    paths = [_expand(config, word) for word in (words.split(text) if listed is None else listed)]
    if not paths or not all(paths):
        raise UsageError("VOLUME needs a path, and none may be empty")
    config["Volumes"] = {**(config.get("Volumes") or {}), **{path: {} for path in paths}}


def _user(config: Config, text: str) -> None:
    config["User"] = _expand(config, text)


def _workdir(config: Config, text: str) -> None:
    """A relative one is below the one before."""
    path = posixpath.join(config.get("WorkingDir") or "/", _expand(config, text))
    config["WorkingDir"] = "/" + posixpath.normpath(path).lstrip("/")


def _onbuild(config: Config, text: str) -> None:
    if text.split()[0].upper() in ("ONBUILD", "FROM", "MAINTAINER"):
        raise UsageError(f"ONBUILD {text.split()[0].upper()} isn't allowed")
    config["OnBuild"] = [*(config.get("OnBuild") or []), text]


def _stopsignal(config: Config, text: str) -> None:
    signal = _expand(config, text)
    try:
        signal_name(signal)
    except UsageError as error:
        raise UsageError(f"STOPSIGNAL {signal}: {error.message}") from None
    config["StopSignal"] = signal


def _healthcheck(config: Config, text: str) -> None:
    check: dict[str, Any] = {}
    while match := re.match(r"--([a-z-]+)=(\S+)\s+", text):
        key = _CHECK_OPTIONS.get(match[1])
        if key is None:
            raise UsageError(f"HEALTHCHECK has no option --{match[1]}")
        check[key] = integer(0, 1 << 31)(match[2]) if key == "Retries" else round(duration(match[2]) * 1e9)
        text = text[match.end() :]
    kind, _, rest = text.partition(" ")
    if kind.upper() == "NONE" and not rest and not check:
        check["Test"] = ["NONE"]
    elif kind.upper() == "CMD" and rest.strip():
        listed = _json_list(rest)
        check["Test"] = ["CMD", *listed] if listed is not None else ["CMD-SHELL", rest.strip()]
    else:
        raise UsageError("HEALTHCHECK must be NONE or CMD COMMAND")
    config["Healthcheck"] = check


_CHECK_OPTIONS = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start-period": "StartPeriod",
    "start-interval": "StartInterval",
    "retries": "Retries",
}


def _json_list(text: str) -> list[str] | None:
    """A list of strings in JSON; None for any other text, as docker takes that for a shell's command."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        return None
    return value


_INSTRUCTIONS: dict[str, Callable[[Config, str], None]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "ONBUILD": _onbuild,
    "SHELL": _shell,
    "STOPSIGNAL": _stopsignal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
