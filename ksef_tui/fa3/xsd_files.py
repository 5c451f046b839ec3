"""Where the official FA(3) schemas are on this machine, and whether they are the official ones.

They cannot be written by us and are not kept in this repository: they are data files of the installed
distribution `ksef-client`, whose code is never imported. Only the standard library is used here, so that
anything that needs the schemas may use this module.
"""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path

from ksef_tui.domain.problems import Problem

DISTRIBUTION = "ksef-client"
MAIN_SCHEMA = "schemat_FA(3)_v1-0E.xsd"

_FOLDER_IN_DISTRIBUTION = "ksef_client/documents/fa3/schemas"

# SHA-256 of each file: as the distribution ships it, and as the ministry publishes it. The copies of the
# distribution differ from the ministry's in line ends (CR → LF), one run of trailing spaces and the address
# of two includes; the rules are the same. KodyKrajow is the same in both.
KNOWN_FILES: dict[str, frozenset[str]] = {
    MAIN_SCHEMA: frozenset(
        {
            "50c655de247d8efc706c1791468624e6768e12772b901b1d344240e8e3987e41",
            "b646b6b525f51adf1bb2545f111fc8ca6e7aa6dd2f98948f1667d3695c06d958",
        }
    ),
    "StrukturyDanych_v10-0E.xsd": frozenset(
        {
            "d26095dc6c68b40be67bb855be2ea59b1215f812ebb63176af294f43e9915a65",
            "cb08348374598e1e716e086c40d740390fb9e1bfa3aba1f4ec4cba0e1ef6d60f",
        }
    ),
    "ElementarneTypyDanych_v10-0E.xsd": frozenset(
        {
            "20f79cb00c12800a3b48c3fced4c05fd0455d9ec6da2a699d964fb23c84edbad",
            "8daf4d3771de200b26b697294cc906a2add3de9acfbbd97f4b1bd4fc0e5ecb2f",
        }
    ),
    "KodyKrajow_v10-0E.xsd": frozenset({"48be2a9f181d7ff80f185c62491ba12604c5cacbbe21af8e2aaaf2c585bbd214"}),
}


def locate(folder: Path | None = None) -> Path:
    """The folder that holds the four FA(3) schema files, each checked by SHA-256.

    `folder` is the user's own (a setting); without it the installed distribution's is taken.
    Raises Problem("xsd_missing") when a file is not there or cannot be read, Problem("xsd_altered") when one is
    not the official text: an invoice must not be judged by rules of unknown origin.
    """
    place = folder if folder is not None else _installed_folder()
    for name, known in KNOWN_FILES.items():
        try:
            content = (place / name).read_bytes()
        except OSError as error:
            raise Problem(
                "xsd_missing",
                f"Brak pliku schematu FA(3) {name} w folderze {place}. "
                "Zainstaluj program ponownie albo wskaż w ustawieniach folder z oficjalnymi schematami.",
            ) from error
        if hashlib.sha256(content).hexdigest() not in known:
            raise Problem(
                "xsd_altered",
                f"Plik schematu FA(3) {name} w folderze {place} różni się od oficjalnego. "
                "Zainstaluj program ponownie albo wskaż w ustawieniach folder z oficjalnymi schematami.",
            )
    return place


def _installed_folder() -> Path:
    try:
        distribution = metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError as error:
        raise Problem(
            "xsd_missing",
            f"Brak schematów FA(3): nie zainstalowano pakietu {DISTRIBUTION}, który je zawiera. "
            "Zainstaluj program ponownie.",
        ) from error
    return Path(str(distribution.locate_file(_FOLDER_IN_DISTRIBUTION)))
