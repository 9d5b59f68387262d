"""The installed packages: what is missing, and combinations that are known not to work.

Only metadata is read, nothing is imported: with some of these combinations `import tensorflow`
ends the process (tried, see docs/tpu.md), and no `except` would see it.
"""

import importlib.metadata
import importlib.util
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from efficientnet_tf.errors import UsageError
from efficientnet_tf.machine.findings import Finding, bad, ok, warn

if TYPE_CHECKING:
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

PACKAGE = "efficientnet-tf"
TPU = "tensorflow-tpu"
# Each of them is the whole module `tensorflow`.
TENSORFLOWS = (
    "tensorflow",
    "tensorflow-cpu",
    "tensorflow-gpu",
    TPU,
    "tf-nightly",
    "tf-nightly-tpu",
)
INSTALL_TPU = (
    "On a TPU machine, in an empty environment: pip install -r requirements/tpu.txt && "
    "pip install --no-deps ."
)


# What a part of this program needs, by the module that is imported: the command that installs it.
INSTALL = {
    "adjustText": "pip install adjustText",
    "h5py": "pip install h5py",
    "jinja2": "pip install jinja2",
    "matplotlib": "pip install matplotlib",
    "onnx": "pip install 'efficientnet_tf[onnx]'",
    "onnxruntime": "pip install 'efficientnet_tf[onnx]'",
    "PIL": "pip install pillow",
    "pyarrow": "pip install 'efficientnet_tf[parquet]'",
    "safetensors": "pip install safetensors",
    "scipy": "pip install scipy",
    "sklearn": "pip install scikit-learn",
    "tensorflow_datasets": "pip install tensorflow-datasets importlib_resources",
    "tf2onnx": "pip install 'efficientnet_tf[onnx]'",
}


