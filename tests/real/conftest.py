"""What all tests with the released agent need."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.process import find_commands
from tests.real.release import Unavailable, released_commands
from tests.real.site import Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    try:
        agent = released_commands()
    except Unavailable as reason:
        pytest.skip(f"THE RELEASED AGENT IS NOT TESTED: {reason}")
    site = Site(tmp_path, agent, find_commands(tmp_path / "commands"))
    try:
        site.server.start()
        yield site
        site.server.stop()
    finally:
        site.server.kill()
