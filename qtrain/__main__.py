"""`python -m qtrain` is the command `qtrain`."""

from qtrain.cli import main

main()
