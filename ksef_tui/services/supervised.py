"""A worker as a service: it tells systemd that it works, what it does and that it still moves; the unit that runs it.

The protocol of sd_notify is a line or two in a datagram to the socket that NOTIFY_SOCKET names; without one nothing is
told.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ksef_tui.domain.roles import Act, Operator, require
from ksef_tui.domain.text import count_of
from ksef_tui.services import batches, sealing
from ksef_tui.services.office import Office
from ksef_tui.services.worker import STOP_WITHIN, Worker
from ksef_tui.store import leases
from ksef_tui.vault.data_key import CREDENTIAL

TELL_EVERY = 5.0  # seconds between looks whether the status has changed
WATCHDOG_SECONDS = 180


class Notifier:
    """Tells the service manager. Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID of `environ`."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        pid, micros = environ.get("WATCHDOG_PID", ""), environ.get("WATCHDOG_USEC", "")
        mine = pid in ("", str(os.getpid()))
        self.watchdog: float | None = int(micros) / 1e6 if mine and micros.isdigit() and int(micros) else None

    @property
    def listens(self) -> bool:
        """Whether anybody does."""
        return self._address.startswith(("/", "@"))

    def tell(self, *lines: str) -> None:
        """One datagram; a manager that has gone away is no reason to stop sending invoices."""
        if not self.listens:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as door:
            door.settimeout(1.0)
            door.sendto("\n".join(lines).encode(), address)


def begin(office: Office, operator: Operator) -> None:
    """Before a worker starts: who starts it may, the key is there, and what died processes left is cleared away.

    Raises Problem: a client's operator, a key that is missing or wrong.
    """
    require(operator, Act.WORK, None)
    _ = office.sealer  # said now, not at the first invoice
    sealing.drop_left_over(office)
    batches.drop_left_over(office)


async def supervise(worker: Worker, notifier: Notifier) -> None:
    """Tell of a worker until cancelled: READY once it has looked and written, its status, WATCHDOG while it moves."""
    if not notifier.listens:
        return
    await worker.works.wait()
    notifier.tell("READY=1", f"MAINPID={os.getpid()}", f"STATUS={_status(worker)}")
    pause = TELL_EVERY if notifier.watchdog is None else min(TELL_EVERY, notifier.watchdog / 3)
    said, rounds = "", -1
    while not worker.stopping.is_set():
        lines = []
        if notifier.watchdog is not None and moves(worker, rounds):
            lines.append("WATCHDOG=1")
        rounds = worker.rounds
        if (status := _status(worker)) != said:
            lines.append(f"STATUS={status}")
            said = status
        if lines:
            notifier.tell(*lines)
        with suppress(TimeoutError):
            await asyncio.wait_for(worker.stopping.wait(), pause)
    notifier.tell("STOPPING=1", "STATUS=kończy: czeka na odpowiedzi KSeF i zamyka sesje")


def moves(worker: Worker, rounds: int) -> bool:
    """Whether it has gone on since `rounds`, and no pass stands longer than its lease lasts without a call."""
    return worker.rounds > rounds and not leases.overdue(worker.office.db)


def _status(worker: Worker) -> str:
    rows = worker.office.db.rows(
        "SELECT state = 'approved', sum(n) FROM invoice_count "
        "WHERE state IN ('approved', 'sending', 'unknown', 'processing') GROUP BY 1"
    )
    counts: dict[int, int] = {row[0]: row[1] for row in rows}
    waits, under_way = counts.get(1, 0), counts.get(0, 0)
    return f"wysyła: czeka {count_of(waits, 'faktura', 'faktury', 'faktur')}, w drodze {under_way}"


_UNIT = """\
# systemctl edit --full --force ksef-tui.service   (albo /etc/systemd/system/ksef-tui.service)
# systemctl enable --now ksef-tui.service
[Unit]
Description=ksef-tui: wysyłka faktur do KSeF
After=network-online.target time-sync.target
Wants=network-online.target

[Service]
Type=notify
NotifyAccess=main
User={user}
ExecStart={command}
{credential}
Restart=on-failure
RestartSec=10
WatchdogSec={watchdog}
TimeoutStartSec=120
TimeoutStopSec={stop}
UMask=0077
LimitCORE=0

NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ReadWritePaths={folder}
ProtectHome={home}
PrivateTmp={tmp}
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service

[Install]
WantedBy=multi-user.target
"""


def unit(office: Office, operator: Operator, user: str, program: list[str]) -> str:
    """A systemd unit for this office's worker; `program` is how ksef-tui is started, `user` whom it runs as."""
    require(operator, Act.WORK, None)
    folder = office.data_dir.absolute()
    command = [*program, "--data-dir", str(folder), "--operator", operator.login, "worker"]
    credential = f"LoadCredential={CREDENTIAL}:/etc/ksef-tui/passphrase"
    if office.keys.protection() != "passphrase":
        credential = f"# gdy klucz biura ma hasło (ksef-tui vault protect --with passphrase):\n# {credential}"
    at_home = any(
        _below(Path(place), Path(home)) for place in (folder, program[0]) for home in ("/home", "/root", "/run/user")
    )
    in_tmp = any(_below(Path(place), Path(tmp)) for place in (folder, program[0]) for tmp in ("/tmp", "/var/tmp"))  # noqa: S108
    return _UNIT.format(
        user=user, command=" ".join(_quoted(word, dollar=True) for word in command), credential=credential,
        watchdog=WATCHDOG_SECONDS, stop=int(2 * STOP_WITHIN), folder=_quoted(str(folder)),
        home="read-only" if at_home else "yes", tmp="no" if in_tmp else "yes",
    )  # fmt: skip


def _below(path: Path, folder: Path) -> bool:
    return folder in path.parents or folder in path.resolve().parents


def _quoted(word: str, *, dollar: bool = False) -> str:
    """A word of a unit: `%` is a specifier there, `$` a variable (in commands alone), blanks and quotes need quotes."""
    word = word.replace("\\", "\\\\").replace("%", "%%").replace('"', '\\"')
    word = word.replace("$", "$$") if dollar else word
    return f'"{word}"' if any(c.isspace() or c in "\"'\\;" for c in word) else word
