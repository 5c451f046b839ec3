"""The torture: everything at once, and at the end every invoice in its one right state (design §6, §11)."""
