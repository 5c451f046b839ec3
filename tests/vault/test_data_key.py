"""The office's one key: made once, read only by its owner, refused with a reason that a person understands."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import keyring.backend
import pytest

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.secret import Secret
from ksef_tui.vault import data_key
from ksef_tui.vault.backend import KeyFileKeyring, PassphraseKeyring
from ksef_tui.vault.data_key import KeyStore

WORD = Secret("zażółć gęślą jaźń")


def store(kind: data_key.Kind, data_dir: Path, office: str, passphrase: Secret | None = None) -> KeyStore:
    return KeyStore(lambda: kind, data_dir, office, lambda: passphrase)


def create(kind: data_key.Kind, data_dir: Path, office: str, passphrase: Secret | None = None) -> Secret:
    return store(kind, data_dir, office, passphrase).create()


def opened(kind: data_key.Kind, data_dir: Path, office: str, passphrase: Secret | None = None) -> Secret:
    [key] = store(kind, data_dir, office, passphrase).load()
    return key


def key_file(data_dir: Path) -> Path:
    return data_dir / "keys" / "office.key"


def refusal(kind: data_key.Kind, data_dir: Path, passphrase: Secret | None = None) -> Problem:
    with pytest.raises(Problem) as refused:
        opened(kind, data_dir, "office", passphrase)
    return refused.value


@pytest.mark.parametrize(("kind", "word"), [("file", None), ("passphrase", WORD)])
def test_a_key_is_made_once_and_opened_again(tmp_path: Path, kind: data_key.Kind, word: Secret | None) -> None:
    made = create(kind, tmp_path, "office", word)
    assert len(made.reveal()) == 32
    assert create(kind, tmp_path, "office", word).reveal() == made.reveal()
    assert opened(kind, tmp_path, "office", word).reveal() == made.reveal()
    assert create(kind, tmp_path, "another", word).reveal() != made.reveal()


def test_the_file_and_its_folder_are_the_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        create("file", tmp_path, "office")
    finally:
        os.umask(old)
    assert stat.S_IMODE(key_file(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE(key_file(tmp_path).parent.stat().st_mode) == 0o700
    assert sorted(path.name for path in key_file(tmp_path).parent.iterdir()) == ["lock", "office.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601, 0o620])
def test_a_key_that_others_could_reach_is_refused(tmp_path: Path, mode: int) -> None:
    create("file", tmp_path, "office")
    key_file(tmp_path).chmod(mode)
    problem = refusal("file", tmp_path)
    assert problem.code == "key_too_open"
    assert f"chmod 600 {key_file(tmp_path)}" in problem.message


@pytest.mark.parametrize("mode", [0o750, 0o701, 0o770])
def test_a_folder_that_others_could_enter_is_refused(tmp_path: Path, mode: int) -> None:
    create("file", tmp_path, "office")
    key_file(tmp_path).parent.chmod(mode)
    problem = refusal("file", tmp_path)
    assert problem.code == "key_too_open"
    assert "chmod 700" in problem.message
    with pytest.raises(Problem, match="chmod 700"):
        create("file", tmp_path, "second")


def test_another_users_key_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create("file", tmp_path, "office")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    problem = refusal("file", tmp_path)
    assert problem.code == "key_too_open"
    assert "innego użytkownika" in problem.message


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    create("file", tmp_path, "office")
    real = key_file(tmp_path).rename(tmp_path / "elsewhere")
    key_file(tmp_path).symlink_to(real)
    assert refusal("file", tmp_path).code == "key_too_open"


def test_a_pipe_in_place_of_the_file_neither_hangs_nor_is_read(tmp_path: Path) -> None:
    create("file", tmp_path, "office")
    key_file(tmp_path).unlink()
    os.mkfifo(key_file(tmp_path), 0o600)
    assert refusal("file", tmp_path).code == "key_too_open"


@pytest.mark.parametrize(("kind", "word"), [("file", None), ("passphrase", WORD)])
def test_a_missing_key_is_never_replaced_by_opening(tmp_path: Path, kind: data_key.Kind, word: Secret | None) -> None:
    assert refusal(kind, tmp_path, word).code == "key_missing"
    assert not key_file(tmp_path).exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"format": 1}',
        b'{"format": 2, "protection": "none", "entries": {}}',
        json.dumps({"format": 1, "protection": "none", "entries": {'["ksef-tui", "office"]': "c2hvcnQ="}}).encode(),
        json.dumps({"format": 1, "protection": "none", "entries": {'["ksef-tui", "office"]': "?"}}).encode(),
    ],
)
def test_a_damaged_file_is_said_to_be_damaged(tmp_path: Path, content: bytes) -> None:
    create("file", tmp_path, "office")
    key_file(tmp_path).write_bytes(content)
    assert refusal("file", tmp_path).code == "key_broken"
    with pytest.raises(Problem):
        create("file", tmp_path, "office")
    assert key_file(tmp_path).read_bytes() == content


def test_the_file_itself_says_what_protects_it(tmp_path: Path) -> None:
    """A crash between a change of protection and the office's row leaves an office that works."""
    made = create("passphrase", tmp_path, "office", WORD)
    assert refusal("file", tmp_path).code == "passphrase_needed"
    assert opened("file", tmp_path, "office", WORD).reveal() == made.reveal()


# Passphrase


