"""Debian's docker-registry on a free loopback port, with our images in it.

``python -m images.registry [--port PORT] [NAME...]`` serves them until Ctrl-C; ``with Registry(directory) as registry``
is the same from Python. Everything it started is stopped, by its process ID, when the block ends.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from types import TracebackType

from images import build

# No policy file and no TLS: the registry is our own, on loopback.
SKOPEO_COPY = ("skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false")


class RegistryDown(Exception):
    """The registry is not installed, did not start, or refused a push."""


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Registry:
    """A running docker-registry whose storage, configuration and log are in ``directory``.

    Attributes:
        address: ``127.0.0.1:PORT``, what comes before the first slash of an image's name.
        log: the path of what the registry wrote.
    """

    def __init__(
        self, directory: str, *, port: int = 0, htpasswd: str = "", auth: dict[str, object] | None = None
    ) -> None:
        """``htpasswd``: a file of bcrypt lines that makes the registry ask for a password.

        ``auth``: its configuration's section of that name, for any other way to ask who somebody is.
        """
        self.directory = directory
        self.address = f"127.0.0.1:{port or free_port()}"
        self.log = os.path.join(directory, "registry.log")
        self._auth = auth or ({"htpasswd": {"realm": "test", "path": htpasswd}} if htpasswd else {})
        self._nonce = os.urandom(8).hex()
        self._process: subprocess.Popen[bytes] | None = None
        self._published: set[str] = set()

    def __enter__(self) -> Registry:
        command = shutil.which("docker-registry")
        if command is None:
            raise RegistryDown("docker-registry is not installed: apt-get install docker-registry")
        os.makedirs(self.directory, exist_ok=True)
        settings = os.path.join(self.directory, "config.yml")  # YAML is a superset of JSON
        with open(settings, "w") as file:
            json.dump(self._settings(), file)
        with open(self.log, "wb") as log:
            self._process = subprocess.Popen(
                [command, "serve", settings], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.stop()
            raise
        return self

    def _settings(self) -> dict[str, object]:
        storage = os.path.join(self.directory, "storage")
        settings: dict[str, object] = {
            "version": 0.1,
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": storage}, "delete": {"enabled": True}},
            # The header tells our registry from another one that had the port before us.
            "http": {"addr": self.address, "secret": self._nonce, "headers": {"X-Instance": [self._nonce]}},
        }
        if self._auth:
            settings["auth"] = self._auth
        return settings

    def _wait_until_it_answers(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self._process and self._process.poll() is None:
            if self._instance() == self._nonce:
                return
            time.sleep(0.02)
        with open(self.log, errors="replace") as log:
            raise RegistryDown(f"docker-registry did not start on {self.address}:\n{log.read()[-2000:]}")

    def _instance(self) -> str | None:
        try:
            with urllib.request.urlopen(f"http://{self.address}/v2/", timeout=2) as answer:
                found: str | None = answer.headers["X-Instance"]
        except urllib.error.HTTPError as refusal:  # 401 is an answer too
            found = refusal.headers["X-Instance"]
        except OSError:
            found = None
        return found

    def publish(self, name: str, *, credentials: str = "") -> str:
        """Push every tag of the image ``name`` once, and return its name here, ``127.0.0.1:PORT/library/NAME``.

        busybox gets one tag more, ``docker``: the same image in Docker's schema 2 instead of OCI's.
        """
        repository = f"{self.address}/library/{name}"
        if name not in self._published:
            path = build.layout(name)
            with open(os.path.join(path, "index.json")) as file:
                entries = json.load(file)["manifests"]
            for tag in (entry["annotations"]["org.opencontainers.image.ref.name"] for entry in entries):
                self._copy(
                    f"oci:{path}:{tag}", f"{repository}:{tag}", "--all", "--preserve-digests", credentials=credentials
                )
            if name == "busybox":
                self._copy(f"oci:{path}:latest", f"{repository}:docker", "--format=v2s2", credentials=credentials)
            self._published.add(name)
        return repository

    def _copy(self, source: str, name: str, *options: str, credentials: str) -> None:
        login = ["--dest-creds", credentials] if credentials else []
        done = subprocess.run(
            [*SKOPEO_COPY, *login, *options, source, "docker://" + name],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RegistryDown(f"skopeo could not push {name}: {done.stderr.strip()}")

    def mirror(self) -> str:
        """The path of a registries.conf that makes this registry a mirror of Docker Hub, so that ``alpine`` is ours.

        CONTAINERS_REGISTRIES_CONF=PATH has podman, skopeo and pyc read it instead of the system's.
        """
        path = os.path.join(self.directory, "registries.conf")
        mirror = f'[[registry.mirror]]\nlocation = "{self.address}"\ninsecure = true\n'
        with open(path, "w") as file:
            file.write('[[registry]]\nprefix = "docker.io"\n' + mirror)
        return path

    def stop(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def main(arguments: list[str]) -> int:
    port = int(arguments.pop(1)) if arguments[:1] == ["--port"] else 0
    names = [name for name in arguments if name != "--port"] or ["busybox", "alpine"]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="pyc-") as scratch, Registry(scratch, port=port) as registry:
            for name in names:
                print(f"serving {registry.publish(name)}", flush=True)
            print(f"For the same by their names on Docker Hub: export CONTAINERS_REGISTRIES_CONF={registry.mirror()}")
            print("Press Ctrl-C to stop.", flush=True)
            signal.pause()
    except (RegistryDown, build.RecipeError) as error:
        print(f"images.registry: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
