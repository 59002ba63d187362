"""Where `python -m figures` begins: Ctrl-C is heeded before anything that takes time is imported."""

from qtheory.command.extras import missing_extra_in_one_line
from qtheory.command.interrupts import leave_at_once


def main() -> None:
    """Run the command."""
    leave_at_once("figures")
    with missing_extra_in_one_line("figures"):
        from figures.cli import main as command

    try:
        command()
    finally:
        # What is left is the interpreter's own end.
        leave_at_once("figures")


if __name__ == "__main__":
    main()
