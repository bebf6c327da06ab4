"""Layers on disk become one root filesystem; volumes."""

# `overlay` says what a root is made of, `links` where a path in it leads. Others look at it from outside: `view`
# (without mounting), `detached` (mounted, but nowhere), `live` (of a container that runs), `inside` (the way in),
# `copyup` (the first content of a volume).
