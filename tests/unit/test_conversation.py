"""The client's side of a conversation: a monitor that has ended before it read everything, and signals to us."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading

import pytest

from pycontainer.engine.attachment import EXITED, FROM_STDOUT, TO_STDIN, Attachment, Signals
from pycontainer.engine.capture import _Conversation

STATUS = 3 << 8


@pytest.fixture
def client() -> int:
    """A socket on which output and an end wait, and before them the news that the monitor has gone."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    ours.send(bytes([TO_STDIN]) + b"never read")
    theirs.send(bytes([FROM_STDOUT]) + b"its output")
    theirs.send(bytes([EXITED]) + STATUS.to_bytes(4, sys.byteorder))
    theirs.close()
    return ours.detach()


def test_what_is_captured_is_whole(client: int) -> None:
    heard: list[tuple[int, bytes]] = []
    conversation = _Conversation(client, lambda kind, data: heard.append((kind, data)), b"", 10)
    while conversation._hear():
        assert select.select([client], [], [], 10)[0]
    os.close(client)
    assert (conversation.status, heard) == (STATUS, [(1, b"its output")])


def test_what_is_shown_is_whole(client: int, capfd: pytest.CaptureFixture[str]) -> None:
    with Signals() as signals:
        attachment = Attachment(client, None, signals, stdin=None, tty=False, proxy=False)
        while attachment._pull_client():
            assert select.select([client], [], [], 10)[0]
    os.close(client)
    assert (attachment.status, capfd.readouterr().out) == (STATUS, "its output")


def test_a_signal_wakes_who_waits_for_one_though_it_does_not_interrupt_the_wait() -> None:
    """As one does that comes just before the wait. Here another thread is what the kernel gives it to."""
    with Signals() as signals:
        told = threading.Event()
        other = threading.Thread(target=told.wait, args=(20,))
        other.start()
        try:
            assert other.ident
            signal.pthread_kill(other.ident, signal.SIGTERM)
            assert select.select([signals.descriptor], [], [], 10)[0]
        finally:
            told.set()
            other.join()
        assert (signals.fatal(), signals.take(), signals.take()) == (signal.SIGTERM, [signal.SIGTERM], [])
    assert signal.set_wakeup_fd(-1) == -1
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
