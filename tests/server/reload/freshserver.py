"""A new server, in a process of its own, for the answers that a running one is held to."""

import logging
import re
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from bcfg2.server.core import Core
from bcfg2.xml import Element, sort_xml, tostring
from tests.server.reload import model
from tests.server.reload.contents import HOSTS
from tests.support import Site

PLUGINS = (
    "Metadata,Bundler,Rules,Cfg,Properties,Deps,Decisions,Defaults,GroupPatterns,GroupLogic,TemplateHelper,Pkgmgr,"
    "SEModules,Probes,POSIXCompat,ServiceCompat"
)

#: What stands for a fault.
NO_ANSWER = "no answer"

#: host -> answer
Answers = dict[str, str]


def configuration(core: Core, host: str) -> str:
    """The configuration of HOST, or that there is none."""
    with core.request():
        try:
            return in_order(core.BuildConfiguration(host))
        except Exception:  # noqa: BLE001 - as a fault, in the end, whatever it is
            return NO_ANSWER


def in_order(document: Element) -> str:
    """DOCUMENT with siblings in a certain order, which a configuration need not have for those of one name."""
    sort_xml(document, lambda node: (node.get("name") or "", tostring(node)))
    return tostring(document)


def everything(core: Core, host: str) -> str:
    """All that HOST can ask for, as of one state of the repository."""
    with core.request():
        try:
            metadata = core.build_metadata(host)
        except Exception as err:  # noqa: BLE001 - what it is, is to be the same
            return f"{type(err).__name__}: {err}"
        found = [sorted(metadata.groups), sorted(metadata.bundles), sorted(metadata.Properties), metadata.profile]
        found += [core.GetDecisions(metadata, mode) for mode in ("whitelist", "blacklist")]
        found += [sorted(map(tostring, core.plugins["Probes"].GetProbes(metadata)))]
        return "\n".join([*map(str, found), configuration(core, host)])


def cut(answer: str, repository: Path) -> str:
    """ANSWER without what differs between two servers that are the same: where they and their objects are."""
    return re.sub("0x[0-9a-f]+", "0x", re.sub(r"Readings/\d+/", "", answer.replace(str(repository), "REPO")))


class FreshServer:
    """Gives the answers of a new server with the settings CONF for any state of the files."""

    def __init__(self, conf: str, asked: str) -> None:
        self._conf = conf
        self._asked = asked
        self._process = ProcessPoolExecutor(1, mp_context=get_context("spawn"))

    def answers(self, readings: model.Readings) -> Answers:
        """Host -> answer."""
        return self._process.submit(_answers, readings, self._conf, self._asked).result(60)

    def close(self) -> None:
        self._process.shutdown()


def _answers(readings: model.Readings, conf: str, asked: str) -> Answers:
    logging.disable(logging.CRITICAL)
    folder = Path(tempfile.mkdtemp(prefix="bcfg2-fresh-"))
    try:
        model.write(readings, folder / "repo")
        site = Site(folder, {}, PLUGINS, conf, metadata={})
        ask = globals()[asked]
        answers = {host: cut(ask(site.core, host), site.repo) for host in HOSTS}
        site.stop()
        return answers
    finally:
        shutil.rmtree(folder)
