"""Runs of the agent of this tree against the released server."""

import json
import os

from tests.real.site import BYTES, TEXT, Site


def test_the_released_server_serves_this_agent(released_site: Site) -> None:
    probe = released_site.write("repo/Probes/kernel", "#!/bin/sh\necho group:basic\n")
    probe.chmod(0o755)
    released_site.server.kill()
    released_site.server.start()

    first = released_site.run("--json")
    second = released_site.run("--json")

    said = first.stderr + second.stderr + released_site.server.log_tail()
    assert (first.returncode, second.returncode) == (0, 0), said
    results = [json.loads(done.stdout) for done in (first, second)]
    assert [(result["state"], len(result["modified"])) for result in results] == [("clean", 4), ("clean", 0)], said
    assert (released_site.target / "etc" / "motd").read_text("utf-8") == TEXT
    assert (released_site.target / "etc" / "bytes").read_bytes() == BYTES
    assert os.readlink(released_site.target / "link") == str(released_site.target / "etc" / "motd")
    kept = (released_site.folder / "repo" / "Probes" / "probed.xml").read_text()
    assert 'name="kernel"' in kept


def test_a_wrong_password_is_refused_and_nothing_is_changed(released_site: Site) -> None:
    done = released_site.run("-x", "wrong", "-R", "1")
    assert done.returncode == 1
    assert list(released_site.target.iterdir()) == []
    assert "refused" in done.stderr
