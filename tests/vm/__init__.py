"""A real VM with systemd and cgroup v2, from Debian's packages: ``make test-vm``."""
