"""One package of many invoices: packed, encrypted, hashed and on the disk; alone in a process, so that its memory is seen."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from time import perf_counter, process_time

from tests.bench import ROOT
from tests.bench.plan import Scale
from tests.bench.table import Budget, Figure

FEWER = 10  # times fewer invoices in the run whose memory it is held against


def package(scale: Scale) -> list[Figure]:
    """Seconds of a package beside a bare tar.gz, and how its memory grows with the count."""
    few, many = _alone(scale.package // FEWER), _alone(scale.package)
    grown = many["megabytes"] - few["megabytes"]
    note = f"packed, encrypted, hashed, on the disk; {many['processor']:.1f} s of a processor"
    return [
        Figure(f"package of {scale.package:,} invoices of {many['bytes'] / 1000:.1f} kB", many["seconds"], "s", many["bare"],
               "s bare tar.gz, not encrypted", Budget(2.0), note),
        Figure(f"memory beyond that of {scale.package // FEWER:,}", max(0.0, grown), "MB", note="peak of a process of its own"),
    ]  # fmt: skip


def _alone(count: int) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.package", str(count)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def _documents(count: int) -> Iterator[tuple[str, bytes]]:
    """Like those of an office: the same form, other numbers, buyers and amounts."""
    from support import papers
    from support.companies import new_nip

    pattern = papers.long_invoice(new_nip(), 3)
    for n in range(count):
        data = pattern.replace(b"<P_2>FV/", b"<P_2>FV/%d/" % n).replace("Usługa 1".encode(), b"Pozycja %d" % (n * 7919))
        yield f"{n}.xml", data


def _measure(count: int) -> dict[str, float]:
    from ksef_tui.ksef.crypto import new_session_key
    from ksef_tui.ksef.packages import GZIP_LEVEL, pack

    size = len(next(_documents(1))[1])
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        pack(Path(folder) / "warm", _documents(3), new_session_key())
        start, spent = perf_counter(), process_time()
        pack(Path(folder) / "parts", _documents(count), new_session_key())
        seconds, spent = perf_counter() - start, process_time() - spent
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        start = perf_counter()
        with tarfile.open(Path(folder) / "bare.tar.gz", "w:gz", compresslevel=GZIP_LEVEL) as archive:
            for name, data in _documents(count):
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                archive.addfile(entry, BytesIO(data))
        bare = perf_counter() - start
    return {"seconds": seconds, "processor": spent, "bare": bare, "megabytes": peak, "bytes": size}


if __name__ == "__main__":
    print(json.dumps(_measure(int(sys.argv[1]))))
