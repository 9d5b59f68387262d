"""Combinations of packages: the known bad ones, unmet requirements, and the files with the pins."""

import importlib.metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from efficientnet_tf.errors import UsageError
from efficientnet_tf.machine import packages as module
from efficientnet_tf.machine.findings import BAD, OK, WARN, Finding, is_bad
from efficientnet_tf.machine.packages import (
    Packages,
    check_import,
    findings,
    installed,
    known_bad,
    unmet,
)

ROOT = Path(__file__).parents[2]
TPU_MACHINE = {
    "tensorflow-tpu": "2.19.1",
    "libtpu": "0.0.10",
    "keras": "3.15.1",
    "numpy": "2.1.3",
    "efficientnet-tf": "0.1.0",
}
CPU_MACHINE = {"tensorflow": "2.21.0", "keras": "3.15.1", "efficientnet-tf": "0.1.0"}


def look(versions: dict[str, str], *, chips: bool = False, tpu: bool = False) -> list[Finding]:
    return findings(Packages(versions, {}), has_chips=chips, wants_tpu=tpu)


def of(found: list[Finding], subject: str) -> Finding:
    return next(finding for finding in found if finding.subject == subject)


def test_what_works_is_fine() -> None:
    for found in (look(CPU_MACHINE), look(TPU_MACHINE, chips=True, tpu=True)):
        assert {finding.status for finding in found} == {OK}
        assert not any(finding.remedies for finding in found)


@pytest.mark.parametrize(
    ("change", "status", "text", "remedy"),
    [
        ({"tensorflow": "2.19.1"}, BAD, "overwrite each other", "pip uninstall --yes tensorflow "),
        ({"libtpu": None}, BAD, "without libtpu", "requirements/tpu.txt"),
        ({"tensorflow-tpu": None}, BAD, "not installed", "requirements/tpu.txt"),
        (
            {"tensorflow-tpu": None, "tensorflow": "2.21.0"},
            BAD,
            "no TPU kernels",
            "requirements/tpu.txt",
        ),
    ],
)
def test_the_tensorflow_of_a_tpu_machine(
    change: dict[str, Any], status: str, text: str, remedy: str
) -> None:
    merged = {name: version for name, version in {**TPU_MACHINE, **change}.items() if version}
    found = of(look(merged, chips=True, tpu=True), "tensorflow")
    assert found.status == status
    assert text in found.text
    assert any(remedy in one for one in found.remedies)


def test_plain_tensorflow_beside_idle_chips_is_a_warning() -> None:
    assert of(look(CPU_MACHINE, chips=True), "tensorflow").status == WARN
    assert of(look(CPU_MACHINE), "tensorflow").status == OK


def test_tensorflow_tpu_without_chips_is_a_warning() -> None:
    assert of(look(TPU_MACHINE), "tensorflow").status == WARN


@pytest.mark.parametrize(
    ("versions", "aborts"),
    [
        # Tried: shared notes of the spike and docs/tpu.md.
        ({"tensorflow-tpu": "2.20.0", "libtpu": "0.0.17.1"}, False),
        ({"tensorflow-tpu": "2.20.0", "libtpu": "0.0.31"}, False),
        ({"tensorflow-tpu": "2.20.0", "libtpu": "0.0.32.1"}, True),
        ({"tensorflow-tpu": "2.20.0", "libtpu": "0.0.51"}, True),
        ({"tensorflow-tpu": "2.19.1", "libtpu": "0.0.10"}, False),
        ({"tensorflow-tpu": "2.19.1", "libtpu": "0.0.51"}, True),
        ({"tensorflow": "2.21.0", "libtpu": "0.0.51"}, False),  # the extra tpu-check
    ],
)
def test_what_would_end_the_process_is_known_before(
    monkeypatch: pytest.MonkeyPatch, versions: dict[str, str], aborts: bool
) -> None:
    there = Packages(versions, {})
    assert bool(known_bad(there, only_aborting=True)) is aborts
    monkeypatch.setattr(module, "installed", lambda: there)
    if aborts:
        with pytest.raises(UsageError, match="`import tensorflow` aborts.*pip install libtpu=="):
            check_import()
    else:
        check_import()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"keras": "3.11.3"}, "keras 3.11.3: this Keras cannot load"),
        ({"tensorflow-metadata": "1.21.0", "protobuf": "5.29.6"}, "TensorFlow Datasets cannot"),
    ],
)
def test_other_known_bad_ones_do_not_stop_the_import(change: dict[str, str], text: str) -> None:
    there = {**CPU_MACHINE, **change}
    found = of(look(there), "packages")
    assert found.status == BAD
    assert text in found.text
    assert found.remedies
    assert not known_bad(Packages(there, {}), only_aborting=True)


