"""SQLite: migrations, one file for each kind of thing, the change feed."""
