"""AWSTags: tags of EC2 instances as data and groups, from moto's EC2."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bcfg2.server.plugin import PluginExecutionError
from bcfg2.server.plugins import awstags
from tests.support import METADATA, Site, free_port

moto = pytest.importorskip("moto", reason="NOT TESTED: boto3 and moto are missing, install bcfg2[test]")
botocore_session = pytest.importorskip("botocore.session", reason="NOT TESTED: boto3 is missing, install bcfg2[aws]")
boto3 = pytest.importorskip("boto3", reason="NOT TESTED: boto3 is missing, install bcfg2[aws]")

KEYS = "[awstags]\naccess_key_id = AKIAEXAMPLE\nsecret_access_key = hidden-secret\nregion = eu-west-1\n"

CONFIG = """<AWSTags>
  <Tag name="^role$"><Group>has-role</Group></Tag>
  <AWSTags>
    <Tag name="^r(o)le$" value="^(web|db)-([a-z]+)(x)?"><Group>$1-$2</Group><Group>all-$1$3$10$9</Group></Tag>
  </AWSTags>
  <Tag name="env-(.*)"><Group>$1</Group></Tag>
  <Tag name="z$" value="yes"><Group>z-yes</Group></Tag>
</AWSTags>"""


@pytest.fixture(autouse=True)
def no_credentials_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


class EC2:
    """Instances of eu-west-1."""

    def __init__(self) -> None:
        self.client = boto3.client("ec2", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")

    def start(self, **tags: str) -> tuple[str, str]:
        """A new instance with TAGS: its id and its private DNS name."""
        instance = self.client.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1)["Instances"][0]
        self.tag(instance["InstanceId"], **tags)
        return instance["InstanceId"], instance["PrivateDnsName"]

    def tag(self, instance: str, **tags: str) -> None:
        made = [{"Key": key.replace("_", "-"), "Value": value} for key, value in tags.items()]
        if made:
            self.client.create_tags(Resources=[instance], Tags=made)


@pytest.fixture(scope="module", autouse=True)
def one_loader() -> Iterator[None]:
    """One reading of what boto3 knows of EC2, which takes it seconds, for all of its sessions."""
    loader = botocore_session.create_loader()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore_session, "create_loader", lambda *_: loader)
        yield


@pytest.fixture(scope="module")
def ec2(one_loader: None) -> Iterator[EC2]:
    with moto.mock_aws():
        yield EC2()


def make(tmp_path: Path, host: str, conf: str = "", config: str = CONFIG) -> Site:
    clients = METADATA["Metadata/clients.xml"].replace("client.example.com", host)
    files = {"AWSTags/config.xml": config, "Metadata/clients.xml": clients}
    return Site(tmp_path, files, "Metadata,Bundler,AWSTags", KEYS + conf)


def test_the_tags_of_the_clients_instance_are_data_and_bring_groups(tmp_path: Path, ec2: EC2) -> None:
    ec2.start(role="other")
    _, host = ec2.start(role="web-shop", env_live="", abcz="no", efgz="yes")
    found = make(tmp_path, host).metadata(host)
    assert found.AWSTags == {"role": "web-shop", "env-live": "", "abcz": "no", "efgz": "yes"}
    assert found.groups == {"basic", "has-role", "web-shop", "all-web$10$9", "live", "z-yes"}
    assert "AWSTags" in found.connectors


@pytest.mark.parametrize("host", ["no-instance.example.com", "*", "ip-?"])
def test_a_client_without_an_instance_has_no_tags(tmp_path: Path, ec2: EC2, host: str) -> None:
    ec2.start(role="web-shop")
    found = make(tmp_path, host).metadata(host)
    assert found.AWSTags == {}
    assert found.groups == {"basic"}


def test_an_instance_without_tags_has_none(tmp_path: Path, ec2: EC2) -> None:
    _, host = ec2.start()
    assert make(tmp_path, host).metadata(host).AWSTags == {}


def test_a_terminated_instance_does_not_count(tmp_path: Path, ec2: EC2) -> None:
    instance, host = ec2.start(role="web-shop")
    ec2.client.terminate_instances(InstanceIds=[instance])
    assert make(tmp_path, host).metadata(host).AWSTags == {}


def test_tags_are_kept_until_the_clients_next_run(tmp_path: Path, ec2: EC2) -> None:
    instance, host = ec2.start(role="web-a")
    site = make(tmp_path, host)
    assert "web-a" in site.metadata(host).groups
    ec2.tag(instance, role="web-b")
    site.plugin("AWSTags").start_client_run(SimpleNamespace(hostname="other.example.com"))
    assert "web-a" in site.metadata(host).groups
    site.config(host)
    assert "web-b" in site.metadata(host).groups
    assert site.metadata(host).AWSTags == {"role": "web-b"}


def test_without_the_cache_tags_are_asked_for_once_in_each_request(tmp_path: Path, ec2: EC2) -> None:
    instance, host = ec2.start(role="web-a")
    site = make(tmp_path, host, "cache = no\n")
    client = SimpleNamespace(hostname=host)
    with site.core.request():
        assert site.plugin("AWSTags").get_additional_data(client) == {"role": "web-a"}
        ec2.tag(instance, role="web-b")
        assert site.plugin("AWSTags").get_additional_data(client) == {"role": "web-a"}
    assert site.metadata(host).AWSTags == {"role": "web-b"}


def test_expire_cache_forgets_one_client_or_all(tmp_path: Path, ec2: EC2) -> None:
    instance, host = ec2.start(role="web-a")
    site = make(tmp_path, host, "[caching]\nclient_metadata = cautious\n")
    expire = site.core.rmi["AWSTags.expire_cache"]
    for number, (arguments, fresh) in enumerate([(("other.example.com",), False), ((host,), True), ((), True)]):
        before = site.metadata(host).AWSTags
        ec2.tag(instance, role=f"web-{number}")
        expire(*arguments)
        assert site.metadata(host).AWSTags == ({"role": f"web-{number}"} if fresh else before)


def test_what_is_dropped_while_ec2_is_asked_stays_dropped(
    tmp_path: Path, ec2: EC2, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance, host = ec2.start(role="web-a")
    site = make(tmp_path, host)
    ask = awstags.tags_of

    def slow(client: Any, hostname: str) -> dict[str, str]:
        tags = ask(client, hostname)
        ec2.tag(instance, role="web-b")
        site.plugin("AWSTags").expire_cache(host)
        return tags

    monkeypatch.setattr(awstags, "tags_of", slow)
    assert site.metadata(host).AWSTags == {"role": "web-a"}
    monkeypatch.setattr(awstags, "tags_of", ask)
    assert site.metadata(host).AWSTags == {"role": "web-b"}


def test_aggressive_caching_is_warned_of_once_and_drops_the_client(
    tmp_path: Path, ec2: EC2, caplog: pytest.LogCaptureFixture
) -> None:
    instance, host = ec2.start(role="web-a")
    site = make(tmp_path, host, "[caching]\nclient_metadata = aggressive\n")
    site.config(host)
    ec2.tag(instance, role="web-b")
    site.config(host)
    assert site.metadata(host).AWSTags == {"role": "web-b"}
    warnings = [record for record in caplog.records if "= aggressive" in record.message]
    assert [record.levelno for record in warnings] == [logging.WARNING]


def test_a_tag_that_makes_no_sense_costs_itself_only(
    tmp_path: Path, ec2: EC2, caplog: pytest.LogCaptureFixture
) -> None:
    _, host = ec2.start(role="web-a")
    bad = '<AWSTags>\n<Tag name="("><Group>a</Group></Tag>\n<Tag value="x"><Group>b</Group></Tag>\n'
    site = make(
        tmp_path, host, config=f'{bad}<Tag name="role" value="*"/><Tag name="role"><Group>c</Group></Tag></AWSTags>'
    )
    assert site.metadata(host).groups == {"basic", "c"}
    for line, why in [(2, "unterminated subpattern"), (3, "it has no name"), (4, "nothing to repeat")]:
        assert any(
            f"{site.repo}/AWSTags/config.xml:{line}: the Tag" in record.message and why in record.message
            for record in caplog.records
        )


def test_a_changed_configuration_takes_effect(tmp_path: Path, ec2: EC2) -> None:
    _, host = ec2.start(role="web-a")
    site = make(tmp_path, host, "[caching]\nclient_metadata = cautious\n")
    assert "has-role" in site.metadata(host).groups
    site.write("AWSTags/config.xml", '<AWSTags><Tag name="ro"><Group>new</Group></Tag></AWSTags>')
    assert site.metadata(host).groups == {"basic", "new"}


def test_an_ec2_that_does_not_answer_is_a_fault(tmp_path: Path) -> None:
    host = "client.example.com"
    site = make(tmp_path, host, f"timeout = 1\nendpoint = http://127.0.0.1:{free_port()}\n")
    with pytest.raises(PluginExecutionError, match=f"EC2 cannot be asked for the tags of {host}") as caught:
        site.metadata(host)
    assert "hidden-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("conf", "why"),
    [
        ("", "set [awstags] access_key_id and [awstags] secret_access_key in "),
        ("[awstags]\naccess_key_id = a\n", "set [awstags] secret_access_key in "),
        ("[awstags]\naccess_key_id = a\nsecret_access_key = b\n", "region"),
        (KEYS + "endpoint = nonsense\n", "nonsense"),
    ],
)
def test_settings_that_are_missing_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, conf: str, why: str
) -> None:
    site = Site(tmp_path, plugins="Metadata,Bundler,AWSTags", conf=conf)
    assert "AWSTags" not in site.core.plugins
    (line,) = [record.message for record in caplog.records if "Plugin AWSTags is not loaded: " in record.message]
    assert why in line


def test_without_the_library_the_plugin_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(awstags, "boto3", None)
    site = Site(tmp_path, plugins="Metadata,Bundler,AWSTags", conf=KEYS)
    assert "AWSTags" not in site.core.plugins
    assert "Plugin AWSTags is not loaded: AWSTags needs boto3: install bcfg2[aws]" in caplog.text
