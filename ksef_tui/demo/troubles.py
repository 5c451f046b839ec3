"""The menu of troubles: what goes wrong with KSeF in practice, switched on and off by a person (F9)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ksef_tui.demo.ministry import Switches
from ksef_tui.demo.trouble_list import TROUBLES
from ksef_tui.domain.problems import Problem

if TYPE_CHECKING:
    from ksef_tui.tui.app import Trouble


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
                if trouble.also:
                    self._switches.put(trouble.also, params={"trouble": trouble_id})
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
