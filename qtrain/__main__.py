"""Where the command `qtrain`, or `python -m qtrain`, begins: Ctrl-C is heeded before anything that takes time."""

from qtheory.command.extras import missing_extra_in_one_line
from qtheory.command.interrupts import leave_at_once


def main() -> None:
    """Run the command."""
    leave_at_once("qtrain")
    with missing_extra_in_one_line("qtrain"):
        from qtrain.cli import main as command

    try:
        command()
    finally:
        # What is left is the interpreter's own end.
        leave_at_once("qtrain")


if __name__ == "__main__":
    main()
