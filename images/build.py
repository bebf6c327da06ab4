"""Recipes of the small images that tests, demos and docs use, built from Debian packages and no other network.

``python -m images.build [NAME...]`` writes ``images/out/NAME``, an OCI image layout, once: a layout is kept until the
recipe or the package it is made of changes. ``layout(NAME)`` is the same from Python.

    busybox   Debian's busybox-static: every applet a hard link. Tags: latest (gzip), plain, zstd, multi (an index)
    alpine    a stand-in, labelled as one, for the image that everybody types: BusyBox with symbolic links
    debian    Debian's essential packages and apt, by mmdebstrap
    big       the same with python3, numpy, perl, git and gcc: 500 MB. Tags: latest, ten (the same files in ten layers)
    services  Debian with ping, sudo, sshd, nginx, redis and PostgreSQL: what people run, from its own packages
    layers    120 layers, each adding, replacing and deleting a file
    users     a passwd and group full of corner cases
    config    every field that a Dockerfile can set
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from typing import Any

from images.layout import Layer, Layout

HERE = os.path.dirname(os.path.realpath(__file__))
OUT = os.path.join(HERE, "out")
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LABEL = "org.opencontainers.image."


class RecipeError(Exception):
    """A package that a recipe needs is not installed, or refused to work."""


def _busybox_binary() -> str:
    path = shutil.which("busybox") or "/bin/busybox"
    with open(path, "rb") as file:
        if b"ld-linux" in file.read(4096):
            raise RecipeError(f"{path} is not static: apt-get install busybox-static")
    return os.path.realpath(path)


def _busybox_version() -> str:
    return subprocess.run([_busybox_binary()], capture_output=True, text=True).stdout.split()[1].lstrip("v")


def _os_release(**fields: str) -> str:
    return "".join(f'{key}="{value}"\n' for key, value in fields.items())


def _userland(layer: Layer, link: Callable[[Layer, str], object], os_release: str, passwd: str, group: str) -> bytes:
    """A root filesystem around one busybox binary; ``link`` makes one applet."""
    for path in ("bin", "dev", "etc", "home", "proc", "sbin", "sys", "usr", "usr/bin", "usr/sbin", "var", "var/log"):
        layer.directory(path)
    layer.directory("root", 0o700).directory("tmp", 0o1777).directory("var/tmp", 0o1777)
    layer.directory("var/www", 0o755, (33, 33))
    with open(_busybox_binary(), "rb") as file:
        layer.file("bin/busybox", file.read(), 0o755)
    applets = subprocess.run([_busybox_binary(), "--list-full"], capture_output=True, text=True, check=True).stdout
    for path in sorted(set(applets.split()) - {"bin/busybox"}):
        link(layer, path)
    layer.file("etc/passwd", passwd).file("etc/group", group).file("etc/shadow", "root:*::0:::::\n", 0o640)
    layer.file("etc/os-release", os_release).file("etc/profile", "export PS1='\\w # '\n")
    return layer.archive()


PASSWD = "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\n" + (
    "www-data:x:33:33:www-data:/var/www:/bin/false\nnobody:x:65534:65534:nobody:/home:/bin/false\n"
)
GROUP = "root:x:0:\ndaemon:x:1:\nadm:x:4:daemon\ntty:x:5:\nwww-data:x:33:\nnogroup:x:65534:\n"


def _hardlinked(layer: Layer, path: str) -> None:
    layer.hardlink(path, "bin/busybox")


def _symlinked(layer: Layer, path: str) -> None:
    layer.symlink(path, "/bin/busybox")


def _busybox_layer(layout: Layout, passwd: str = PASSWD, group: str = GROUP) -> bytes:
    version = _busybox_version()
    pretty = f"BusyBox {version} from Debian"
    release = _os_release(NAME="BusyBox", ID="busybox", VERSION_ID=version, PRETTY_NAME=pretty)
    return _userland(layout.layer(), _hardlinked, release, passwd, group)


def _config(description: str, **fields: Any) -> dict[str, Any]:
    labels = {LABEL + "description": description, LABEL + "version": _busybox_version()}
    return {"Env": [PATH], "Cmd": ["sh"], "Labels": labels, **fields}


def busybox(layout: Layout) -> None:
    layer = _busybox_layer(layout)
    config = _config("busybox-static from Debian, every applet a hard link")
    for how, tag in (("gzip", "latest"), ("plain", "plain"), ("zstd", "zstd")):
        layout.tag(tag, layout.image([layer], config, how=how))
    # What a registry answers for a popular image: this platform among others, and a signature that is no image at all.
    other = "arm64" if os.uname().machine == "x86_64" else "amd64"
    foreign = layout.layer().file("wrong-platform", other).archive()
    signature = layout.layer().file("in-toto.json", "{}").archive()
    images = [
        layout.image([foreign], {}, architecture=other),
        layout.image([layer], config),
        layout.image([signature], {}, architecture="unknown", system="unknown"),
    ]
    layout.tag("multi", layout.index(images))


def alpine(layout: Layout) -> None:
    version = _busybox_version()
    honest = f"Not Alpine Linux: BusyBox {version} from Debian, standing in where no public registry is reachable"
    release = _os_release(NAME="BusyBox", ID="busybox", ID_LIKE="alpine", VERSION_ID=version, PRETTY_NAME=honest)
    layer = _userland(layout.layer(), _symlinked, release, PASSWD, GROUP)
    layout.tag("latest", layout.image([layer], {**_config(honest), "Cmd": ["/bin/sh"]}))


def debian(layout: Layout) -> None:
    layer, release = _debian(layout)
    layout.tag("latest", layout.image([layer], {**release, "Cmd": ["bash"]}))


def big(layout: Layout) -> None:
    layer, release = _debian(layout, "python3", "python3-numpy", "perl", "git", "gcc")
    layout.tag("latest", layout.image([layer], {**release, "Cmd": ["python3"]}))
    layout.tag("ten", layout.image(_split(layer, 10), {**release, "Cmd": ["python3"]}))


def services(layout: Layout) -> None:
    packages = "iputils-ping sudo openssh-server nginx-light redis-server postgresql python3 libcap2-bin".split()
    layer, release = _debian(layout, *packages)
    layout.tag("latest", layout.image([layer], {**release, "Cmd": ["bash"]}, how="plain"))


def _debian(layout: Layout, *packages: str) -> tuple[bytes, dict[str, Any]]:
    """The archive of a Debian root with ``packages``, and what an image's config says of it."""
    codename = _host_codename()
    # This host's own mirror, so that nothing but apt's configuration decides where packages come from.
    sources = filter(os.path.exists, ("/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"))
    archive = os.path.join(layout.path, "root.tar")
    include = [f"--include={','.join(packages)}"] if packages else []
    command = ["mmdebstrap", "--quiet", "--variant=minbase", *include, "--format=tar", codename, archive]
    done = subprocess.run(
        [*command, *list(sources)[:1]],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(layout.mtime)},
    )
    if done.returncode:
        raise RecipeError(f"mmdebstrap failed with code {done.returncode}:\n{done.stderr.strip()}")
    with open(archive, "rb") as file:
        layer = file.read()
    os.unlink(archive)
    description = f"Debian {codename}, minbase{''.join(f', {package}' for package in packages)}"
    return layer, {"Env": [PATH], "Labels": {LABEL + "description": description}}


