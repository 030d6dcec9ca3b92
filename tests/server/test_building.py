"""How configurations are built from what plugins deliver; the plugins here are other people's, of each role."""

from xmlrpc.client import Fault

import pytest
from lxml import etree

from bcfg2.server.plugin import (
    ClientRunHooks,
    Generator,
    GoalValidator,
    Plugin,
    PluginExecutionError,
    Structure,
    StructureValidator,
    ValidationError,
)
from tests.support import Site


class Bundles(Plugin, Structure):
    """Delivers the text of `structures`."""

    structures = "<all/>"

    def BuildStructures(self, metadata):
        return list(etree.fromstring(self.structures))


class Binder(Plugin, Generator):
    """Binds Service entries by name, and anything called ``willing`` on request."""

    def __init__(self, core):
        super().__init__(core)
        self.Entries = {"Service": {"listed": self.bind, "twice": self.bind, "broken": self.fail}}

    def bind(self, entry, metadata):
        entry.set("by", self.name)
        entry.set("seen", f"{entry.get('name')}/{entry.get('realname')}")

    def fail(self, entry, metadata):
        entry.set("half", "done")
        etree.SubElement(entry, "Half")
        raise PluginExecutionError("no luck with \x01")

    def HandlesEntry(self, entry, metadata):
        return entry.get("name") in ("willing", "listed", "both")

    def HandleEntry(self, entry, metadata):
        entry.set("handled", self.name)


class Other(Binder):
    """A second generator."""

    def __init__(self, core):
        super().__init__(core)
        self.Entries = {"Service": {"twice": self.bind}}

    def HandlesEntry(self, entry, metadata):
        return entry.get("name") == "both"


class Checker(Plugin, StructureValidator, GoalValidator, ClientRunHooks):
    """Does what its attributes say."""

    def __init__(self, core):
        super().__init__(core)
        self.calls = []
        self.raises = {}

    def _called(self, name):
        self.calls.append(name)
        if name in self.raises:
            raise self.raises[name]

    def start_client_run(self, metadata):
        self._called("start_client_run")

    def end_client_run(self, metadata):
        self._called("end_client_run")

    def validate_structures(self, metadata, structures):
        self._called("validate_structures")
        structures.append(etree.fromstring('<Independent name="added"/>'))

    def validate_goals(self, metadata, config):
        self._called("validate_goals")
        config.set("checked", "yes")


@pytest.fixture
def site(tmp_path):
    names = ",".join(f"{__name__}.{cls.__name__}" for cls in (Bundles, Binder, Other, Checker))
    made = Site(tmp_path, plugins=f"Metadata,{names}")
    yield made
    made.stop()


def bound(site, entries):
    """The entries of one bundle, by name, after binding."""
    site.plugin("Bundles").structures = f'<all><Bundle name="base">{entries}</Bundle></all>'
    return {entry.get("name"): dict(entry.attrib) for entry in site.config().find("Bundle")}


def test_an_entry_is_bound_by_the_one_generator_that_lists_it(site):
    assert bound(site, '<Service name="listed"/>')["listed"]["by"] == "Binder"


def test_where_nobody_lists_an_entry_the_one_that_is_willing_binds_it(site):
    assert bound(site, '<Path name="willing"/>')["willing"]["handled"] == "Binder"


def test_an_entry_that_nobody_or_several_could_bind_has_no_matching_generator(site):
    found = bound(site, '<Path name="nobody"/><Path name="both"/>')
    assert found["nobody"]["failure"] == found["both"]["failure"] == "no matching generator"


def test_an_entry_that_two_generators_list_fails_and_names_them(site):
    failure = bound(site, '<Service name="twice"/>')["twice"]["failure"]
    assert failure.startswith("bind error: ")
    assert "Binder, Other" in failure


def test_a_failure_marks_its_own_entry_and_is_legal_xml(site, caplog):
    found = bound(site, '<Service name="broken"/><Service name="listed"/>')
    assert found["broken"]["failure"] == "bind error: no luck with \ufffd"
    assert "failure" not in found["listed"]
    assert "client.example.com: Failed to bind Service broken" in caplog.text


