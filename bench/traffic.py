"""Bytes per second: out of a container into its log, and through a published port. *host* is without a container."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial

from bench.measure import OURS, Case, Failed, Once, Table, available, command, last_words, turns
from bench.peers import ADDRESS, Engine, installed
from bench.stage import IMAGE, Stage
from bench.starts import NONE

HOST = "host"
LOG_MB = 200
PORT_MB = 500
PORTS = {OURS: 18080, "podman": 18081, "docker": 18082, HOST: 18083}  # some share a network namespace
PLACES = {"a published port, by an address of the host": ADDRESS, "a published port, by 127.0.0.1": "127.0.0.1"}
READY_SECONDS = 10

# Reads all that the server on (host, port) sends for a GET, and prints MB/s; it may have to wait for the server.
_CLIENT = f"""if True:
    import socket, sys, time
    deadline = time.monotonic() + {READY_SECONDS}
    while True:
        try:
            connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=60)
            connection.sendall(b"GET /zeros HTTP/1.0\\r\\n\\r\\n")
            buffer, total, began = bytearray(1 << 20), 0, time.perf_counter()
            while size := connection.recv_into(buffer):
                total += size
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    print(total / 1e6 / (time.perf_counter() - began) if total > {PORT_MB} * 10**6 else 0)
"""


def measure(stage: Stage, rounds: int) -> Iterator[Table]:
    """All cases."""
    few = max(2, rounds // 5)
    with _servers(stage) as (servers, absent):
        ports = [
            turns(title, "MB/s", _fetches(stage, servers, address), few, absent=absent, more=True)
            for title, address in PLACES.items()
        ]
    yield Table("traffic", "Throughput", (OURS, "podman", "docker", HOST), [_logs(stage, few), *ports])


# ---- the log


def _logs(stage: Stage, rounds: int) -> Case:
    contestants = {name: _flood(engine) for name, engine in stage.engines.items()} | {HOST: _flood_a_file(stage)}
    title = f"{LOG_MB} MB of lines into a log"
    return turns(title, "MB/s", contestants, rounds, absent=stage.absent, more=True, warm=False)


SCRIPT = f"yes {'x' * 99} | head -c {LOG_MB}000000"


def _flood(engine: Engine) -> Once:
    """A program that writes lines of 100 bytes as fast as it can; a log that rotates at 10 MB."""
    driver = "k8s-file" if engine.name == "podman" else "json-file"
    options = (*NONE, "--log-driver", driver, "--log-opt", "max-size=10m")

    def once() -> float:
        began = time.perf_counter()
        container = engine("run", "--detach", *options, IMAGE, "sh", "-c", SCRIPT)
        engine("wait", container)
        seconds = time.perf_counter() - began
        engine.remove(container)
        return LOG_MB / seconds

    return once


def _flood_a_file(stage: Stage) -> Once:
    """The same programs, straight into a file."""
    write = command([installed("busybox"), "sh", "-c", f"({SCRIPT}) > {stage.scratch}/flood"])

    def once() -> float:
        began = time.perf_counter()
        write()
        return LOG_MB / (time.perf_counter() - began)

    return once


# ---- a published port


@contextmanager
def _servers(stage: Stage) -> Iterator[tuple[list[str], dict[str, str]]]:
    """A web server with a big file of each engine, and of the host: who has one, and why others do not."""
    with ExitStack() as stack:
        makers: dict[str, Callable[[], str]] = {
            name: partial(_entered, stack, engine) for name, engine in stage.engines.items()
        }
        here, absent = available({**makers, HOST: lambda: stack.enter_context(_server_of_the_host())})
        yield list(here), {**stage.absent, **absent}


def _entered(stack: ExitStack, engine: Engine) -> str:
    return stack.enter_context(_server(engine))


@contextmanager
def _server(engine: Engine) -> Iterator[str]:
    script = f"mkdir /srv; truncate -s {PORT_MB}M /srv/zeros; exec httpd -f -p 80 -h /srv"
    container = engine("run", "--detach", "--publish", f"{PORTS[engine.name]}:80", IMAGE, "sh", "-c", script)
    try:
        yield container
    finally:
        with suppress(Failed):
            engine.remove(container)


@contextmanager
def _server_of_the_host() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="pyc-bench-served-") as directory:
        with open(f"{directory}/zeros", "wb") as file:
            file.truncate(PORT_MB << 20)
        argv = [installed("busybox"), "httpd", "-f", "-p", str(PORTS[HOST]), "-h", directory]
        process = subprocess.Popen(argv, start_new_session=True)
        try:
            yield directory
        finally:
            process.terminate()
            process.wait()


def _fetches(stage: Stage, servers: list[str], address: str) -> dict[str, Once]:
    return {name: _fetch(name, stage.engines[name].daemon if name != HOST else 0, address) for name in servers}


def _fetch(name: str, daemon: int, address: str) -> Once:
    client = [sys.executable, "-c", _CLIENT, address, str(PORTS[name])]
    if daemon:
        client = ["nsenter", "--target", str(daemon), "--net", *client]

    def once() -> float:
        done = subprocess.run(client, capture_output=True, text=True)
        if done.returncode or not float(done.stdout):
            raise Failed(f"{name}: nothing came through the port: {last_words(done.stderr)}")
        return float(done.stdout)

    return once
