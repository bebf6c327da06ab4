"""The C core and its bindings: the performer, and the vocabulary of calls it performs."""

# In C: performer.c carries out a plan, monitor.c stays with a container, init.c is number 1 under --init.
#
#   a plan          step (what one is), calls (every call that it may have), constants, capabilities
#   performed       wire (as bytes), performer (start it and follow it)
#   system calls    kernel (those that Python lacks); build_core and build_seccomp compile the bindings
#   beside          directories (private ones), failpoint (for tests)
