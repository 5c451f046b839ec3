import pytest

from ksef_tui.domain.problems import Problem
from ksef_tui.ksef.environments import ENVIRONMENTS, resolve


def test_the_four_environments() -> None:
    assert {e.code: (e.label, e.real) for e in ENVIRONMENTS.values()} == {
        "sandbox": ("PIASKOWNICA", False),
        "test": ("TEST MF", False),
        "preprod": ("PRZEDPRODUKCJA MF", True),
        "production": ("PRODUKCJA", True),
    }
    assert len({e.colour for e in ENVIRONMENTS.values()}) == 4
    assert resolve("production").api_url == "https://api.ksef.mf.gov.pl"
    assert resolve("production").qr_url == "https://qr.ksef.mf.gov.pl"


@pytest.mark.parametrize(
    ("code", "given", "address"),
    [
        ("sandbox", None, "http://127.0.0.1:8765"),
        ("sandbox", "  ", "http://127.0.0.1:8765"),
        ("sandbox", "http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("sandbox", "http://127.0.0.1:9000/v2/", "http://127.0.0.1:9000"),
        ("sandbox", "http://localhost:9000/", "http://localhost:9000"),
        ("sandbox", "http://[::1]:9000/v2", "http://[::1]:9000"),
        ("test", "https://ksef.jodla.example/v2", "https://ksef.jodla.example"),
        ("test", "https://proxy.example/ksef/", "https://proxy.example/ksef"),
    ],
)
def test_addresses_that_are_allowed(code: str, given: str | None, address: str) -> None:
    assert resolve(code, given).api_url == address


@pytest.mark.parametrize(
    ("code", "given"),
    [
        ("sandbox", "http://192.0.2.7:8765"),
        ("sandbox", "http://127.0.0.1.example:80"),
        ("sandbox", "https://127.0.0.1:8765"),
        ("sandbox", "127.0.0.1:8765"),
        ("sandbox", "http://user@127.0.0.1:8765"),
        ("sandbox", "http://127.0.0.1:99999"),
        ("sandbox", "http://127.0.0.1:1/?a=b"),
        ("sandbox", "http://[::1"),
        ("test", "http://api-test.ksef.mf.gov.pl"),
        ("test", "https://api.ksef.mf.gov.pl"),
        ("test", "https://API-DEMO.ksef.mf.gov.pl/v2"),
        ("test", "ftp://example"),
        ("preprod", "https://api-demo.ksef.mf.gov.pl"),
        ("production", "https://api.ksef.mf.gov.pl"),
    ],
)
def test_addresses_that_are_refused(code: str, given: str) -> None:
    with pytest.raises(Problem) as caught:
        resolve(code, given)
    assert caught.value.code == "bad_api_url"


def test_an_unknown_environment_names_those_there_are() -> None:
    with pytest.raises(Problem, match="sandbox, test, preprod, production"):
        resolve("prod")
