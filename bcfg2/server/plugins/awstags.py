"""AWSTags: the tags of a client's EC2 instance, as data for templates and as groups.

.. code-block:: text

    AWSTags                what the core calls; what is known of each client until its next run
      TagFile              AWSTags/config.xml, followed as it changes
        Rule               one Tag element: which tags it is about, and which groups they bring
      tags_of              what EC2 says of the instance whose private DNS name is the client's
"""

import re
import threading
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from bcfg2.options import BooleanOption, Option, TimeoutOption
from bcfg2.server.plugin import (
    ClientRunHooks,
    Connector,
    Plugin,
    PluginExecutionError,
    PluginInitError,
    XMLFileBacked,
)
from bcfg2.server.plugin.services import CoreInterface
from bcfg2.server.versioned import Versioned, request_memo
from bcfg2.xml import Element

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:
    boto3 = None

_REFERENCE = re.compile(r"\$(\d+)", re.ASCII)

Tags = Mapping[str, str]


class Rule(NamedTuple):
    """An instance with a tag whose name, and if there is a `value` its value too, match gets the client into groups."""

    name: re.Pattern[str]
    value: re.Pattern[str] | None
    groups: tuple[str, ...]

    def groups_of(self, tags: Tags) -> list[str]:
        """The groups that TAGS bring, by the first of them that matches."""
        for name in sorted(tags):
            match = self.name.search(name)
            if match is not None and self.value is not None:
                match = self.value.search(tags[name])
            if match is not None:
                return [_filled(group, match.groups()) for group in self.groups]
        return []


def _filled(group: str, caught: tuple[str | None, ...]) -> str:
    """The name GROUP with ``$1`` and so on replaced by what was CAUGHT."""
    return _REFERENCE.sub(lambda reference: _caught(reference, caught), group)


def _caught(reference: re.Match[str], caught: tuple[str | None, ...]) -> str:
    """What REFERENCE stands for; beyond the groups of the pattern it stays as it is."""
    number = int(reference[1])
    return (caught[number - 1] or "") if 1 <= number <= len(caught) else reference[0]


class TagFile(XMLFileBacked):
    """The plugin's configuration file."""

    __identifier__ = None
    create = "AWSTags"
    schema = "awstags"

    rules: Versioned[tuple[Rule, ...]] = Versioned(())

    def Index(self) -> None:
        super().Index()
        rules = (self._rule(element) for element in self.xdata.iter("Tag"))
        self.rules = tuple(rule for rule in rules if rule is not None)
        self.core.metadata_cache.expire()

    def _rule(self, element: Element) -> Rule | None:
        """What the Tag ELEMENT says; None, with an error line, if that makes no sense."""
        groups = tuple(group for node in element.findall("Group") if (group := (node.text or "").strip()))
        name, value = element.get("name"), element.get("value")
        try:
            if name is None:
                raise ValueError("it has no name")
            return Rule(re.compile(name), None if value is None else re.compile(value), groups)
        except (ValueError, re.error) as err:
            self.logger.error("%s:%s: the Tag %r is ignored: %s", self.name, element.sourceline, name or "", err)
            return None


def tags_of(client: Any, hostname: str) -> dict[str, str]:
    """The tags of the EC2 instance whose private DNS name is HOSTNAME, as CLIENT of boto3 has them; {} without one.

    An instance that is terminated keeps its name for a while, in which a new one may have it: the latter counts.
    """
    pages = client.get_paginator("describe_instances").paginate(
        Filters=[{"Name": "private-dns-name", "Values": [hostname]}]
    )
    instances = [instance for page in pages for item in page["Reservations"] for instance in item["Instances"]]
    present = [
        instance
        for instance in instances
        if instance["State"]["Name"] != "terminated"
        and instance["PrivateDnsName"].lower() == hostname  # the filter takes * and ? for wildcards
    ]
    if not present:
        return {}
    latest = max(present, key=lambda instance: instance["LaunchTime"])
    return {tag["Key"]: tag["Value"] for tag in latest.get("Tags", [])}


