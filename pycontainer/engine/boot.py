"""Starting, after the host has, what restart policies say; and ending everything before the host goes down.

Without a daemon somebody has to do that: a unit of systemd, which :func:`install` writes.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time

from pycontainer.engine import containers, life, policy, revive
from pycontainer.engine.stop import DEFAULT_TIMEOUT, end
from pycontainer.errors import HostLacks, PycError
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots

UNIT = "pycontainer.service"
DIRECTORY = "/etc/systemd/system"


def boot(roots: Roots) -> Iterator[tuple[Container, str]]:
    """Start them, the oldest first; yields each with "" or why it could not be started."""
    for container in sorted(containers.listing(roots), key=lambda each: each.created):
        if not wanted(roots, container):
            continue
        try:
            revive.begin(roots, container.id)
            yield container, ""
        except PycError as error:
            yield container, error.message


def wanted(roots: Roots, container: Container) -> bool:
    """Whether it is to run once the host does: it did before, and its policy says so.

    As in docker, ``always`` starts even what somebody has stopped; that is how it differs from ``unless-stopped``.
    """
    if container.state not in ("exited", "dead"):  # dead: nobody saw its end, as when the power is cut
        return False
    return container.options.get("restart") == "always" or policy.restarts(roots, container)


def halt(roots: Roots, timeout: float = DEFAULT_TIMEOUT) -> None:
    """Ask everything that runs to end, all at once; what policies say of it stays as it is.

    Their monitors are told by the mark that no policy starts them again; it is taken back afterwards.
    """
    running = [found for found in containers.listing(roots) if found.is_up]
    marked = [found for found in running if not life.is_asked_to_stop(roots, found.id)]
    for container in marked:
        life.ask_to_stop(roots, container.id)
    from concurrent.futures import ThreadPoolExecutor  # +9 ms, and the host goes down

    with ThreadPoolExecutor(len(running) or 1) as pool:
        for ended in [pool.submit(_end, roots, container, timeout) for container in running]:
            with contextlib.suppress(PycError):
                ended.result()
    for container in marked:
        life.ask_to_stop(roots, container.id, stop=False)


def _end(roots: Roots, container: Container, timeout: float) -> None:
    asked = container.options.get("stop_timeout")
    end(roots, container, timeout=timeout if asked is None or asked < 0 else asked)
    deadline = time.monotonic() + DEFAULT_TIMEOUT
    while life.is_alive(roots, container.id) and time.monotonic() < deadline:
        time.sleep(0.01)


# --- the unit ---------------------------------------------------------------------------------------------------------


def unit(roots: Roots) -> str:
    """The text of the unit, for this installation: systemd.service(5)."""
    with open(os.path.join(os.path.dirname(__file__), UNIT)) as file:
        text = file.read()
    command = f"{sys.executable} -P -m pycontainer --root {roots.root} --runroot {roots.runroot}"
    return text.replace("@pyc@", command).replace("@root@", roots.root)


def is_left_out() -> bool:
    """Whether systemd boots this host, and has not been told of us."""
    return os.path.isdir("/run/systemd/system") and not os.path.exists(f"{DIRECTORY}/{UNIT}")


def install(roots: Roots) -> str:
    """Write the unit and enable it; returns its path. Raises HostLacks where there is no systemd."""
    if not os.path.isdir(DIRECTORY):
        raise HostLacks(f"no {DIRECTORY}: this host has no systemd", hint="let its init call 'pyc system boot'")
    path = f"{DIRECTORY}/{UNIT}"
    with open(path, "w") as file:
        file.write(unit(roots))
    _systemctl("daemon-reload")
    _systemctl("enable", "--now", UNIT)  # now, or nobody halts them before the first shutdown
    return path


def uninstall() -> None:
    """Disable the unit and delete it."""
    _systemctl("disable", UNIT)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{DIRECTORY}/{UNIT}")
    _systemctl("daemon-reload")


def _systemctl(*words: str) -> None:
    try:
        done = subprocess.run(["systemctl", *words], capture_output=True, text=True)
    except FileNotFoundError:
        raise HostLacks("systemctl is not installed: this host has no systemd") from None
    if done.returncode and os.path.isdir("/run/systemd/system"):
        raise HostLacks(f"systemctl {' '.join(words)}: {done.stderr.strip()}")
