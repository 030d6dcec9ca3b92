"""The report on memory: what is counted, and that it can be switched."""

import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import NetworkSite

LOCAL = ("127.0.0.1", 1)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[NetworkSite]:
    made = NetworkSite(tmp_path, plugins="Metadata, Bundler, Guppy")
    yield made
    made.stop()


def test_it_counts_from_the_start_and_can_be_switched_off_and_on(site: NetworkSite) -> None:
    assert tracemalloc.is_tracing()
    assert site.call("Guppy.Disable", address=LOCAL) is False
    assert not tracemalloc.is_tracing()
    assert "call Guppy.Enable" in site.call("Guppy.Report", address=LOCAL)
    assert site.call("Guppy.Enable", address=LOCAL) is True
    assert tracemalloc.is_tracing()


def test_counting_ends_with_the_server_and_leaves_no_folder(site: NetworkSite) -> None:
    site.stop()
    assert not tracemalloc.is_tracing()
    assert not (site.repo / "Guppy").exists()


def test_the_report_names_the_line_that_holds_most(site: NetworkSite) -> None:
    held = [bytes(1000) for _ in range(20_000)]
    report = site.call("Guppy.Report", 3, address=LOCAL)
    lines = re.findall(r"(\d+) KiB +(\d+) blocks +(.*):\d+", report)
    assert len(lines) == 3
    assert lines[0][2] == __file__ and int(lines[0][0]) >= 19_000 and int(lines[0][1]) >= 20_000
    assert re.search(r"resident: \d+ kB", report) or not Path("/proc/self/status").exists()
    assert len(re.findall(r"^ *\d+  \w+\.\S+$", report.partition("objects\n")[2], re.MULTILINE)) == 3
    assert len(held) == 20_000


@pytest.mark.parametrize("number", ["5", 5, 0, -1, 10**9])
def test_the_length_of_the_report_is_limited(site: NetworkSite, number: object) -> None:
    assert 0 < site.call("Guppy.Report", number, address=LOCAL).count("blocks") <= 1000


def test_only_the_server_s_own_machine_may_ask(site: NetworkSite) -> None:
    with pytest.raises(PermissionError):
        site.call("Guppy.Report")
