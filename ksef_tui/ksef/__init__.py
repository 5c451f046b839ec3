"""The KSeF protocol on the wire. Knows no office."""
