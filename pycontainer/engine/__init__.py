"""What each verb does, in order, one page per verb."""

# To read it, begin with `run`, and follow a container's life:
#
#   it is asked for     options, settings (the administrator's), privilege, preview (--dry-run)
#   it is made          revive (create, start once more), create, bundle, identity (names), facts (of the host), recall
#     its files         filesystem, mounts, volumes, idmap, propagation, files (hosts, hostname, resolv.conf)
#     whose it is       users, host_ids, sharing (namespaces of another container)
#   it begins           start, planned; where that fails: diagnose, refusal
#   somebody is there   foreground, attachment, attach, keys (to leave), capture (for Python programs), logs, output
#   it runs             life, process, exec, stats, top, update, pause, copy, diff, export, rename, health, checkup
#   it ends             stop, ended, policy (restarts), guard, restart, callback (what a monitor calls)
#   it is removed       rm, removal, trash, prune
#   it is looked at     containers, inspect, host_config, events (written), event_reader, moments, notes
#   the whole host      info, disk_usage, check, repair (after a kill), runroot, boot
#
# What is done with images is in `image`, with networks in `network`.
