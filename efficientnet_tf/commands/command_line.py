"""The command line: `python main.py [WORD] --flags`; without a word it trains.

`python -m efficientnet_tf` and, once installed, `efficientnet` are the same. Nothing here imports
TensorFlow: `--help`, the models' table and every usage error answer at once. What is imported in
functions is not there yet where the word doctor is first used.
"""

import contextlib
import io
import sys
from collections.abc import Sequence
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from efficientnet_tf.errors import UsageError, nearest
from efficientnet_tf.machine.packages import INSTALL, require
from efficientnet_tf.models import networks
from efficientnet_tf.storage.paths import expanded
from efficientnet_tf.terminal.exit_codes import FAILED, INTERRUPTED, asks_for_help, exit_code
from efficientnet_tf.terminal.lasting import drop, lasting, open_closed_streams
from efficientnet_tf.terminal.shown import shown

if TYPE_CHECKING:
    from efficientnet_tf.commands.flag_groups import FlagGroups

# word: what it does. The file of a word has its name, with _ for -.
WORDS = {
    "train": "trains, evaluates and exports; what is meant without a word",
    "evaluate": "evaluates a run: its own splits, another data set, variants of ImageNet",
    "export": "writes a run or weights as SavedModel, TFLite or ONNX, each proved on images",
    "predict": "predicts the classes of image files, with their probabilities",
    "cam": "draws class activation maps: where in an image the evidence for a class is",
    "import-weights": "reads weights of other programs into one file of ours",
    "prepare": "writes a data set as shuffled TFRecord files",
    "check-data": "reads every image of a data set and says what is broken or odd",
    "show-augmentation": "draws what augmentation makes of images",
    "models": "prints the table of networks: resolution, classes, parameters, multiply-adds",
    "scale": "scales a network by the paper's rule, to a phi or to a budget",
    "profile": "counts parameters, multiply-adds and activations of a model, layer by layer",
    "search-scaling": "runs the paper's search for the scaling coefficients alpha, beta and gamma",
    "compare-scaling": "compares compound scaling with depth, width and resolution alone",
    "search-architecture": "runs the paper's architecture search",
    "draw-shapes": "draws the pictures that the scaling comparisons train on",
    "reproduce": "makes the paper's tables and figures, with our numbers beside its own",
    "report": "makes the report of a run again",
    "compare": "puts runs side by side",
    "repeat": "runs one training with several seeds, or several parts held out: mean and spread",
    "preflight": "compiles an experiment for a TPU without having one: memory, speed, operations",
    "doctor": "says what is right and wrong with this machine for an experiment",
}
# --mode of main.py, as it was before there were words.
_MODES = {"eval": "evaluate", "export": "export"}


# Flags for paths that TensorFlow opens by their text; those of images are bytes to it.
_TEXT_PATHS = ("model_dir", "export_dir", "output_dir", "saved_model")


class Word(NamedTuple):
    """The file of a word.

    Attributes:
        doc: what --help says first.
        take_flags: declares its flags.
        run: does it, given the value of each flag, `arguments` (what is no flag) and, for an
            experiment, `config` and `default_model_dir`; returns the exit code, None for 0.
        needs: modules that it imports only when work was done, keys of `packages.INSTALL`.
        resumable: whether the same command goes on where it was interrupted.
        for_a_run: whether the configuration is that of --model_dir where --config is not given.
        passes_on: whether flags that it does not declare are among the `arguments`.
        lasts: whether it goes on where its output cannot be written, for what it computes is kept.
        reads_flags: whether `run` takes the command line instead, to read its flags by `given_by`
            when it can: where nothing is installed there is nothing to read them by.
    """

    doc: str
    take_flags: Any
    run: Any
    needs: Sequence[str]
    resumable: bool
    for_a_run: bool
    passes_on: bool
    lasts: bool
    reads_flags: bool


def word_of(name: str) -> Word:
    """The file of a word; see `WORDS`.

    Raises:
        UsageError: a package that it imports is not installed.
    """
    try:
        module: Any = import_module(f"efficientnet_tf.commands.{name.replace('-', '_')}")
    except ModuleNotFoundError as error:
        require(f"the word {name}", *({str(error.name).partition(".")[0]} & INSTALL.keys()))
        raise
    options = ("RESUMABLE", "FOR_A_RUN", "PASSES_ON", "LASTS", "READS_FLAGS")
    return Word(
        str(module.__doc__).strip(),
        module.take_flags,
        module.run,
        getattr(module, "NEEDS", ()),
        *(getattr(module, option, False) for option in options),
    )


