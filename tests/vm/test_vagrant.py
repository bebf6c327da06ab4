"""`vagrant up` gives a VM with pyc ready: with Debian's vagrant, libvirt and QEMU, on a box made of the same image.

Everything that is started lives in namespaces of its own, of network, mounts and pids, and ends with them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile

import pytest

from tests.support.host import needs_command
from tests.vm.conftest import OUT, SUITE
from tests.vm.image import HERE, SOURCE, Image, image
from tests.vm.machine import accelerator, parameters

pytestmark = needs_command("vagrant", "libvirtd", "dnsmasq", "qemu-img", "rsync", "unshare")

BOX = """Vagrant.configure("2") do |config|
  config.ssh.private_key_path = "{image.key}"
  config.ssh.insert_key = false
  config.vm.boot_timeout = 1800
  config.vm.provider "libvirt" do |machine|
    machine.driver = "{driver}"
    machine.cpu_mode = "custom"
    machine.cpu_model = "qemu64"
    machine.kernel = "{image.kernel}"
    machine.initrd = "{image.initrd}"
    machine.cmd_line = "root=/dev/vda rw console=ttyS0 quiet {parameters}"
    machine.graphics_type = "none"
    machine.video_type = "none"
  end
end
"""


def test_vagrant_up_gives_a_machine_with_pyc() -> None:
    place = os.path.join(OUT, f"vagrant-{SUITE}")
    shutil.rmtree(place, ignore_errors=True)
    os.makedirs(place)
    built = image(SUITE)
    pack(built, place)
    checkout(f"{place}/project")
    with open(f"{place}/log", "wb") as log:
        done = subprocess.run(
            ["unshare", "-n", "-m", "-p", "--fork", "--kill-child", "--mount-proc", "sh", f"{HERE}/vagrant", place],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            timeout=3600,
        )
    with open(f"{place}/log", errors="replace") as text:
        said = text.read().replace("\r", "\n")
    for name in ("images", "home", "box", "project"):
        shutil.rmtree(f"{place}/{name}", ignore_errors=True)
    assert done.returncode == 0, said[-3000:]
    assert "Vagrantfile validated successfully." in said
    assert "\na container in a VM\n" in said


def pack(built: Image, place: str) -> None:
    """A box for vagrant's provider libvirt: a directory with an image, what it is, and a Vagrantfile."""
    os.makedirs(f"{place}/box")
    convert = ["qemu-img", "convert", "-O", "qcow2", built.disk, f"{place}/box/box.img"]
    subprocess.run(convert, check=True)
    with open(f"{place}/box/metadata.json", "w") as file:
        file.write('{"provider": "libvirt", "format": "qcow2", "virtual_size": 6}')
    with open(f"{place}/box/Vagrantfile", "w") as file:
        kind = accelerator()
        driver = "kvm" if kind == "kvm" else "qemu"
        file.write(BOX.format(image=built, driver=driver, parameters=parameters(kind)))
    with tarfile.open(f"{place}/pycontainer.box", "w") as box:
        for name in ("metadata.json", "Vagrantfile", "box.img"):
            box.add(f"{place}/box/{name}", name)


def checkout(target: str) -> None:
    """What git knows of this checkout, edits included."""
    os.mkdir(target)
    known = subprocess.run(["git", "ls-files", "-z"], cwd=SOURCE, capture_output=True, check=True).stdout
    subprocess.run(["rsync", "-a", "--from0", "--files-from=-", SOURCE, target], input=known, check=True)


@pytest.mark.parametrize("provider", ["libvirt", "virtualbox"])
def test_the_file_speaks_of_both_providers(provider: str) -> None:
    with open(os.path.join(SOURCE, "Vagrantfile")) as file:
        assert f'config.vm.provider "{provider}"' in file.read()
