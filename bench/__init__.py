"""pycontainer measured beside what a user would pick instead: ``make bench``, or ``python -m bench``.

A section is a module whose ``measure(stage, rounds)`` yields tables: `starts`, `runtime`, `listing`, `crowd`,
`traffic`, `pull`, `images`, `growth` and `trace`. `measure` lets contestants take turns and has the arithmetic, `peers`
opens the engines, `stage` is where it all happens. `bars` says what is to be reached; `report` and `plot` show it.

Beside that: `security` counts what a container's root can reach, `vm_vs_container` does the same job in both.
"""
