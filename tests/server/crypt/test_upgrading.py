"""bcfg2-crypt --upgrade: from the old form of encrypted data to the modern one."""

from dataclasses import replace
from pathlib import Path

from lxml import etree

from bcfg2.server.cipherformats import is_modern
from bcfg2.server.keyring import Keyring
from tests.server.crypt.conftest import PHRASES, RING, Bench

MODERN = replace(RING, modern=True)


def fill(bench: Bench) -> Path:
    """A repository with data of both forms."""
    files = {
        "Cfg/a/a.crypt": RING.encrypt(b"\xffA", "ops") + "\n",
        "Cfg/a/a.G10_x.crypt.genshi": RING.encrypt("template", "dba") + "\n",
        "Cfg/b/b.crypt": MODERN.encrypt("B", "dba"),
        "Cfg/c.crypt/c.crypt": "plain",
        "Cfg/d/d": RING.encrypt("not named so", "ops"),
        "Properties/p.xml": '<?xml version="1.0"?>\n<!-- c -->\n<Properties>\n\n  <a  encrypted="ops">\n'
        f'  {RING.encrypt(" A ", "ops")}\n</a><b encrypted="dba">{MODERN.encrypt("B", "dba")}</b> <c>C</c>'
        "</Properties>\n",
        "Bundler/b.xml": f'<Bundle>\n<BoundPath encrypted="dba">{RING.encrypt("X", "dba")}</BoundPath></Bundle>',
        "Rules/r.xml": "<Rules >\n<!-- untouched --></Rules>",
        ".git/x.crypt": RING.encrypt("x", "ops"),
    }
    for name, content in files.items():
        bench.write(f"repo/{name}", content)
    return bench.folder / "repo"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_whole_repository_is_upgraded_and_keeps_what_it_holds(bench: Bench) -> None:
    # legacy data of a passphrase in binary may seem to open with another one: name it, as one would by hand
    repo = fill(bench)
    before = contents(repo)
    bench.configure(f"ops = {PHRASES['ops']}\ndba = {PHRASES['dba']}\n")
    outcome = bench.crypt("--upgrade", repo)
    after = contents(repo)
    assert outcome.log in (
        [],
        [f"ERROR {repo}/Cfg/a/a.crypt: several passphrases seem to open it, choose one by -p: ops, dba"],
    )
    if outcome.log:
        assert bench.crypt("--upgrade", "-p", "ops", repo / "Cfg/a/a.crypt").status == 0
        after = contents(repo)
    unchanged = ["Cfg/b/b.crypt", "Cfg/c.crypt/c.crypt", "Cfg/d/d", "Rules/r.xml", ".git/x.crypt"]
    assert {name: after[name] for name in unchanged} == {name: before[name] for name in unchanged}
    for name, passphrase, content in [("a.crypt", "ops", b"\xffA"), ("a.G10_x.crypt.genshi", "dba", b"template")]:
        assert is_modern(after[f"Cfg/a/{name}"])
        assert RING.decrypt(after[f"Cfg/a/{name}"], passphrase) == content
    properties = etree.fromstring(after["Properties/p.xml"])
    assert is_modern(properties.findtext("a") or "")
    assert RING.decrypt(properties.findtext("a") or "", "ops") == b" A "
    assert properties.findtext("b") == etree.fromstring(before["Properties/p.xml"]).findtext("b")
    assert after["Properties/p.xml"].startswith(
        b'<?xml version="1.0" encoding="UTF-8"?>\n<!-- c -->\n<Properties>\n\n  <a'
    )
    assert RING.decrypt(etree.fromstring(after["Bundler/b.xml"]).findtext("BoundPath") or "", "dba") == b"X"
    assert bench.crypt("--upgrade", repo) == (0, b"", "", [])
    assert contents(repo) == after


def test_data_of_an_unusual_cipher_is_upgraded_as_long_as_that_is_configured(bench: Bench) -> None:
    path = bench.write("a.crypt", Keyring({"ops": "o"}, "des_ede3_cbc").encrypt("A", "ops"))
    bench.configure("ops = o\nalgorithm = DES-EDE3-CBC\n")
    assert bench.crypt("--upgrade", path).status == 0
    bench.configure("ops = o\nalgorithm = aes-256-gcm\n")
    assert bench.crypt("--decrypt", "--stdout", path).out == b"A"


def test_a_file_in_which_something_does_not_open_is_left_alone_and_the_others_are_done(bench: Bench) -> None:
    good = RING.encrypt("x", "ops")
    bad = bench.write("repo/p.xml", f'<P><a encrypted="ops">{good}</a>\n<b encrypted="nobody">{good}</b></P>')
    fine = bench.write("repo/q.xml", f'<P><a encrypted="ops">{good}</a></P>')
    before = bad.read_bytes()
    outcome = bench.crypt("--upgrade", bench.folder / "repo")
    assert (outcome.status, len(outcome.log)) == (1, 1)
    assert 'p.xml: line 2: cannot decrypt <b encrypted="nobody"/>' in outcome.log[0]
    assert bad.read_bytes() == before
    assert is_modern(etree.fromstring(fine.read_bytes()).findtext("a") or "")


def test_elements_that_lie_in_plain_text_are_not_encrypted_by_the_way(bench: Bench) -> None:
    content = f'<P><a encrypted="ops">{RING.encrypt("x", "ops")}</a><b encrypted="ops">plain</b></P>'
    path = bench.write("p.xml", content)
    assert bench.crypt("--upgrade", path).status == 0
    root = etree.fromstring(path.read_bytes())
    assert is_modern(root.findtext("a") or "")
    assert root.findtext("b") == "plain"


def test_all_data_of_a_passphrase_gets_one_salt(bench: Bench) -> None:
    for number in range(3):
        bench.write(f"repo/{number}.crypt", Keyring({"ops": "one salt"}).encrypt("x", "ops"))
    bench.configure("ops = one salt\n")
    assert bench.crypt("--upgrade", bench.folder / "repo").status == 0
    assert len({content[:33] for content in contents(bench.folder / "repo").values()}) == 1
