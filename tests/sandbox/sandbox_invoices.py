"""Invented companies and the smallest FA(3) invoice that the official schema takes."""

from __future__ import annotations

import itertools
import random
from datetime import datetime
from zoneinfo import ZoneInfo

_numbers = itertools.count(1)
_RUN = random.SystemRandom().randrange(10**8)


def today() -> str:
    return datetime.now(ZoneInfo("Europe/Warsaw")).date().isoformat()


def nip(seed: int | None = None) -> str:
    """A NIP with a right check digit, that nobody else in this run has."""
    chooser = random.SystemRandom() if seed is None else random.Random(seed)
    while True:
        digits = f"{chooser.randint(1, 9)}{chooser.randint(1, 9)}" + "".join(
            str(chooser.randint(0, 9)) for _ in "1234567"
        )
        check = sum(int(d) * w for d, w in zip(digits, (6, 5, 7, 2, 3, 4, 5, 6, 7), strict=True)) % 11
        if check < 10:
            return digits + str(check)


def number() -> str:
    return f"FV/{_RUN}/{next(_numbers)}"


def invoice(
    seller: str,
    no: str | None = None,
    *,
    day: str | None = None,
    buyer: str = "1111111111",
    kind: str = "VAT",
    extra: str = "",
    head: str = "",
    third: str = "",
    item: str = "Usługa księgowa",
) -> bytes:
    """`extra` goes before the end of the document, `head` before its beginning, `third` after the buyer."""
    return f"""{head}<Faktura xmlns="http://crd.gov.pl/wzor/2025/06/25/13775/"><Naglowek>\
<KodFormularza kodSystemowy="FA (3)" wersjaSchemy="1-0E">FA</KodFormularza><WariantFormularza>3</WariantFormularza>\
<DataWytworzeniaFa>2026-02-01T10:00:00Z</DataWytworzeniaFa></Naglowek>
<Podmiot1><DaneIdentyfikacyjne><NIP>{seller}</NIP><Nazwa>Jodła Testowa sp. z o.o.</Nazwa></DaneIdentyfikacyjne>\
<Adres><KodKraju>PL</KodKraju><AdresL1>ul. Leśna 2</AdresL1></Adres></Podmiot1>
<Podmiot2><DaneIdentyfikacyjne><NIP>{buyer}</NIP><Nazwa>Nabywca Testowy</Nazwa></DaneIdentyfikacyjne>\
<Adres><KodKraju>PL</KodKraju><AdresL1>ul. A 1</AdresL1></Adres><JST>2</JST><GV>2</GV></Podmiot2>{third}
<Fa><KodWaluty>PLN</KodWaluty><P_1>{day or today()}</P_1><P_2>{no or number()}</P_2>\
<P_13_1>100</P_13_1><P_14_1>23</P_14_1><P_15>123</P_15>
<Adnotacje><P_16>2</P_16><P_17>2</P_17><P_18>2</P_18><P_18A>2</P_18A><Zwolnienie><P_19N>1</P_19N></Zwolnienie>\
<NoweSrodkiTransportu><P_22N>1</P_22N></NoweSrodkiTransportu><P_23>2</P_23><PMarzy><P_PMarzyN>1</P_PMarzyN></PMarzy>\
</Adnotacje><RodzajFaktury>{kind}</RodzajFaktury>
<FaWiersz><NrWierszaFa>1</NrWierszaFa><P_7>{item}</P_7><P_8A>szt.</P_8A><P_8B>1</P_8B><P_9A>100</P_9A>\
<P_11>100</P_11><P_12>23</P_12></FaWiersz></Fa>{extra}</Faktura>""".encode()
