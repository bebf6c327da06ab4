"""Times as docker's ``--since`` and ``--until`` take them."""

from __future__ import annotations

import time

from pycontainer.errors import UsageError
from pycontainer.oci.grammar.numbers import duration


def moment(text: str) -> float:
    """Seconds since the epoch: ``10m`` (ago), ``1700000000.5``, ``2026-11-24T19:24:45Z``, or a part of that, local.

    Raises UsageError.
    """
    import re  # +4 ms, and most ask for no time
    from datetime import datetime

    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text, re.ASCII):
        return float(text)
    try:
        return time.time() - duration(text)
    except UsageError:
        pass
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no time (examples: 10m, 2026-11-24, 2026-11-24T19:24:45Z)") from None
    return (when if when.tzinfo else when.astimezone()).timestamp()


def stamp(text: str) -> str:
    """The same as RFC 3339 in UTC with nanoseconds; "" stays that."""
    if not text:
        return ""
    import re
    from datetime import UTC, datetime

    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{9}Z", text, re.ASCII):
        return text
    when = datetime.fromtimestamp(moment(text), UTC)
    return when.strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"
