"""The descriptors that steps of different modules share, by name.

The first group is handed over when the performer starts; the others are opened by the plan.
"""

from pycontainer.core.step import Slot

# both ends of the handshake between the monitor and init
MONITOR_END = Slot("monitor's end")
INIT_END = Slot("init's end")
# the container's ends of its stdio, and the monitor's
STDIN, STDOUT, STDERR = Slot("stdin"), Slot("stdout"), Slot("stderr")
TO_STDIN, FROM_STDOUT, FROM_STDERR = Slot("to stdin"), Slot("from stdout"), Slot("from stderr")
CLIENT = Slot("client")
LIFE = Slot("life")
LISTENER = Slot("door")
LOG, LOG_DIRECTORY = Slot("log"), Slot("log's directory")
LOCK = Slot("lock")  # held by the monitor as long as it lives
# a container that is held until `start`: where its terminal goes, and where its first process is told to go on
CONSOLE = Slot("console socket")
START = Slot("start socket")

CONTAINER = Slot("container")  # a pidfd of its first process, for those who join it
INSIDE = Slot("its root")  # what that process has as /: another one than its mount namespace has, after a chroot
CALLER = Slot("caller")  # a pidfd of the pyc that started the performer
USERS = Slot("users")  # a user namespace with the same maps as the container's, for id-mapped mounts

INIT_PID = Slot("init's pid")
INIT_PIDFD = Slot("init's pidfd")
ROOT = Slot("new root")
DEV = Slot("new /dev")
PROC = Slot("new /proc")
PTS = Slot("devpts")
MASTER = Slot("pty master")
TTY = Slot("tty")
