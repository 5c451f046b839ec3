"""Dialogs: each returns a value and changes nothing itself; Escape is always the safe answer."""
