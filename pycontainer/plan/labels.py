"""Labels of a security module: the AppArmor profile or SELinux context that the program will run in."""

from __future__ import annotations

from pycontainer.core import calls
from pycontainer.core import constants as k
from pycontainer.core.step import INIT, Proof, Slot, Step
from pycontainer.record import TYPE_CHECKING

if TYPE_CHECKING:
    from pycontainer.oci.spec import Spec

_APPARMOR, _SELINUX = Slot("AppArmor's exec attribute"), Slot("SELinux's exec attribute")


def wanted(spec: Spec) -> list[tuple[Slot, str, str]]:
    """(slot, file of /proc/self/attr, what to write there), for each label that is asked for."""
    process = spec["process"]
    asked = []
    if process.get("apparmorProfile"):
        asked.append((_APPARMOR, "apparmor/exec", f"exec {process['apparmorProfile']}"))
    if process.get("selinuxLabel"):
        asked.append((_SELINUX, "exec", process["selinuxLabel"]))
    return asked


def _field(spec: Spec) -> str:
    return "process.apparmorProfile" if spec["process"].get("apparmorProfile") else "process.selinuxLabel"


def slots(spec: Spec) -> tuple[Slot, ...]:
    """The descriptors that :func:`open_attributes` opens and :func:`apply` needs."""
    return tuple(slot for slot, _, _ in wanted(spec))


def open_attributes(spec: Spec) -> tuple[Step, ...]:
    """While /proc is the host's: through a descriptor, nothing mounted by the container can stand in for the file."""
    asked = wanted(spec)
    if not asked:
        return ()
    return (
        Step(
            "Open where labels are written",
            "In the container something else may be mounted at that place",
            INIT,
            tuple(calls.openat(k.AT_FDCWD, f"/proc/self/attr/{file}", k.O_WRONLY, out=slot) for slot, file, _ in asked),
            "proc_pid_attr(5)",
            field=_field(spec),
        ),
    )


def apply(spec: Spec) -> tuple[Step, ...]:
    """What the kernel is to do at the execve."""
    asked = wanted(spec)
    if not asked:
        return ()
    return (
        Step(
            "Label the program",
            "A security module decides by this label, and it changes at execve",
            INIT,
            tuple(calls.write(slot, text) for slot, _, text in asked),
            "proc_pid_attr(5)",
            Proof("/proc/{pid}/attr/exec"),
            field=_field(spec),
        ),
    )
