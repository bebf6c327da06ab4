"""The narrator: shows a plan before (``--dry-run``), while (``--explain``) and between (``--step``) it happens.

Imported only when asked for: a run that is not watched pays nothing for it.
"""

# who tells      text (--explain, --dry-run), jsonlines (--explain=json:FILE), stepper (--step), pull;
#                narrator is what they share
# a call         render, decode, values, structs, messages (of netlink), fold (what repeats)
# a proof        proof

from __future__ import annotations

import sys

from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.explain.narrator import Narrator


def narrator(explain: str, *, step: bool) -> Narrator:
    """The observer for ``--explain`` (``text``, ``json:FILE`` or "") and ``--step``; call its ``close`` at the end.

    Raises UsageError when FILE can't be written.
    """
    from pycontainer.explain.narrator import Several

    narrators: list[Narrator] = []
    if step:
        from pycontainer.explain.stepper import Stepper

        narrators.append(Stepper(sys.stderr))
    elif explain == "text":
        from pycontainer.explain.text import TextNarrator

        narrators.append(TextNarrator(sys.stderr))
    if explain.startswith("json:"):
        from pycontainer.explain.jsonlines import JsonNarrator, create

        narrators.append(JsonNarrator(create(explain.removeprefix("json:"))))
    return narrators[0] if len(narrators) == 1 else Several(*narrators)
