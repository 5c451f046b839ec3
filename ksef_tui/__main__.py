"""`python -m ksef_tui` and the console script."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    from ksef_tui.cli.shared import program
    from ksef_tui.vault.process import leave_no_core

    leave_no_core()
    program()


if __name__ == "__main__":
    main()
