"""Access control lists as the kernel takes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfg2.client.files import acl

NAMED = st.tuples(st.sampled_from([acl.USER, acl.GROUP]), st.integers(0, 2**32 - 2))
BASE = st.sampled_from([(tag, None) for tag in (acl.OWNER, acl.OWNING_GROUP, acl.OTHER, acl.MASK)])


@given(st.dictionaries(NAMED | BASE, st.integers(0, 7)))
def test_what_is_dumped_is_parsed_again(entries: acl.Acl) -> None:
    assert acl.parse(acl.dump(entries)) == entries


def test_mask_takes_nothing_away_from_named_entries() -> None:
    entries = {(acl.OWNER, None): 7, (acl.USER, 5): 4, (acl.OWNING_GROUP, None): 1, (acl.OTHER, None): 2}
    assert acl.with_mask(entries)[acl.MASK, None] == 5


@pytest.mark.parametrize("data", [b"", b"\x01\x00\x00\x00"])
def test_list_of_another_version_is_not_guessed_at(data: bytes) -> None:
    with pytest.raises(ValueError, match="unknown version"):
        acl.parse(data)
