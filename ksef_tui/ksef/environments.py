"""The four KSeFs the program can talk to: addresses, names, colours (facts §1)."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from urllib.parse import SplitResult, urlsplit

from ksef_tui.domain.problems import Problem


@dataclass(frozen=True, slots=True)
class Environment:
    """One KSeF.

    `api_url` is the address without `/v2`; `real` says that it takes real identities only, so that the ministry's
    encryption certificate is verified and mass acts ask for a count; `colour` is a name, the theme knows its shade.
    """

    code: str
    label: str
    api_url: str
    qr_url: str
    real: bool
    colour: str


ENVIRONMENTS: dict[str, Environment] = {
    environment.code: environment
    for environment in (
        Environment(
            "sandbox",
            "PIASKOWNICA",
            "http://127.0.0.1:8765",
            "https://qr-test.ksef.mf.gov.pl",
            real=False,
            colour="cyan",
        ),
        Environment(
            "test",
            "TEST MF",
            "https://api-test.ksef.mf.gov.pl",
            "https://qr-test.ksef.mf.gov.pl",
            real=False,
            colour="green",
        ),
        Environment(
            "preprod",
            "PRZEDPRODUKCJA MF",
            "https://api-demo.ksef.mf.gov.pl",
            "https://qr-demo.ksef.mf.gov.pl",
            real=True,
            colour="yellow",
        ),
        Environment(
            "production",
            "PRODUKCJA",
            "https://api.ksef.mf.gov.pl",
            "https://qr.ksef.mf.gov.pl",
            real=True,
            colour="red",
        ),
    )
}


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only be this machine."""
    if host.casefold() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def resolve(code: str, api_url: str | None = None) -> Environment:
    """The environment with its address, which `api_url` overrides where that is allowed (contract).

    The sandbox may be moved on this machine only (http on loopback), TEST to any https address but that of another
    environment; the two real ones never. A trailing `/` and a trailing `/v2` of the override are dropped.
    Raises Problem("unknown_environment") and Problem("bad_api_url").
    """
    environment = ENVIRONMENTS.get(code)
    if environment is None:
        raise Problem("unknown_environment", f"Nie ma środowiska „{code}” – do wyboru: {', '.join(ENVIRONMENTS)}.")
    if api_url is None or not api_url.strip():
        return environment
    if environment.real:
        raise Problem("bad_api_url", f"Adresu środowiska {environment.label} nie wolno zmieniać.")
    return replace(environment, api_url=_checked(environment, api_url.strip()))


def _checked(environment: Environment, address: str) -> str:
    bad = Problem("bad_api_url", f"To nie jest adres API KSeF: {address}.")
    try:
        url = urlsplit(address)
        host, _port = url.hostname or "", url.port
    except ValueError:
        raise bad from None
    if not host or url.query or url.fragment or url.username is not None or any(c.isspace() for c in address):
        raise bad
    if environment.code == "sandbox":
        if url.scheme != "http" or not is_loopback(host):
            raise Problem("bad_api_url", "Piaskownica działa tylko na tym komputerze: adres http://127.0.0.1:PORT.")
    elif url.scheme != "https":
        raise Problem("bad_api_url", "Adres środowiska TEST MF musi zaczynać się od https://.")
    elif _belongs_to_another(environment, url):
        raise Problem("bad_api_url", f"Adres {host} należy do innego środowiska KSeF.")
    path = url.path.rstrip("/").removesuffix("/v2").rstrip("/")
    return f"{url.scheme}://{url.netloc}{path}"


def _belongs_to_another(environment: Environment, url: SplitResult) -> bool:
    return any(
        urlsplit(other.api_url).hostname == url.hostname
        for other in ENVIRONMENTS.values()
        if other.code != environment.code
    )
