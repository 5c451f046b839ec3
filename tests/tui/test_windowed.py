"""The windowed list: as good for a million rows as for ten, and it stays where the person is."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.screen import Screen
from tui_helpers import expect, text_of

from ksef_tui.tui.lines import TONE_CLASSES
from ksef_tui.tui.present import Line
from ksef_tui.tui.windowed import MOST_MARKS, WindowList


@dataclass(frozen=True)
class Row:
    id: int
    text: str


@dataclass
class Source:
    """Rows by id, and which of them were asked for."""

    texts: dict[int, str] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)

    def read(self, ids: list[int]) -> dict[int, Row]:
        self.asked += ids
        return {one: Row(one, self.texts.get(one, f"row {one}")) for one in ids}


class Toned(Screen[None]):
    COMPONENT_CLASSES: ClassVar[set[str]] = set(TONE_CLASSES)


class ListApp(App[None]):
    CSS_PATH = "../../ksef_tui/tui/styles/base.tcss"

    def __init__(self, ids: array[int], *, follows: bool = False) -> None:
        super().__init__()
        from ksef_tui.tui.theme import NIGHT

        self.register_theme(NIGHT)
        self.theme = NIGHT.name
        self.source = Source()
        self.first = ids
        self.moved: list[int | None] = []
        self.painted: list[int] = []
        self.list: WindowList[Row] = WindowList(self.source.read, self.paint, follows=follows)

    def paint(self, row: Row, width: int, marked: bool) -> Line:
        self.painted.append(row.id)
        return ((f"{'*' if marked else ' '}{row.text}", "text"),)

    def compose(self) -> ComposeResult:
        yield self.list

    def get_default_screen(self) -> Toned:
        return Toned()

    def on_mount(self) -> None:
        self.list.set_ids(self.first)
        self.list.focus()

    def on_window_list_moved(self, event: WindowList.Moved) -> None:
        self.moved.append(event.list.current_id)


def ids(*numbers: int) -> array[int]:
    return array("q", numbers)


def rows_of(app: ListApp) -> list[str]:
    """What stands on the screen but for the scrollbar."""
    return [line[:-1] for line in text_of(app).splitlines()]


async def test_of_a_million_rows_only_the_visible_ones_are_read() -> None:
    app = ListApp(array("q", range(1_000_000, 0, -1)))
    async with app.run_test(size=(40, 10)) as pilot:
        await expect(pilot, lambda: "row 1000000" in text_of(app))
        await pilot.press("end")
        await expect(pilot, lambda: "row 1\n" in text_of(app) + "\n" or " row 1 " in text_of(app))
        assert app.list.current_id == 1
        assert len(set(app.source.asked)) <= 20


async def test_the_cursor_stays_on_its_row_when_others_come_and_go() -> None:
    app = ListApp(ids(*range(30, 0, -1)))
    async with app.run_test(size=(40, 10)) as pilot:
        await pilot.press("down", "down", "down")
        assert app.list.current_id == 27
        app.list.set_ids(ids(33, 32, 31, *range(30, 0, -1)))
        assert app.list.current_id == 27
        app.list.set_ids(ids(*range(40, 20, -1)))
        assert app.list.current_id == 27
        app.list.set_ids(ids(5, 4, 3))  # its row is gone: the same place, as far as there is one
        assert app.list.current_id in (5, 4, 3)
        app.list.set_ids(ids())
        assert app.list.current_id is None


async def test_a_cursor_on_the_first_row_stays_on_it_while_the_person_is_elsewhere() -> None:
    app = ListApp(ids(1, 2, 3))
    async with app.run_test(size=(40, 10)):
        app.set_focus(None)
        app.list.set_ids(ids(2, 3, 1))
        assert app.list.current_id == 1


async def test_what_comes_stands_in_front_and_the_cursor_the_page_and_a_begun_range_stay() -> None:
    app = ListApp(ids(*range(30, 0, -1)))
    async with app.run_test(size=(40, 10)) as pilot:
        await pilot.press(*["down"] * 15)
        await expect(pilot, lambda: "row 15" in text_of(app))
        shown = rows_of(app)
        app.list.mark_range()
        app.list.amend((), [33, 31, 32])
        assert list(app.list.ids[:4]) == [33, 32, 31, 30]
        assert app.list.current_id == 15
        await pilot.pause()
        assert rows_of(app) == shown
        await pilot.press("down")
        app.list.mark_range()
        assert app.list.marks == {15, 14}
        await pilot.press("home")
        await expect(pilot, lambda: "row 33" in text_of(app))


async def test_rows_leave_and_come_anywhere_and_the_page_of_who_works_stands_still() -> None:
    app = ListApp(ids(*range(60, 0, -2)))
    async with app.run_test(size=(40, 10)) as pilot:
        await pilot.press("down", "down", "down")
        await expect(pilot, lambda: app.list.current_id == 54 and "row 60" in text_of(app))
        shown = rows_of(app)
        app.painted.clear()
        app.list.amend([60], [61, 63, 60 - 1])  # above the cursor: 60 leaves, 59, 61 and 63 come
        await pilot.pause()
        assert list(app.list.ids[:5]) == [63, 61, 59, 58, 56]
        assert app.list.current_id == 54
        assert rows_of(app)[1:] == shown[1:], "the page jumped"
        app.list.amend([54, 7], [8])  # the row under the cursor leaves; 7 is not there, 8 is already
        await expect(pilot, lambda: app.list.current_id == 52)
        assert len(app.list.ids) == 31
        app.list.mark()
        app.list.amend([52], ())
        assert app.list.marks == set()


async def test_a_step_that_scrolls_paints_only_the_row_that_comes_into_sight() -> None:
    app = ListApp(ids(*range(30, 0, -1)))
    async with app.run_test(size=(40, 10)) as pilot:
        await pilot.press(*["down"] * 9)
        await expect(pilot, lambda: "row 21" in text_of(app))
        app.painted.clear()
        await pilot.press("down")
        await expect(pilot, lambda: "row 20" in text_of(app))
        assert app.painted == [20]


async def test_a_list_that_is_not_worked_in_shows_the_newest() -> None:
    app = ListApp(ids(2, 1), follows=True)
    async with app.run_test(size=(40, 10)) as pilot:
        app.set_focus(None)
        await pilot.pause()
        app.list.set_ids(ids(3, 2, 1))
        assert app.list.current_id == 3


async def test_a_changed_row_is_read_again_and_others_are_not() -> None:
    app = ListApp(ids(*range(100, 0, -1)))
    async with app.run_test(size=(40, 10)) as pilot:
        await expect(pilot, lambda: "row 100" in text_of(app))
        app.source.asked.clear()
        app.source.texts = {99: "changed", 1: "far away"}
        app.list.changed([99, 1])
        assert app.source.asked == [99]
        await expect(pilot, lambda: "changed" in text_of(app))
        await pilot.press("end")
        await expect(pilot, lambda: "far away" in text_of(app))


async def test_a_change_under_the_cursor_is_told() -> None:
    app = ListApp(ids(3, 2, 1))
    async with app.run_test(size=(40, 10)) as pilot:
        await expect(pilot, lambda: "row 3" in text_of(app))
        app.moved.clear()
        app.source.texts = {3: "approved"}
        app.list.changed([3])
        await expect(pilot, lambda: app.moved == [3])


async def test_marks_one_a_range_and_all() -> None:
    app = ListApp(ids(*range(9, 0, -1)))
    async with app.run_test(size=(40, 12)) as pilot:
        app.list.mark()
        assert app.list.marks == {9}
        assert app.list.current_id == 8
        app.list.mark_range()
        await pilot.press("down", "down")
        app.list.mark_range()
        assert app.list.marks == {9, 8, 7, 6}
        await expect(pilot, lambda: text_of(app).count("*") == 4)
        assert app.list.mark_all()
        assert len(app.list.marks) == 9
        app.list.set_ids(ids(9, 8))  # what is not shown any more cannot stay marked unseen
        assert app.list.marks == {9, 8}
        assert app.list.unmark()
        assert not app.list.marks
        assert not app.list.unmark()


async def test_too_many_rows_are_not_marked_at_once() -> None:
    app = ListApp(array("q", range(MOST_MARKS + 1, 0, -1)))
    async with app.run_test(size=(40, 10)):
        assert not app.list.mark_all()
        assert not app.list.marks
        app.list.set_ids(array("q", range(MOST_MARKS, 0, -1)))
        assert app.list.mark_all()
        assert len(app.list.marks) == MOST_MARKS


async def test_the_beginning_of_a_list_keeps_marks_and_the_way_to_its_end_goes_on_when_the_rest_comes() -> None:
    app = ListApp(array("q", range(1_000, 0, -1)))
    async with app.run_test(size=(40, 10)) as pilot:
        app.list.marks = {1, 2_000}
        app.list.set_ids(array("q", range(1_000, 800, -1)), from_top=True, whole=False)
        assert app.list.marks == {1, 2_000}, "the rest may have them"
        await pilot.press("end")
        assert app.list.current_id == 801
        app.list.set_ids(array("q", range(1_000, 0, -1)))
        assert app.list.current_id == 1
        assert app.list.marks == {1}
        app.list.set_ids(array("q", range(1_000, 800, -1)), from_top=True, whole=False)
        await pilot.press("end", "up")
        app.list.set_ids(array("q", range(1_000, 0, -1)))
        assert app.list.current_id == 802, "who has gone elsewhere stays there"


async def test_rows_that_cannot_be_read_leave_the_program_running() -> None:
    app = ListApp(ids(3, 2, 1))
    async with app.run_test(size=(40, 10)) as pilot:
        await expect(pilot, lambda: "row 3" in text_of(app))

        def broken(asked: list[int]) -> dict[int, Row]:
            raise OSError("the disk is gone")

        app.list._read = broken
        app.list.changed()
        await pilot.pause()
        assert app.is_running
        assert "row 3" in text_of(app)
