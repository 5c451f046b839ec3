"""All commands together."""

from ksef_tui.cli import authorisation, clients, invoices, office, worker
from ksef_tui.cli.shared import program

__all__ = ["authorisation", "clients", "invoices", "office", "program", "worker"]
