"""`python -m figures`."""

from figures.cli import main

main()
