"""Whom to trust and who we are over TLS: the host's certificate authorities, and the certs.d of docker and podman.

For one registry a directory ``certs.d/HOST[:PORT]`` may hold (docker, "Verify repository client with certificates"):

- ``*.crt``: further certificate authorities, for this registry and where it sends us;
- ``NAME.cert`` and ``NAME.key``: a certificate that says who we are, shown to this host alone.
"""

from __future__ import annotations

import os

from pycontainer.errors import RegistryError
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from typing import Any

    from requests import Session


def directories(host: str) -> list[str]:
    """Where there may be certificates for a registry, ``host`` or ``host:port``."""
    own = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    places = (f"{own}/containers", "/etc/containers", "/etc/docker")
    return [path for place in places if os.path.isdir(path := f"{place}/certs.d/{host}")]


def context(host: str, registry: str, *, verify: bool = True) -> ssl.SSLContext:
    """How to speak TLS with a registry, or with a host to which it sends us: that one has the same authorities.

    Raises:
        RegistryError: a file of certs.d can't be used.
    """
    import ssl  # 10 ms, only when pulling

    made = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if not paths.cafile and not (paths.capath and os.listdir(paths.capath)):  # this host has none: Mozilla's
        import certifi

        made.load_verify_locations(certifi.where())
    if not verify:
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    for name in {host, registry}:
        for directory in directories(name):
            _load(made, directory, shows_us=name == host)
    return made


def _load(made: ssl.SSLContext, directory: str, *, shows_us: bool) -> None:
    names = sorted(os.listdir(directory))
    path = directory
    try:
        for name in names:
            path = f"{directory}/{name}"
            stem, dot, kind = name.rpartition(".")
            if dot and kind == "crt":
                made.load_verify_locations(path)
            elif dot and kind == "cert" and shows_us:
                if f"{stem}.key" not in names:
                    raise RegistryError(f"{path} has no key beside it", hint=f"it must be called {stem}.key")
                made.load_cert_chain(path, f"{directory}/{stem}.key", _no_password)
    except OSError as error:  # ssl.SSLError is one
        raise RegistryError(f"can't use {path}: {getattr(error, 'reason', '') or error.strerror}") from None


def _no_password() -> str:
    return ""  # or OpenSSL would ask on the terminal


def mount(session: Session, host: str, made: ssl.SSLContext) -> None:
    """Have a session speak TLS with a host as a :func:`context` says."""
    session.mount(f"https://{host}/", _adapter(made))


def _adapter(made: ssl.SSLContext) -> Any:
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        """All connections, through proxies too, by one context; requests would add a list of its own to trust."""

        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **kwargs, ssl_context=made)

        def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
            return super().proxy_manager_for(proxy, **kwargs, ssl_context=made)

        def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
            host, _ = super().build_connection_pool_key_attributes(request, False, None)
            return host, {"ssl_context": made, "cert_reqs": made.verify_mode.name}

        def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
            conn.cert_reqs = made.verify_mode.name

    return Adapter()
