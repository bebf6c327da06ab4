"""Small things about sockets that tests share."""

from __future__ import annotations

import socket
import time

from tests.support.host import PATIENCE


def wait_for_port(port: int, seconds: float = 10) -> None:
    """Return once somebody listens on a loopback port.

    Raises:
        TimeoutError: nobody does.
    """
    deadline = time.monotonic() + seconds * PATIENCE
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError(f"nobody listens on port {port}")
