"""For which machine an image was built: ``os/architecture[/variant]``, and which one this machine should take.

Names are Go's (``amd64``, not ``x86_64``), as everywhere in OCI (image-spec, image-index.md).
"""

from __future__ import annotations

import os

from pycontainer.errors import UsageError
from pycontainer.record import Record

_ALIASES = {
    "x86_64": ("amd64", ""), "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""), "armhf": ("arm", "v7"), "armel": ("arm", "v6"),
    "armv7l": ("arm", "v7"), "armv6l": ("arm", "v6"), "armv8l": ("arm", "v7"),
    "i386": ("386", ""), "i486": ("386", ""), "i586": ("386", ""), "i686": ("386", ""),
}  # fmt: skip
_IMPLIED_VARIANT = {"arm64": "v8", "arm": "v7", "amd64": "v1"}
_NAME_MAX = 64


class Platform(Record):
    """An operating system and a processor.

    Attributes:
        os: ``"linux"``.
        architecture: ``"amd64"``, ``"arm64"``, ...
        variant: ``"v7"``, or "" where the architecture has none or its usual one is meant.
    """

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        """``linux/arm/v7``."""
        return "/".join(part for part in self if part)

    @classmethod
    def of(cls, os_name: str, architecture: str, variant: str = "") -> Platform:
        """Normalise the three words: aliases resolved, lower case, the usual variant dropped."""
        architecture = architecture.lower()
        architecture, implied = _ALIASES.get(architecture, (architecture, ""))
        variant = variant.lower() or implied
        if variant and not variant.startswith("v"):
            variant = "v" + variant
        if variant == _IMPLIED_VARIANT.get(architecture):
            variant = ""
        return cls(os_name.lower(), architecture, variant)

    @classmethod
    def parse(cls, text: str) -> Platform:
        """What ``--platform`` takes: ``linux/arm64``, ``arm64``, ``linux/arm/v7``.

        Raises:
            UsageError: not a platform.
        """
        parts = text.split("/")
        if not 1 <= len(parts) <= 3 or not all(p and p.replace("_", "").replace("-", "").isalnum() for p in parts):
            raise UsageError(f"invalid platform {text!r}", hint="write os/architecture, for example linux/arm64")
        if len(parts) == 1:
            if parts[0].lower() == "linux":
                return host()
            parts = ["linux", parts[0]]
        return cls.of(*parts)

    def accepts(self) -> list[Platform]:
        """Platforms whose programs this one runs natively, best first. Other than itself, these are older variants."""
        lower = {
            ("amd64", "v4"): ["v3", "v2", ""], ("amd64", "v3"): ["v2", ""], ("amd64", "v2"): [""],
            ("arm", ""): ["v6", "v5"], ("arm", "v6"): ["v5"], ("arm", "v8"): ["", "v6", "v5"],
        }.get((self.architecture, self.variant), [])  # fmt: skip
        return [self, *(Platform(self.os, self.architecture, variant) for variant in lower)]


def host() -> Platform:
    """The platform of this machine, from uname(2)."""
    return Platform.of("linux", os.uname().machine)
