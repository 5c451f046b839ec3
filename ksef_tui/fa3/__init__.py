"""The invoice document FA(3): read, check, explain, build."""
