"""``pyc pause`` and ``pyc unpause``."""

from pycontainer.cli.verbs import for_several
from pycontainer.engine import pause

command = for_several("pause", "Let every process of containers stand still.", pause.pause)
unpause = for_several("unpause", "Let paused containers go on.", pause.unpause)
