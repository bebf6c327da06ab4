"""Docker's little languages: what the values of flags may look like, and what they mean.

One parser per language. Each takes the text that the user typed and returns a number, a string or one of the small
records beside it; each raises :class:`UsageError` (it makes no sense) or :class:`Unsupported` (docker has it, we don't
yet). Nothing here looks at the host, except those of ``variables`` that read a file the user named. A flag's language
is loaded when the flag is there, and ``re`` when a pattern is first used: every start would pay 4 ms for them.
"""
