"""A slice of the fault campaign (`make test-faults`), so that it cannot rot: seconds of it."""

import json
from pathlib import Path

import pytest
from faults import campaign, disks, mutations, readers, workshop
from faults.apart import FAILED, REFUSED, SURVIVED, Ended, Failed, settled

INPUTS = 8  # of each kind
SEED = 1


@pytest.fixture(scope="module")
def specimens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("faults") / "specimens"
    workshop.make_files(made)
    return made


@pytest.mark.parametrize("reader", list(readers.of_files()), ids=lambda reader: reader.name)
def test_mutated_inputs_are_read_or_refused(specimens: Path, reader: readers.Reader) -> None:
    with workshop.place(specimens) as where:
        results = where.own / mutations.RESULTS
        mutations.feed_here(where, reader, SEED, range(INPUTS), results)
        found = [json.loads(line) for line in results.read_text().splitlines()]
    assert [number for number, _, _ in found] == list(range(INPUTS))
    assert [line for line in found if line[1] == FAILED] == []


def test_the_campaign_is_as_large_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disks, "mounts", False)
    without_disks = len(campaign.cases())
    monkeypatch.setattr(disks, "mounts", True)
    assert len(campaign.cases()) > without_disks > 200
    made_here = list(mutations.batches(list(readers.of_files()), campaign.INPUTS))
    assert sum(len(numbers) for _, numbers in made_here) >= campaign.INPUTS >= 2_000


def ended(code: int = 0, err: str = "", **changes: object) -> Ended:
    return Ended(code, 0, "", err, 1.0, 300.0, False)._replace(**changes)


@pytest.mark.parametrize(
    ("how", "verdict"),
    [
        (ended(), SURVIVED),
        (ended(2, 'error: "a.json" is damaged.\nCopy it again.'), REFUSED),
        (ended(130, "stopped by SIGTERM at step 3; a.json"), REFUSED),
    ],
)
def test_what_is_well_met(how: Ended, verdict: str) -> None:
    assert settled(how, "a.json") == verdict


@pytest.mark.parametrize(
    ("how", "why"),
    [
        (ended(hung=True), "hangs"),
        (ended(signal=11), "ended by signal 11"),
        (ended(memory=5000.0), "takes 5000 MB"),
        (ended(1, "Traceback (most recent call last):\nKeyError: 1"), "Traceback"),
        (ended(2, "error: {{node Read}} a.json"), "node"),
        (ended(2, "error: something is wrong."), "names none of a.json"),
        (ended(2, "error: a.json\n1\n2\n3"), "refuses in 4 lines"),
        (ended(2), "refuses without a message"),
        (ended(5, "error: a.json"), "ends with code 5"),
        (ended(2, "error: a.json \x1b[2J"), "control characters"),
    ],
)
def test_what_fails(how: Ended, why: str) -> None:
    with pytest.raises(Failed, match=why):
        settled(how, "a.json")


def test_what_must_be_refused_is_not_to_be_accepted() -> None:
    with pytest.raises(Failed, match="was accepted"):
        settled(ended(), "a.json", fine=False)


def test_the_table_counts_each_category() -> None:
    found = [
        mutations.Verdict("kills", "1", SURVIVED),
        mutations.Verdict("kills", "2", FAILED, "hangs"),
        mutations.Verdict("names", "1", REFUSED),
    ]
    assert campaign.table(found).splitlines() == [
        "       cases  survived  refused clearly  failed",
        "kills      2         1                -       1",
        "names      1         -                1       -",
        "all        3         1                1       1",
    ]
