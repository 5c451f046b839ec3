"""Certificates in words: what kinds there are, how far an order has come, why one is revoked (design §2, §7)."""

from __future__ import annotations

KINDS = {"ksef": "certyfikat KSeF", "seal": "pieczęć firmy", "person": "podpis osoby", "": "certyfikat"}

# The states of an order in the order in which they pass; the first five are under way.
ORDER_WORDS = {
    "asked": "sprawdzam limity",
    "ready": "klucz gotowy, wniosek do wysłania",
    "sending": "wniosek wysłany, czekamy na odpowiedź KSeF",
    "waiting": "KSeF wystawia certyfikat",
    "issued": "odbieram certyfikat",
    "done": "gotowy",
    "failed": "nieudany",
}
UNDER_WAY = tuple(ORDER_WORDS)[:5]

REVOCATION_WORDS = {
    "KeyCompromise": "klucz mógł trafić w obce ręce",
    "Superseded": "zastąpił go inny certyfikat",
    "Unspecified": "bez podawania powodu",
}