def _split(archive: bytes, count: int) -> list[bytes]:
    """The same files in ``count`` layers of about the same size; each layer repeats the directories."""
    parts = [io.BytesIO() for _ in range(count)]
    tars = [tarfile.open(fileobj=part, mode="w", format=tarfile.PAX_FORMAT) for part in parts]  # noqa: SIM115
    home: dict[str, int] = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as whole:
        for entry in whole:
            if entry.isdir():
                for tar in tars:
                    tar.addfile(entry)
                continue
            part = home.setdefault(entry.name, min(entry.offset * count // len(archive), count - 1))
            if entry.islnk():  # beside the file that it is another name of
                part = home[entry.name] = home[entry.linkname]
            tars[part].addfile(entry, whole.extractfile(entry) if entry.isreg() else None)
    for tar in tars:
        tar.close()
    return [part.getvalue() for part in parts]


def layers(layout: Layout, count: int = 120) -> None:
    stack = [_busybox_layer(layout)]
    for number in range(1, count):
        layer = layout.layer().directory("n").file(f"n/{number}", f"{number}\n").file("last", f"{number}\n")
        layer.directory("only").file(f"only/{number}", "")
        if number > 1:
            layer.whiteout(f"only/{number - 1}")
        stack.append(layer.archive())
    layout.tag("latest", layout.image(stack, _config(f"{count} layers; /last and the one file in /only name the top")))


def users(layout: Layout) -> None:
    passwd = PASSWD + (
        "app:x:1000:1000:An app:/home/app:/bin/sh\n"
        "4242:x:7:7:a name that looks like a number:/home/4242:/bin/sh\n"
        "homeless:x:1001:1001:::\n"
        "nogroup-entry:x:1002:54321::/home:/bin/sh\n"
        "# a comment\n\nmalformed\nbad:x:notanumber:0::/:/bin/sh\n"
        "huge:x:4294967296:0::/:/bin/sh\n"
        "app:x:9999:9999:a second entry of the same name::/bin/sh\n"
    )
    group = GROUP + (
        "app:x:1000:\nvideo:x:44:app,nobody\naudio:x:29:nobody,app\ndocker:x:999:app\n77:x:88:\n"
        "malformed\nbad:x:notanumber:app\n"
    )
    base = _busybox_layer(layout, passwd, group)
    home = layout.layer().directory("home/app", 0o750, (1000, 1000)).file("home/app/mine", "", 0o600, (1000, 1000))
    layout.tag("latest", layout.image([base, home.archive()], _config("a passwd full of corner cases", User="app")))


def config(layout: Layout) -> None:
    fields = {
        "User": "1000:1000",
        "Env": [PATH, "GREETING=hello", "EMPTY="],
        "Entrypoint": ["/bin/echo", "entrypoint"],
        "Cmd": ["cmd", "with spaces"],
        "WorkingDir": "/work/dir",
        "Volumes": {"/data": {}},
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
        "StopSignal": "SIGQUIT",
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 30_000_000_000, "Retries": 3},
        "Shell": ["/bin/sh", "-ec"],
        "OnBuild": ["RUN true"],
    }
    data = layout.layer().directory("data").file("data/seed", "from the image\n").archive()
    description = "every field a Dockerfile can set"
    layout.tag("latest", layout.image([_busybox_layer(layout), data], _config(description, **fields)))


RECIPES: dict[str, Callable[[Layout], None]] = {
    recipe.__name__: recipe for recipe in (busybox, alpine, debian, big, services, layers, users, config)
}


def _host_codename() -> str:
    with open("/etc/os-release") as file:
        fields = dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line)
    if fields.get("ID") != "debian" or "VERSION_CODENAME" not in fields:
        raise RecipeError("the debian recipe needs a Debian host: it takes the host's release and mirror")
    return fields["VERSION_CODENAME"].strip('"')


