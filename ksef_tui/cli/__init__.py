"""The command line: thin, each command a few lines over the same functions that the screens call (contract.md)."""