def is_installed(module: str) -> bool:
    """Whether `import module` would find something; nothing is imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # of a package that it lies in, or of a half-removed one
        return False


def require(what: str, *modules: str, instead: str = "") -> None:
    """Refuses what needs a package that is not there, before any work is done for it.

    Args:
        what: begins the sentence, such as "--output=a.parquet".
        modules: keys of INSTALL.
        instead: what can be done without the package; ends the second line.

    Raises:
        UsageError: one is not installed; the message has the command that installs it.
    """
    missing = [module for module in modules if not is_installed(module)]
    if missing:
        are = "is" if len(missing) == 1 else "are"
        commands = dict.fromkeys(INSTALL[module] for module in missing)
        raise UsageError(
            f"{what} needs {' and '.join(missing)}, which {are} not installed.\n"
            f"{' && '.join(commands)}{instead and f', or {instead}'}"
        )


@dataclass(frozen=True)
class Packages:
    """Versions by canonical name, and what the ones that matter here ask for."""

    versions: Mapping[str, str]
    requires: Mapping[str, Sequence[str]]

    @property
    def tensorflows(self) -> list[str]:
        return [name for name in TENSORFLOWS if name in self.versions]


@dataclass(frozen=True)
class KnownBad:
    """`package` in `versions` does not work with `other` in `other_versions`."""

    package: str
    versions: str
    other: str
    other_versions: str
    why: str
    remedy: str
    aborts: bool  # `import tensorflow` ends the process


KNOWN_BAD = (
    KnownBad(
        "libtpu",
        ">0.0.31",
        TPU,
        "==2.20.*",
        "`import tensorflow` aborts: this libtpu lacks functions that it looks for",
        "pip install libtpu==0.0.31",
        aborts=True,
    ),
    KnownBad(
        "libtpu",
        ">0.0.31",
        TPU,
        "==2.19.*",
        "`import tensorflow` aborts: this libtpu lacks functions that it looks for",
        "pip install libtpu==0.0.10",
        aborts=True,
    ),
    KnownBad(
        "keras",
        "==3.11.*",
        PACKAGE,
        ">=0.dev0",
        "this Keras cannot load the EfficientNets of keras.applications",
        'pip install "keras>=3.12,<4"',
        aborts=False,
    ),
    KnownBad(
        "tensorflow-metadata",
        ">=1.18",
        "protobuf",
        "<6.31",
        "TensorFlow Datasets cannot be imported",
        'pip install "tensorflow-metadata<1.18"',
        aborts=False,
    ),
)


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def installed() -> Packages:
    """What Python would import here."""
    versions: dict[str, str] = {}
    requires: dict[str, Sequence[str]] = {}
    for distribution in importlib.metadata.distributions():  # those first on the path come first
        name = canonical(distribution.metadata["Name"] or "")
        if name and name not in versions:
            versions[name] = distribution.version
            if name in (*TENSORFLOWS, "keras", PACKAGE):
                requires[name] = distribution.requires or ()
    return Packages(versions, requires)


def known_bad(packages: Packages, *, only_aborting: bool = False) -> list[KnownBad]:
    """The entries of KNOWN_BAD that are installed."""
    from packaging.specifiers import SpecifierSet

    def is_there(name: str, specifier: str) -> bool:
        version = packages.versions.get(name)
        return version is not None and SpecifierSet(specifier).contains(version, prereleases=True)

    return [
        entry
        for entry in KNOWN_BAD
        if (entry.aborts or not only_aborting)
        and is_there(entry.package, entry.versions)
        and (entry.other == PACKAGE or is_there(entry.other, entry.other_versions))
    ]


def _wanted(owner: str, requirement: "Requirement") -> "SpecifierSet":
    """What works. Versions that we pass over when installing (!=) work where they are installed."""
    from packaging.specifiers import SpecifierSet

    parts = (part for part in requirement.specifier if owner != PACKAGE or part.operator != "!=")
    return SpecifierSet(",".join(map(str, parts)))


def unmet(packages: Packages) -> list[tuple[str, str]]:
    """("numpy 2.4.6", "tensorflow 2.19.1 needs numpy<2.2.0,>=1.26.0") of what does not fit."""
    from packaging.requirements import Requirement

    found = []
    for owner, requirements in packages.requires.items():
        for requirement in map(Requirement, requirements):
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
                continue
            name = canonical(requirement.name)
            if name == "tensorflow" and packages.tensorflows:
                name = packages.tensorflows[0]  # tensorflow-tpu does for tensorflow
            version = packages.versions.get(name)
            if version is None:
                here = f"{name} is not installed"
            elif _wanted(owner, requirement).contains(version, prereleases=True):
                continue
            else:
                here = f"{name} {version}"
            wanted = f"{requirement.name}{requirement.specifier}"
            found.append((here, f"{owner} {packages.versions[owner]} needs {wanted}"))
    return found


def findings(packages: Packages, *, has_chips: bool, wants_tpu: bool) -> list[Finding]:
    """Lines on Python, TensorFlow and what goes with it."""
    shown = ("keras", "numpy", "protobuf", "libtpu")
    versions = [f"{name} {packages.versions[name]}" for name in shown if name in packages.versions]
    lines = [ok("python", f"{platform.python_version()}, {platform.system()} {platform.machine()}")]
    lines.append(_tensorflow(packages, has_chips, wants_tpu))
    try:
        bad_ones, missing = known_bad(packages), unmet(packages)
    except ImportError:  # comes with every TensorFlow, so this is far from complete
        return [*lines, bad("packages", "packaging is not installed", "pip install packaging")]
    for entry in bad_ones:
        pair = f"{entry.package} {packages.versions[entry.package]}"
        if entry.other in packages.versions and entry.other != PACKAGE:
            pair += f" with {entry.other} {packages.versions[entry.other]}"
        lines.append(bad("packages", f"{pair}: {entry.why}", entry.remedy))
    for here, needed in missing:
        remedy = f'pip install "{needed.partition(" needs ")[2]}"'
        if packages.tensorflows == [TPU]:
            remedy = "pip install -r requirements/tpu.txt"
        lines.append(bad("packages", f"{here}, but {needed}", remedy))
    if PACKAGE not in packages.versions:
        lines.append(
            warn(
                "packages",
                "efficientnet_tf is run without being installed: what it needs was not checked",
                "pip install . (on a TPU machine: pip install --no-deps .)",
            )
        )
    if not bad_ones and not missing:
        lines.append(ok("packages", ", ".join(versions)))
    return lines


def _tensorflow(packages: Packages, has_chips: bool, wants_tpu: bool) -> Finding:
    names = packages.tensorflows
    here = " and ".join(f"{name} {packages.versions[name]}" for name in names)
    if not names:
        remedies = (INSTALL_TPU,) if wants_tpu or has_chips else ("pip install .",)
        return bad("tensorflow", "not installed", *remedies)
    if len(names) > 1:
        return bad(
            "tensorflow",
            f"{here}: each is the whole module tensorflow, and they overwrite each other",
            f"pip uninstall --yes {' '.join(names)}, then install one.",
            INSTALL_TPU,
        )
    has_kernels = names[0] in (TPU, "tf-nightly-tpu")
    if (wants_tpu or has_chips) and not has_kernels:
        text = f"{here} has no TPU kernels: a TPU machine needs tensorflow-tpu alone"
        return (bad if wants_tpu else warn)("tensorflow", text, INSTALL_TPU)
    if has_kernels and "libtpu" not in packages.versions:
        return bad("tensorflow", f"{here} without libtpu", INSTALL_TPU)
    if has_kernels and not has_chips and not wants_tpu:
        return warn(
            "tensorflow",
            f"{here} on a machine without TPU: its first step waits for minutes",
            "Where there is no TPU, use plain tensorflow: pip install . in another environment.",
        )
    return ok("tensorflow", here)


def check_import() -> None:
    """Refuses to import a TensorFlow that would end the process.

    Raises:
        UsageError: it would; the message says what to install.
    """
    try:
        found = known_bad(installed(), only_aborting=True)
    except ImportError:  # packaging comes with every TensorFlow
        return
    if found:
        entry, versions = found[0], installed().versions
        raise UsageError(
            f"{entry.package} {versions[entry.package]} does not go with {entry.other} "
            f"{versions[entry.other]}: {entry.why}. {entry.remedy}"
        )
