"""What the values look like: the namespace, wildcards, and secrets, which are not shown."""

import pickle

import pytest

from bcfg2.options import (
    PASSWORD,
    BooleanOption,
    ListOption,
    OctalOption,
    Option,
    OptionParser,
    PathOption,
    RegexListOption,
    SectionsOption,
    WildcardOption,
)

# the namespace


def test_options_cannot_be_changed(read):
    options = read([ListOption("a", "x", default=["d"])])
    with pytest.raises(AttributeError, match="read only"):
        options.a_x = ()
    with pytest.raises(AttributeError, match="read only"):
        del options.a_x
    assert options.a_x == ("d",)


def test_an_option_that_nobody_declared_is_named(read):
    with pytest.raises(AttributeError, match="option a_x is declared neither by this command nor by a component"):
        _ = read([]).a_x


def test_options_survive_a_round_trip_to_another_process(read):
    options = read([WildcardOption("a", "*"), PASSWORD, RegexListOption("b", "x", default=".*")], "[a]\nx = 1\n")
    again = pickle.loads(pickle.dumps(options))
    assert dict(again.a) == {"x": "1"}
    assert again.b_x == options.b_x
    assert repr(again) == repr(options)


def test_settings_that_nobody_declared_are_listed(read, conf):
    options = [Option("a", "x"), WildcardOption("b", "*"), SectionsOption("c_*", options=[Option(key="y")])]
    text = "[a]\nx = 1\nY = 2\n[b]\nz = 3\n[c_1]\ny = 1\nz = 1\n[DEFAULT]\nx = 1\n[e]\nx = 1\n"
    assert read(options, text).undeclared == tuple(
        f"{conf}:{line}: {place}: no option of the command or of a component that it loads"
        for line, place in ((3, "[a] Y"), (8, "[c_1] z"), (12, "[e] x"))
    )


# wildcards


def test_a_wildcard_is_the_settings_of_a_section_that_are_no_options(read):
    text = "[DEFAULT]\nleak = 1\n[packages:yum]\nhelper = x\nAssumeYes = %(leak)s\nx-retries = 2\n"
    options = read([WildcardOption("packages:yum", "*"), Option("packages:yum", "helper")], text)
    assert dict(options.packages_yum) == {"assumeyes": "1", "x-retries": "2"}
    options = read([WildcardOption("packages:yum", "x-*")], text)
    assert dict(options.packages_yum_x) == {"x-retries": "2"}
    assert dict(read([WildcardOption("none", "*")], text).none) == {}


def test_passphrases_keep_the_case_of_their_names_and_are_found_in_any(read):
    options = read([WildcardOption("encryption", "*", keep_case=True)], "[encryption]\nMyName = secret\n")
    assert list(options.encryption) == ["MyName"]
    assert options.encryption["MyName"] == options.encryption["myname"] == "secret"
    assert "other" not in options.encryption


def test_a_glob_of_sections_is_a_namespace_for_each(read, conf, error):
    declared = SectionsOption("sslca_*", options=[PathOption(key="chaincert"), BooleanOption(key="root_ca")])
    text = "[sslca_one]\nchaincert = /x/../y\n[sslca_two]\nroot_ca = yes\n[sslca]\nroot_ca = yes\n"
    sections = read([declared], text).sslca
    assert list(sections) == ["sslca_one", "sslca_two"]
    assert (sections["sslca_one"].chaincert, sections["sslca_one"].root_ca) == ("/y", False)
    assert (sections["sslca_two"].chaincert, sections["sslca_two"].root_ca) == (None, True)
    text = "[sslca_one]\nroot_ca = perhaps\n"
    assert error([declared], text) == f"{conf}:2: [sslca_one] root_ca = perhaps: not a boolean, say yes or no"


# secrets


def test_secrets_are_in_no_error_and_no_representation(read, error):
    parse = OctalOption("a", "code", secret=True)
    assert "4711x" not in error([parse], "[a]\ncode = 4711x\n")
    options = read(
        [PASSWORD, WildcardOption("encryption", "*", secret=True)], "[encryption]\nname = hush\n", ["-x", "hush"]
    )
    assert options.communication_password == "hush"
    assert options.encryption["name"] == "hush"
    assert "hush" not in repr(options)
    assert "communication_password=***" in repr(options)


def test_the_password_may_come_from_the_environment(read, monkeypatch):
    monkeypatch.setenv("BCFG2_PASSWORD", "from outside")
    assert read([PASSWORD], "[communication]\npassword = of the file").communication_password == "from outside"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[communication]\npassword = x", "2: [communication] password"),
        ("[database]\n\nreporting_password = x", "3: [database] reporting_password"),
        ("[encryption]\nname = x", "2: [encryption] name"),
        ("[sslca_one]\npassphrase = x", "2: [sslca_one] passphrase"),
        ("[DEFAULT]\npassword = x", "2: [DEFAULT] password"),
        ("[communication]\npassword =", None),
        ("[communication]\nuser = x", None),
        ("", None),
    ],
)
def test_a_file_that_shows_a_secret_to_everybody_is_a_warning(conf, text, place):
    options = [
        PASSWORD,
        WildcardOption("encryption", "*", secret=True),
        SectionsOption("sslca_*", options=[Option(key="passphrase", secret=True)]),
    ]
    parser = OptionParser("prog", "A program", options)
    conf.write_text(text)
    assert parser.parse(["-C", str(conf)]).warnings == ()
    conf.chmod(0o644)
    expected = (f"{conf}:{place}: every user may read this secret; chmod o-r {conf}",) if place else ()
    assert parser.parse(["-C", str(conf)]).warnings == expected
