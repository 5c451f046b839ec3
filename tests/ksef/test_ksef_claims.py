import base64
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksef_tui.domain.secret import Secret
from ksef_tui.ksef.claims import Claims, read


def jwt(payload: object) -> Secret:
    body = base64.urlsafe_b64encode(json.dumps(payload).encode()).decode().rstrip("=")
    return Secret(f"eyJhbGciOiJIUzI1NiJ9.{body}.c2ln")


SUBJECT = json.dumps({"SubjectIdentifier": {"Type": "Pesel", "Value": "90010112349"}})
READ_WRITE = ("InvoiceRead", "InvoiceWrite")


def test_short_names_of_real_tokens() -> None:
    claims = read(
        jwt({"typ": "ContextToken", "cit": "Nip", "civ": "1111111111", "sud": SUBJECT, "exp": 1747220149,
             "iat": 1747219249, "per": json.dumps(list(READ_WRITE)), "aum": "QualifiedSeal", "arn": "20250514-AU-1"})
    )  # fmt: skip
    assert (claims.context_type, claims.context_value) == ("Nip", "1111111111")
    assert (claims.subject_type, claims.subject_value) == ("Pesel", "90010112349")
    assert claims.permissions == READ_WRITE
    assert claims.expires_at == datetime(2025, 5, 14, 10, 55, 49, tzinfo=UTC)
    assert (claims.token_type, claims.auth_reference) == ("ContextToken", "20250514-AU-1")


def test_long_names_of_the_specification() -> None:
    claims = read(
        jwt({"token-type": "ContextToken", "context-identifier-type": "Nip", "context-identifier-value": "1111111111",
             "authentication-method": "QualifiedSeal", "subject-details": SUBJECT, "exp": 1747220149})
    )  # fmt: skip
    assert (claims.context_type, claims.context_value) == ("Nip", "1111111111")
    assert (claims.subject_type, claims.auth_method) == ("Pesel", "QualifiedSeal")


@pytest.mark.parametrize(
    "value",
    [
        list(READ_WRITE),
        json.dumps(list(READ_WRITE)),
        json.dumps(json.dumps(list(READ_WRITE))),
        "InvoiceRead InvoiceWrite",
        "InvoiceRead,InvoiceWrite",
    ],
)
def test_a_list_is_read_however_often_it_was_quoted(value: object) -> None:
    assert read(jwt({"per": value})).permissions == READ_WRITE


def test_effective_permissions_win_and_excluded_ones_fall_out() -> None:
    assert read(jwt({"per": list(READ_WRITE), "pec": ["InvoiceWrite"]})).permissions == ("InvoiceRead",)
    assert read(jwt({"per": list(READ_WRITE), "pep": ["InvoiceRead"]})).permissions == ("InvoiceRead",)


@pytest.mark.parametrize(
    "payload", [{"per": '["Owner"]'}, {"rol": ["Owner"]}, {"per": ["Owner"], "pep": ["InvoiceRead"]}]
)
def test_an_owner_is_one_wherever_the_token_says_so(payload: dict[str, object]) -> None:
    assert "Owner" in read(jwt(payload)).permissions


@pytest.mark.parametrize(
    "sud", [None, 5, "", "{", "[]", "{}", '{"SubjectIdentifier": 7}', '{"SubjectIdentifier": {"Type": 1}}']
)
def test_an_unreadable_subject_is_no_subject(sud: object) -> None:
    claims = read(jwt({"sud": sud, "civ": "1111111111"}))
    assert (claims.subject_type, claims.subject_value, claims.context_value) == (None, None, "1111111111")


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_rubbish_is_no_claims_and_never_an_error(token: bytes | str) -> None:
    assert read(Secret(token)) == Claims()


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda c: st.lists(c, max_size=3) | st.dictionaries(st.sampled_from(["Type", "x"]), c, max_size=2),
        max_leaves=6,
    )
)
def test_claims_of_any_type_never_raise(value: object) -> None:
    names = ("typ", "cit", "civ", "sud", "per", "pec", "rol", "pep", "exp", "iat")
    assert isinstance(read(jwt(dict.fromkeys(names, value))), Claims)
