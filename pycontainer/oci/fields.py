"""Every field of the runtime-spec 1.3 for Linux, and what becomes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycontainer.errors import UsageError

if TYPE_CHECKING:
    from pycontainer.oci.spec import Spec


def check(spec: Spec) -> None:
    """Refuse what is not done, by name. Raises Unsupported or UsageError."""
    if not isinstance(spec, dict) or not spec.get("root") or not spec.get("process"):
        raise UsageError("config.json: root and process are needed")
    spec.setdefault("linux", {})
