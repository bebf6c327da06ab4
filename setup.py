"""Build the C core: the performer, a static program, and the cffi binding. Everything else is in pyproject.toml."""

import os
import shlex
import sys
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build_ext import build_ext

CORE = Path("pycontainer/core")
MODULES = Path(f"pycontainer/modules.{sys.implementation.cache_tag}")
SOURCES = [CORE / name for name in ("performer.c", "monitor.c", "init.c")]
FLAGS = shlex.split(
    "-std=c11 -O2 -Wall -Wextra -Werror -ffreestanding -nostdlib -static -fno-pie -no-pie"
    " -fno-stack-protector -fno-asynchronous-unwind-tables -Wl,--build-id=none,-z,noseparate-code,-z,noexecstack -s"
)


class BuildCore(build_ext):
    """Compile the performer beside the extension modules and ship it as a file of the package.

    With it goes an empty file for pycontainer/modules.py, so that who uninstalls the package removes it.
    """

    def run(self) -> None:
        super().run()
        target = CORE if self.inplace else Path(self.build_lib) / CORE
        target.mkdir(parents=True, exist_ok=True)
        compiler = shlex.split(os.environ.get("CC", "cc"))
        self.spawn([*compiler, *FLAGS, "-o", str(target / "performer"), *map(str, SOURCES)])
        if not self.inplace:
            (Path(self.build_lib) / MODULES).touch()

    def get_outputs(self) -> list[str]:
        return [*super().get_outputs(), *(str(Path(self.build_lib) / path) for path in (CORE / "performer", MODULES))]


class BinaryDistribution(Distribution):
    """The wheel is for one platform, whatever setuptools thinks of an executable."""

    def has_ext_modules(self) -> bool:
        return True


setup(
    distclass=BinaryDistribution,
    cmdclass={"build_ext": BuildCore},
    cffi_modules=["pycontainer/core/build_core.py:ffibuilder"]
    + (["pycontainer/core/build_seccomp.py:ffibuilder"] if (CORE / "build_seccomp.py").exists() else []),
)
