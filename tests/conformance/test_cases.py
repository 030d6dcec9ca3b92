"""Every recorded case is a test; those that wait for a later issue are listed in expected_failures.toml."""

import tomllib
from pathlib import Path

import pytest

from tests.conformance.conversation import SETTLE_LIMIT, Conversation, Differs
from tests.conformance.process import Authority, ServerFailed, find_commands

HERE = Path(__file__).parent
CASES = sorted(path.parent.name for path in HERE.glob("cases/*/case.json"))
WAITING: dict[str, str] = {
    case: group["waits_for"]
    for group in tomllib.loads((HERE / "expected_failures.toml").read_text())["group"]
    for case in group["cases"]
}
#: A case that is expected to fail is given up sooner, so that waiting for it does not add up.
SETTLE_LIMIT_OF_WAITING = 3.0


def _parameters() -> list[object]:
    return [
        pytest.param(
            case,
            marks=[pytest.mark.xfail(raises=(Differs, ServerFailed), reason=f"waits for {WAITING[case]}", strict=True)]
            if case in WAITING
            else [],
        )
        for case in CASES
    ]


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return find_commands(tmp_path_factory.mktemp("commands"))


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.mark.parametrize("case", _parameters())
def test_every_answer_is_the_recorded_one(
    case: str, tmp_path: Path, commands: Path, authority: Authority, pytestconfig: pytest.Config
) -> None:
    settle = SETTLE_LIMIT_OF_WAITING if case in WAITING else SETTLE_LIMIT
    work = tmp_path / case
    Conversation(HERE / "cases" / case, work, commands, authority, settle, pytestconfig.getoption("--backend")).play()


def test_only_existing_cases_are_listed_as_waiting() -> None:
    assert set(WAITING) <= set(CASES)
