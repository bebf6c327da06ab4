"""Who we are to a registry: the files and helper programs in which docker and podman keep logins.

::

    REGISTRY_AUTH_FILE                          alone, if it is set
    DOCKER_CONFIG or ~/.docker, config.json     docker's; ``login`` writes here
    XDG_RUNTIME_DIR/containers/auth.json        podman's (containers-auth.json(5))
    ~/.config/containers/auth.json

A file has logins in ``auths``, or names programs that have them: ``credHelpers`` for one registry, ``credsStore`` for
all. Such a program, ``docker-credential-NAME``, is run without a shell and gets what is secret on its standard input.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pycontainer.core.directories import make_private
from pycontainer.errors import RegistryError, StoreError
from pycontainer.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from typing import Any


TOKEN_USER = "<token>"
HUB = "docker.io"
_HUB_KEY = "https://index.docker.io/v1/"  # under which everybody keeps the login of Docker Hub
_HUB_NAMES = (HUB, "index.docker.io", "registry-1.docker.io")
_HELPER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_HELPER_TIMEOUT = 30.0
_FILE_MAX = 4 << 20


class Login(Record):
    """A user and a secret; never shows the secret.

    Attributes:
        user: or TOKEN_USER.
        secret: the password, or an identity token, with which the token server gives out tokens.
    """

    user: str
    secret: str

    def __repr__(self) -> str:
        """The user."""
        return f"Login({self.user!r}, ...)"


class Saved(Record):
    """Where a login was put.

    Attributes:
        path: the file; or the file that names the helper.
        helper: the program that has it, or "" if the file has it, unencrypted.
    """

    path: str
    helper: str


def files() -> list[str]:
    """The files that may have logins, in the order in which they are asked; the first is written."""
    if only := os.environ.get("REGISTRY_AUTH_FILE"):
        return [only]
    home = os.path.expanduser("~")
    run = os.environ.get("XDG_RUNTIME_DIR") or f"/run/containers/{os.geteuid()}"
    return [
        f"{os.environ.get('DOCKER_CONFIG') or home + '/.docker'}/config.json",
        f"{run}/containers/auth.json" if os.environ.get("XDG_RUNTIME_DIR") else f"{run}/auth.json",
        f"{os.environ.get('XDG_CONFIG_HOME') or home + '/.config'}/containers/auth.json",
    ]


def find(name: str) -> Login | None:
    """The login for a registry, or for a part of it (``host/path``): of several, the one for the longest prefix.

    Raises:
        RegistryError: a file or helper is broken.
    """
    name = _normal(name)
    for path in files():
        document = _load(path)
        if helper := _helper(document, name.partition("/")[0]):
            login = _ask(helper, _server(name.partition("/")[0]))
        else:
            login = _in_file(document, name, path)
        if login:
            return login
    return None


def save(host: str, login: Login) -> Saved:
    """Keep a login for a registry, with the helper if one is configured, else in the file.

    Raises:
        RegistryError, StoreError: the helper or the disk failed.
    """
    path = files()[0]
    host = _normal(host)
    with _editing(path) as document:
        entries = document.setdefault("auths", {})
        helper = _helper(document, host)
        if helper:
            body = {"ServerURL": _server(host), "Username": login.user, "Secret": login.secret}
            _run_helper(helper, "store", json.dumps(body))
            _forget(document, host)
            entries[_server(host)] = {}  # so docker and podman know whom to ask about it
        else:
            _forget(document, host)
            entries[_server(host)] = _encode(login)
    return Saved(path, helper)


def erase(host: str) -> list[str]:
    """Forget the login for a registry, wherever it is.

    Returns:
        the files and helpers that had it.

    Raises:
        RegistryError, StoreError: a helper or the disk failed.
    """
    host, had = _normal(host), []
    for path in files():
        document = _load(path)
        helper = _helper(document, host)
        if helper and _ask(helper, _server(host)):
            _run_helper(helper, "erase", _server(host))
            had.append(f"docker-credential-{helper}")
        if any(_normal(key) == host for key in _auths(document)):
            with _editing(path) as current:
                _forget(current, host)
            if path not in had:
                had.append(path)
    return had


def erase_all() -> list[str]:
    """Forget all logins that we know of: those in the files, and those of which helpers say that they have them.

    Returns:
        the files and helpers that had some.

    Raises:
        RegistryError, StoreError: a helper or the disk failed.
    """
    had: list[str] = []
    for path in files():
        document = _load(path)
        hosts = {_normal(key) for key in _auths(document)}
        helpers = {_helper(document, host) for host in ("", *hosts, *_own(document))}
        for helper in sorted(helpers - {""}):
            for server in _kept(helper):
                _run_helper(helper, "erase", server)
                had += [name] if (name := f"docker-credential-{helper}") not in had else []
        if hosts:
            with _editing(path) as current:
                current["auths"] = {}
            had.append(path)
    return had


# ---- the names of registries


def _normal(name: str) -> str:
    """``host/path`` for what files have as keys: host, https://host/, https://host/v1/, host/path."""
    name = re.sub(r"^https?://", "", name)
    host, _, path = name.partition("/")
    host = HUB if host in _HUB_NAMES else host.lower()
    path = "" if path.strip("/") in ("v1", "v2") else path.strip("/")
    return f"{host}/{path}" if path else host


def _server(host: str) -> str:
    """The key that docker uses for a registry, in files and to helpers."""
    return _HUB_KEY if host == HUB else host


