"""The repository as a working copy: files and revision come into force together, whatever Version plugins do."""

import threading
from pathlib import Path

import pytest

from bcfg2.server import working_copy
from bcfg2.server.plugin import Version
from tests.support import Site

PLUGINS = "Metadata,Bundler,tests.server.test_working_copy.Numbered"


class Numbered(Version):
    """The revision is what stands in the file ``number``."""

    moving = False
    fails = ""
    asked = 0

    def get_revision(self) -> str:
        type(self).asked += 1
        if self.fails == "get_revision":
            raise RuntimeError("no revision today")
        return Path(self.vcs_root, "number").read_text()

    def head_files(self) -> list[str]:
        if self.fails == "head_files":
            raise RuntimeError("no files today")
        return [f"{self.vcs_root}/number"]

    def is_moving(self) -> bool:
        if self.fails == "is_moving":
            raise RuntimeError("no answer today")
        return self.moving


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(Numbered, "asked", 0)
    return Site(tmp_path, {"number": "1", "Bundler/base.xml": bundle("1")}, PLUGINS)


def bundle(number: str) -> str:
    return f'<Bundle><BoundService name="x" number="{number}"/></Bundle>'


def state(site: Site) -> tuple[str | None, str | None]:
    return site.config().get("revision"), site.entry("Service", "x").get("number")


def test_a_plugin_is_asked_when_its_files_have_changed(site: Site) -> None:
    asked = Numbered.asked
    site.write("Bundler/other.xml", "<Bundle/>")
    assert Numbered.asked == asked
    site.change({"number": "2", "Bundler/base.xml": bundle("2")})
    assert Numbered.asked > asked
    assert state(site) == ("2", "2")


@pytest.mark.parametrize("method", ["get_revision", "head_files", "is_moving"])
def test_a_plugin_that_fails_costs_the_revision_at_most_and_is_asked_again(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    monkeypatch.setattr(Numbered, "fails", method)
    site.change({"number": "2", "Bundler/base.xml": bundle("2")})
    assert state(site) == ("-1" if method == "get_revision" else "2", "2")
    assert "today" in caplog.text
    monkeypatch.setattr(Numbered, "fails", "")
    site.write("Bundler/other.xml", "<Bundle/>")
    assert state(site) == ("2", "2")


def test_a_tree_that_never_comes_to_rest_is_taken_as_it_is(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(working_copy, "PATIENCE", 0.2)
    monkeypatch.setattr(Numbered, "moving", True)
    site.change({"number": "2", "Bundler/base.xml": bundle("2")})
    assert state(site) == ("2", "2")
    assert "The working copy has been changing for 0.2 seconds, using it as it is" in caplog.text


def test_what_is_changed_inside_of_changing_repository_is_in_force_at_its_end_and_not_before(site: Site) -> None:
    with site.core.request(), site.core.changing_repository():
        Path(site.repo, "number").write_text("2")
        Path(site.repo, "Bundler/base.xml").write_text(bundle("2"))
        assert state(site) == ("1", "1")
        other = threading.Thread(target=site.apply)  # which waits
        other.start()
        assert state(site) == ("1", "1")
    assert state(site) == ("2", "2")
    other.join(20)
    assert not other.is_alive()


def test_what_was_changed_before_an_exception_is_in_force(site: Site) -> None:
    with pytest.raises(RuntimeError), site.core.changing_repository():
        Path(site.repo, "number").write_text("2")
        raise RuntimeError
    assert state(site) == ("2", "1")
