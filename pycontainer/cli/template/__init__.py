"""The part of Go's text/template that people use in ``--format``: https://pkg.go.dev/text/template

Fields, variables, pipelines, parentheses, ``if``/``else if``/``else``, ``range``, ``with``, comments, trim markers, the
functions of Go and those that docker adds. The data is plain: dicts, lists, strings, numbers, and callables for methods
such as ``{{.Label "x"}}``. Nothing in a template can reach Python: there is no attribute lookup and no eval.
"""

from __future__ import annotations

from pycontainer.cli.template.blocks import Template
from pycontainer.cli.template.values import TemplateError

__all__ = ["Template", "TemplateError"]
