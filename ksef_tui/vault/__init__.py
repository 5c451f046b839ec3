"""Secrets: the data key behind keyring, and sealed columns."""
