"""nginx in front of a registry: TLS, client certificates, redirects, 429s and cut bodies; and certificates to match."""

from __future__ import annotations

import os
import subprocess
import time
from types import TracebackType

from images.registry import free_port

_EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def certificates(directory: str, *names: str) -> None:
    """``ca.crt``; ``server.crt/key`` for localhost, 127.0.0.1 and ``names``; ``client.crt/key``; of one authority."""

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True)

    openssl("req", "-x509", *_EC, "-subj", "/CN=test CA", "-keyout", "ca.key", "-out", "ca.crt")
    with open(f"{directory}/names", "w") as file:
        file.write(",".join(["subjectAltName=DNS:localhost", "IP:127.0.0.1", *(f"DNS:{name}" for name in names)]))
    for name in ("server", "client"):
        openssl("req", *_EC, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-out", f"{name}.crt")
        openssl("x509", "-req", "-in", f"{name}.csr", *signed)


_CONFIG = """
daemon off; master_process off; pid {directory}/pid; error_log {directory}/error.log warn;
events {{ worker_connections 256; }}
http {{
    access_log {directory}/access.log;
    client_max_body_size 0;
    client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/f;
    uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
    {before}
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {directory}/server.crt; ssl_certificate_key {directory}/server.key;
        {server}
        location / {{ proxy_pass http://{upstream}; proxy_set_header Host $http_host;
                      proxy_set_header X-Forwarded-Proto https; proxy_buffering off; {location} }}
    }}
    {after}
}}
"""


class Nginx:
    """A running nginx that speaks TLS on a loopback port and hands on to ``upstream``.

    ``server``, ``location``, ``before`` and ``after`` are nginx's own words for what is to be different; in them
    ``{directory}`` is where the certificates are.
    """

    def __init__(self, directory: str, upstream: str, **words: str) -> None:
        self.directory, self.port = directory, free_port()
        given = {
            key: words.get(key, "").replace("{directory}", directory)
            for key in ("before", "server", "location", "after")
        }
        self._config = _CONFIG.format(directory=directory, port=self.port, upstream=upstream, **given)

    @property
    def host(self) -> str:
        return f"localhost:{self.port}"

    def __enter__(self) -> Nginx:
        with open(f"{self.directory}/nginx.conf", "w") as file:
            file.write(self._config)
        argv = [
            "nginx",
            "-p",
            self.directory,
            "-c",
            f"{self.directory}/nginx.conf",
            "-e",
            f"{self.directory}/error.log",
        ]
        self._process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        deadline = time.monotonic() + 10
        while not os.path.exists(f"{self.directory}/pid") or not os.path.getsize(f"{self.directory}/pid"):
            assert self._process.stdout
            assert self._process.poll() is None, self._process.stdout.read()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._process.terminate()
        self._process.communicate(timeout=10)

    @property
    def pid(self) -> int:
        """Of the server, which is a single process."""
        return self._process.pid

    def log(self) -> list[str]:
        with open(f"{self.directory}/access.log") as file:
            return file.read().splitlines()
