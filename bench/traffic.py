"""Bytes per second: out of a container into its log, and through a published port."""

from __future__ import annotations

import subprocess
import sys
import time

from bench.measure import OURS, Case, Failed, Once, Table, turns
from bench.peers import ADDRESS, IMAGE, Engine, Stage

LOG_MB = 200
PORT_MB = 500
PORT = 18080

# Reads all that a server on (host, port) sends for a GET, and prints MB/s.
_CLIENT = f"""if True:
    import socket, sys, time
    connection = socket.create_connection((sys.argv[1], {PORT}), timeout=60)
    connection.sendall(b"GET /zeros HTTP/1.0\\r\\n\\r\\n")
    buffer, total, began = bytearray(1 << 20), 0, time.perf_counter()
    while size := connection.recv_into(buffer):
        total += size
    print(total / 1e6 / (time.perf_counter() - began) if total > {PORT_MB} * 10**6 else 0)
"""


def measure(stage: Stage, rounds: int) -> list[Table]:
    """All cases."""
    few = max(1, rounds // 6)
    cases = [_logs(stage, few), *(_port(stage, title, address, few) for title, address in ADDRESSES.items())]
    return [Table("traffic", "Throughput", (OURS, "podman", "docker"), cases)]


ADDRESSES = {"a published port, by an address of the host": ADDRESS, "a published port, by 127.0.0.1": "127.0.0.1"}


def _logs(stage: Stage, rounds: int) -> Case:
    contestants = {name: _flood(engine) for name, engine in stage.engines.items()}
    title = f"{LOG_MB} MB of lines into a log"
    return turns(title, "MB/s", contestants, rounds, absent=stage.absent, more=True, warm=False)


def _flood(engine: Engine) -> Once:
    """A program that writes lines of 100 bytes as fast as it can; a log that rotates at 10 MB."""
    driver = "k8s-file" if engine.name == "podman" else "json-file"
    options = ("--network", "none", "--log-driver", driver, "--log-opt", "max-size=10m")
    script = f"yes {'x' * 99} | head -c {LOG_MB}000000"

    def once() -> float:
        began = time.perf_counter()
        container = engine("run", "--detach", *options, IMAGE, "sh", "-c", script)
        engine("wait", container)
        seconds = time.perf_counter() - began
        engine("rm", "--force", container)
        return LOG_MB / seconds

    return once


def _port(stage: Stage, title: str, address: str, rounds: int) -> Case:
    servers: dict[str, str] = {}
    absent = dict(stage.absent)
    try:
        for name, engine in stage.engines.items():
            try:
                servers[name] = _server(engine)
            except Failed as error:
                absent[name] = str(error)
        contestants = {name: _fetch(stage.engines[name], address) for name in servers}
        return turns(title, "MB/s", contestants, rounds, absent=absent, more=True)
    finally:
        for name, container in servers.items():
            stage.engines[name]("rm", "--force", container)


def _port_of(engine: Engine) -> int:
    """Each its own, as pyc and podman share a network namespace."""
    return PORT + (engine.name == "podman")


def _server(engine: Engine) -> str:
    """A container with a web server that has a big file; its ID."""
    script = f"mkdir /srv; truncate -s {PORT_MB}M /srv/zeros; exec httpd -f -p 80 -h /srv"
    port = ("--publish", f"{_port_of(engine)}:80")
    container = engine("run", "--detach", *port, IMAGE, "sh", "-c", script)
    time.sleep(0.5)
    return container


def _fetch(engine: Engine, address: str) -> Once:
    client = [sys.executable, "-c", _CLIENT.replace(str(PORT), str(_port_of(engine))), address]
    if engine.daemon:
        client = ["nsenter", "--target", str(engine.daemon), "--net", *client]

    def once() -> float:
        done = subprocess.run(client, capture_output=True, text=True)
        if done.returncode or not float(done.stdout):
            raise Failed(f"{engine.name}: nothing came through the port: {done.stderr.strip()[-200:]}")
        return float(done.stdout)

    return once
