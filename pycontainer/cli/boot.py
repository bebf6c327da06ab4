"""``pyc system boot`` and ``pyc system halt``."""

from __future__ import annotations

from pycontainer.cli import Session, declare
from pycontainer.cli.declare import echo
from pycontainer.errors import UsageError


@declare.command("boot", help="Start the containers whose restart policies say so, as after the host has booted.")
@declare.option("--install", is_flag=True, help="Let systemd do that at each boot, and halt before it shuts down")
@declare.option("--uninstall", is_flag=True, help="Let it be again")
@declare.option("--print-unit", is_flag=True, help="Show systemd's unit")
@declare.pass_obj
def command(session: Session, /, install: bool, uninstall: bool, print_unit: bool) -> int:
    """Start them, and print the names of those that were; the exit code is 1 if one could not be."""
    from pycontainer.engine import boot

    if install and uninstall:
        raise UsageError("--install and --uninstall contradict each other")
    if print_unit:
        echo(boot.unit(session.roots), nl=False)
        return 0
    if install or uninstall:
        if install:
            echo(boot.install(session.roots))
        else:
            boot.uninstall()
        return 0
    status = 0
    for container, error in boot.boot(session.roots):
        echo(f"pyc: {container.name}: {error}" if error else container.name, err=bool(error))
        status = 1 if error else status
    return status


@declare.command("halt", help="Ask all containers to end, as before the host goes down; 'boot' starts them again.")
@declare.option("-t", "--timeout", "--time", type=int, default=10, help="Seconds until what goes on is killed")
@declare.pass_obj
def halt(session: Session, /, timeout: int) -> None:
    """End them."""
    from pycontainer.engine import boot

    boot.halt(session.roots, timeout)
