"""cgroup v1 and v2 behind one small interface that returns steps."""
