"""The click front: flags in, output out, no decisions about containers."""
