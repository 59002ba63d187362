"""Shared by the commands `qtrain`, `qtheory` and `python -m figures`: how they end, print, and read whole numbers."""
