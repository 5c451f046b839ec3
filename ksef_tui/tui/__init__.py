"""The screen. Reads through services, never the network."""
