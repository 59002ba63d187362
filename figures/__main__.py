"""Entry point of `python -m figures`; it handles Ctrl-C before the slow imports begin."""

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
        # Only the interpreter's shutdown remains.
        leave_at_once("figures")


if __name__ == "__main__":
    main()
