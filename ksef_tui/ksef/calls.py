"""What the groups of API methods share: reading a document, nothing, or a file from an answer, and paging."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from ksef_tui.ksef.answers import Answer, is_html
from ksef_tui.ksef.errors import Unknown
from ksef_tui.ksef.http import Order, Wire
from ksef_tui.ksef.models import Access, Download, decode
from ksef_tui.ksef.operations import Operation

T = TypeVar("T")
R = TypeVar("R")

MAX_PAGES = 1_000


class Calls:
    """A group of API methods over one wire."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def _get(self, order: Order, kind: type[T]) -> T:
        return await self._wire.make(order, lambda answer: decode(answer.body, kind))

    async def _do(self, order: Order) -> None:
        await self._wire.make(order, _nothing)

    async def _download(self, order: Order) -> Download:
        return await self._wire.make(order, _file)

    async def _all_tokens(
        self, page: Callable[[str], Awaitable[R]], rows: Callable[[R], list[T]], next_token: Callable[[R], str]
    ) -> list[T]:
        """All rows of a list paged by continuation token (facts §10.3)."""
        found: list[T] = []
        token = ""
        for _ in range(MAX_PAGES):
            answer = await page(token)
            found += rows(answer)
            following = next_token(answer)
            if not following:
                return found
            if following == token:
                break
            token = following
        raise endless()

    async def _all_offsets(self, page: Callable[[int], Awaitable[tuple[list[T], bool]]]) -> list[T]:
        """All rows of a list paged by number of page (facts §7.4)."""
        found: list[T] = []
        for number in range(MAX_PAGES):
            rows, more = await page(number)
            found += rows
            if not more:
                return found
        raise endless()


def order_for(access: Access, operation: Operation, reference: str = "", session: str = "") -> Order:
    """A call in the context of `access`."""
    return Order(operation, context=access.context, reference=reference, session=session, token=access.token)


def endless() -> Unknown:
    """The error for a list whose pages never end."""
    return Unknown("KSeF podaje listę, która się nie kończy.", cause="unparseable", status=200)


def continuation(token: str) -> dict[str, str]:
    """The header that asks for the next page."""
    return {"x-continuation-token": token} if token else {}


def _nothing(answer: Answer) -> None:
    """An answer without a document. A page of a firewall with status 200 is not one (F15)."""
    if answer.body.strip():
        decode(answer.body, object)


def _file(answer: Answer) -> Download:
    if is_html(answer.body) or not answer.body:
        raise ValueError("a web page or nothing instead of a file")  # F45
    return Download(answer.body, answer.headers.get("x-ms-meta-hash"), answer.headers.get("content-type", ""))
