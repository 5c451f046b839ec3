"""Texts about many clients at once: how a run stands and ended, what a list from KSeF would change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ksef_tui.domain.authorizations import AUTH_BADGES, AuthState
from ksef_tui.domain.text import count_of
from ksef_tui.tui.present import Line, Look, Span, clean, cut, fit, moment, wrap

if TYPE_CHECKING:
    from ksef_tui.services.bulk import Begun, Member, Progress
    from ksef_tui.services.syncing import SyncPreview, SyncResult

_OTHER_WORDS = {"refused": ("odmowa", "bad"), "stopped": ("nie sprawdzono", "wait")}
NAME = 30  # cells of a client's name in lists


def clients(count: int) -> str:
    """`1 klient`, `2 klientów` – as what something is done to."""
    return "1 klienta" if count == 1 else f"{count} klientów"


def begun(verb: str, runs: Sequence[Begun]) -> str:
    """What has been set going, and who was passed over."""
    added = sum(one.added for one in runs)
    said = [f"{verb} {clients(added)}. F5 pokazuje przebieg, b przerywa."] if added else ["Nie ma czego robić."]
    if any(one.joined for one in runs):
        said.append("To samo już trwało, więc idzie wspólnie.")
    said += [f"Pominięto {n}: {reason}." for one in runs for reason, n in one.skipped.items()]
    return " ".join(said)


def stopped(left: int) -> str:
    """What a stop came to: how many clients are not asked any more."""
    return (
        f"Przerwano. Nie ruszono {clients(left)}."
        if left
        else "Za późno: wszyscy byli już zapytani, KSeF zaraz odpowie."
    )


def ended(run: Progress) -> str:
    """How a run ended, for a notice: counts by result."""
    said = [run.sentence[:1].upper() + run.sentence[1:] + "."]
    found = ", ".join(f"{word}: {n}" for word, _, n in _outcomes(run))
    said += [found + "."] if found else []
    return " ".join([*said, "F5 pokazuje, kto wymaga uwagi."] if run.attention else said)


def _outcomes(run: Progress) -> list[tuple[str, str, int]]:
    """(word, tone, how many), in the order of the badges."""
    order = [*(state.value for state in AuthState), *_OTHER_WORDS]
    found = []
    for code in sorted(run.outcomes, key=order.index):
        if code in _OTHER_WORDS:
            word, tone = _OTHER_WORDS[code]
        else:
            badge = AUTH_BADGES[AuthState(code)]
            word, tone = badge.label, badge.tone
        found.append((word, tone, run.outcomes[code]))
    return found


def run(look: Look, stands: Progress, members: Sequence[Member], width: int) -> list[Line]:
    """How a run stands: counts, then those who need a person, each with its sentence."""
    with_what = f" · profil {clean(stands.identity)}" if stands.identity else ""
    lines: list[Line] = [
        cut(((f"{stands.noun} · {clean(stands.who)} · {moment(stands.begun_at)}{with_what}", "dim"),), width),
        (),
        ((stands.sentence, "strong"),),
        _bar(look, stands, min(width, 60)),
        (),
    ]
    for word, tone, n in _outcomes(stands):
        lines.append(((f"{n:>6}  ", "text"), (word, tone)))
    if stands.skipped:
        lines.append(((f"{stands.skipped:>6}  ", "text"), ("pominięto: autoryzacja już działa", "dim")))
    if members:
        lines += [(), (("Wymagają uwagi", "strong"),)]
    for one in members:
        lines += _needs(one, width)
    return lines


def _bar(look: Look, stands: Progress, width: int) -> Line:
    full = width * stands.done // stands.total if stands.total else width
    done, left = ("#", "-") if look.ascii else ("━", "─")
    return ((done * full, "good"), (left * (width - full), "frame"))


def _needs(one: Member, width: int) -> list[Line]:
    name, reason = clean(one.name), clean(one.reason)
    reason = reason.removeprefix(f"{name}: ")
    first, *more = wrap(reason, max(20, width - NAME - 3))
    lines: list[Line] = [((f" {fit(name, NAME)}  ", "text"), (first, "dim"))]
    return lines + [((" " * (NAME + 3), "text"), (line, "dim")) for line in more]


# The list from KSeF -------------------------------------------------------------------------------------------------


def preview(found: SyncPreview, width: int) -> list[Line]:
    """What the list would change: new clients, badges, and those whose service has ended."""
    granted = count_of(found.received, "klient", "klientów", "klientów")
    lines: list[Line] = [((f"Uprawnienia nadało biuru: {granted}.", "text"),)]
    if not found.received:
        lines += [((text, "dim"),) for text in wrap("Pusta odpowiedź KSeF niczego nie zmienia.", width)]
    elif not (found.to_add or found.changes):
        lines.append((("Lista biura zgadza się z KSeF – nie ma czego zmieniać.", "good"),))
    if found.to_add:
        why = "KSeF nie podaje nazw firm: obok NIP stoi opis, który klient wpisał, nadając uprawnienia."
        lines += [(), ((f"Nowi: {len(found.to_add)}", "strong"),), *(((t, "dim"),) for t in wrap(why, width))]
    for new in found.to_add:
        spans: list[Span] = [(f" + {clean(new.nip)}  ", "good"), (fit(new.words, 7), "text")]
        lines.append(cut((*spans, (clean(new.description), "dim")), width))
    if found.changes:
        lines += [(), ((f"Zmiany: {len(found.changes)}", "strong"),)]
    lines += [cut(((" ~ ", "wait"), (clean(one.sentence), "text")), width) for one in found.changes]
    if found.archived:
        lines += [(), (("Obsługa zakończona, a uprawnienia są", "strong"),)]
    lines += [((" ! ", "wait"), (clean(nip), "text")) for nip in found.archived]
    return lines


def synced(done: SyncResult) -> str:
    """What was done, for a notice."""
    said = [f"Dodano: {len(done.added)}."] if done.added else []
    if done.noted:
        said.append(f"Zapisano nowe uprawnienia: {len(done.noted)}.")
    asked = sum(one.added for one in done.runs)
    if asked:
        said.append(f"Program pyta teraz KSeF o {clients(asked)}; F5 pokazuje przebieg.")
    return " ".join(said) or "Nic się nie zmieniło: ktoś zrobił to wcześniej."
