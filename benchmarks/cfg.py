"""Measures the plugin Cfg alone: how long a large tree takes to load, how a file is chosen, what a large file costs."""

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from lxml import etree

from bcfg2.options import OptionParser
from bcfg2.options.common import BASE_OPTIONS
from bcfg2.server.core import Core
from tests.conftest import make_certificate
from tests.support import ServerProcess

CONFIGURATION = """[server]
repository = {repo}
plugins = Metadata,Bundler,Cfg
filemonitor = {monitor}
[communication]
password = secret
"""
CLIENTS = '<Clients><Client name="{host}" profile="basic"/></Clients>'
GROUPS = '<Groups><Group name="basic" profile="true" public="true"><Bundle name="base"/></Group></Groups>'
HOST = "client.example.com"

#: How many folders are in one.
_FANOUT = 50
#: How many entries are bound to measure one.
_BINDINGS = 2000


def main() -> int:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="bcfg2-bench-") as name:
        folder = Path(name)
        _measure_loading(folder / "tree", arguments.paths, arguments.files, arguments.monitor)
        for hosts in (1, 100, arguments.paths):
            _measure_choice(folder / f"choice-{hosts}", hosts)
        _measure_memory(folder / "large", arguments.size)
    return 0


def _measure_loading(folder: Path, paths: int, files: int, monitor: str) -> None:
    _write_tree(folder / "repo/Cfg", paths, files)
    wall, cpu = time.perf_counter(), time.process_time()
    with _core(folder, monitor) as core:
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        listed = len(core.plugins["Cfg"].Entries["Path"])
    print(f"{listed} paths with {files} files loaded in {wall:.2f} s ({cpu:.2f} s of processor time)")


def _write_tree(cfg: Path, paths: int, files: int) -> None:
    """PATHS folders with FILES files: plain ones for all, then in turn for a group, for a host, templates, info.xml."""
    further = files - paths
    for number in range(paths):
        name = f"file{number}.conf"
        folder = cfg / "etc" / f"part{number // _FANOUT}" / name
        folder.mkdir(parents=True)
        (folder / name).write_text(f"# {number}\n" * 20)
        for turn in range(further * number // paths, further * (number + 1) // paths):
            suffix, text = [
                (f"{name}.G50_group{number % 9}", "for a group\n"),
                (f"{name}.H_host{number}.example.com", "for a host\n"),
                (f"{name}.G60_web.genshi", "${metadata.hostname}\n"),
                ("info.xml", '<FileInfo><Info mode="0600"/></FileInfo>\n'),
            ][turn % 4]
            (folder / suffix).write_text(text)


def _measure_choice(folder: Path, hosts: int) -> None:
    """How long one entry takes whose folder has a file for each of HOSTS hosts, one of them the client."""
    target = folder / "repo/Cfg/file"
    target.mkdir(parents=True)
    for number in range(hosts - 1):
        (target / f"file.H_host{number}.example.com").write_text("other\n")
    (target / f"file.H_{HOST}").write_text("mine\n")
    with _core(folder, "pseudo") as core, core.request():
        metadata = core.build_metadata(HOST)
        begun = time.process_time()
        for _ in range(_BINDINGS):
            core.Bind(etree.Element("Path", name="/file"), metadata)
        taken = (time.process_time() - begun) / _BINDINGS
    print(f"one of {hosts} files chosen and bound in {taken * 1e6:.1f} µs")


def _measure_memory(folder: Path, size: int) -> None:
    """How much memory a server takes that answers with a binary file of SIZE MiB, in copies of the file."""
    files = {
        "Cfg/large/large": bytes(range(256)) * (size * 4096),
        "Cfg/large/info.xml": '<FileInfo><Info encoding="base64"/></FileInfo>',
        "Bundler/base.xml": '<Bundle><Path name="/large"/></Bundle>',
    }
    folder.mkdir()
    with ServerProcess(folder, make_certificate(folder / "tls"), files, "Metadata,Bundler,Cfg") as server:
        before = _memory(server, "VmRSS")
        for _ in range(3):
            server.call("GetConfig")
        peak, after = _memory(server, "VmHWM"), _memory(server, "VmRSS")
    print(
        f"a file of {size} MiB in base64 sent three times, one after the other: {before:.0f} MiB before, "
        f"{peak:.0f} MiB at the peak ({(peak - before) / size:.1f} copies more), {after:.0f} MiB afterwards"
    )


def _memory(server: ServerProcess, what: str) -> float:
    """MiB of the process of SERVER, from the line WHAT of its status."""
    assert server.process is not None
    text = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(text.split(f"{what}:")[1].split()[0]) / 1024


@contextlib.contextmanager
def _core(folder: Path, monitor: str) -> Iterator[Core]:
    """A core over ``repo/`` in FOLDER with all files read."""
    repo = folder / "repo"
    (repo / "Metadata").mkdir()
    (repo / "Metadata/clients.xml").write_text(CLIENTS.format(host=HOST))
    (repo / "Metadata/groups.xml").write_text(GROUPS)
    path = folder / "bcfg2.conf"
    path.write_text(CONFIGURATION.format(repo=repo, monitor=monitor))
    path.chmod(0o600)
    parser = OptionParser("benchmark", "", BASE_OPTIONS, components=[Core])
    core = Core(parser.parse(["-C", str(path)]))
    core.load_plugins()
    core.block_for_fam_events(handle_events=True)
    try:
        yield core
    finally:
        core.shutdown()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cfg", description=__doc__)
    parser.add_argument("--paths", type=int, default=10_000, help="paths of the tree (default %(default)s)")
    parser.add_argument("--files", type=int, default=20_000, help="files of the tree (default %(default)s)")
    parser.add_argument("--size", type=int, default=50, help="MiB of the large file (default %(default)s)")
    parser.add_argument(
        "--monitor", default="inotify", help="the file monitor: inotify or pseudo (default %(default)s)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
