"""Build recipe of ``pycontainer.core._core``, the cffi binding (API mode: the compiler checks every prototype)."""

import re
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).parent

# Every system call that a plan may name. The numbers come from the compiler, so they are right on each architecture.
SYSCALLS = re.findall(r'\bCall\(\s*"(\w+)"', (HERE / "calls.py").read_text())
OWN = {"supervise", "reap"}

ffibuilder = FFI()
ffibuilder.cdef(
    "".join(f"#define SYS_{name} ...\n" for name in sorted(set(SYSCALLS) - OWN))
    + """
    static int pyc_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
    static int pyc_pidfd_send_signal(int pidfd, int signal);
    static int pyc_socketpair(int kind, int *ends);
    static int pyc_listen(const char *path);
    static int pyc_connect(const char *path);
    static int pyc_fsopen(const char *type);
    static int pyc_fsconfig(int fs, unsigned command, const char *key, const char *value);
    static int pyc_fsmount(int fs, unsigned attributes);
    static int pyc_make_files_as(unsigned id);
    static int pyc_spawn(int executable, const int *descriptors, int n_descriptors, char **argv, int cgroup,
                         int *pidfd);
    """
)
ffibuilder.set_source("pycontainer.core._core", (HERE / "core.c").read_text(), extra_compile_args=["-O2"])
