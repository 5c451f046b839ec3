"""Sealed columns: opened by the same key in the same place, and by nothing else."""

from __future__ import annotations

import copy
import pickle
import traceback

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.secret import Secret
from ksef_tui.vault.seal import Sealer

KEY = Secret(bytes(range(32)))
PLACE = {"client": "5260001246", "kind": "refresh_token", "row": "7"}
places = st.fixed_dictionaries({"client": st.text(), "kind": st.text(), "row": st.text()})


@given(st.binary(max_size=300), places)
def test_a_value_comes_back_from_its_own_place(value: bytes, place: dict[str, str]) -> None:
    sealer = Sealer(KEY)
    assert sealer.open(sealer.seal(Secret(value), **place), **place).reveal() == value


@given(places, places)
def test_a_value_moved_to_another_place_does_not_open(place: dict[str, str], other: dict[str, str]) -> None:
    sealer = Sealer(KEY)
    blob = sealer.seal(Secret("x"), **place)
    if place == other:
        assert sealer.open(blob, **other).reveal() == b"x"
        return
    with pytest.raises(Problem):
        sealer.open(blob, **other)


@pytest.mark.parametrize(
    "other",
    [
        {"client": "1234563218"},
        {"kind": "private_key"},
        {"row": "8"},
        {"client": "5260001246r", "kind": "efresh_token"},
        {"kind": "refresh_token7", "row": ""},
        {"client": "", "kind": "5260001246refresh_token"},
    ],
)
def test_client_kind_and_row_cannot_be_shifted_into_each_other(other: dict[str, str]) -> None:
    sealer = Sealer(KEY)
    blob = sealer.seal(Secret("tajne"), **PLACE)
    with pytest.raises(Problem) as refused:
        sealer.open(blob, **{**PLACE, **other})
    assert refused.value.code == "sealed_value_broken"


@given(st.data())
def test_one_changed_bit_anywhere_is_noticed(data: st.DataObject) -> None:
    sealer = Sealer(KEY)
    blob = bytearray(sealer.seal(Secret("tajne"), **PLACE))
    place = data.draw(st.integers(0, len(blob) - 1))
    blob[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Problem):
        sealer.open(bytes(blob), **PLACE)


@pytest.mark.parametrize(
    "blob", [b"", b"\x01", b"\x01" + bytes(27), b"\x01" + bytes(28), bytes(40), b"\x02" + bytes(40)]
)
def test_rubbish_and_other_keys_get_one_answer_without_a_reason(blob: bytes) -> None:
    with pytest.raises(Problem) as rubbish:
        Sealer(KEY).open(blob, **PLACE)
    with pytest.raises(Problem) as other_key:
        Sealer(Secret(bytes(32))).open(Sealer(KEY).seal(Secret("x"), **PLACE), **PLACE)
    assert (rubbish.value.code, rubbish.value.message) == (other_key.value.code, other_key.value.message)
    assert rubbish.value.__cause__ is None


def test_the_layout_is_version_nonce_and_aes_gcm_over_the_place() -> None:
    blob = Sealer(KEY).seal(Secret("tajne"), client="ab", kind="c", row="")
    place = b"\x01" + b"\0\0\0\x02ab" + b"\0\0\0\x01c" + b"\0\0\0\0"
    assert blob[0] == 1
    assert AESGCM(KEY.reveal()).decrypt(blob[1:13], blob[13:], place) == b"tajne"


def test_equal_values_look_different() -> None:
    sealer = Sealer(KEY)
    blobs = {sealer.seal(Secret("tajne"), **PLACE) for _ in range(100)}
    assert len({blob[1:13] for blob in blobs}) == 100
    assert all(b"tajne" not in blob for blob in blobs)


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Sealer(Secret(bytes(length)))


def test_neither_key_nor_value_is_in_a_repr_a_traceback_or_a_copy() -> None:
    key = Secret(b"klucz-klucz-klucz-klucz-klucz-kl")
    sealer = Sealer(key)
    blob = sealer.seal(Secret("bardzo-tajne"), **PLACE)
    assert repr(sealer) == str(sealer) == "Sealer(***)"
    for refused in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled"):
            refused(sealer)
    try:
        sealer.open(blob, **{**PLACE, "row": "8"})
    except Problem as problem:
        shown = "".join(traceback.TracebackException.from_exception(problem, capture_locals=True).format())
    assert "sealed_value_broken" in shown
    for hidden in ("klucz-klucz", "bardzo-tajne"):
        assert hidden not in shown
