"""Writes down, for each statement that begins a change, what its connection promises at that moment."""

import json
import os
import sqlite3

_connect = sqlite3.connect
_CHANGES = ("BEGIN IMMEDIATE", "BEGIN EXCLUSIVE", "INSERT", "UPDATE", "DELETE", "REPLACE", "CREATE", "ALTER", "DROP")


class Watched(sqlite3.Connection):
    """Looks at itself before it changes anything; inside a transaction its beginning has told already."""

    def _look(self, sql):
        if self.in_transaction or not sql.lstrip().upper().startswith(_CHANGES):
            return
        ask = lambda name: super(Watched, self).execute(f"PRAGMA {name}").fetchone()[0]  # noqa: E731
        files = super().execute("SELECT file FROM pragma_database_list WHERE name = 'main'").fetchone()
        row = {name: ask(name) for name in ("synchronous", "foreign_keys", "journal_mode")}
        with open(os.environ["WATCHED_LOG"], "a") as log:  # noqa: PTH123
            log.write(json.dumps({"file": files[0], "sql": sql[:60], **row}) + "\n")

    def execute(self, sql, *args):
        self._look(sql)
        return super().execute(sql, *args)

    def executemany(self, sql, *args):
        self._look(sql)
        return super().executemany(sql, *args)

    def executescript(self, sql):
        self._look(sql)
        return super().executescript(sql)


def connect(*args, **options):
    return _connect(*args, **{**options, "factory": Watched})


if "WATCHED_LOG" in os.environ:
    sqlite3.connect = connect
