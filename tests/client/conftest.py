from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bcfg2.client.run import run
from tests.client.support import Box, options

Run = Callable[..., int]


@pytest.fixture(autouse=True)
def empty_machine() -> Iterator[None]:
    Box.machine.clear()
    Box.log.clear()
    yield


@pytest.fixture
def offline(tmp_path: Path) -> Run:
    """Runs the agent over a configuration with a body, with tools Box, Action and BundleDeps; its exit status."""

    def make(body: str, *words: str) -> int:
        document = tmp_path / "config.xml"
        document.write_text(f'<Configuration version="2.0" revision="1">{body}</Configuration>')
        conf = f"[components]\nlockfile = {tmp_path}/lock\n"
        drivers = "tests.client.support.Box,Action,BundleDeps"
        return run(options("-f", str(document), "-D", drivers, *words, conf=conf, folder=tmp_path))

    return make
