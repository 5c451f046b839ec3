"""Keys one after another: each works on the screen to which the key before it led.

Textual hands a key to whatever has the focus at that moment. What is typed ahead of a busy machine would so reach the
list behind a question that is still opening, or the field that Enter was about to leave.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from textual import events
from textual.app import App
from textual.dom import DOMNode
from textual.message_pump import MessagePump

Typed = events.Key | events.Paste

LONGEST = 2.0  # seconds that keys wait for a question to open; an act that takes longer has said what it waits for
LOOK_EVERY = 0.005  # seconds
AT_ONCE = frozenset({"ctrl+c", "ctrl+q"})  # the ways out wait for nothing


class Typeahead:
    """What was typed and is not given out yet."""

    def __init__(
        self, app: App[Any], give_out: Callable[[events.Event], Awaitable[None]], opening: Callable[[], bool]
    ) -> None:
        """`opening`: whether an act runs that has nothing on the screen yet, so that a question may follow."""
        self._app = app
        self._give_out = give_out
        self._opening = opening
        self._waiting: deque[Typed] = deque()
        self._giving: asyncio.Task[None] | None = None
        self._patient = True

    def holds(self, event: events.Event) -> bool:
        """Whether this is kept until what was typed before it has done its work; if not, it goes out now."""
        if not isinstance(event, Typed) or event.is_forwarded:
            return False
        if isinstance(event, events.Key) and event.key in AT_ONCE:
            return False
        giving = self._giving is not None and not self._giving.done()
        if not giving and self._calm():
            return False
        self._waiting.append(event)
        if not giving:
            self._giving = asyncio.create_task(self._give_out_in_turn())
        return True

    def _calm(self) -> bool:
        """Whether nothing is under way: the usual case, which must cost nothing."""
        return not self._opening() and not any(pump.message_queue_size for pump in self._way_up())

    def _way_up(self) -> list[DOMNode]:
        """From what has the focus to the app."""
        return (self._app.focused or self._app.screen).ancestors_with_self

    def forget(self) -> None:
        """What was typed after something that was refused was meant for what it would have opened."""
        self._waiting.clear()

    async def _give_out_in_turn(self) -> None:
        while self._waiting and self._app.is_running:
            await self._settled()
            if self._waiting:
                await self._give_out(self._waiting.popleft())

    async def _settled(self) -> None:
        """Wait until the last key and what came of it have been worked through, on the screen that is there then."""
        screen = None
        while self._app.is_running and screen is not self._app.screen:
            screen = self._app.screen
            way_up = self._way_up()
            # Twice: a key climbs to the app, where bindings act; what they post (a line was submitted) climbs again.
            # Once more through the app, which carries out the wishes for the focus.
            for pump in (*way_up, *way_up, self._app):
                await self._worked_through(pump)
            await self._opened()

    async def _worked_through(self, pump: MessagePump) -> None:
        done = asyncio.Event()
        if pump.call_later(done.set):
            try:
                async with asyncio.timeout(LONGEST):
                    await done.wait()
            except TimeoutError:
                return  # it was taken away meanwhile

    async def _opened(self) -> None:
        """Wait for the question of an act; once for each act, so that a long one does not keep back key after key."""
        if not self._opening():
            self._patient = True
            return
        if not self._patient:
            return
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LONGEST
        while self._opening() and self._app.is_running:
            if loop.time() > deadline:
                self._patient = False
                return
            await asyncio.sleep(LOOK_EVERY)
