"""authorizedkeys.xml: who may log in."""

from pathlib import Path

import pytest

from tests.support import Site

CLIENTS = """<Clients>
  <Client name="client.example.com" profile="basic" address="127.0.0.2"/>
  <Client name="db1.example.com" profile="db" address="127.0.0.3"/>
</Clients>"""
GROUPS = """<Groups>
  <Group name="basic" profile="true" public="true"><Bundle name="base"/></Group>
  <Group name="db" profile="true" public="true"><Bundle name="base"/><Group name="prod"/></Group>
  <Group name="prod" category="site"/>
</Groups>"""


def make(tmp_path: Path, content: str, conf: str = "", **more: str) -> Site:
    return Site(
        tmp_path,
        {
            "Metadata/clients.xml": CLIENTS,
            "Metadata/groups.xml": GROUPS,
            "Bundler/base.xml": '<Bundle><Path name="/keys"/></Bundle>',
            "Cfg/keys/authorizedkeys.xml": f"<AuthorizedKeys>{content}</AuthorizedKeys>",
            "Cfg/id.pub/id.pub": "ssh-rsa ALL\n",
            "Cfg/id.pub/id.pub.G10_prod": "ssh-rsa PROD\n",
            "Cfg/id.pub/id.pub.H_client.example.com": "ssh-rsa CLIENT\n",
            **more,
        },
        "Metadata,Bundler,Cfg",
        conf,
    )


def lines(tmp_path: Path, content: str, host: str = "client.example.com", **more: str) -> list[str]:
    """The lines that HOST gets."""
    return (make(tmp_path, content, **more).entry("Path", "/keys", host).text or "").split("\n")


@pytest.mark.parametrize(
    ("allow", "key"),
    [
        ('<Allow from="/id.pub"/>', "CLIENT"),
        ('<Allow from="/id.pub" host="db1.example.com"/>', "PROD"),
        ('<Allow from="/id.pub" group="prod"/>', "PROD"),
        ('<Allow from="/id.pub" group="nosuch"/>', "ALL"),
        ('<Allow from="/id.pub" host="db1.example.com" group="nosuch"/>', "PROD"),
    ],
)
def test_whose_key_is_meant(tmp_path: Path, allow: str, key: str) -> None:
    assert lines(tmp_path, allow) == [f"ssh-rsa {key}"]


def test_of_a_category_who_has_no_group_in_it_gets_no_line(tmp_path: Path) -> None:
    site = make(tmp_path, '<Allow from="/id.pub" category="site"/>')
    assert site.entry("Path", "/keys").get("empty") == "true"
    assert site.entry("Path", "/keys", "db1.example.com").text == "ssh-rsa PROD"


def test_the_category_may_come_from_the_configuration(tmp_path: Path) -> None:
    site = make(tmp_path, '<Allow from="/id.pub"/>', conf="[sshkeys]\ncategory = site")
    assert site.entry("Path", "/keys").get("empty") == "true"


def test_lines_and_options_that_are_unconditional_come_first(tmp_path: Path) -> None:
    content = """
      <Group name="basic"><Allow>one</Allow></Group>
      <Allow>two<Group name="basic"><Option name="b"/></Group><Option name="a" value='"x y"'/><Option name="c"/>
      </Allow>
      <Group name="db"><Allow>never</Allow></Group>"""
    assert lines(tmp_path, content) == ['a="x y",c,b two', "one"]


def test_the_key_may_stand_behind_a_comment_or_an_option(tmp_path: Path) -> None:
    content = '<Allow><!-- who --> ssh-rsa <Option name="a"/>AAAA</Allow>'
    assert lines(tmp_path, content) == ["a ssh-rsa AAAA"]


def test_options_go_in_front_of_every_key(tmp_path: Path) -> None:
    keys = {"Cfg/id.pub/id.pub.H_client.example.com": "# two\nssh-rsa A\n\nssh-rsa B\n"}
    content = '<Allow from="/id.pub"><Option name="no-pty"/></Allow>'
    assert lines(tmp_path, content, **keys) == ["# two", "no-pty ssh-rsa A", "no-pty ssh-rsa B"]


@pytest.mark.parametrize(
    ("allow", "reason"),
    [
        ("<Allow/>", "an Allow with neither from nor a key in it"),
        ('<Allow from="/nowhere"/>', "/nowhere: no matching generator"),
        ('<Allow from="/broken"/>', "/broken: Cfg: Error rendering"),
        ('<Allow from="/empty"/>', "/empty is empty"),
        ('<Allow from="/id.pub" host="nobody.example.com"/>', "there is no client nobody.example.com"),
        ('<Allow from="/keys"/>', "/keys: it would hold itself"),
    ],
)
def test_a_line_that_cannot_be_had_is_left_out_and_the_rest_stands(
    tmp_path: Path, allow: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    more = {"Cfg/broken/broken.jinja2": "{{ nothing.at.all }}", "Cfg/empty/empty": ""}
    found = lines(tmp_path, f"<Allow>first</Allow>{allow}<Allow>last</Allow>", **more)
    assert [line for line in found if line not in ("first", "last")] == []
    assert found[0] == "first" and found[-1] == "last"
    assert any(reason in record.getMessage() for record in caplog.records)


def test_files_that_name_each_other_in_circles_end(tmp_path: Path) -> None:
    more = {
        "Cfg/other/authorized_keys.xml": '<AuthorizedKeys><Allow from="/keys"/><Allow from="/keys"/></AuthorizedKeys>'
    }
    assert lines(tmp_path, '<Allow from="/other"/><Allow from="/other"/><Allow>end</Allow>', **more)[-1] == "end"


def test_the_key_of_another_host_is_made_for_it(tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="cryptography (extra encryption) is not installed")
    more = {
        "Cfg/made/privkey.xml": '<PrivateKey><Params type="ed25519"/></PrivateKey>',
        "Cfg/made.pub/pubkey.xml": "<PublicKey/>",
    }
    (line,) = lines(tmp_path, '<Allow from="/made.pub" host="db1.example.com"/>', **more)
    assert f"{line}\n" == (tmp_path / "repo/Cfg/made.pub/made.pub.H_db1.example.com").read_text()


def test_a_key_is_made_for_a_group_of_the_category_and_for_no_other(tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="cryptography (extra encryption) is not installed")
    more = {
        "Cfg/made/privkey.xml": '<PrivateKey category="site"><Params type="ed25519"/></PrivateKey>',
        "Cfg/made.pub/pubkey.xml": "<PublicKey/>",
    }
    content = '<Allow from="/made.pub" group="prod"/><Allow from="/made.pub" group="basic"/>'
    (line,) = lines(tmp_path, content, **more)
    assert f"{line}\n" == (tmp_path / "repo/Cfg/made.pub/made.pub.G50_prod").read_text()


def test_a_file_that_becomes_broken_fails_its_entry_and_delivers_no_old_keys(tmp_path: Path) -> None:
    site = make(tmp_path, "<Allow>fired</Allow>")
    assert site.entry("Path", "/keys").text == "fired"
    site.write("Cfg/keys/authorizedkeys.xml", "<AuthorizedKeys><Allow>")
    entry = site.entry("Path", "/keys")
    assert entry.text is None
    assert "authorizedkeys.xml cannot be used" in entry.get("failure", "")


def test_a_misspelt_option_lets_nobody_in(tmp_path: Path) -> None:
    entry = make(tmp_path, '<Allow>ssh-rsa A<Opton name="no-pty"/></Allow>').entry("Path", "/keys")
    assert entry.text is None
    assert "Opton" in entry.get("failure", "")
