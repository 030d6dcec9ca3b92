"""POSIXUsers: numbers that are looked after, entries made complete, and what the commands are told.

Real users are made, changed and removed by the case client-users.
"""

import grp
import os
import pwd
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfg2.client.tools.base import InstallError
from bcfg2.client.tools.posixusers import POSIXUsers, id_ranges, is_managed, wanted_groups
from bcfg2.command import Finished
from tests.client.support import context

numbers = st.integers(0, 70000)
ranges = st.lists(st.tuples(numbers, st.none() | numbers), max_size=4).map(tuple)
ME = pwd.getpwuid(os.getuid())


@pytest.fixture(autouse=True)
def commands(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """The command lines that are run, none of them for real."""
    run: list[Sequence[str]] = []

    def note(self: POSIXUsers, command: Sequence[str], **further: object) -> Finished:
        run.append(command)
        return Finished(0, b"", b"")

    monkeypatch.setattr(POSIXUsers, "run", note)
    monkeypatch.setattr(POSIXUsers, "needs", ())
    return run


def tool(body: str, *words: str) -> POSIXUsers:
    made = POSIXUsers(context(f'<Bundle name="b">{body}</Bundle>', "-D", "POSIXUsers", *words))
    made.prepare()
    made.refresh()
    return made


def test_ranges_are_numbers_with_bounds_included() -> None:
    assert id_ranges("0-999, 1500,60001-") == ((0, 999), (1500, 1500), (60001, None))
    assert id_ranges("") == ()


@pytest.mark.parametrize("text", ["a", "1-b", "-5", "1.5"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="neither a number nor a range"):
        id_ranges(text)


@given(numbers, ranges, ranges)
def test_a_whitelist_counts_alone_and_a_blacklist_without_one(number: int, white: tuple, black: tuple) -> None:
    def within(listed: tuple) -> bool:
        return any(first <= number <= (number if last is None else last) for first, last in listed)

    assert is_managed(number, white, black) == (within(white) if white else not within(black))


def test_users_get_defaults_and_their_groups_an_entry() -> None:
    made = tool('<POSIXUser name="nobody-here"/><POSIXUser name="root"/><POSIXGroup name="root"/>')
    user, root, *groups = made.entries
    assert dict(user.attrib) == {
        "name": "nobody-here",
        "group": "nobody-here",
        "gecos": "nobody-here",
        "shell": "/bin/bash",
        "home": "/home/nobody-here",
    }
    assert root.get("home") == "/root"
    assert [group.get("name") for group in groups] == ["root", "nobody-here"]


def test_a_user_that_the_server_could_not_bind_gets_no_group() -> None:
    assert len(tool('<POSIXUser name="x" failure="unbound"/>').entries) == 1


def test_a_new_user_is_made_after_its_group(commands: list[Sequence[str]]) -> None:
    made = tool('<POSIXUser name="nobody-here" uid="4242"><MemberOf group="b"/><MemberOf>a</MemberOf></POSIXUser>')
    assert [made.verify(entry) for entry in made.entries] == [False, False]
    assert list(made.install(made.entries).values()) == [True, True]
    assert commands == [
        ["/usr/sbin/groupadd", "nobody-here"],
        ["/usr/sbin/useradd", "-u", "4242", "-g", "nobody-here", "-G", "a,b", "-d", "/home/nobody-here",
         "-s", "/bin/bash", "-c", "nobody-here", "nobody-here"],
    ]  # fmt: skip


def test_the_primary_group_of_an_existing_user_is_verified() -> None:
    other = next(group for group in grp.getgrall() if group.gr_gid != ME.pw_gid)
    own = f'gecos="{ME.pw_gecos or "x"}" home="{ME.pw_dir}" shell="{ME.pw_shell}"'
    made = tool(f'<POSIXUser name="{ME.pw_name}" group="{other.gr_name}" {own}/>')
    user = made.entries[0]
    assert not made.verify(user)
    assert made.differences[user]["group"] == (other.gr_gid, ME.pw_gid)
    assert user.get("current_gid") == str(ME.pw_gid)


def test_a_number_to_be_left_alone_is_verified_but_not_installed(caplog: pytest.LogCaptureFixture) -> None:
    made = tool('<POSIXGroup name="nobody-here" gid="5"/><POSIXGroup name="root" gid="0"/>')
    made._is_managed = lambda kind, number: number >= 1000  # type: ignore[method-assign]
    new, root = made.entries
    assert (made.verify(new), made.can_install(new)) == (False, False)
    assert made.verify(root)
    assert "5, is in no range" in caplog.text


def test_a_number_that_is_none_is_named() -> None:
    made = tool('<POSIXGroup name="root" gid="zero"/>')
    with pytest.raises(InstallError, match="zero, is not a number"):
        made.verify(made.entries[0])


def test_memberships_that_are_not_looked_after_stay_and_the_last_other_one_can_be_taken_away(
    commands: list[Sequence[str]],
) -> None:
    made = tool('<POSIXUser name="nobody-here"/>')
    far, near = grp.struct_group(("far", "x", 9, [])), grp.struct_group(("near", "x", 2000, []))
    made._memberships = {"nobody-here": [far, near]}
    made._is_managed = lambda kind, number: number >= 1000  # type: ignore[method-assign]
    user = made.entries[0]
    made.fix(user, {})
    assert commands[-1][commands[-1].index("-G") + 1] == "far"
    made._memberships = {"nobody-here": [near]}
    made.fix(user, {})
    assert commands[-1][commands[-1].index("-G") + 1] == ""


def test_members_are_named_by_attribute_or_text() -> None:
    user = tool('<POSIXUser name="x"><MemberOf group="a"/><MemberOf> b </MemberOf><MemberOf/></POSIXUser>').entries[0]
    assert wanted_groups(user) == {"a", "b"}
