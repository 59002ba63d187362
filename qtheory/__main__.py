"""`python -m qtheory` is the command `qtheory`."""

from qtheory.cli import main

main()