def test_requirements_of_tensorflow_and_ours_are_compared() -> None:
    there = Packages(
        {**TPU_MACHINE, "numpy": "2.4.6"},
        {
            "tensorflow-tpu": [
                "numpy <2.2.0,>=1.26.0",
                "libtpu ==0.0.10",
                "nvidia-cublas-cu12 ==12.5 ; extra == 'and-cuda'",
                "tensorflow-intel ==2.19.1 ; platform_system == 'Nowhere'",
            ],
            "efficientnet-tf": ["tensorflow<2.22,>=2.19", "tqdm>=4", "Keras>=3.12"],
        },
    )
    assert unmet(there) == [
        ("numpy 2.4.6", "tensorflow-tpu 2.19.1 needs numpy<2.2.0,>=1.26.0"),
        ("tqdm is not installed", "efficientnet-tf 0.1.0 needs tqdm>=4"),
    ]
    found = findings(there, has_chips=True, wants_tpu=True)
    assert [f.text for f in found if f.status == BAD] == [
        "numpy 2.4.6, but tensorflow-tpu 2.19.1 needs numpy<2.2.0,>=1.26.0",
        "tqdm is not installed, but efficientnet-tf 0.1.0 needs tqdm>=4",
    ]


def test_a_tensorflow_too_old_or_too_new_is_found() -> None:
    requires = {"efficientnet-tf": ["tensorflow!=2.21.0,<2.22,>=2.19"]}
    # 2.21.0 is not chosen on Python 3.13, but works where it is.
    found = (("2.18.0", False), ("2.19.1", True), ("2.21.0", True), ("2.22.0", False))
    for version, fits in found:
        there = Packages({**CPU_MACHINE, "tensorflow": version}, requires)
        assert (unmet(there) == []) is fits


def test_a_package_that_is_not_installed_is_a_warning() -> None:
    found = look({name: v for name, v in CPU_MACHINE.items() if name != "efficientnet-tf"})
    assert [f.status for f in found if f.subject == "packages"] == [WARN, OK]


def test_what_is_installed_here_has_a_tensorflow_and_fits() -> None:
    here = installed()
    assert len(here.tensorflows) == 1
    assert not is_bad(findings(here, has_chips=False, wants_tpu=False))


def requirements_of(name: str, python: str = "3.11") -> dict[str, str]:
    """{package: its versions} of a file in requirements/, for that Python."""
    found = {}
    for line in (ROOT / "requirements" / name).read_text().splitlines():
        text = line.partition("#")[0].strip()
        if text.startswith("-r "):
            found = requirements_of(text.removeprefix("-r "), python) | found
        elif text:
            one = Requirement(text)
            if one.marker is None or one.marker.evaluate({"python_version": python}):
                found[module.canonical(one.name)] = str(one.specifier)
    return found


def plain_requirements() -> list[Requirement]:
    """What the installed package asks for without extras."""
    asked = map(Requirement, importlib.metadata.requires("efficientnet_tf") or ())
    return [one for one in asked if one.marker is None or "extra" not in str(one.marker)]


def test_a_plain_installation_is_tensorflow_and_the_file_of_the_rest() -> None:
    rest = requirements_of("without-tensorflow.txt")
    asked = {module.canonical(one.name): one.specifier for one in plain_requirements()}
    assert asked.keys() - rest.keys() == {"tensorflow"}
    assert rest.keys() <= asked.keys()
    assert {"absl-py", "keras", "tensorflow-datasets"} <= rest.keys()
    assert asked["absl-py"].contains("1.4.0")  # Colab's


def test_what_knows_tpus_by_name_is_an_extra_and_on_tpu_machines() -> None:
    """It brings google-auth below 2, and a notebook's own sign-in would fail."""
    assert "cloud-tpu-client" not in {module.canonical(one.name) for one in plain_requirements()}
    assert "tpu" in importlib.metadata.metadata("efficientnet_tf").get_all("Provides-Extra")
    assert "cloud-tpu-client" in requirements_of("tpu.txt")


@pytest.mark.parametrize(
    ("python", "tensorflow", "libtpu"),
    [("3.10", "2.19.1", "0.0.10"), ("3.12", "2.19.1", "0.0.10"), ("3.13", "2.20.0", "0.0.21.1")],
)
def test_the_pins_of_a_tpu_machine(python: str, tensorflow: str, libtpu: str) -> None:
    asked = requirements_of("tpu.txt", python)
    assert requirements_of("without-tensorflow.txt").keys() < asked.keys()
    pins = {name: text.removeprefix("==") for name, text in asked.items() if text[:2] == "=="}
    assert (pins[module.TPU], pins["libtpu"]) == (tensorflow, libtpu)
    assert known_bad(Packages(pins, {})) == []


def test_the_plain_build_of_the_tpus_tensorflow_has_the_same_pins() -> None:
    tpu, plain = requirements_of("tpu.txt"), requirements_of("tf219.txt")
    assert plain.pop("tensorflow") == tpu[module.TPU]
    assert plain == {name: tpu[name] for name in plain}
