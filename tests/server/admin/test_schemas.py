"""The table of schemas."""

from pathlib import Path

import pytest
from lxml import etree

from bcfg2.bcfg2_admin import main


def test_each_pattern_has_a_schema_that_exists(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "bcfg2.conf").write_text("")
    assert main(["-C", str(tmp_path / "bcfg2.conf"), "schemas"]) == 0
    lines = capsys.readouterr().out.splitlines()
    table = dict(line.split(maxsplit=1) for line in lines)
    assert len(table) == len(lines) > 20
    assert table["Bundler/**/*.xml"].endswith("/bundle.xsd")
    for path in table.values():
        assert etree.parse(path).getroot().tag == "{http://www.w3.org/2001/XMLSchema}schema"
