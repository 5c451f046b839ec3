"""A KSeF on this machine: a real HTTP server that checks what KSeF checks."""
