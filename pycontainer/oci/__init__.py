"""The OCI runtime-spec as typed data, and how an image and options become one."""

# From an image and options to a spec, for `pyc`:
#
#   options       what may be asked of a container; `grammar` reads the values of flags
#   build         the spec: spec (its types), resources, security, sysctl, user, exec_process; filters are in `profiles`
#   instructions  lines of a Dockerfile (--change), dockerfile_words
#
# `pyc-oci`, the runtime that other engines call:
#
#   its commands  front, words, operations, beyond (what runc has besides), log, failures, example, features
#   config.json   shape (is it one?), fields (can it be done?), fates (the table in docs/runtime-spec.md)
#   create        create, asked (by options), bundle (by config.json), caller, cgroup, users, granted, places (where
#                 its paths lead), tmpfs, variables, executable, outside, hooks, listener, state
#   afterwards    start, control, inside (exec), foreground, update, stats, checkpoint
