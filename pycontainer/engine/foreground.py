"""Being with a container: start it, carry its bytes and our signals, and clear up when it has ended."""

from __future__ import annotations

import os

from pycontainer.core.constants import SIGKILL
from pycontainer.core.failpoint import hit
from pycontainer.engine import events, life, policy, removal
from pycontainer.engine.attachment import Attachment, Interrupted, Signals
from pycontainer.engine.bundle import Bundle
from pycontainer.engine.start import Attendance, Started, Stdio, start
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from pycontainer.core.performer import Observer
    from pycontainer.engine.options import Roots


class View(Record):
    """What of a container its client sees, and how it lets go.

    Attributes:
        stdio: which streams.
        tty: it has a terminal, so ours becomes raw.
        detach: leave at once.
        sig_proxy: our signals are for the container.
        keys: the sequence that leaves it running; b"" for none.
        reads: our stdin is for the container, if it has one.
    """

    stdio: Stdio = Stdio()
    tty: bool = False
    detach: bool = False
    sig_proxy: bool = True
    keys: bytes = b""
    reads: bool = True


def live(roots: Roots, bundle: Bundle, view: View, signals: Signals, observer: Observer | None = None) -> int:
    """Start the container and stay with it until it has ended or we are to leave it; returns its exit code.

    Takes over the bundle's lock. Raises PycError, with nothing left behind.
    """
    stays = False
    try:
        if number := signals.fatal():
            return 128 + number
        try:
            there = Attendance(view.stdio, observer, None if observer else signals.await_record)
            started = start(roots, bundle, there)
        except Interrupted as interrupted:
            return 128 + interrupted.number
        stays = view.detach  # whatever happens to us from now on
        if stays:
            started.leave()
            hit("live.left")
            return 0
        code, stays = _attend(roots, started, bundle, view, signals)
        return code
    finally:
        if stays:
            life.await_pid(roots, bundle.container.id)
            os.close(bundle.lock)
        else:
            leave(roots, bundle)


def _attend(roots: Roots, started: Started, bundle: Bundle, view: View, signals: Signals) -> tuple[int, bool]:
    """Be its client until it ends or we are to leave it: the exit code, and whether it goes on without us."""
    performance, detached, follows = started.performance, False, policy.has_policy(bundle.container)
    try:
        if number := signals.fatal():
            performance.kill()
            return 128 + number, False
        attachment = Attachment(
            started.client,
            performance,
            signals,
            stdin=0 if view.stdio.stdin and view.reads else None,
            tty=view.tty,
            proxy=view.sig_proxy,
            outputs=(view.stdio.stdout, view.stdio.stderr),
            keys=view.keys,
        )
        attachment.run()
        detached = attachment.detached
        while not detached and performance.read_records():
            pass
    except BaseException:
        performance.kill()
        raise
    finally:
        if detached or follows:
            started.leave()
        else:
            wind_up(started, bundle)
    if detached:
        events.write(roots, "detach", bundle.container)
        return attachment.code, True
    status = performance.wait_status()
    return life.exit_code(SIGKILL if status is None else status), False


def wind_up(started: Started, bundle: Bundle) -> None:
    """Wait for the monitor's end, and clear away what it could not."""
    os.close(started.client)
    started.performance.close()
    started.group.remove_now(kill=True)  # with cgroups that the container made, or with somebody still in it


def leave(roots: Roots, bundle: Bundle) -> None:
    """What is left to do at the end; only then let go of our copy of the container's lock."""
    hit("live.ended")
    container = bundle.container
    if policy.has_policy(container) and life.has_run(roots, container.id):
        os.close(bundle.lock)  # its monitor sees to the rest
        return
    if container.rm or not (life.has_run(roots, container.id) or life.is_kept(roots, container.id)):
        removal.discard(roots, container.id, container.name)
        events.write(roots, "destroy", container)
    else:
        removal.forget_live(roots, container.id)
    os.close(bundle.lock)
