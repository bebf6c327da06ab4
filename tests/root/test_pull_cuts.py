"""A network that breaks: what was fetched is not fetched again, and who is busy or silent for a while is awaited."""

from __future__ import annotations

import collections
import fcntl
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from images.registry import SKOPEO_COPY, Registry
from pycontainer.engine.image.pull import pull
from pycontainer.errors import RegistryError
from pycontainer.image import unsynced
from pycontainer.image.events import Event
from pycontainer.image.model import Image
from pycontainer.image.reference import Reference
from pycontainer.image.registry import Patience
from pycontainer.image.store import Store
from tests.support.cli import Pyc
from tests.support.fake_registry import FakeRegistry, Handler
from tests.support.host import PATIENCE, needs_command
from tests.support.nginx import Nginx, certificates
from tests.support.tars import member, tar

pytestmark = pytest.mark.root

HASTY = Patience(tries=3, pause=0.01, connect=2, stall=2)
CUTS = 20


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def store(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(unsynced, "settle_later", lambda store: None)  # a process that outlives the test
    return Store(f"{tmp_path}/root")


# ---- transfers that are cut


class Cutter:
    """A rule that breaks the first transfers of blobs, each at another place, and counts all bytes that it sent."""

    def __init__(self, fake: FakeRegistry, rng: random.Random, *, reset: bool) -> None:
        self.fake, self.rng, self.reset = fake, rng, reset
        self.sent, self.cuts = 0, 0
        self._lock = threading.Lock()

    def __call__(self, handler: Handler) -> bool:
        blob = self.fake.blobs.get(handler.path.rpartition("/")[2])
        if blob is None or len(blob) < 1000:
            return False
        start = int(handler.headers.get("Range", "bytes=0-")[6:].split("-")[0])
        headers = {"Content-Range": f"bytes {start}-{len(blob) - 1}/{len(blob)}"} if start else {}
        left = len(blob) - start
        with self._lock:
            cut = self.rng.choice((0, self.rng.randrange(min(left, 2_000_000)), self.rng.randrange(left)))
            whole = self.cuts >= CUTS
            self.cuts += not whole
        handler.answer(206 if start else 200, b"", {"Content-Length": str(left), **headers})
        self._send(handler, memoryview(blob)[start : len(blob) if whole else start + cut])
        handler.close_connection = True
        if self.reset and not whole:
            self._reset(handler.connection)
        return True

    def _send(self, handler: Handler, data: memoryview) -> None:
        """A little slower than who reads it: a cut costs what lies unread in the buffers of the kernel."""
        for at in range(0, len(data), 64 << 10):
            piece = data[at : at + (64 << 10)]
            try:
                handler.wfile.write(piece)
            except OSError:
                return
            with self._lock:
                self.sent += len(piece)
            time.sleep(0.002)

    def _reset(self, connection: socket.socket) -> None:
        """Hang up with RST instead of FIN; what the kernel has not sent yet is lost."""
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        (unsent,) = struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))
        os.close(connection.detach())
        with self._lock:
            self.sent -= unsent


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_twenty_cuts_at_random_places_cost_no_more_than_a_tenth_of_the_bytes(
    store: Store, fake: FakeRegistry, seed: int
) -> None:
    rng = random.Random(seed)
    sizes = (9_000_000, 4_000_000, 50_000)
    contents = [rng.randbytes(size) for size in sizes]
    fake.add_image("app:1", [tar(member(b"f", content)) for content in contents])
    total = sum(len(blob) for blob in fake.blobs.values() if len(blob) >= 1000)  # all but the config
    cutter = Cutter(fake, rng, reset=seed == 3)
    fake.rules.append(cutter)
    pulls, image = 0, None
    while image is None:  # each has a few tries, and the next one continues
        pulls += 1
        try:
            image = pull(Store(store.root), Reference.parse(f"{fake.host}/app:1"), patience=HASTY)
        except RegistryError as error:
            assert "continues" in error.hint
            assert pulls <= CUTS
    assert cutter.cuts == CUTS
    assert pulls > 1  # it was continued by another command, too
    print(f"{pulls} pulls, {cutter.sent} bytes for {total}")
    assert cutter.sent <= 1.1 * total
    assert cutter.reset or cutter.sent >= total
    for layer, content in zip(image.layers, contents, strict=True):
        with open(f"{layer.path_of_fs}/f", "rb") as file:
            assert file.read() == content


# ---- a network that is slow


def test_layers_come_side_by_side_over_a_network_that_is_slow(store: Store, fake: FakeRegistry) -> None:
    """Each is held back until three others are asked for, too."""
    fake.add_image("app:1", [tar(member(b"f", random.Random(seed).randbytes(20_000))) for seed in range(4)])
    everybody = threading.Barrier(4)

    def hold(handler: Handler) -> bool:
        if len(fake.blobs.get(handler.path.rpartition("/")[2], b"")) > 20_000:
            everybody.wait(20)
        return False

    fake.rules.append(hold)
    assert len(pull(store, Reference.parse(f"{fake.host}/app:1")).layers) == 4


# ---- nginx before docker-registry


