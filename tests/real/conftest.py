"""What all tests with real agents and servers need: the released ones, and those of this tree."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.process import find_commands
from tests.real.release import Unavailable, released_commands
from tests.real.site import Site

RELEASED, OURS = "released", "ours"


@pytest.fixture(params=[(RELEASED, OURS), (OURS, OURS)], ids=["released agent", "agent of this tree"])
def site(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A server of this tree, and an agent: the released one, and that of this tree."""
    yield from _served(tmp_path, *request.param)


@pytest.fixture
def released_site(tmp_path: Path) -> Iterator[Site]:
    """The released server, and the agent of this tree."""
    yield from _served(tmp_path, OURS, RELEASED)


def _served(folder: Path, agent: str, server: str) -> Iterator[Site]:
    site = Site(folder, _commands(folder, agent), _commands(folder, server), released_server=server == RELEASED)
    try:
        site.server.start()
        yield site
        if server == OURS:  # the released one takes its time
            site.server.stop()
    finally:
        site.server.kill()


def _commands(folder: Path, which: str) -> Path:
    """The folder of the commands of the release, or of this tree."""
    if which == OURS:
        return find_commands(folder / "commands")
    try:
        return released_commands()
    except Unavailable as reason:
        pytest.skip(f"THE RELEASED SUITE IS NOT TESTED: {reason}")
