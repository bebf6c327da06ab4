"""Coming to a container that runs, through its monitor's door: ``attach``, and waiting for its end."""

from __future__ import annotations

import os

from pycontainer.engine import containers, events, life
from pycontainer.engine.attachment import EXITED, MUTE, Attachment, Signals, require_terminal
from pycontainer.errors import Conflict
from pycontainer.light import suppress
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from socket import socket

    from pycontainer.engine.containers import Container
    from pycontainer.engine.options import Roots


def connect(roots: Roots, container: Container) -> socket:
    """The socket to its monitor. Raises Conflict if there is none.

    A socket's path may have 107 bytes only; through the descriptor of its directory it has less.
    """
    from socket import AF_UNIX, SOCK_SEQPACKET
    from socket import socket as make

    client = make(AF_UNIX, SOCK_SEQPACKET)
    try:
        live = os.open(roots.live(container.id), os.O_PATH | os.O_CLOEXEC)
        try:
            client.connect(f"/proc/self/fd/{live}/attach")
        finally:
            os.close(live)
    except OSError:
        client.close()
        raise Conflict(f"container {container.name} is not running") from None
    return client


def attach(roots: Roots, container: Container, *, stdin: bool = True, sig_proxy: bool = True, keys: bytes = b"") -> int:
    """Be one more client of a container until it ends: its exit code; 0 if the detach keys were pressed."""
    if container.state == "paused":
        raise Conflict(f"container {container.name} is paused", hint=f"pyc unpause {container.name}")
    options = container.options
    reads = stdin and options.get("interactive", False)
    require_terminal(tty=options.get("tty", False), stdin=reads)
    with connect(roots, container) as client, Signals() as signals:
        events.write(roots, "attach", container)
        client.setblocking(False)
        attachment = Attachment(
            client.fileno(),
            None,
            signals,
            stdin=0 if reads else None,
            tty=options.get("tty", False),
            proxy=sig_proxy,
            keys=keys,
            ends=options.get("stdin_once", False),
        )
        attachment.run()
    if attachment.detached:
        events.write(roots, "detach", container)
        return attachment.code
    if attachment.status is None and containers.with_state(roots, container).pid == container.pid:
        raise Conflict(
            f"container {container.name} has let go of us: we took too long to read what it writes",
            hint=f"it goes on; pyc logs -f {container.name}",
        )
    return _exit_code(roots, container, attachment.status)


def wait(roots: Roots, name: str, timeout: float | None = None) -> int:
    """Wait until the container does not run, and return its exit code.

    Raises TimeoutError after ``timeout`` seconds; 0 only looks.
    """
    container = containers.find(roots, name)
    status = None
    # a connection that was never taken is reset
    with suppress(Conflict, ConnectionError), connect(roots, container) as client:
        client.send(bytes([MUTE]))
        client.settimeout(timeout)
        try:
            while message := client.recv(64):
                if message[0] == EXITED:
                    status = int.from_bytes(message[1:], "little")
        except BlockingIOError:  # what a timeout of 0 makes of a socket
            raise TimeoutError("timed out") from None
    return _exit_code(roots, container, status)


def _exit_code(roots: Roots, container: Container, status: int | None) -> int:
    """From what the monitor said, or else from the record: the monitor may have been killed."""
    if status is not None:
        return life.exit_code(status)
    return containers.with_state(roots, container).exit_code
