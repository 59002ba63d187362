"""Shared by the commands `qtrain`, `qtheory` and `python -m figures`.

`run` runs a command line and ends the process, `interrupts` handles Ctrl-C, `extras` reports missing extras, `console`
prints, `options` parses whole numbers, `names` suggests valid names, `files` writes files atomically.
"""
