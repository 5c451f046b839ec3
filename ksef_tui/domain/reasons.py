"""Why the operating system refused, in Polish: its own sentences are English whatever the screen."""

from __future__ import annotations

import errno

_REASONS = {
    errno.ENOENT: "nie ma takiego pliku ani katalogu",
    errno.EACCES: "brak uprawnień",
    errno.EPERM: "brak uprawnień",
    errno.ENOSPC: "brak miejsca na dysku",
    errno.EDQUOT: "przekroczony limit miejsca na dysku",
    errno.EFBIG: "plik byłby za duży",
    errno.EROFS: "dysk jest tylko do odczytu",
    errno.ENOTDIR: "część ścieżki nie jest katalogiem",
    errno.EISDIR: "to jest katalog",
    errno.ENAMETOOLONG: "nazwa jest za długa",
    errno.ELOOP: "dowiązania prowadzą w kółko",
    errno.EEXIST: "to już istnieje",
    errno.EIO: "błąd odczytu lub zapisu na dysku",
    errno.EMFILE: "za dużo otwartych plików",
    errno.EADDRINUSE: "port jest zajęty",
}


def os_reason(error: OSError) -> str:
    """The reason of an OSError in a few Polish words."""
    return _REASONS.get(error.errno or 0, f"błąd systemu {error.errno}")
