"""The commands, run in this process where the process itself is not what is tested."""

from __future__ import annotations

import pytest
from cli_office import Desk
from support.houses import House


@pytest.fixture
def desk(house: House) -> Desk:
    return Desk(house)
