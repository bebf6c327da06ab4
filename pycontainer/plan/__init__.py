"""One module, one kernel concept, as steps; ``container.py`` is the page that orders them."""
