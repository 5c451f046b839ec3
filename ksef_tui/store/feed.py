"""The change feed: triggers that number every change of a table, so that screens read only what is new."""

from __future__ import annotations


def feed(table: str) -> list[str]:
    """The triggers that put a table's rows into the change feed."""
    stamp = (
        "UPDATE change_counter SET seq = seq + 1; "
        f"UPDATE {table} SET change_seq = (SELECT seq FROM change_counter) WHERE rowid = NEW.rowid;"
    )
    return [
        f"CREATE TRIGGER {table}_inserted AFTER INSERT ON {table} BEGIN {stamp} END",
        f"CREATE TRIGGER {table}_updated AFTER UPDATE ON {table} WHEN NEW.change_seq = OLD.change_seq BEGIN {stamp} END",
    ]
