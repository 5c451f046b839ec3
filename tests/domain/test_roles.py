"""Who may do what: every role with every act, for the own client, another one and the office."""

from __future__ import annotations

import pytest

from ksef_tui.domain.problems import Problem
from ksef_tui.domain.roles import Act, Operator, Role, may, require

# a: admin, k: accountant (księgowa), c: client for the own company
TABLE = """
see                a k c
client.add         a k -
client.archive     a - -
client.end         a k -
client.resume      a k -
identity.add       a k -
identity.remove    a - -
identity.resume    a - -
client.self_service a - -
identity.reserve   a - -
identity.takeover  a k -
certificate.enrol  a k -
certificate.revoke a k -
auth.start         a k -
auth.check         a k -
auth.revoke        a k -
auth.switch        a k -
invoice.import     a k c
invoice.approve    a k c
invoice.recall     a k c
invoice.hold       a k c
invoice.release    a k c
invoice.withdraw   a k c
invoice.retry      a k c
invoice.urge       a k c
invoice.replace    a k c
invoice.settle     a k c
sending.pause      a k -
upo.export         a k c
invoice.export     a k c
setting.change     a - -
backup             a - -
doctor             a k -
worker             a k -
vault.status       a - -
vault.passphrase   a - -
vault.protect      a - -
vault.rotate       a - -
vault.export       a - -
vault.import       a - -
operator.add       a - -
operator.disable   a - -
staff.see          a k -
staff.grant        a - -
staff.revoke       a - -
"""
ROWS = [line.split() for line in TABLE.strip().splitlines()]

OPERATORS = {
    "a": Operator(1, "szefowa", "Anna Niby", Role.ADMIN),
    "k": Operator(2, "ksiegowa", "Ewa Niby", Role.ACCOUNTANT),
    "c": Operator(3, "klient", "Jan Niby", Role.CLIENT, client_id=7),
}


def test_the_table_knows_every_act() -> None:
    assert [row[0] for row in ROWS] == [act.value for act in Act]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_each_role_may_do_what_the_table_says(row: list[str]) -> None:
    act = Act(row[0])
    for letter, operator in OPERATORS.items():
        allowed = letter in row[1:]
        assert may(operator, act, 7) == allowed, letter
        # of another client, or of the whole office, a client operator does nothing
        assert may(operator, act, 8) == (allowed and letter != "c"), letter
        assert may(operator, act, None) == (allowed and letter != "c"), letter


def test_a_client_operator_without_a_client_may_do_nothing() -> None:
    lost = Operator(4, "nikt", "Nikt", Role.CLIENT)
    assert not any(may(lost, act, client) for act in Act for client in (None, 0, 7))


def test_a_refusal_names_the_operator() -> None:
    require(OPERATORS["a"], Act.BACKUP, None)
    with pytest.raises(Problem) as refused:
        require(OPERATORS["k"], Act.BACKUP, None)
    assert refused.value.code == "not_allowed"
    assert "ksiegowa" in refused.value.message
