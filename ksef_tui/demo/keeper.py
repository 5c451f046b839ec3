"""`python -m ksef_tui.demo.keeper FOLDER PORT DELAY LIMITS`: the exercise's sandbox, for as long as somebody is there.

It is nobody's child, so that it outlives the screen that started it as long as another one uses it; and it watches
who is present, so that a screen that was killed does not leave it behind.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from ksef_tui.demo.folder import Folder

LOOK_EVERY = 1.0  # seconds
LOOKS = 3  # so many times nobody, and it ends


def watch(folder: Folder, ended: threading.Event) -> None:
    """End this process when nobody is present any more. The lock is kept to the end, so that nobody joins meanwhile."""
    alone = 0
    while not ended.wait(LOOK_EVERY):
        alone = 0 if folder.others() else alone + 1
        if alone < LOOKS:
            continue
        try:
            with folder.locked(wait=False):
                if not folder.others():
                    folder.set_running(None)
                    os.kill(os.getpid(), signal.SIGTERM)
                    ended.wait()
        except FileNotFoundError:  # the folder itself is gone
            os.kill(os.getpid(), signal.SIGTERM)
            return
        except BlockingIOError:  # somebody comes or goes right now
            continue


def main() -> int:
    """Serve until told to stop or left alone."""
    from ksef_tui.sandbox.server import serve

    folder, port, delay, limits = Folder(Path(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    ended = threading.Event()
    watcher = threading.Thread(target=watch, args=(folder, ended), daemon=True)
    watcher.start()
    try:
        return serve(port=port, data_dir=folder.sandbox, limits=limits, delay_ms=delay)
    finally:
        ended.set()


if __name__ == "__main__":
    sys.exit(main())
