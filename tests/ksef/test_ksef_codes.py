import pytest

from ksef_tui.ksef.codes import auth_code, certificate_refusal, enrolment_code, invoice_code, session_code


@pytest.mark.parametrize(("code", "frees"), [
    (100, False), (150, False), (170, False), (200, False), (405, True), (415, True), (420, True), (430, True),
    (435, True), (440, True), (445, False), (500, False), (599, False),
])  # fmt: skip
def test_only_a_session_that_processed_nothing_frees_its_invoices(code: int, frees: bool) -> None:
    assert session_code(code).frees_invoices is frees


@pytest.mark.parametrize("meaning", [invoice_code, auth_code, session_code])
def test_only_codes_from_200_on_are_an_end(meaning) -> None:
    assert [c for c in (100, 150, 170, 199) if meaning(c).terminal] == []
    assert all(meaning(c).terminal for c in (200, 415, 440, 450, 500, 550, 777))


@pytest.mark.parametrize("code", [100, 150, 170, 199])
def test_nothing_in_progress_is_ever_advised_to_be_sent_again(code: int) -> None:
    assert "niczego nie wysyłaj ponownie" in invoice_code(code).what_to_do


@pytest.mark.parametrize("code", [100, 200, 405, 410, 415, 430, 435, 440, 450, 500, 550, 777])
def test_every_code_has_a_sentence_and_an_advice(code: int) -> None:
    row = invoice_code(code)
    assert row.sentence.endswith(".") and row.what_to_do.endswith(".")
    assert auth_code(code).sentence.endswith(".") and session_code(code).sentence.endswith(".")


@pytest.mark.parametrize("code", range(25001, 25012))
def test_every_refusal_about_certificates_has_its_own_sentence_and_says_what_to_do(code: int) -> None:
    sentence = certificate_refusal(code)
    assert sentence is not None and sentence.endswith(".")
    assert [other for other in range(25001, 25012) if certificate_refusal(other) == sentence] == [code]


def test_other_codes_are_not_about_certificates() -> None:
    assert certificate_refusal(21405) is None
    assert certificate_refusal(None) is None


@pytest.mark.parametrize(
    ("code", "terminal"), [(100, False), (200, True), (400, True), (500, True), (550, True), (777, True)]
)
def test_how_an_order_of_a_certificate_stands(code: int, terminal: bool) -> None:
    row = enrolment_code(code)
    assert (row.terminal, row.sentence[-1], row.what_to_do[-1]) == (terminal, ".", ".")
