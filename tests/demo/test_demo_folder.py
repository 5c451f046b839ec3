"""The folder of the exercise: nobody else's is taken, nothing else is removed, and it goes on after any end."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from demo_helpers import Visitor, wait_for_end

from ksef_tui import compose
from ksef_tui.demo import ministry
from ksef_tui.demo.folder import MARKER, Folder
from ksef_tui.demo.run import depart, make_ready, run
from ksef_tui.demo.seed import build
from ksef_tui.domain.problems import Problem
from ksef_tui.store.leases import started_ticks

Visit = Callable[[Folder], Visitor]
SMALL = {"clients": 1, "invoices": 0, "login": "anna"}


def invoices_in(folder: Folder) -> int:
    office = compose.open_office(folder.office)
    try:
        return int(office.db.value("SELECT count(*) FROM invoice"))
    finally:
        office.close()


class TestForeignFolders:
    def test_a_folder_with_somebodys_files(self, tmp_path: Path) -> None:
        (tmp_path / "office.db").write_text("cudze")
        with pytest.raises(Problem) as refused:
            Folder(tmp_path).prepare()
        assert refused.value.code == "not_a_demo"
        assert [file.name for file in tmp_path.iterdir()] == ["office.db"]

    def test_a_marker_that_is_not_ours(self, tmp_path: Path) -> None:
        (tmp_path / MARKER).write_bytes(b"\xff\xfe")
        with pytest.raises(Problem, match="nie założyło go ćwiczenie"):
            Folder(tmp_path).prepare()

    def test_a_link_to_somewhere_else(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "real")
        with pytest.raises(Problem):
            Folder(tmp_path / "link").prepare()

    def test_a_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(Problem) as refused:
            Folder(tmp_path / "file" / "demo").prepare()
        assert refused.value.code == "not_a_demo"

    def test_an_empty_folder_will_do(self, tmp_path: Path) -> None:
        Folder(tmp_path).prepare()
        assert (tmp_path / MARKER).is_file()

    def test_without_a_terminal_nothing_is_made(self, tmp_path: Path) -> None:
        with pytest.raises(Problem) as refused:
            run(data_dir=tmp_path / "demo", reset=False, **SMALL)
        assert refused.value.code == "no_terminal"
        assert not (tmp_path / "demo").exists()


class TestReset:
    def test_only_what_the_exercise_made_is_removed(self, folder: Folder, tmp_path: Path) -> None:
        (folder.path / "notatki.txt").write_text("moje")
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "dokument").write_text("cudze")
        (folder.sandbox / "odnośnik").symlink_to(outside)
        with folder.locked():
            folder.enter()
            make_ready(folder, reset=True, **SMALL)
        depart(folder)
        assert (folder.path / "notatki.txt").read_text() == "moje"
        assert (outside / "dokument").read_text() == "cudze"
        assert not (folder.sandbox / "odnośnik").exists()
        assert folder.notes()["clients"] == 1

    def test_not_while_somebody_has_it_open(self, folder: Folder, visit: Visit) -> None:
        visit(folder)
        with folder.locked(), pytest.raises(Problem) as refused:
            make_ready(folder, reset=True, **SMALL)
        assert refused.value.code == "demo_open"
        assert invoices_in(folder) >= 60

    @pytest.mark.parametrize("lost", ["demo.json", "sandbox/sandbox.db"])
    def test_what_is_not_whole_begins_anew(self, folder: Folder, lost: str) -> None:
        (folder.path / lost).unlink()
        with folder.locked():
            folder.enter()
            make_ready(folder, reset=False, **SMALL)
        depart(folder)
        assert folder.notes()["clients"] == 1

    def test_a_small_cast_is_an_exercise_too(self, tmp_path: Path) -> None:
        build(tmp_path / "demo", 3, 0)
        assert invoices_in(Folder(tmp_path / "demo")) > 0


class TestComingAndGoing:
    def test_the_second_joins_and_the_last_stops_the_sandbox(self, folder: Folder, visit: Visit) -> None:
        first = visit(folder)
        pid = folder.running()["pid"]
        second = visit(folder)
        assert (second.url, folder.running()["pid"]) == (first.url, pid)
        first.go()
        assert started_ticks(pid) is not None
        second.go()
        assert wait_for_end(pid)
        assert ministry.running_url(folder) is None

    def test_who_was_killed_does_not_count(self, folder: Folder, visit: Visit) -> None:
        first, second = visit(folder), visit(folder)
        pid = folder.running()["pid"]
        first.die()
        second.go()
        assert wait_for_end(pid)

    def test_the_sandbox_of_the_dead_ends_by_itself(self, folder: Folder, visit: Visit) -> None:
        only = visit(folder)
        pid = folder.running()["pid"]
        only.die()
        assert wait_for_end(pid)
        assert ministry.running_url(folder) is None

    def test_after_a_kill_it_goes_on_where_it_stopped(self, folder: Folder, visit: Visit) -> None:
        before, killed = invoices_in(folder), visit(folder)
        killed.die()
        again = visit(folder)
        assert again.url
        assert invoices_in(folder) == before
        again.go()

    def test_the_office_follows_a_sandbox_that_had_to_move(self, folder: Folder, visit: Visit) -> None:
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # of the filling, some connections linger
            taken.bind(("127.0.0.1", folder.notes()["port"]))
            taken.listen()
            visitor = visit(folder)
            assert ministry.port_of(visitor.url) != folder.notes()["port"]
            office = compose.open_office(folder.office)
            assert office.environment.api_url == visitor.url
            office.close()
            visitor.go()