@pytest.fixture(scope="module")
def big(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The repository of an image of 12 MB in the real registry."""
    with FakeRegistry() as fake:
        fake.add_image("big:1", [tar(member(b"f", random.Random(5).randbytes(12_000_000))), tar(member(b"g", b"g"))])
        here, name = Store(str(tmp_path_factory.mktemp("big"))), f"{fake.host}/big:1"
        pull(here, Reference.parse(name))
    target = f"docker://{registry.address}/cuts/big:1"
    subprocess.run([*SKOPEO_COPY, f"oci:{here.oci}:{name}", target], check=True, capture_output=True)
    return "cuts/big"


Front = Callable[..., Nginx]


@pytest.fixture
def front(tmp_path: object, registry: Registry, pyc: Pyc, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    """Starts an nginx in front of the registry, which ``pyc`` and we trust."""
    certificates(str(tmp_path))
    monkeypatch.setenv("HOME", f"{pyc.scratch}/home")
    with ExitStack() as stack:

        def start(**words: str) -> Nginx:
            nginx = stack.enter_context(Nginx(str(tmp_path), registry.address, **words))
            trusted = f"{pyc.scratch}/home/.config/containers/certs.d/{nginx.host}"
            os.makedirs(trusted)
            shutil.copy(f"{tmp_path}/ca.crt", trusted)
            return nginx

        yield start


SLOWLY = "location ~ /blobs/ { proxy_pass http://UPSTREAM; proxy_buffering off; limit_rate 8m; }"


def pull_and(store: Store, nginx: Nginx, name: str, trouble: Callable[[], object]) -> tuple[Image, list[Event]]:
    """Pull, and make trouble when the first megabyte of the large layer is here."""
    heard: list[Event] = []
    troubled: list[bool] = []

    def listen(event: Event) -> None:
        heard.append(event)
        if event.kind == "download" and event.total > 1 << 20 and not troubled:
            assert event.done < event.total
            troubled.append(True)
            trouble()

    patience = Patience(tries=6, pause=0.2, connect=1, stall=1)
    return pull(store, Reference.parse(f"{nginx.host}/{name}"), progress=listen, patience=patience, jobs=1), heard


def fetched(nginx: Nginx) -> int:
    """The bytes of blobs that nginx sent, by its own log."""
    sent = [re.search(r'"GET \S*/blobs/\S+ HTTP/1.1" \d+ (\d+)', line) for line in nginx.log()]
    return sum(int(match[1]) for match in sent if match)


needs_nginx = needs_command("nginx", "openssl", "docker-registry", "skopeo")


@needs_nginx
def test_a_web_server_that_is_restarted_meanwhile_costs_no_second_transfer(
    store: Store, front: Front, big: str, registry: Registry
) -> None:
    nginx = front(server=SLOWLY.replace("UPSTREAM", registry.address))

    def restart() -> None:
        nginx.__exit__(None, None, None)
        nginx.__enter__()

    image, heard = pull_and(store, nginx, f"{big}:1", restart)
    assert os.path.getsize(f"{image.layers[0].path_of_fs}/f") == 12_000_000
    assert any("transfer broke at byte" in event.text for event in heard if event.kind == "retry")
    assert fetched(nginx) <= 1.1 * 12_000_000


@needs_nginx
def test_a_web_server_that_stands_still_for_a_while_is_awaited(
    store: Store, front: Front, big: str, registry: Registry
) -> None:
    nginx = front(server=SLOWLY.replace("UPSTREAM", registry.address))
    pid = nginx.pid

    def stop() -> None:
        os.kill(pid, signal.SIGSTOP)
        threading.Timer(2.5 * PATIENCE, os.kill, (pid, signal.SIGCONT)).start()

    image, heard = pull_and(store, nginx, f"{big}:1", stop)
    assert os.path.getsize(f"{image.layers[0].path_of_fs}/f") == 12_000_000
    assert any("sent nothing for too long" in event.text for event in heard if event.kind == "retry")


@needs_nginx
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("says", ["add_header Retry-After 1 always;", ""])
def test_a_storage_that_is_busy_for_a_while_is_awaited(
    store: Store, front: Front, big: str, registry: Registry, status: int, says: str
) -> None:
    blobs = f"location ~ /blobs/ {{ proxy_pass http://{registry.address}; limit_req zone=slow; {says} }}"
    limits = f"limit_req_zone $binary_remote_addr zone=slow:1m rate=1r/s; limit_req_status {status};"
    nginx = front(before=limits, server=blobs)
    heard: list[Event] = []
    image = pull(store, Reference.parse(f"{nginx.host}/{big}:1"), progress=heard.append)
    assert len(image.layers) == 2
    waits = [event.text for event in heard if event.kind == "retry"]
    assert waits and all(f"answered {status}" in text for text in waits)
    assert len(waits) <= 6
    if says:
        assert all(float(text.split()[-2]) >= 1 for text in waits)


@needs_nginx
def test_eight_commands_at_once_fetch_each_blob_once_by_the_log_of_the_server(pyc: Pyc, front: Front, big: str) -> None:
    nginx = front()
    name = f"{nginx.host}/{big}:1"
    pulls = [pyc.start("pull", "-q", name) for _ in range(8)]
    outcomes = [pull.communicate(timeout=60) for pull in pulls]
    assert [pull.returncode for pull in pulls] == [0] * 8, outcomes
    blobs = collections.Counter(re.findall(r'"GET (\S*/blobs/\S+)', "\n".join(nginx.log())))
    assert list(blobs.values()) == [1, 1, 1]
    assert len(Store(pyc.root).find(name).layers) == 2
