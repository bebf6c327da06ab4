"""One module, one kernel concept, as steps; ``container.py`` is the page that orders them."""

# To read it, begin with `container`, the page, and go on in the order of its sections:
#
#   two processes       namespaces, users, terminal (pipes and pty), monitor, limits, slots (names of descriptors)
#   the filesystem      root, layers, mounts, devices, sysctls, shared_memory, masks
#   what it may do      identity, labels, scheduling, seccomp, seccomp_compiler, seccomp_ranges
#   its network         network
#   execve              program
#
# `enter` is the page of a second process (exec); `criu` makes a container from a checkpoint; `host` asks what a plan
# depends on.
