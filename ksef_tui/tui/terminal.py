"""The terminal may vanish at any moment: a program must not outlive it (measured: one that does spins for ever).

A hang-up ends the app in order. When the terminal took no more output before it vanished, though, the event loop stands
in the middle of a write and answers nothing; then this watch ends the process, which loses nothing (design §3).
"""

from __future__ import annotations

import os
import select
import threading

LOOK_EVERY_MS = 1_000
GRACE = 3.0  # seconds for an orderly end


def end_with_terminal(descriptor: int) -> None:
    """Watch the terminal behind `descriptor`; some seconds after it is gone, this process is gone too."""
    threading.Thread(target=_watch, args=(descriptor,), name="terminal-watch", daemon=True).start()


def is_gone(descriptor: int, wait_ms: int = 0) -> bool:
    """Whether nobody is at the other end any more; waits up to `wait_ms` milliseconds for that to happen."""
    poll = select.poll()
    poll.register(descriptor, 0)  # hang-ups are always told
    return any(what & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, what in poll.poll(wait_ms))


def _watch(descriptor: int) -> None:
    while not is_gone(descriptor, LOOK_EVERY_MS):
        pass
    threading.Event().wait(GRACE)
    os._exit(0)
