"""Put on PYTHONPATH by test_no_leak: makes a process crash on the line after it has looked at a secret.

LEAK_OUT names a folder. Every secret that this process or its children look at is written there, with the place in the
code that looked. With LEAK_AT=<place> the program meets an unexpected exception there, the first time; at the end what
rich would show of it, local variables included, is written there too. (A file of its own for each process.)
LEAK_RAISE=<module>:<class>.<method> has that method raise instead: a crash where Textual itself catches it.
"""

from __future__ import annotations

import atexit
import os
import sys
from pathlib import Path
from types import FrameType
from typing import Any


class Crash(RuntimeError):
    """What nobody expects."""


def install(out: Path, at: str) -> None:
    from ksef_tui.domain.secret import Secret

    package = Path(sys.modules["ksef_tui"].__file__ or "").parent
    original, crashes = Secret.reveal, []

    def reveal(self: Secret) -> bytes:
        value = original(self)
        looking = sys._getframe(1)
        if looking.f_code.co_name == "reveal_text":
            looking = looking.f_back  # type: ignore[assignment]
        name = Path(looking.f_code.co_filename)
        place = f"{name.relative_to(package)}:{looking.f_lineno}" if name.is_relative_to(package) else "?"
        with (out / f"seen-{os.getpid()}").open("a") as file:
            file.write(f"{place} {value.hex()}\n")
        if place == at and not crashes:
            crashes.append(Crash("nikt się tego nie spodziewał"))
            arm(looking, crashes[0])
        return value

    def text(self: Secret) -> str:
        return self.reveal().decode()

    Secret.reveal, Secret.reveal_text = reveal, text  # type: ignore[method-assign]
    if at:
        atexit.register(show, out, crashes)


def arm(frame: FrameType, crash: Crash) -> None:
    """Raise in this frame at whatever it does next: its next line, a call, or its end."""

    def look(current: FrameType, event: str, arg: Any) -> Any:
        _rich_traceback_omit = True
        if current is frame and event in ("line", "return"):
            sys.settrace(None)
            frame.f_trace = None
            raise crash
        return look

    frame.f_trace = look
    sys.settrace(lambda *_: None)


def show(out: Path, crashes: list[Crash]) -> None:
    from rich.console import Console
    from rich.traceback import Traceback

    for crash in crashes:
        with (out / f"crashed-{os.getpid()}").open("w") as file:
            file.write("struck\n")
            shown = Traceback.from_exception(
                type(crash), crash, crash.__traceback__, show_locals=True, locals_max_length=200, locals_max_string=5000
            )
            Console(file=file, width=10_000).print(shown)


def raise_in(module: str, name: str) -> None:
    import importlib

    def raises(*_: object, **__: object) -> None:
        raise Crash("nikt się tego nie spodziewał")

    owner, method = name.split(".")
    setattr(getattr(importlib.import_module(module), owner), method, raises)


if os.environ.get("LEAK_RAISE"):
    raise_in(*os.environ["LEAK_RAISE"].split(":"))
if os.environ.get("LEAK_OUT"):
    install(Path(os.environ["LEAK_OUT"]), os.environ.get("LEAK_AT", ""))
