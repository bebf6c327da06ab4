"""``pyc login`` and ``pyc logout``."""

from __future__ import annotations

import sys

from pycontainer.cli import Session, declare, secret
from pycontainer.cli.declare import echo
from pycontainer.cli.registry_flags import authfile_flag, insecure, registry_flags
from pycontainer.engine.image import login as engine
from pycontainer.errors import NotFound, RegistryError, UsageError


@declare.command("login", help="Log in to a registry; Docker Hub if none is named.")
@declare.option("-u", "--username", default="", help="User")
@declare.option("-p", "--password", help="Password or token; others on this host may see it")
@declare.option("--password-stdin", is_flag=True, help="Read the password from standard input")
@declare.option("--get-login", is_flag=True, help="Only tell the user of the login that is stored")
@registry_flags
@declare.argument("server", default="", metavar="[SERVER]")
@declare.pass_obj
def command(
    session: Session,
    /,
    username: str,
    password: str | None,
    password_stdin: bool,
    get_login: bool,
    tls_verify: bool | None,
    server: str,
) -> None:
    """Log in."""
    host, anyhow = engine.registry_name(server), insecure(tls_verify)
    if get_login:
        return _tell_user(host)
    if password is not None and password_stdin:
        raise UsageError("--password and --password-stdin are mutually exclusive")
    if password_stdin and not username:
        raise UsageError("must provide --username with --password-stdin")
    if password is not None:
        secret.hide(password)
        secret.warn("--password", "Use --password-stdin.")
    elif password_stdin:
        password = sys.stdin.read(secret.MAX).rstrip("\r\n")
    elif not username and _still_good(host, anyhow):
        return
    saved = engine.login(host, _ask(username, password), insecure=anyhow)
    if not saved.helper:
        echo(f"WARNING! Your login is stored unencrypted in '{saved.path}', readable by you alone.", err=True)
    echo("Login Succeeded")


def _tell_user(host: str) -> None:
    who = engine.stored(host)
    if who is None:
        raise NotFound(f"not logged in to {host}", hint=f"pyc login {host}")
    echo(who.user)


def _still_good(host: str, anyhow: bool | None) -> bool:
    """Whether what is stored lets us in."""
    who = engine.stored(host)
    if who is None:
        return False
    echo("Authenticating with existing credentials...")
    try:
        engine.check(host, who, insecure=anyhow)
    except RegistryError as error:
        if not sys.stdin.isatty():
            raise
        echo(f"Login did not succeed: {error.message}", err=True)
        return False
    echo("Login Succeeded")
    return True


def _ask(username: str, password: str | None) -> engine.Login:
    """Ask for what is missing, on a terminal; the password without showing it."""
    if (not username or password is None) and not sys.stdin.isatty():
        raise UsageError("can't ask for user and password: standard input is no terminal", hint="-u, --password-stdin")
    if not username:
        username = input("Username: ").strip()
    return secret.login(username, secret.ask() if password is None else password)


@declare.command("logout", help="Log out from a registry; from Docker Hub if none is named.")
@declare.option("-a", "--all", "everywhere", is_flag=True, help="Log out from all registries")
@authfile_flag
@declare.argument("server", default="", metavar="[SERVER]")
@declare.pass_obj
def logout(session: Session, /, everywhere: bool, server: str) -> None:
    """Log out."""
    if everywhere:
        if server:
            raise UsageError("--all and a registry are mutually exclusive")
        had = engine.logout_everywhere()
        echo("Removed login credentials for all registries" if had else "Not logged in anywhere")
        return
    host = engine.registry_name(server)
    had = engine.logout(host)
    echo(f"Removing login credentials for {host}" if had else f"Not logged in to {host}")
