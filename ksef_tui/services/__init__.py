"""What the program does: one file for each use case, and the long-running worker."""
