"""``pyc system check``: is everything on disk as it should be?"""

from __future__ import annotations

from pycontainer.cli import Session, declare
from pycontainer.cli.declare import echo


@declare.command("check", help="Verify blobs, layers, images and containers on disk; --repair mends what it can.")
@declare.option("--repair", is_flag=True, help="Fetch, unpack or remove what is wrong")
@declare.option("--quick", is_flag=True, help="Only see that everything is there, without reading it")
@declare.pass_obj
def command(session: Session, /, repair: bool, quick: bool) -> int:
    """Print the problems; the exit code is 1 if some are left."""
    from pycontainer.engine.check import check

    problems = check(session.roots, repair=repair, quick=quick)
    for problem in problems:
        echo(f"{problem.what}: {problem.wrong}" + (f": {problem.mended}" if problem.mended else ""))
    left = sum(not problem.mended for problem in problems)
    if left:
        hint = "" if repair else "; 'pyc system check --repair' mends what it can"
        echo(f"{left} problem{'s' if left > 1 else ''} left{hint}")
        return 1
    echo("everything is as it should be" + (" now" if problems else ""))
    return 0