def split(argv: Sequence[str]) -> tuple[str, list[str]]:
    """The word of a command line, and the command line without it.

    Raises:
        UsageError: the first argument is no word.
    """
    if argv[1:] and argv[1] in WORDS:
        return argv[1], [argv[0], *argv[2:]]
    if argv[1:] and not argv[1].startswith("-"):
        raise UsageError(
            f'unknown word "{argv[1]}".{nearest(argv[1], WORDS)} --help lists all words.'
        )
    modes = [each.partition("=")[2] for each in argv[1:] if each.startswith("--mode=")]
    if modes and modes[-1] in _MODES:
        return _MODES[modes[-1]], [each for each in argv if not each.startswith("--mode=")]
    if any(each in ("--list_models", "--list_models=true") for each in argv[1:]):
        return "models", [each for each in argv if not each.startswith("--list_models")]
    return "train", list(argv)


def help_text(name: str, word: Word, take: "FlagGroups", argv: Sequence[str]) -> str:
    """The answer to --help; that of main.py itself begins with the words."""
    lines = [word.doc]
    if name == "train":
        lines += ["", "Words:", *(f"  {each:<22}{what}" for each, what in WORDS.items())]
        lines += ["  WORD --help says more of each."]
    lines += take.help_lines()
    if take.wants_experiment:
        from efficientnet_tf.commands import experiment_flags

        lines += experiment_flags.help_lines(argv, of_a_run=word.for_a_run)
    return "\n".join(lines)


def given_by(word: Word, take: "FlagGroups", argv: Sequence[str]) -> SimpleNamespace:
    """What the command line says to a word, whose flags `take` has.

    Raises:
        UsageError: a flag is unknown or cannot have its value.
    """
    if not word.passes_on:
        take.check(argv)
    if not take.wants_experiment:
        arguments = take.parse(argv, passes_on=word.passes_on)
        given = take.given()
    else:
        from efficientnet_tf.commands import experiment_flags

        stored = experiment_flags.stored_config(argv) if word.for_a_run else None
        config, arguments = experiment_flags.parse_experiment(take, argv, stored)
        given = take.given()
        given.config = config
        given.default_model_dir = experiment_flags.default_model_dir(take, config)
    for name in (getattr(given, "model", None), *(getattr(given, "models", None) or ())):
        networks.trust(name)
    given.arguments = arguments
    return given


def _with_paths(argv: Sequence[str]) -> list[str]:
    """The command line with the home folder in the place of `~`, where a shell leaves it.

    Raises:
        UsageError: a path that TensorFlow is to write to, or a model's, is no text or a pattern.
    """
    found = []
    for argument in argv:
        flag, equals, value = argument.partition("=")
        if flag.startswith("-") and value.startswith("~"):
            value = expanded(value)
        try:
            value.encode()
        except UnicodeEncodeError as error:
            if flag.lstrip("-") in _TEXT_PATHS:
                raise UsageError(
                    f"{flag}: the name of the folder is no UTF-8 text, received "
                    f'"{shown(value)}".\nRename the folder, or give another.'
                ) from error
        if flag.lstrip("-") in _TEXT_PATHS and set(value) & set("*?["):
            raise UsageError(
                f"{flag}: the name of the folder must be without *, ? and [, which TensorFlow "
                f'takes for a pattern when it reads there, received "{shown(value)}".\n'
                "Rename the folder, or give another."
            )
        found.append(f"{flag}{equals}{value}")
    return found


def _run(argv: Sequence[str]) -> int | None:
    name, argv = split(_with_paths(argv))
    word = word_of(name)
    if word.reads_flags and not asks_for_help(argv):
        return word.run(argv)
    try:
        from efficientnet_tf.commands.flag_groups import FlagGroups
    except ImportError:
        if not word.reads_flags:
            raise
        print(word.doc)  # the help of a word that is of use before anything is installed
        return None

    take = FlagGroups()
    word.take_flags(take)
    if asks_for_help(argv):
        print(help_text(name, word, take, argv))
        return None
    given = given_by(word, take, argv)
    require(f"the word {name}", *word.needs)
    with lasting() if word.lasts else contextlib.nullcontext():
        return exit_code(lambda: word.run(given), resumable=word.resumable)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line; returns its exit code (see `terminal.exit_codes`)."""
    open_closed_streams()
    # Names of files are bytes: what a stream cannot encode or decode of one ends no command.
    for stream, errors in ((sys.stdout, "backslashreplace"), (sys.stdin, "surrogateescape")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)
    try:
        code = exit_code(lambda: _run(sys.argv if argv is None else argv))
        sys.stdout.flush()
    except BrokenPipeError:  # who reads the output has enough of it, as `| head` does
        drop(sys.stdout)  # else Python tries once more at its end
        return FAILED
    except OSError as error:
        print(f"error: the output cannot be written: {error.strerror}.", file=sys.stderr)
        drop(sys.stdout)
        return FAILED
    except KeyboardInterrupt:  # of a word that leaves nothing to go on from
        print("stopped", file=sys.stderr)
        return INTERRUPTED
    return code
