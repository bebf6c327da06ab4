"""A name becomes verified layers on disk: reference, registry, manifest, store, layer."""
