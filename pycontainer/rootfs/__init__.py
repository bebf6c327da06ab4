"""Layers on disk become one root filesystem; volumes."""
