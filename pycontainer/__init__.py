"""pycontainer: a container engine for one Linux host, without a daemon.

Importing the package costs nothing; the verbs live in :mod:`pycontainer.engine`.
"""

__version__ = "0.1.0"
