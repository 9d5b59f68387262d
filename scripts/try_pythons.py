"""`make test-pythons`: installs this checkout as README says, on every Python at hand, and uses it.

For each version: a new environment with the pip that comes with that Python, README's first install
line with a time limit, the table of models, a small training run on digits with its export, and
predictions by the export. Then the same in copies of Colab's images (requirements/colab/): there
nothing that was installed may move, neither by pip's own plan (`--dry-run`) nor afterwards.

One line for each; exit code 1 if one of them failed. Needs a network and some minutes each, and of
Python the standard library alone, since nothing is installed yet. Logs lie in --folder.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.10", "3.11", "3.12", "3.13")
IMAGES = ("cpu", "tpu")
IMAGE_PYTHON = "3.13"
INSTALL_SECONDS = 600
SHOWN = ("tensorflow", "keras", "numpy", "protobuf", "absl-py")
_TINY = "--config.model.width_coefficient=0.25 --config.model.depth_coefficient=0.1"
TRAIN = f"python main.py --config=configs/digits.py --config.train.epochs=1 {_TINY} --model_dir="
PREDICT = "python scripts/demo_predict.py --saved_model={0}/export --output_dir={0}/images"


class Failed(Exception):
    """A command that did not do what it should; the message is one line."""


def install_line(readme: str) -> str:
    """The first command of a README that installs by pip."""
    match = re.search(r"^    (pip install .*?)(?:  +#.*)?$", readme, re.MULTILINE)
    if match is None:
        raise Failed("README.md has no line that begins with pip install")
    return match.group(1)


def find_python(version: str) -> str | None:
    """An interpreter of that version, on the PATH or among pyenv's; None if there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{version}"), *pyenv.glob(f"{version}.*/bin/python")]
    for candidate in filter(None, map(str, filter(None, candidates))):
        asked = subprocess.run([candidate, "--version"], capture_output=True, text=True)
        if asked.returncode == 0 and asked.stdout.startswith(f"Python {version}."):
            return candidate
    return None


def moved(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """`h5py 3.16.0 -> 3.14.0` of every package that was there and is not as it was."""
    changed = (name for name in sorted(before) if after.get(name) != before[name])
    return [f"{name} {before[name]} -> {after.get(name, 'gone')}" for name in changed]


class Environment:
    """A new virtual environment in a folder, and commands run in this checkout with it."""

    def __init__(self, python: str, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.folder, self._log = folder, folder / "log.txt"
        bin_folder = folder / "env" / "bin"
        self._variables = {
            **{name: os.environ[name] for name in os.environ if not name.startswith("PYTHON")},
            "PATH": f"{bin_folder}:{os.environ['PATH']}",
            "VIRTUAL_ENV": str(folder / "env"),
        }
        self.run(f"{python} -m venv {folder / 'env'}")

    def run(self, command: str, seconds: float = 1800) -> str:
        """The standard output of a shell command; raises Failed with its last line."""
        with self._log.open("a") as log:
            log.write(f"$ {command}\n")
            log.flush()
            with subprocess.Popen(
                ["bash", "-c", command],
                cwd=ROOT,
                env=self._variables,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            ) as process:
                try:
                    printed, _ = process.communicate(timeout=seconds)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)  # and what the shell has started
                    raise Failed(f"not done after {seconds:.0f} s: {command}") from None
            log.write(printed)
        if process.returncode:
            last = self._log.read_text().strip().splitlines()[-1]
            raise Failed(f"exit code {process.returncode}: {command}: {last} ({self._log})")
        return printed

    def packages(self) -> dict[str, str]:
        listed = json.loads(self.run("python -m pip list --format=json"))
        return {one["name"].lower().replace("_", "-"): one["version"] for one in listed}

    def use(self) -> str:
        """Models listed, a run trained, exported, loaded; returns the result in a few words."""
        listed = self.run("python main.py --list_models")
        if "efficientnet-b7" not in listed:
            raise Failed("--list_models does not list efficientnet-b7")
        run = self.folder / "run"
        printed = self.run(f"{TRAIN}{run}")
        result = re.search(r"test, weights.*?(loss [\d.]+)", printed)
        predicted = self.run(PREDICT.format(run))
        if result is None or "of 10 held-out digits right" not in predicted:
            raise Failed(f"no result was printed ({self._log})")
        return f"trained ({result.group(1)}), exported, predicted"


def _shown(packages: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {packages[name]}" for name in SHOWN if name in packages)


def try_version(python: str, folder: Path, line: str) -> str:
    environment = Environment(python, folder)
    bundled = environment.run("python -m pip --version").split()[1]
    started = time.monotonic()
    environment.run(line, INSTALL_SECONDS)
    seconds = time.monotonic() - started
    if "cloud-tpu-client" in (packages := environment.packages()):
        raise Failed("a plain installation brought cloud-tpu-client")
    used = environment.use()
    return f"pip {bundled}, installed in {seconds:.0f} s: {_shown(packages)}; {used}"


def try_image(python: str, folder: Path, line: str, image: str) -> str:
    environment = Environment(python, folder)
    # As listed and no more: Colab's images, too, hold combinations that no resolver would choose.
    environment.run(f"pip install --no-deps -r requirements/colab/{image}.txt")
    before = environment.packages()
    plain = line.rpartition("&& ")[2]  # the pip of an image is part of it
    report = folder / "plan.json"
    environment.run(f"{plain} --dry-run --report {report}", INSTALL_SECONDS)
    planned = {
        item["metadata"]["name"].lower().replace("_", "-"): item["metadata"]["version"]
        for item in json.loads(report.read_text())["install"]
    }
    would_move = moved(before, {**before, **planned})
    environment.run(plain, INSTALL_SECONDS)
    did_move = moved(before, environment.packages())
    if would_move or did_move:
        raise Failed(f"would move: {would_move}; moved: {did_move}")
    new = ", ".join(f"{name} {version}" for name, version in sorted(planned.items()))
    return f"nothing moved; new: {new}; {environment.use()}"


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "pythons")
    parser.add_argument("--only", choices=[*VERSIONS, *(f"colab-{image}" for image in IMAGES)])
    options = parser.parse_args(argv)
    line = install_line((ROOT / "README.md").read_text(encoding="utf-8"))
    print(f"README's line: {line}", flush=True)
    failures = tried = 0
    for name in [*VERSIONS, *(f"colab-{image}" for image in IMAGES)]:
        if options.only not in (None, name):
            continue
        version = name if name in VERSIONS else IMAGE_PYTHON
        python = find_python(version)
        if python is None:
            print(f"{name}: Python {version} is not at hand, not tried", flush=True)
            continue
        tried += 1
        folder = (options.folder / name).resolve()
        try:
            if name in VERSIONS:
                said = try_version(python, folder, line)
            else:
                said = try_image(python, folder, line, name.removeprefix("colab-"))
            print(f"{name}: OK: {said}", flush=True)
        except Failed as failure:
            failures += 1
            print(f"{name}: FAILED: {failure}", flush=True)
        shutil.rmtree(folder / "env", ignore_errors=True)  # gigabytes
    print(f"{tried - failures} passed, {failures} failed")
    return 1 if failures or not tried else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
