"""Plugins of other people, one for each role, are called when and how the documentation of the interface says."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar
from xmlrpc.client import Fault

import pytest

from bcfg2.options import Option
from bcfg2.server.plugin import Plugin, PullSource, PullTarget, Specificity, ValidationError
from tests.support import NetworkSite, ServerProcess, await_condition
from tests.third_party.conftest import HERE

HOST = "client.example.com"
Make = Callable[..., NetworkSite]

ROLES = ("Groups", "Facts", "Site", "Checker", "Binder", "Goals", "Lists", "Hooks", "Counter", "Slow", "Worker")
ALL = ", ".join(["Metadata", "Bundler", *(f"site_roles.{name}" for name in ROLES)])


def calls(site: NetworkSite | None = None) -> list[tuple[Any, ...]]:
    """What the plugins were asked so far; it is forgotten."""
    noted = sys.modules["site_roles"].CALLS
    seen = list(noted)
    noted.clear()
    return seen


def names(seen: list[tuple[Any, ...]]) -> list[str]:
    return [f"{call[0]}.{call[1]}" for call in seen]


def with_role(site: Make, *roles: str, files: dict[str, str] | None = None, conf: str = "") -> NetworkSite:
    made = site(", ".join(["Metadata", "Bundler", *(f"site_roles.{role}" for role in roles)]), files, conf)
    calls()
    return made


# loading


def test_a_plugin_is_loaded_by_its_module_and_class_or_by_its_plain_name(site: Make) -> None:
    made = site("Metadata, Bundler, site_roles.Groups, Greeter")
    assert made.plugin("Groups").data == str(made.repo / "Groups")
    assert (made.repo / "Groups").is_dir()
    assert made.metadata().Greeter == f"hello {HOST}"
    assert importlib.import_module("Bcfg2.Server.Plugins.Greeter").Greeter is type(made.plugin("Greeter"))


def test_a_plugin_that_fails_costs_nothing_but_itself(site: Make, caplog: pytest.LogCaptureFixture) -> None:
    made = site("Metadata, Bundler, site_roles.Broken, site_roles.Boastful, site_roles.Missing, none.Such")
    assert {"Metadata", "Bundler", "Boastful"} <= set(made.core.plugins)
    assert not {"Broken", "Missing", "Such"} & set(made.core.plugins)
    assert "Plugin Broken is not loaded: nothing to work with" in caplog.text
    assert any("Missing" in line for line in made.core.options.warnings)
    assert any("none.Such" in line for line in made.core.options.warnings)
    assert not (made.repo / "Boastful").exists()


def test_a_remote_method_that_does_not_exist_is_named_and_costs_no_other(
    site: Make, caplog: pytest.LogCaptureFixture
) -> None:
    made = with_role(site, "Boastful")
    assert "Plugin Boastful offers the remote method nothing, which it does not have" in caplog.text
    assert made.call("Boastful.toggle_debug", address=("127.0.0.1", 1)) is True


# roles


def test_a_connector_gives_groups_with_bundles_and_data(site: Make) -> None:
    made = with_role(site, "Groups", conf="[groups]\nnames = early, late")
    metadata = made.metadata()
    assert metadata.groups == {"basic", "early", "late", "shift"}
    assert metadata.bundles == {"base", "shift"}
    assert metadata.group_in_category("work") == "shift"
    assert metadata.Groups == {"shift": True}
    assert calls() == [("Groups", "get_additional_groups", HOST), ("Groups", "get_additional_data", "shift")]


def test_probes_are_sent_and_their_answers_handed_over_together(site: Make) -> None:
    made = with_role(site, "Facts")
    assert made.call("GetProbes") == (
        '<probes><probe name="fact" source="Facts" interpreter="/bin/sh">uname -r</probe></probes>'
    )
    data = '<ProbeData><d name="fact" source="Facts">6.1</d><d name="more" source="Facts">x</d></ProbeData>'
    assert made.call("RecvProbeData", data) is True
    assert calls() == [("Facts", "GetProbes", HOST), ("Facts", "ReceiveData", HOST, [("fact", "6.1"), ("more", "x")])]


@pytest.mark.builds_once
def test_entries_are_bound_by_the_generator_that_lists_them_or_else_handles_them(site: Make) -> None:
    made = with_role(site, "Site", "Binder")
    bundle = made.config().find("Bundle[@name='site']")
    assert bundle is not None
    found = {entry.get("name"): entry for entry in bundle}
    assert found["/etc/listed"].text == HOST and found["/etc/listed"].get("type") == "file"
    assert found["/etc/handled"].get("type") == "directory"
    assert found["/etc/refused"].get("failure") == "bind error: refused"
    assert found["/etc/nobody"].get("failure") == "no matching generator"
    binding = [call[1:] for call in calls() if call[0] == "Binder"]
    assert binding == [
        ("bind_listed", "/etc/listed"),
        ("HandlesEntry", "/etc/handled"), ("HandleEntry", "/etc/handled"),
        ("HandlesEntry", "/etc/refused"), ("HandleEntry", "/etc/refused"),
        ("HandlesEntry", "/etc/nobody"),
    ]  # fmt: skip
    assert [entry.tag for entry in made.config().iter("Service")] == ["Service"]


@pytest.mark.parametrize(("plugin", "text"), [("Checker", "structures are refused"), ("Goals", "goals are refused")])
def test_a_validator_that_refuses_ends_the_call(site: Make, plugin: str, text: str) -> None:
    made = with_role(site, "Site", "Binder", plugin)
    assert made.call("GetConfig")
    (made.repo / plugin / "refuse").touch()
    with pytest.raises(ValidationError, match=text):
        made.call("GetConfig")


def test_a_goal_validator_changes_the_bound_document(site: Make) -> None:
    made = with_role(site, "Site", "Binder", "Goals")
    assert {path.get("seen") for path in made.config().iter("Path")} == {"yes"}


def test_decisions_are_pairs_of_tag_and_name(site: Make) -> None:
    made = with_role(site, "Lists")
    assert made.call("GetDecisionList", "whitelist") == [["Service", "*"], ["Path", "/etc/listed"]]
    assert calls() == [("Lists", "GetDecisions", HOST, "whitelist")]


def test_statistics_go_to_all_plugins_that_take_them_and_then_to_the_hooks(site: Make) -> None:
    made = with_role(site, "Counter", "Slow", "Hooks")
    assert made.call("RecvStats", '<s><Statistics version="2.0" state="clean"/></s>') is True
    assert made.call("RecvStats", '<s><Statistics version="1.0" state="clean"/></s>') is True
    seen: list[tuple[Any, ...]] = []
    await_condition(lambda: seen.extend(calls()) or ("Slow", "handle_statistic", HOST, False) in seen)
    assert [call for call in seen if call[0] != "Slow"] == [
        ("Counter", "process_statistics", HOST), ("Hooks", "end_statistics", HOST), ("Hooks", "end_statistics", HOST)
    ]  # fmt: skip
    assert made.call("Counter.count", address=("127.0.0.1", 1)) == 1
    assert made.call("Counter.count", "dirty", address=("127.0.0.1", 1)) == 0
    with pytest.raises(PermissionError):
        made.call("Counter.count")


def test_threads_start_once_and_may_use_options_and_files(site: Make) -> None:
    made = site("Metadata, Bundler, site_roles.Worker")
    worker = made.plugin("Worker")
    seen: list[tuple[Any, ...]] = []
    await_condition(lambda: seen.extend(calls()) or seen)
    assert seen == [("Worker", "work", True)]
    made.stop()
    assert not worker.thread.is_alive() and worker.running is False
    assert calls() == []


def test_the_revision_is_that_of_the_version_plugin(site: Make, caplog: pytest.LogCaptureFixture) -> None:
    made = with_role(site, "Tape", files={".tape": "17\n"})
    assert made.config().get("revision") == "17"
    assert made.call("Tape.get_revision", address=("127.0.0.1", 1)) == "17"
    made.write(".tape", "")
    made.write("Bundler/base.xml", "<Bundle/>")
    assert made.config().get("revision") == "-1"
    assert "the tape is empty" in caplog.text


def test_a_version_plugin_without_a_working_copy_is_left_out(site: Make, caplog: pytest.LogCaptureFixture) -> None:
    made = with_role(site, "Tape")
    assert "Tape" not in made.core.plugins
    assert ".tape does not exist" in caplog.text
    assert made.config().get("revision") == "-1"


def test_pull_plugins_are_found_by_their_roles(site: Make) -> None:
    made = with_role(site, "Pull")
    (source,), (target,) = made.core.plugins_by_type(PullSource), made.core.plugins_by_type(PullTarget)
    assert source.GetExtra(HOST) == []
    assert source.GetCurrentEntry(HOST, "Path", "/etc/x")[-1] == f"/etc/x on {HOST}"
    (choice,) = target.AcceptChoices(None, made.metadata())
    assert choice == Specificity(hostname=HOST) and choice.matches(made.metadata())
    target.AcceptPullData(choice, {"name": "/etc/x"}, True)
    assert calls() == [("Pull", "AcceptPullData", HOST, "/etc/x", True)]


@pytest.mark.parametrize(
    ("address", "method", "allowed", "asked"),
    [
        ("127.0.0.1", "GetConfig", True, ["check_acl_ip"]),
        ("127.0.0.9", "GetConfig", False, ["check_acl_ip"]),
        ("127.0.0.8", "GetConfig", False, ["check_acl_ip"]),
        ("127.0.0.2", "GetConfig", True, ["check_acl_ip", "check_acl_metadata"]),
        ("127.0.0.2", "GetDecisionList", False, ["check_acl_ip", "check_acl_metadata"]),
    ],
)
def test_access_is_decided_by_address_and_else_by_metadata(
    site: Make, address: str, method: str, allowed: bool, asked: list[str]
) -> None:
    made = with_role(site, "Doors")
    assert "DefaultACL" not in made.core.plugins
    assert made.core.check_acls((address, 1), method) is allowed
    assert [call[1] for call in calls()] == asked


def test_templates_get_the_variables_of_the_plugin(site: Make, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("genshi")
    pytest.importorskip("jinja2")
    bundle = (
        '<Bundle xmlns:py="http://genshi.edgewall.org/"><Path name="/etc/x"/><BoundService name="${word}"/></Bundle>'
    )
    files = {"Bundler/base.xml": bundle, "Cfg/etc/x/x.jinja2": "{{ word }} {{ name }}"}
    made = site("Metadata, Bundler, Cfg, site_roles.Words", files)
    assert made.entry("Path", "/etc/x").text == "text /etc/x"
    assert made.entry("Service", "xml").get("failure") is None
    assert ("Words", "get_template_data", "/etc/x", "x.jinja2") in calls()
    assert "template variable name of plugin Words is taken already" in caplog.text


# a plugin in the place of Metadata


def test_metadata_may_be_another_plugin(site: Make) -> None:
    made = site(
        "site_roles.Phonebook, site_roles.Groups, Bundler",
        {"Bundler/base.xml": '<Bundle><BoundService name="x"/></Bundle>'},
    )
    calls()
    assert made.call("DeclareVersion", "1.4.0") is True
    assert made.plugin("Phonebook").versions == {"host-2": "1.4.0"}
    assert 'name="x"' in made.call("GetConfig")
    assert made.call("GetProbes") == "<probes/>"
    metadata = made.metadata("host-2")
    assert metadata.groups == {"all", "night", "day", "shift"} and metadata.Groups == {"shift": True}
    seen = calls()
    assert ("Phonebook", "resolve_client", "127.0.0.2", True) in seen
    assert ("Phonebook", "get_initial_metadata", "host-2") in seen
    with pytest.raises(Fault, match="Critical failure: .*all machines are alike") as raised:
        made.call("AssertProfile", "other")
    assert raised.value.faultCode == -32500
    with pytest.raises(Fault, match="Critical failure"), made.core.request():
        made.core.resolve_client(("127.0.0.unknown", 1))
        made.core.metadata.resolve_client = lambda address, cleanup_cache=False: "unknown"
        made.core.resolve_client(("127.0.0.3", 1))
    assert made.core.authenticate(None, "root", "secret", ("127.0.0.2", 1)) is True
    assert made.core.authenticate(None, "root", "wrong", ("127.0.0.2", 1)) is False


@pytest.mark.parametrize("mode", ["initial", "cautious", "aggressive"])
def test_metadata_of_another_plugin_is_cached_without_mixing_clients_runs(site: Make, mode: str) -> None:
    made = site("site_roles.Phonebook, site_roles.Groups, Bundler", conf=f"[caching]\nclient_metadata = {mode}")
    calls()
    first, second = made.metadata("host-2"), made.metadata("host-2")
    assert first.hostname == second.hostname == "host-2"
    assert [call[1] for call in calls()].count("get_initial_metadata") == 1


# the whole conversation


@pytest.mark.builds_once
def test_the_order_of_a_run_is_the_documented_one(site: Make) -> None:
    made = site(ALL)
    seen: list[tuple[Any, ...]] = []
    await_condition(lambda: seen.extend(calls()) or ("Worker", "work", True) in seen)
    made.call("GetConfig")
    run = [name for name in names(calls()) if not name.startswith(("Binder.", "Doors."))]
    assert run == [
        "Groups.get_additional_groups", "Groups.get_additional_data", "Hooks.start_client_run",
        "Site.BuildStructures", "Checker.validate_structures", "Goals.validate_goals", "Hooks.end_client_run",
    ]  # fmt: skip


def test_a_client_s_run_over_the_network(tmp_path: Path, certificate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{HERE}:{HERE.parents[2]}")
    with ServerProcess(tmp_path, certificate, plugins=ALL, conf="[groups]\nnames = early\n") as server:
        assert server.call("DeclareVersion", "1.4.0") is True
        assert "uname -r" in server.call("GetProbes")
        assert server.call("RecvProbeData", '<p><d name="fact" source="Facts">6.1</d></p>') is True
        assert server.call("GetDecisionList", "blacklist") == [["Service", "*"], ["Path", "/etc/listed"]]
        config = server.call("GetConfig")
        assert '<Path name="/etc/listed" type="file" seen="yes">client.example.com</Path>' in config
        assert server.call("RecvStats", '<s><Statistics version="2.0" state="clean"/></s>') is True
        assert server.call("Counter.count", source="127.0.0.1") == 1
        assert server.stop() == 0
    log = server.log.read_text()
    assert log.count("Traceback") == log.count("AttributeError: a mistake in a hook") == 1


def test_options_of_a_plugin_s_base_classes_stay_its_own() -> None:
    class Base(Plugin):
        options: ClassVar[list[Option]] = [Option("base", "one"), Option("base", "two")]

    class Derived(Base):
        options: ClassVar[list[Option]] = [Option("derived", "one"), Base.options[0]]

    assert [option.dest for option in Derived.options] == ["derived_one", "base_one", "base_two"]
