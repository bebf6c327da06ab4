"""The system calls of Linux by subject, and which of them a container does not get.

What is allowed is what docker allows, so that images run. A call that is in neither table is newer than
this file, and gets ENOSYS: libc and programs know that answer and fall back.

Names are those of all architectures together: a filter leaves out what an architecture lacks.
Sources: syscalls(2), the manual page of each call, the kernel's ``syscall*.tbl``.
"""

from __future__ import annotations

from pycontainer.record import Record

EPERM, ENOSYS = 1, 38


class Denied(Record):
    """Calls that get ``errno``, unless the container has one of the capabilities ``unless``."""

    subject: str
    why: str
    names: str
    unless: str = ""
    errno: int = EPERM


ALLOWED: dict[str, str] = {
    "read and write": """read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek _llseek
        sendfile sendfile64 splice tee vmsplice copy_file_range readahead""",
    "open and close files": """open openat openat2 creat close close_range dup dup2 dup3 pipe pipe2 fcntl fcntl64 flock
        memfd_create memfd_secret name_to_handle_at""",
    "the state of files": """stat stat64 lstat lstat64 fstat fstat64 newfstatat fstatat64 statx statfs statfs64
        fstatfs fstatfs64
        access faccessat faccessat2 readlink readlinkat getdents getdents64 statmount listmount cachestat
        getxattr lgetxattr fgetxattr getxattrat listxattr llistxattr flistxattr listxattrat""",
    "change files": """truncate truncate64 ftruncate ftruncate64 fallocate fadvise64 fadvise64_64 arm_fadvise64_64 umask
        chmod fchmod fchmodat fchmodat2 chown chown32 fchown fchown32 lchown lchown32 fchownat
        utime utimes utimensat utimensat_time64 futimesat
        setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat
        sync fsync fdatasync syncfs sync_file_range sync_file_range2 arm_sync_file_range""",
    "directories and names": """getcwd chdir fchdir mkdir mkdirat rmdir link linkat symlink symlinkat unlink unlinkat
        rename renameat renameat2 mknod mknodat
        inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_mark""",
    "wait for many files": """select _newselect pselect6 pselect6_time64 poll ppoll ppoll_time64 epoll_create
        epoll_create1 epoll_ctl
        epoll_ctl_old epoll_wait epoll_wait_old epoll_pwait epoll_pwait2 eventfd eventfd2 signalfd signalfd4
        io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents io_pgetevents_time64""",
    "memory": """brk mmap mmap2 munmap mremap mprotect madvise mincore msync mseal remap_file_pages membarrier
        mlock mlock2 mlockall munlock munlockall pkey_alloc pkey_free pkey_mprotect map_shadow_stack""",
    "processes and threads": """fork vfork execve execveat exit exit_group wait4 waitid waitpid getpid getppid gettid
        getpgid getpgrp setpgid getsid setsid set_tid_address set_thread_area get_thread_area arch_prctl
        prctl modify_ldt rseq set_robust_list get_robust_list pidfd_open pidfd_send_signal process_mrelease
        restart_syscall set_tls cacheflush breakpoint swapcontext uretprobe riscv_flush_icache riscv_hwprobe""",
    # Debuggers and profilers need these, and the kernel checks each use against the target's credentials.
    "look into one's own processes": "ptrace process_vm_readv process_vm_writev",
    "signals": """kill tkill tgkill rt_sigaction rt_sigprocmask rt_sigpending rt_sigsuspend rt_sigreturn rt_sigqueueinfo
        rt_tgsigqueueinfo rt_sigtimedwait rt_sigtimedwait_time64 sigaltstack sigprocmask sigreturn pause""",
    "locks between threads": "futex futex_time64 futex_waitv futex_wait futex_wake futex_requeue",
    "scheduling": """sched_yield sched_getaffinity sched_setaffinity sched_getattr sched_setattr sched_getparam
        sched_setparam
        sched_getscheduler sched_setscheduler sched_get_priority_max sched_get_priority_min
        sched_rr_get_interval sched_rr_get_interval_time64 getpriority setpriority ioprio_get ioprio_set getcpu""",
    "limits and accounts": "getrlimit ugetrlimit setrlimit prlimit64 getrusage times sysinfo uname",
    "identity": """getuid getuid32 geteuid geteuid32 getgid getgid32 getegid getegid32 getresuid getresuid32 getresgid
        getresgid32 getgroups getgroups32 setuid setuid32 setgid setgid32 setreuid setreuid32 setregid setregid32
        setresuid setresuid32 setresgid setresgid32 setfsuid setfsuid32 setfsgid setfsgid32 setgroups setgroups32
        capget capset""",
    "lock oneself in further": "seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self",
    "time": """time gettimeofday clock_gettime clock_gettime64 clock_getres clock_getres_time64 clock_nanosleep
        clock_nanosleep_time64 nanosleep alarm getitimer setitimer adjtimex clock_adjtime clock_adjtime64
        timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64
        timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 getrandom""",
    # socketcall is how 32-bit x86 makes every socket call; its arguments are out of a filter's sight.
    "use sockets": """bind connect listen accept accept4 shutdown getsockname getpeername getsockopt socketcall
        send sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg recvmmsg_time64""",
    "System V and POSIX IPC": """ipc shmget shmat shmdt shmctl semget semop semctl semtimedop semtimedop_time64
        msgget msgsnd msgrcv msgctl
        mq_open mq_unlink mq_notify mq_getsetattr mq_timedsend mq_timedsend_time64 mq_timedreceive
        mq_timedreceive_time64""",
}
"""Calls anybody may make, by subject."""

