"""Where the command `qtheory`, or `python -m qtheory`, begins: Ctrl-C is heeded before anything that takes time."""

from qtheory.command.extras import missing_extra_in_one_line
from qtheory.command.interrupts import leave_at_once


def main() -> None:
    """Run the command."""
    leave_at_once("qtheory")
    with missing_extra_in_one_line("qtheory"):
        from qtheory.cli import main as command

    try:
        command()
    finally:
        # What is left is the interpreter's own end.
        leave_at_once("qtheory")


if __name__ == "__main__":
    main()
