"""The OCI runtime-spec as typed data, and how an image and options become one."""