def test_bound_entries_go_through_as_they_are(site):
    assert bound(site, '<BoundService name="twice" altsrc="x" status="on"/>') == {
        "twice": {"name": "twice", "altsrc": "x", "status": "on"}
    }


def test_altsrc_is_looked_up_and_the_true_name_delivered(site):
    assert bound(site, '<Service name="mine" altsrc="listed"/>') == {
        "mine": {"name": "mine", "by": "Binder", "seen": "listed/mine"}
    }


def test_a_failed_altsrc_leaves_no_marks_on_what_is_bound_under_its_own_name(site):
    site.plugin("Bundles").structures = """<all><Bundle name="base">
        <Service name="listed" altsrc="broken"/><Service name="willing" altsrc="no"/>
    </Bundle></all>"""
    listed, willing = site.config().find("Bundle")
    assert dict(listed.attrib) == {"name": "listed", "by": "Binder", "seen": "listed/None"}
    assert len(listed) == 0
    assert dict(willing.attrib) == {"name": "willing", "handled": "Binder"}


def test_comments_and_processing_instructions_harm_nothing(site):
    site.plugin(
        "Bundles"
    ).structures = '<all><Bundle name="base"><!-- x --><?pi x?><Service name="listed"/></Bundle></all>'
    assert site.config().find("Bundle/Service").get("by") == "Binder"


def test_structures_of_the_same_entry_with_different_altsrc_are_reported(site, caplog):
    bound(site, '<Service name="a" altsrc="listed"/><Service name="a"/>')
    assert "asked for with different altsrc" in caplog.text


def test_missing_bundles_are_reported_and_the_rest_is_sent(site, caplog):
    config = site.config()
    assert config.tag == "Configuration"
    assert "has bundles that do not exist: base" in caplog.text


@pytest.mark.builds_once
def test_everything_is_called_in_its_order(site):
    config = site.config()
    assert site.plugin("Checker").calls == [
        "start_client_run",
        "validate_structures",
        "validate_goals",
        "end_client_run",
    ]
    assert config.get("checked") == "yes"
    assert config.find("Independent").get("name") == "added"
    assert (config.get("version"), config.get("revision")) == ("2.0", "-1")


@pytest.mark.parametrize("stage", ["start_client_run", "end_client_run", "validate_structures", "validate_goals"])
@pytest.mark.parametrize("error", [AttributeError("a"), RuntimeError("b")])
def test_hooks_and_validators_that_fail_are_logged_and_passed_over(site, caplog, stage, error):
    site.plugin("Checker").raises = {stage: error}
    assert site.config().tag == "Configuration"
    assert f"{stage} of plugin Checker failed" in caplog.text


@pytest.mark.parametrize("stage", ["validate_structures", "validate_goals"])
def test_a_validation_error_ends_the_request(site, stage):
    site.plugin("Checker").raises = {stage: ValidationError("refused")}
    with pytest.raises(ValidationError, match="refused"):
        site.config()


def test_structures_that_cannot_be_had_are_an_error_document_with_the_reason(site):
    site.plugin("Bundles").structures = "<broken"
    error = site.config()
    assert (error.tag, error.get("type")) == ("error", "structure error")
    assert "line 1" in error.text


def test_the_document_is_sorted_by_name_at_every_level(site):
    site.plugin("Bundles").structures = """<all>
        <Bundle name="z"/><Bundle name="base"><A name="2"><c name="y"/><c name="x"/></A><A name="1"/></Bundle>
    </all>"""
    config = site.config()
    assert [item.get("name") for item in config] == ["added", "base", "z"]
    assert [item.get("name") for item in config[1]] == ["1", "2"]
    assert [item.get("name") for item in config[1][1]] == ["x", "y"]


def test_critical_failures_are_faults(site):
    with pytest.raises(Fault) as caught, site.core.request():
        site.core.GetConfig(("127.0.0.77", 1))
    assert caught.value.faultCode == -32500
    assert caught.value.faultString.startswith("Critical failure: ")
