"""What an accounting office knows and decides. Pure Python: no SQL, no HTTP, no screen, no clock."""
