"""Which name servers a container asks: the host's, as long as they can be reached from another network namespace."""

from __future__ import annotations

HOST = "/etc/resolv.conf"
BEHIND_THE_STUB = "/run/systemd/resolve/resolv.conf"
"""systemd-resolved listens on 127.0.0.53, which in a container is the container itself; here are those behind it."""


def host_file(*, shared: bool) -> str:
    """The host's resolv.conf(5), or what stands behind it; from a ``shared`` network namespace it can be reached."""
    found = _read(HOST)
    if shared or not (servers := nameservers(found)) or not all(map(is_loopback, servers)):
        return found
    return _read(BEHIND_THE_STUB) or found


def nameservers(text: str) -> list[str]:
    """The addresses on its nameserver lines."""
    return [words[1] for line in text.splitlines() if (words := line.split())[:1] == ["nameserver"] and words[1:]]


def is_loopback(address: str) -> bool:
    """Whether it leads back to who asks."""
    return address.startswith("127.") or address == "::1"


def reachable(text: str, *, internal: bool) -> str:
    """The file without servers that can't, or must not, be reached: of an internal network, any (CVE-2024-29018)."""

    def keep(line: str) -> bool:
        servers = nameservers(line)
        return not servers or not (internal or is_loopback(servers[0]))

    return "".join(line + "\n" for line in text.splitlines() if keep(line))


def _read(path: str) -> str:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(1 << 16).decode(errors="replace")  # for more, malloc would ask the kernel each time
    except OSError:
        return ""
