"""Engines that give containers ids of their own, with pyc-oci underneath: podman, as root and not, and dockerd."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest

from tests.support.engines import RUNTIME, Engine, archive, remove_parents, wait_until
from tests.support.host import missing_command

pytestmark = [pytest.mark.root, pytest.mark.peers]

ALONE = ("--network", "none")
FIRST = 300000
# /etc/subuid and /etc/subgid as the test wants them, for those in this mount namespace
IDS = f"""
for name in containers nobody nogroup; do echo $name:{FIRST}:65536; done > $0/ids
mount --bind $0/ids /etc/subuid && mount --bind $0/ids /etc/subgid && exec "$@"
"""
AS_NOBODY = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
LOOK = """
id -u; cat /proc/self/uid_map; touch /dev/shm/x && stat -c %u /dev/shm/x
echo > /dev/null && test -c /dev/zero && echo devices
"""


@pytest.fixture
def place() -> Iterator[str]:
    """A directory that everybody can pass through: pytest's own are root's alone."""
    where = tempfile.mkdtemp(prefix="pyctest", dir="/tmp")
    os.chmod(where, 0o711)
    yield where
    shutil.rmtree(where)


def podman_at(where: str, *above: str) -> Engine:
    """A podman with its state there, run by the command `above`."""
    with open(f"{where}/containers.conf", "w") as file:
        file.write('[containers]\ndefault_ulimits = ["nofile=1024:4096", "nproc=1024:4096"]\n')
        file.write('[engine]\nevents_logger = "file"\n')
    env = {"CONTAINERS_CONF": f"{where}/containers.conf", "HOME": where, "XDG_RUNTIME_DIR": where}
    base = ["unshare", "--mount", "--propagation", "private", "sh", "-c", IDS, where, *above]
    base += ["podman", "--root", f"{where}/root", "--runroot", f"{where}/run", "--tmpdir", f"{where}/tmp"]
    return Engine([*base, "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--runtime", RUNTIME], env)


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    if reason := missing_command("podman", "conmon", "skopeo", "busybox"):
        pytest.skip(reason)
    where = str(tmp_path_factory.mktemp("podman"))
    engine = podman_at(where)
    engine.ok("load", "-i", archive("docker-archive", where))
    yield engine
    engine("rm", "--all", "--force", "--time", "0")
    engine("rmi", "--all", "--force")
    remove_parents("libpod_parent")


@pytest.fixture(scope="module")
def rootless() -> Iterator[Engine]:
    if reason := missing_command("podman", "conmon", "skopeo", "busybox", "newuidmap"):
        pytest.skip(reason)
    where = tempfile.mkdtemp(prefix="pyctest", dir="/tmp")  # pytest's own directories are root's alone
    engine = podman_at(where, *AS_NOBODY)
    for path in (where, archive("docker-archive", where)):
        shutil.chown(path, "nobody", "nogroup")
    engine.ok("load", "-i", f"{where}/busybox.docker-archive.tar")
    yield engine
    engine("rm", "--all", "--force", "--time", "0")
    engine("rmi", "--all", "--force")
    engine("system", "migrate")  # ends the process that keeps its user namespace
    shutil.rmtree(where)


def test_podman_gives_each_container_ids_of_its_own(podman: Engine) -> None:
    auto = (*ALONE, "--userns", "auto")
    podman.ok("run", "-d", "--name", "first", *auto, "--memory", "64m", "busybox", "sleep", "100")
    out = podman.ok("run", "--rm", *auto, "busybox", "sh", "-c", LOOK).split()
    assert out[:2] == ["0", "0"] and int(out[2]) > FIRST and out[4:] == ["0", "devices"]
    first = podman.ok("exec", "first", "cat", "/proc/self/uid_map").split()
    assert first[:2] == ["0", str(FIRST)] and int(out[2]) >= FIRST + int(first[2])
    assert podman.ok("exec", "--user", "5:6", "first", "id", "-u") == "5"
    assert podman.on_terminal("exec", "-t", "first", "tty") == (0, "/dev/pts/0\n")
    podman.ok("pause", "first")
    podman.ok("unpause", "first")
    podman.ok("update", "--memory", "32m", "first")
    podman.ok("rm", "--force", "--time", "0", "first")


def test_a_volume_shows_the_owners_that_its_option_says(podman: Engine, place: str) -> None:
    for option, owner in (("idmap", 0), ("U", FIRST + 7)):
        script = f"touch /v/{option}; stat -c %u /v/{option}"
        volume = (*ALONE, "--userns", "auto", "--volume", f"{place}:/v:{option}")
        user = () if option == "idmap" else ("--user", "7")
        assert podman.ok("run", "--rm", *volume, *user, "busybox", "sh", "-c", script) == ("7" if user else "0")
        assert os.stat(f"{place}/{option}").st_uid == owner


@pytest.mark.parametrize(
    ("userns", "uid", "first"),
    [("", "0", ["0", "65534", "1"]), ("keep-id", "65534", ["0", "1", "65534"]), ("nomap", "0", ["0", "1", "65536"])],
)
def test_podman_without_root_maps_ids_as_it_is_told(rootless: Engine, userns: str, uid: str, first: list[str]) -> None:
    users = ("--userns", userns) if userns else ()
    out = rootless.ok("run", "--rm", *ALONE, *users, "busybox", "sh", "-c", LOOK).split()
    assert (out[0], out[1:4], out[-2:]) == (uid, first, [uid, "devices"])


def test_podman_without_root_leads_a_whole_life(rootless: Engine) -> None:
    rootless.ok("run", "-d", "--name", "box", *ALONE, "busybox", "sh", "-c", "echo began; exec sleep 100")
    assert rootless.ok("exec", "--user", "5:6", "box", "id", "-u") == "5"
    assert rootless("exec", "box", "nope").code == 127
    assert rootless.on_terminal("exec", "-t", "box", "tty") == (0, "/dev/pts/0\n")
    rootless.ok("stop", "--time", "0", "box")
    rootless.ok("start", "box")
    assert rootless.ok("logs", "box") == "began\nbegan"
    rootless.ok("kill", "box")
    rootless.ok("rm", "--force", "--time", "0", "box")
    assert rootless("run", "--rm", *ALONE, "busybox", "sh", "-c", "exit 7").code == 7
    out = rootless.ok(
        "run", "--rm", *ALONE, "--privileged", "busybox", "sh", "-c", "echo > /dev/null && ls -d /dev/tty"
    )
    assert out == "/dev/tty"


def test_dockerd_remaps_every_container(place: str) -> None:
    if reason := missing_command("dockerd", "docker", "containerd", "skopeo", "busybox", "ip"):
        pytest.skip(reason)
    docker = Engine(["docker", "-H", f"unix://{place}/d.sock"], {"DOCKER_CONFIG": f"{place}/client"})
    command = ["sh", "-c", IDS, place, "dockerd", "--userns-remap", "nobody:nogroup", "-H", f"unix://{place}/d.sock"]
    command += ["--data-root", f"{place}/data", "--exec-root", f"{place}/exec", "--pidfile", f"{place}/pid"]
    command += ["--storage-driver", "overlay2", "--default-ulimit", "nofile=1024:4096"]
    docker.serve(
        [*command, "--add-runtime", f"pyc={RUNTIME}", "--default-runtime", "pyc"], f"{place}/log", f"{place}/d.sock"
    )
    try:
        wait_until(lambda: docker("version").code == 0)
        docker.ok("load", "-i", archive("docker-archive", place))
        out = docker.ok("run", "--rm", "busybox", "sh", "-c", f"{LOOK}grep -c eth0 /proc/net/dev").split()
        assert out == ["0", "0", str(FIRST), "65536", "0", "devices", "1"]
        docker.ok("run", "-d", "--name", "box", *ALONE, "--memory", "64m", "busybox", "sleep", "100")
        assert docker.ok("exec", "--user", "5:6", "box", "id", "-u") == "5"
        assert docker.on_terminal("exec", "-t", "box", "tty") == (0, "/dev/pts/0\n")
        docker.ok("pause", "box")
        docker.ok("unpause", "box")
        docker.ok("restart", "--time", "0", "box")
        docker.ok("rm", "--force", "box")
        own = docker.ok("run", "--rm", *ALONE, "--userns", "host", "busybox", "cat", "/proc/self/uid_map").split()
        assert own == ["0", "0", "4294967295"]
    finally:
        docker.stop()
        remove_parents("docker")
