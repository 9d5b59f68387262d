"""The table, the advice, and the text that says why there is no TPU."""

import pytest

from efficientnet_tf.machine import chips, packages, tpu
from efficientnet_tf.machine.findings import advice, bad, is_bad, line, ok, warn
from efficientnet_tf.machine.packages import Packages


def test_a_line_begins_with_its_status() -> None:
    assert line(bad("TPU chips", "none")) == "BAD   TPU chips    none"
    assert line(ok("python", "3.11")) == "OK    python       3.11"


def test_advice_is_numbered_worst_first_and_given_once() -> None:
    found = [warn("a", "", "third"), bad("b", "", "first", "second"), bad("c", "", "first")]
    assert advice(found) == "What to do:\n  1. first\n  2. second\n  3. third"
    assert advice([ok("a", "fine")]) == ""


def test_only_bad_is_bad() -> None:
    assert not is_bad([ok("a", ""), warn("b", "")])
    assert is_bad([ok("a", ""), bad("b", "")])


@pytest.fixture
def healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A TPU machine on which everything looks right."""
    versions = {"tensorflow-tpu": "2.19.1", "libtpu": "0.0.10", "efficientnet-tf": "0.1.0"}
    monkeypatch.setattr(packages, "installed", lambda: Packages(versions, {}))
    monkeypatch.setattr(chips, "has_chips", lambda: True)
    monkeypatch.setattr(
        chips, "findings", lambda wants_tpu: [ok("TPU chips", "4 v5e"), ok("TPU held by", "nobody")]
    )
    monkeypatch.setattr(chips, "hosts", lambda: 1)


@pytest.mark.usefixtures("healthy")
def test_a_healthy_machine_whose_tpu_fails_is_told_where_to_look() -> None:
    text = tpu.no_tpu("local", "libtpu finds no TPU")
    assert text.startswith("no TPU found for --tpu=local: libtpu finds no TPU\nOK    python")
    assert "Restart the runtime" in text
    assert "/tmp/tpu_logs" in text
    assert "`python main.py doctor --tpu=local` checks the rest." in text


@pytest.mark.usefixtures("healthy")
def test_a_tpu_elsewhere_is_looked_for_elsewhere() -> None:
    by_name = tpu.no_tpu("node-7", "its state is CREATING")
    for remedy in ("tpu-vm list", "--tpu_zone", "application-default login", "--tpu=local"):
        assert remedy in by_name
    assert "TPU chips" not in by_name
    by_address = tpu.no_tpu("grpc://10.0.0.2:8470", "nothing answers")
    assert "Its port must be open" in by_address
    assert "tpu-vm list" not in by_address


@pytest.mark.usefixtures("healthy")
def test_a_host_of_a_pod_is_told_to_use_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chips, "hosts", lambda: 4)
    (pod,) = [finding for finding in tpu.findings("local") if finding.subject == "TPU pod"]
    assert "one of 4 hosts" in pod.text
    assert "--tpu=NAME" in pod.remedies[0]
    assert not [finding for finding in tpu.findings("node-7") if finding.subject == "TPU pod"]
