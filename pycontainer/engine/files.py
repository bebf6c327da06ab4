"""The three files that say who a container is and whom it knows: /etc/hostname, /etc/hosts, /etc/resolv.conf.

They are among the files of the container and not in its live state: it may write to them, as much as it likes, and must
not fill a filesystem of memory that is the whole host's.
"""

from __future__ import annotations

import os

from pycontainer.errors import UsageError
from pycontainer.light import lru_cache
from pycontainer.network import resolver
from pycontainer.oci.options import ContainerOptions
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOCAL = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


def write(where: str, hostname: str, options: ContainerOptions) -> Mapping[str, str]:
    """Write them into the directory ``where``: path in the container -> path on the host."""
    contents = {
        "hostname": hostname + "\n",
        "hosts": hosts(hostname, options),
        "resolv.conf": resolv_conf(options),
    }
    for name, text in contents.items():
        descriptor = os.open(f"{where}/{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            os.fchmod(descriptor, 0o644)  # whatever our umask
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)
    return {f"/etc/{name}": f"{where}/{name}" for name in contents}


def hosts(hostname: str, options: ContainerOptions) -> str:
    """hosts(5): the host's own file with the host's network, else localhost and the container's name."""
    base = _read("/etc/hosts") if options.network == "host" else _LOCAL + f"127.0.1.1\t{hostname}\n"
    extra = "".join(f"{address}\t{name}\n" for name, address in options.add_host)
    if not extra.replace("\t", "").replace("\n", "").isprintable():
        raise UsageError("--add-host: control characters in a name")
    return base + extra


def resolv_conf(options: ContainerOptions) -> str:
    """resolv.conf(5): the host's, with what ``--dns``, ``--dns-search`` and ``--dns-option`` replace."""
    text = resolver.host_file(shared=options.network == "host")
    return _resolv_conf(text, options.dns, options.dns_search, options.dns_option)


@lru_cache(maxsize=16)
def _resolv_conf(text: str, servers: tuple[str, ...], search: tuple[str, ...], asked_options: tuple[str, ...]) -> str:
    host = [line.split() for line in text.splitlines() if line[:1] not in ("#", ";")]

    def lines(keyword: str, asked: tuple[str, ...], *, joined: bool) -> list[str]:
        values = list(asked) or [word for words in host if words[:1] == [keyword] for word in words[1:]]
        if values == ["."]:
            return []  # docker's way to say: none
        return [f"{keyword} {' '.join(values)}"] if joined and values else [f"{keyword} {value}" for value in values]

    found = [
        *lines("nameserver", servers, joined=False),
        *lines("search", search, joined=True),
        *lines("options", asked_options, joined=True),
    ]
    if not all(line.isprintable() for line in found):
        raise UsageError("--dns, --dns-search, --dns-option: control characters in a value")
    return "".join(line + "\n" for line in found)


def _read(path: str) -> str:
    try:
        with open(path, errors="replace") as file:
            return file.read(1 << 20)
    except OSError:
        return ""