def test_a_wrong_passphrase_is_said_and_makes_no_new_key(tmp_path: Path) -> None:
    made = create("passphrase", tmp_path, "office", WORD)
    before = key_file(tmp_path).read_bytes()
    for wrong in ("zażółć gęślą jaźn", "x", "zażółć gęślą jaźń "):
        assert refusal("passphrase", tmp_path, Secret(wrong)).code == "wrong_passphrase"
    with pytest.raises(Problem, match="Hasło"):
        create("passphrase", tmp_path, "office", Secret("inne"))
    assert key_file(tmp_path).read_bytes() == before
    assert opened("passphrase", tmp_path, "office", WORD).reveal() == made.reveal()


def test_the_file_under_a_passphrase_shows_nothing_of_the_key(tmp_path: Path) -> None:
    import base64

    made = create("passphrase", tmp_path, "office", WORD)
    content = key_file(tmp_path).read_bytes()
    assert base64.b64encode(made.reveal()) not in content
    assert made.reveal() not in content
    assert b"ksef-tui" not in content


@pytest.mark.parametrize("word", [None, Secret("")])
def test_no_passphrase_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: Secret | None) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    create("passphrase", tmp_path, "office", WORD)
    assert refusal("passphrase", tmp_path, word).code == "passphrase_needed"


def test_a_service_takes_the_passphrase_from_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = create("passphrase", tmp_path, "office", WORD)
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    assert refusal("passphrase", tmp_path).code == "passphrase_needed"
    (credentials / "ksef-tui-passphrase").write_bytes(WORD.reveal() + b"\n")
    assert opened("passphrase", tmp_path, "office").reveal() == made.reveal()


@pytest.mark.parametrize("change", [("n", 2**20), ("n", 1), ("salt", "AAAA"), ("nonce", ""), ("sealed", "AAAA")])
def test_parameters_of_the_file_cannot_be_turned_up_or_down(tmp_path: Path, change: tuple[str, object]) -> None:
    create("passphrase", tmp_path, "office", WORD)
    document = json.loads(key_file(tmp_path).read_bytes())
    document[change[0]] = change[1]
    key_file(tmp_path).write_text(json.dumps(document))
    assert refusal("passphrase", tmp_path, WORD).code == "key_broken"


# Many at once, and keyring's own doing

MAKE = """
import sys
from pathlib import Path
from ksef_tui.domain.secret import Secret
from ksef_tui.vault import data_key
sys.stdin.readline()
word = Secret("hasło") if sys.argv[2] == "passphrase" else None
print(data_key.KeyStore(lambda: sys.argv[2], Path(sys.argv[1]), "office", lambda: word).create().reveal().hex())
"""


@pytest.mark.parametrize("kind", ["file", "passphrase"])
def test_ten_processes_at_once_end_with_one_key(tmp_path: Path, kind: str) -> None:
    command = [sys.executable, "-c", MAKE, str(tmp_path), kind]
    makers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(10)]
    for maker in makers:
        assert maker.stdin is not None
        maker.stdin.write("go\n")
        maker.stdin.flush()
    keys = {maker.communicate()[0].strip() for maker in makers}
    assert [maker.returncode for maker in makers] == [0] * 10
    assert len(keys) == 1
    assert len(keys.pop()) == 64


def test_no_system_keyring_is_said_and_nothing_is_taken_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={tmp_path / 'nobody'}")
    problem = refusal("system", tmp_path)
    assert problem.code == "no_keyring"
    assert "--secrets file" in problem.message
    with pytest.raises(Problem, match="pęk kluczy"):
        create("system", tmp_path, "office")


class Refusing(keyring.backend.KeyringBackend):
    """A keyring that is there and says no."""

    priority = -1.0

    def get_password(self, service: str, username: str) -> str | None:
        from keyring.errors import KeyringLocked

        raise KeyringLocked("the user closed the window")

    def set_password(self, service: str, username: str, password: str) -> None:
        raise AssertionError("nothing may be written over a keyring that did not answer")


def test_a_system_keyring_that_stays_locked_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ksef_tui.vault.backend.system_keyring", Refusing)
    assert refusal("system", tmp_path).code == "no_keyring"
    with pytest.raises(Problem, match="odmówił"):
        create("system", tmp_path, "office")


def test_keyring_never_chooses_our_backends_by_itself() -> None:
    chosen = {type(backend) for backend in keyring.backend.get_all_keyring()}
    assert not chosen & {KeyFileKeyring, PassphraseKeyring}


def test_the_backend_is_a_keyring(tmp_path: Path) -> None:
    from keyring.errors import PasswordDeleteError

    backend = KeyFileKeyring(tmp_path / "keys" / "x.key")
    assert backend.get_password("a", "b") is None
    backend.set_password("a", "b", "tajne")
    backend.set_password("a\nb", "c", "drugie")
    backend.set_password("a", "b", "nowe")
    assert (backend.get_password("a", "b"), backend.get_password("a\nb", "c")) == ("nowe", "drugie")
    backend.delete_password("a", "b")
    assert backend.get_password("a", "b") is None
    with pytest.raises(PasswordDeleteError):
        backend.delete_password("a", "b")


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = create("file", tmp_path, "office")

    def full_disk(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full_disk)
        with pytest.raises(OSError, match="No space"):
            create("file", tmp_path, "second")
    assert opened("file", tmp_path, "office").reveal() == made.reveal()
    assert sorted(path.name for path in key_file(tmp_path).parent.iterdir()) == ["lock", "office.key"]


def test_importing_the_vault_imports_neither_keyring_nor_cryptography() -> None:
    look = (
        "import sys, ksef_tui.vault.data_key, ksef_tui.vault.seal, ksef_tui.services.sealing; "
        "sys.exit(any(m.split('.')[0] in ('keyring', 'cryptography') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", look], check=False).returncode == 0