def _key(name: str) -> str:
    """What the layout of ``name`` depends on: the recipes and the package they pack."""
    digest = hashlib.sha256(name.encode())
    for path in (os.path.join(HERE, "build.py"), os.path.join(HERE, "layout.py"), _busybox_binary()):
        with open(path, "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def layout(name: str) -> str:
    """Build the image ``name`` unless it is there, and return the path of its layout.

    Raises:
        RecipeError: no such recipe, or a package is missing.
    """
    if name not in RECIPES:
        raise RecipeError(f"no recipe called {name}: there are {', '.join(RECIPES)}")
    path, key = os.path.join(OUT, name), _key(name)
    os.makedirs(OUT, exist_ok=True)
    with open(os.path.join(OUT, f".{name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs that want the same image build it once
        if _read(os.path.join(path, "recipe")) != key:
            _build(name, path, key)
    return path


def _build(name: str, path: str, key: str) -> None:
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=OUT) as scratch:
        made = Layout(os.path.join(scratch, name), int(os.stat(_busybox_binary()).st_mtime))
        RECIPES[name](made)
        made.close()
        with open(os.path.join(made.path, "recipe"), "w") as file:
            file.write(key)
        shutil.rmtree(path, ignore_errors=True)
        os.rename(made.path, path)


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:
        return ""


def main(names: list[str]) -> int:
    try:
        for name in names or RECIPES:
            print(f"{name:9} {os.path.relpath(layout(name))}", flush=True)
    except RecipeError as error:
        print(f"images.build: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
