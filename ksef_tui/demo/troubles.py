"""The menu of troubles: what goes wrong with KSeF in practice, switched on and off by a person (F9)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ksef_tui.demo.ministry import Switches
from ksef_tui.demo.queue import SENDING_PATH
from ksef_tui.domain.problems import Problem

if TYPE_CHECKING:
    from ksef_tui.tui.app import Trouble

SESSIONS = r"^/v2/sessions"


@dataclass(frozen=True, slots=True)
class MenuLine:
    """A line of the menu. `fault` and `more` are what the sandbox is told; `once`: it happens at once and is over."""

    id: str
    label: str
    help: str
    fault: str
    more: Mapping[str, Any] = field(default_factory=dict)
    once: bool = False
    on: bool = False


TROUBLES = (
    MenuLine("outage", "awaria KSeF", "na wszystko odpowiada 503", "outage"),
    MenuLine(
        "lost_answer", "zgubiona odpowiedź", "co druga wysyłka bez odpowiedzi", "lost_answer",
        {"probability": 0.5, "match": {"method": "POST", "path": SENDING_PATH}},
    ),
    MenuLine(
        "slow", "wolne przetwarzanie", "każda faktura trwa 20 s dłużej", "slow",
        {"match": {"method": "POST", "path": SENDING_PATH}, "params": {"ms": 20_000}},
    ),
    MenuLine(
        "rate_limited", "limit zapytań (429)", "KSeF każe czekać 15 s", "rate_limited",
        {"match": {"path": SESSIONS}, "params": {"retry_after": 15}},
    ),
    MenuLine("key_rotation", "nowy klucz MF", "stary przestaje działać", "key_rotation", once=True),
    MenuLine("upo_html", "brak UPO (strona HTML)", "zamiast UPO przychodzi strona", "upo_html"),
    MenuLine("waf_403", "zapora 403", "zapora odrzuca zapytania", "waf_403", {"match": {"path": SESSIONS}}),
)  # fmt: skip


class Menu:
    """The troubles of one sandbox. Which are on is the sandbox's knowledge, so all who have joined see the same."""

    def __init__(self, switches: Switches) -> None:
        self._switches = switches
        self._on: frozenset[str] = frozenset()

    def troubles(self) -> list[Trouble]:
        """The menu as last seen; `look` keeps it fresh."""
        return [
            replace(t, on=t.id in self._on)
            for t in TROUBLES
        ]  # fmt: skip

    def look(self) -> list[dict[str, Any]]:
        """Ask the sandbox what is on; all its faults. Raises httpx.HTTPError."""
        faults = self._switches.faults()
        self._on = frozenset(str(f["params"].get("trouble", "")) for f in faults)
        return faults

    async def switch(self, trouble_id: str) -> None:
        """Switch a trouble on, or off when it is on. Raises Problem when the sandbox does not answer."""
        await asyncio.to_thread(self._switch, trouble_id)

    def _switch(self, trouble_id: str) -> None:
        import httpx

        trouble = next(t for t in TROUBLES if t.id == trouble_id)
        try:
            faults = self.look()
            if trouble_id not in self._on:
                params = {**trouble.more.get("params", {}), "trouble": trouble_id}
                self._switches.put(trouble.fault, **{**trouble.more, "params": params})
            else:
                self._switches.calm()
                for fault in faults:
                    if fault["params"].get("trouble") != trouble_id:
                        self._switches.put(
                            fault["fault"], **{k: fault[k] for k in ("times", "probability", "match", "params")}
                        )
            self.look()
        except httpx.HTTPError as error:
            raise Problem(
                "no_sandbox", "Piaskownica nie odpowiada – zamknij ćwiczenie i uruchom je ponownie."
            ) from error