DENIED = (
    Denied(
        "mounts",
        "every file system's parser and the mount API itself are attack surface; a mount also undoes masked paths",
        """mount umount umount2 mount_setattr move_mount open_tree open_tree_attr fsopen fsconfig fsmount fspick""",
        unless="CAP_SYS_ADMIN",
    ),
    Denied(
        "new namespaces",
        "a user namespace hands out all capabilities over its own network and mounts: where kernel escapes begin",
        "unshare setns",
        unless="CAP_SYS_ADMIN",
    ),
    Denied(
        "clone3",
        "its flags are in memory, out of a filter's sight; libc falls back to clone, whose flags are checked",
        "clone3",
        unless="CAP_SYS_ADMIN",
        errno=ENOSYS,
    ),
    Denied("pivot_root", "only an engine changes its root, and has done so already", "pivot_root"),
    Denied("chroot", "the classic way out of a chroot", "chroot", unless="CAP_SYS_CHROOT"),
    Denied(
        "files by handle",
        "a handle reaches any file of the file system, in the container or not (Shocker, 2014)",
        "open_by_handle_at",
        unless="CAP_DAC_READ_SEARCH",
    ),
    Denied(
        "io_uring",
        "does I/O past this filter, and had a root exploit almost every year; programs fall back to epoll",
        "io_uring_setup io_uring_enter io_uring_register",
    ),
    Denied("userfaultfd", "stops the kernel in the middle of a copy, which makes races easy to win", "userfaultfd"),
    Denied(
        "BPF",
        "its verifier has been fooled often, and a program sees the whole kernel",
        "bpf",
        unless="CAP_BPF CAP_SYS_ADMIN",
    ),
    Denied(
        "perf",
        "a large interface into the CPU, and a side channel to other processes",
        "perf_event_open",
        unless="CAP_PERFMON CAP_SYS_ADMIN",
    ),
    Denied(
        "keys",
        "key rings are not divided into namespaces: keys of others are within reach",
        "add_key keyctl request_key",
    ),
    Denied(
        "other processes' insides",
        "compare kernel addresses, take descriptors, and steer memory of processes",
        "kcmp pidfd_getfd process_madvise",
        unless="CAP_SYS_PTRACE",
    ),
    Denied(
        "memory placement",
        "pins memory to nodes, and moves that of other processes",
        "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
        unless="CAP_SYS_NICE",
    ),
    Denied("move pages", "moves pages, and tells how other processes share them", "migrate_pages move_pages"),
    Denied("watch whole file systems", "sees every access, and can block it", "fanotify_init", unless="CAP_SYS_ADMIN"),
    Denied(
        "host and domain name",
        "are set by the engine before the program starts",
        "sethostname setdomainname",
        unless="CAP_SYS_ADMIN",
    ),
    Denied("kernel log", "shows addresses and other containers' troubles", "syslog", unless="CAP_SYSLOG CAP_SYS_ADMIN"),
    Denied("quotas", "are the file system's, not the container's", "quotactl quotactl_fd", unless="CAP_SYS_ADMIN"),
    Denied("kernel profiling", "obsolete, and a way to name dentries", "lookup_dcookie", unless="CAP_SYS_ADMIN"),
    Denied(
        "security modules",
        "labels are the engine's to set; libraries fall back to /proc",
        "lsm_get_self_attr lsm_set_self_attr lsm_list_modules",
        unless="CAP_SYS_ADMIN",
        errno=ENOSYS,
    ),
    Denied(
        "kernel modules",
        "code in the kernel",
        "init_module finit_module delete_module",
        unless="CAP_SYS_MODULE",
    ),
    Denied("another kernel", "replaces the running kernel", "kexec_load kexec_file_load"),
    Denied("reboot", "the machine is not the container's", "reboot", unless="CAP_SYS_BOOT"),
    Denied("swap", "is the machine's", "swapon swapoff"),
    Denied("process accounting", "writes a record for every process of the machine", "acct", unless="CAP_SYS_PACCT"),
    Denied("ports", "hardware", "ioperm iopl", unless="CAP_SYS_RAWIO"),
    Denied(
        "set the clock",
        "time is the machine's",
        "settimeofday stime clock_settime clock_settime64",
        unless="CAP_SYS_TIME",
    ),
    Denied("hang up a terminal", "takes a terminal from whoever uses it", "vhangup", unless="CAP_SYS_TTY_CONFIG"),
    Denied(
        "what nobody uses any more",
        "code without users is code without testers",
        """_sysctl afs_syscall bdflush break create_module ftime get_kernel_syms getpmsg gtty idle lock mpx nfsservctl
        nice oldfstat oldlstat oldolduname oldstat olduname prof profil putpmsg query_module readdir security sgetmask
        sigaction signal sigpending sigsuspend ssetmask stty sysfs tuxcall ulimit uselib ustat vm86 vm86old vserver""",
    ),
)
