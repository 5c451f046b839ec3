"""ksef-tui: an accounting office authorises its clients in KSeF and sends their invoices."""