class Known:
    """The tags that are known, by host name.

    Who asks EC2 takes the object before and adds to it after: what is dropped meanwhile stays dropped.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.tags: dict[str, Tags] = {}
        self.asking: dict[str, object] = {}  # host name -> the mark of whoever asks last

    def begin(self, host: str) -> object:
        """A mark for :meth:`add`."""
        with self.lock:
            return self.asking.setdefault(host, object())

    def add(self, host: str, tags: Tags, mark: object) -> None:
        """Remember TAGS unless what is known of HOST was dropped since MARK."""
        with self.lock:
            if self.asking.get(host) is mark:
                self.tags[host] = tags

    def drop(self, host: str | None = None) -> None:
        """Forget the tags of HOST; None: of all."""
        with self.lock:
            if host is None:
                self.tags, self.asking = {}, {}
            else:
                self.tags.pop(host, None)
                self.asking.pop(host, None)


class AWSTags(Plugin, Connector, ClientRunHooks):
    """Makes the tags of a client's EC2 instance known, and adds the groups that its configuration gives for them."""

    options: ClassVar[list[Option]] = [
        Option("awstags", "access_key_id", help="Id of the AWS access key with which EC2 is asked"),
        Option("awstags", "secret_access_key", secret=True, help="The secret of that key"),
        Option("awstags", "region", help="AWS region of the instances; none: as the environment of the server says"),
        Option("awstags", "endpoint", help="URL of EC2's API; none: that of the region"),
        TimeoutOption(
            "awstags", "timeout", default=10.0, help="Seconds for connecting, and for any silence in an answer of EC2"
        ),
        BooleanOption("awstags", "cache", default=True, help="Keep the tags of a client until its next run"),
    ]
    __rmi__: ClassVar[list[str]] = [*Plugin.__rmi__, "expire_cache"]
    __child_rmi__: ClassVar[list[Any]] = [*Plugin.__child_rmi__, "expire_cache"]

    def __init__(self, core: CoreInterface) -> None:
        if boto3 is None:
            raise PluginInitError("AWSTags needs boto3: install bcfg2[aws]")
        options = core.options
        missing = [key for key in ("access_key_id", "secret_access_key") if not getattr(options, f"awstags_{key}")]
        if missing:
            raise PluginInitError(f"set {' and '.join(f'[awstags] {key}' for key in missing)} in {options.config}")
        super().__init__(core)
        self._client = self._connect()
        self._known = Known()
        self._warned_of_cache = False
        self.config = TagFile(f"{self.data}/config.xml", should_monitor=True)

    def _connect(self) -> Any:
        """boto3's client for EC2, which all threads may use."""
        options = self.settings
        seconds = options.awstags_timeout
        try:
            return boto3.session.Session(
                aws_access_key_id=options.awstags_access_key_id,
                aws_secret_access_key=options.awstags_secret_access_key,
                region_name=options.awstags_region,
            ).client(
                "ec2",
                endpoint_url=options.awstags_endpoint,
                config=Config(
                    connect_timeout=seconds, read_timeout=seconds, retries={"total_max_attempts": 2, "mode": "standard"}
                ),
            )
        except (BotoCoreError, ValueError) as err:
            raise PluginInitError(f"{err} (see [awstags] region and endpoint)") from err

    def get_additional_groups(self, metadata: Any) -> list[str]:
        tags = self._tags(metadata.hostname)
        return list(dict.fromkeys(group for rule in self.config.rules for group in rule.groups_of(tags)))

    def get_additional_data(self, metadata: Any) -> dict[str, str]:
        return dict(self._tags(metadata.hostname))

    def _tags(self, hostname: str) -> Tags:
        """The tags of a client: the same for a whole request, and for others as ``[awstags] cache`` says."""
        memo, key = request_memo(), (self, hostname)
        if key not in memo:
            memo[key] = self._known_tags(hostname)
        tags: Tags = memo[key]
        return tags

    def _known_tags(self, hostname: str) -> Tags:
        """The tags of a client, from memory or from EC2; PluginExecutionError if EC2 does not tell."""
        if not self.settings.awstags_cache:
            return self._ask(hostname)
        mark = self._known.begin(hostname)
        tags = self._known.tags.get(hostname)
        if tags is None:
            tags = self._ask(hostname)
            self._known.add(hostname, tags, mark)
        return tags

    def _ask(self, hostname: str) -> Tags:
        try:
            return tags_of(self._client, hostname)
        except (BotoCoreError, ClientError) as err:
            raise PluginExecutionError(f"EC2 cannot be asked for the tags of {hostname}: {err}") from err

    def expire_cache(self, host: str | None = None) -> None:
        """Forget the tags of the client HOST, or of all."""
        self._known.drop(host)
        self.core.metadata_cache.expire(host)

    def start_client_run(self, metadata: Any) -> None:
        """Ask EC2 again for the next metadata of the client."""
        self._known.drop(metadata.hostname)
        if self.core.metadata_cache_mode == "aggressive":
            if not self._warned_of_cache:
                self._warned_of_cache = True
                self.logger.warning(
                    "[caching] client_metadata = aggressive is of no use with AWSTags, which cannot tell when tags "
                    "change: a client's metadata is dropped at each run. Use cautious or initial"
                )
            self.core.metadata_cache.expire(metadata.hostname)
