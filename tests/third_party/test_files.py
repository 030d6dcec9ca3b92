"""Plugins of other people over the building blocks: files, folders, conditions, priorities, trees, data."""

from collections.abc import Callable

import pytest

from bcfg2.server.statistics import stats
from tests.support import NetworkSite

HOST = "client.example.com"
Make = Callable[..., NetworkSite]
BASE = '<Bundle><Path name="/etc/motd"/><Path name="/etc/own"/><Path name="/etc/ssh"/><POSIXUser name="ada"/></Bundle>'


def test_files_of_a_folder_are_followed_and_a_bad_one_keeps_its_content(
    site: Make, caplog: pytest.LogCaptureFixture
) -> None:
    made = site(
        "Metadata, Bundler, site_files.Notes",
        {"Notes/first.txt": "1\n2", "Notes/sub/more.txt": "3", "Notes/README": ""},
    )
    assert dict(made.metadata().Notes) == {
        "all": [("first.txt", ["1", "2"]), ("sub/more.txt", ["3"])], "first": "1", "here": True
    }  # fmt: skip
    made.change({"Notes/first.txt": "4", "Notes/sub/more.txt": "bad", "Notes/x.doc": ""})
    assert made.metadata().Notes["all"] == [("first.txt", ["4"]), ("sub/more.txt", ["3"])]
    assert "there is a bad line" in caplog.text and "README" not in caplog.text and "x.doc" in caplog.text
    made.delete("Notes/sub")
    assert made.metadata().Notes["all"] == [("first.txt", ["4"])]
    assert "Notes:get_additional_data" in stats.display()


def test_xml_files_have_root_children_label_and_includes(site: Make) -> None:
    include = (
        '<Rack rack="r1" xmlns:xi="http://www.w3.org/2001/XInclude"><P n="1"/><xi:include href="more.inc"/></Rack>'
    )
    made = site("Metadata, Bundler, site_files.Racks", {"Racks/a.xml": include, "Racks/more.inc": '<P n="2"/>'})
    assert dict(made.metadata().Racks) == {"racks": {"r1": ["1", "2"]}, "roots": ["Rack"], "extras": ["more.inc"]}
    made.write("Racks/more.inc", '<P n="3"/>')
    assert made.metadata().Racks["racks"] == {"r1": ["1", "3"]}
    made.write("Racks/a.xml", "<Rack/>")  # without its label
    assert made.metadata().Racks["racks"] == {"r1": ["1", "3"]}


def test_conditions_of_one_s_own_are_asked_with_element_metadata_and_further_arguments(site: Make) -> None:
    made = site("Metadata, Bundler, site_files.Aged")
    assert (made.repo / "Aged/aged.xml").read_text() == "<Aged/>\n"
    text = '<Group name="basic"><E n="1"/></Group><Rack row="3"><E n="2"/></Rack><Rack row="4"><E n="3"/></Rack>'
    made.write("Aged/aged.xml", f'<Aged>{text}<Rack of="{HOST}"><E n="4"/></Rack><E n="5"/></Aged>')
    assert made.metadata().Aged == {"match": ["1", "2", "4", "5"], "xmlmatch": ["5", "1", "2", "4"]}


def test_rules_of_one_s_own_match_and_apply_as_they_like(site: Make) -> None:
    rules = '<Users priority="{}"><POSIXUser name="ada|bob" shell="/bin/{}"><MemberOf group="g"/></POSIXUser></Users>'
    files = {"Bundler/base.xml": BASE, "Users/a.xml": rules.format(1, "sh"), "Users/b.xml": rules.format(5, "zsh")}
    made = site("Metadata, Bundler, site_files.Users", files)
    entry = made.entry("POSIXUser", "ada")
    assert (entry.get("shell"), entry.get("by"), [child.tag for child in entry]) == ("/bin/zsh", "Users", ["MemberOf"])
    made.write("Users/a.xml", rules.format(5, "sh"))
    assert "conflicting sources" in made.entry("POSIXUser", "ada").get("failure", "")
    made.write("Bundler/base.xml", '<Bundle><POSIXUser name="eve"/></Bundle>')
    assert made.entry("POSIXUser", "eve").get("failure") == "no matching generator"


def test_a_tree_of_files_serves_the_best_file_with_attributes(site: Make) -> None:
    files = {
        "Bundler/base.xml": BASE,
        "Keys/etc/ssh/key": "all",
        "Keys/etc/ssh/key.G10_basic": "basic",
        "Keys/etc/ssh/key.H_other": "other",
        "Keys/etc/ssh/info.xml": '<FileInfo><Info mode="0600"/></FileInfo>',
    }
    made = site("Metadata, Bundler, site_files.Keys", files)
    entry = made.entry("Path", "/etc/ssh")
    assert (entry.text, entry.get("mode"), entry.get("owner"), entry.get("paranoid")) == (
        "BASIC",
        "0600",
        "root",
        "true",
    )
    made.write(f"Keys/etc/ssh/key.H_{HOST}", "mine")
    assert made.entry("Path", "/etc/ssh").text == "MINE"
    made.delete("Keys/etc")
    assert made.entry("Path", "/etc/ssh").get("failure") == "no matching generator"


def test_a_set_of_files_may_be_followed_by_the_plugin_itself(site: Make) -> None:
    files = {
        "Bundler/base.xml": BASE,
        "Single/motd": "hello",
        "Single/motd.G5_basic": "basic",
        "Single/motd.G9_none": "none",
        "Single/own.xml": f"""<FileInfo>
          <Client name="{HOST}"><Info owner="ada"/></Client><Path name="/x"><Info/></Path>
        </FileInfo>""",
    }
    made = site("Metadata, Bundler, site_files.Single", files)
    assert made.entry("Path", "/etc/motd").text == "BASIC"
    own = made.entry("Path", "/etc/own")
    assert (own.get("owner"), own.text) == ("ada", "motd.G5_basic,motd")


def test_files_with_priorities(site: Make, caplog: pytest.LogCaptureFixture) -> None:
    files = {
        "Ranked/a.xml": '<R priority="1"><E n="1"/></R>',
        "Ranked/b.xml": '<R priority="-1"><E n="2"/><Group name="none"><E n="4"/></Group></R>',
        "Ranked/c.xml": "<R/>",
    }
    made = site("Metadata, Bundler, site_files.Ranked", files)
    assert made.metadata().Ranked == ["1", "2"]
    assert "c.xml" in caplog.text and "priority" in caplog.text


def test_caches_timing_and_debugging(site: Make) -> None:
    made = site("Metadata, Bundler, site_files.Notes, site_files.Meter", {"Notes/first.txt": "1"})
    made.metadata()
    meter, local = made.plugin("Meter"), ("127.0.0.1", 1)
    assert made.plugin("Notes").cache[HOST] == 1
    assert made.call("Meter.expire", HOST, address=local) == 1
    assert meter.expired[-1] == (("Notes", HOST), False, 1)
    assert made.call("get_statistics", address=local)["Meter:expire"][:3] == [0.5, 0.5, 0.5]
    assert made.call("Meter.set_debug", "True", address=local) is True
    assert meter.debug_flag is True and meter.Entries["Gauge"].debug_flag is True
    assert made.call("Meter.toggle_debug", address=local) is False
    assert str(meter) == "Meter Plugin"
