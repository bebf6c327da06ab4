"""``--security-opt``: a language for each of its names."""

from __future__ import annotations

from pycontainer.errors import Unsupported, UsageError
from pycontainer.oci.grammar.words import boolean, matches, plain, target_path


def security_option(text: str) -> tuple[str, str]:
    """One ``--security-opt``: ``name=value`` or ``name:value`` -> the pair, checked.

    no-new-privileges (true/false; unset means pyc decides by the image), seccomp (unconfined, builtin or a file),
    unmask and mask (paths with ':' between, or ALL), systempaths=unconfined, compat32 (true/false),
    apparmor=unconfined, label=disable.
    """
    match = matches(r"([a-z0-9-]+)(?:[=:](.+))?", plain(text))
    if not match:
        raise UsageError("must be name=value")
    name, value = match[1], match[2] or ""
    if name in ("no-new-privileges", "compat32"):
        if value in ("on", "off", "auto"):
            return name, value
        return name, "on" if boolean(value or "true") else "off"
    if name == "seccomp" and value:
        return name, value
    if name in ("unmask", "mask") and value:
        paths = value.split(":")
        return name, value if value == "ALL" and name == "unmask" else ":".join(target_path(path) for path in paths)
    if text in ("systempaths=unconfined", "systempaths:unconfined"):
        return "unmask", "ALL"
    if (name, value) in (("apparmor", "unconfined"), ("label", "disable")):
        return name, value
    if name in ("apparmor", "label", "systempaths", "writable-cgroups"):
        raise Unsupported(f"security option {text!r} is not supported yet")
    raise UsageError(f"no security option is called {name!r}")