# ---- files


def _load(path: str) -> dict[str, Any]:
    """The file as it is, {} if it is not there. Its content is never part of an error."""
    try:
        with open(path, "rb") as file:
            data = file.read(_FILE_MAX + 1)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise RegistryError(f"can't read {path}: {error.strerror}") from None
    try:
        document = json.loads(data[:_FILE_MAX] or b"{}")
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise RegistryError(f"{path} is not a JSON object", hint="correct it; it has your registry logins")
    return document


def _auths(document: dict[str, Any]) -> dict[str, Any]:
    found = document.get("auths")
    return found if isinstance(found, dict) else {}


def _in_file(document: dict[str, Any], name: str, path: str) -> Login | None:
    entries = {_normal(key): value for key, value in _auths(document).items()}
    while name:
        if isinstance(entry := entries.get(name), dict) and (login := _decode(entry, name, path)):
            return login
        name = name.rpartition("/")[0]
    return None


def _decode(entry: dict[str, Any], name: str, path: str) -> Login | None:
    """The login of an entry of ``auths``; None for the empty one that a helper's login leaves."""
    token, text = entry.get("identitytoken"), entry.get("auth")
    if isinstance(token, str) and token:
        return Login(TOKEN_USER, token)
    if isinstance(text, str) and text:
        try:
            user, colon, secret = base64.b64decode(text, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            colon = ""
        if not colon:
            raise RegistryError(f"{path}: the login for {name} is damaged", hint=f"pyc login {name}")
        return Login(user, secret.rstrip("\0"))
    if isinstance(entry.get("username"), str) and isinstance(entry.get("password"), str):
        return Login(entry["username"], entry["password"])
    return None


def _encode(login: Login) -> dict[str, str]:
    is_token = login.user == TOKEN_USER  # podman passes over an entry without a user
    text = f"{login.user}:{'' if is_token else login.secret}"
    entry = {"auth": base64.b64encode(text.encode()).decode()}
    return {**entry, "identitytoken": login.secret} if is_token else entry


def _forget(document: dict[str, Any], host: str) -> None:
    entries = _auths(document)
    for key in [key for key in entries if _normal(key) == host]:
        del entries[key]


@contextmanager
def _editing(path: str) -> Iterator[dict[str, Any]]:
    """The document, written back when the block ends: only for our eyes, all or nothing, one writer at a time."""
    path = os.path.realpath(path)  # a link to it stays a link
    folder = os.path.dirname(path)
    if os.path.exists(path) and not os.path.isfile(path):  # /dev/null would be replaced
        raise StoreError(f"can't keep logins in {path}: it is not a regular file")
    try:
        make_private(folder)
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StoreError(f"can't make {folder}: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        document = _load(path)
        before = json.dumps(document)
        yield document
        if json.dumps(document) != before:
            _write(path, json.dumps(document, indent="\t").encode() + b"\n")
    finally:
        os.close(lock)


def _write(path: str, data: bytes) -> None:
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            while data:
                data = data[os.write(fd, data) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except OSError as error:
        with suppress(OSError):
            os.unlink(temporary)
        raise StoreError(f"can't write {path}: {error.strerror}") from None


# ---- helpers


def _helper(document: dict[str, Any], host: str) -> str:
    """The name of the helper that has the login for a registry, or ""."""
    name = _own(document).get(host) or document.get("credsStore") or ""
    if name and not (isinstance(name, str) and _HELPER_NAME.fullmatch(name)):
        raise RegistryError(f"{str(name)[:60]!r} can't be the name of a credential helper")
    return str(name)


def _own(document: dict[str, Any]) -> dict[str, Any]:
    """Registry -> the helper that is for it alone."""
    own = document.get("credHelpers")
    return {_normal(key): value for key, value in own.items()} if isinstance(own, dict) else {}


def _kept(helper: str) -> list[str]:
    """The servers for which a helper has a login; it gives them with their users."""
    answer = _run_helper(helper, "list", "")
    try:
        return list(json.loads(answer or "{}"))
    except (ValueError, RecursionError, TypeError):
        raise RegistryError(f"docker-credential-{helper} gave no list of logins that can be read") from None


def _ask(helper: str, server: str) -> Login | None:
    answer = _run_helper(helper, "get", server)
    if answer is None:
        return None
    try:
        document = json.loads(answer)
        user, secret = document["Username"], document["Secret"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RegistryError(f"docker-credential-{helper} gave no login that can be read") from None
    return Login(str(user), str(secret)) if secret else None


def _run_helper(helper: str, action: str, text: str) -> str | None:
    """Run a helper (docker-credential-helpers, protocol). None: it has nothing for that server."""
    import subprocess  # 8 ms, only for who has a helper

    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [program, action], input=text, capture_output=True, text=True, timeout=_HELPER_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise RegistryError(f"{program} {action} took longer than {_HELPER_TIMEOUT:.0f} s") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", "") or "it wrote something that is no text"
        raise RegistryError(
            f"can't run {program}: {reason}", hint="install it, or correct credsStore and credHelpers"
        ) from None
    if done.returncode == 0:
        return done.stdout
    said = " ".join((done.stdout or done.stderr).split())[:200]  # errors come on standard output
    if action in ("get", "erase") and "credentials not found" in said:
        return None
    reason = f": {said}" if action == "get" and said.isprintable() else ""  # of others it may repeat what it was given
    raise RegistryError(f"{program} {action} failed with code {done.returncode}{reason}")
