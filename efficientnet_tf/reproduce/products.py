"""The tables and figures by name: builds, writes and describes those that are asked for."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from efficientnet_tf.errors import UsageError, nearest
from efficientnet_tf.machine.packages import require
from efficientnet_tf.reproduce import curves, figures, tables, transfer_results
from efficientnet_tf.reproduce.picture import Picture
from efficientnet_tf.reproduce.results import Measured, gathered, read_results
from efficientnet_tf.reproduce.table import Table
from efficientnet_tf.reproduce.transfer_runs import TransferRun, read_runs

ALL = "all"
TABLES: dict[str, Callable[[Sequence[Measured]], list[Table]]] = {
    "table1": lambda measured: tables.table1(),
    "table2": tables.table2,
    "table3": tables.table3,
    "table7": tables.table7,
}
FIGURES: dict[str, Callable[[Sequence[Measured]], Picture]] = {
    "figure1": curves.figure1,
    "figure3": curves.figure3,
    "figure4": curves.figure4,
    "figure5": curves.figure5,
    "figure8": curves.figure8,
}
# Of transfer learning: made from runs' folders instead of lines of results.
TRANSFER_TABLES: dict[str, Callable[[Sequence[TransferRun]], list[Table]]] = {
    "table5": transfer_results.table5,
}
TRANSFER_FIGURES: dict[str, Callable[[Sequence[TransferRun]], Picture]] = {
    "figure6": transfer_results.figure6,
}
NAMES = (*TABLES, *TRANSFER_TABLES, *FIGURES, *TRANSFER_FIGURES)
BUILDS_KERAS = ("table2", "figure1", "figure5")


def chosen(names: Sequence[str]) -> list[str]:
    """The names in the order given, each once; `all` for every one.

    Raises:
        UsageError: none, or one that is not there; the message offers the nearest.
    """
    if not names:
        raise UsageError(f"say what to reproduce: {', '.join(NAMES)}, or {ALL}.")
    for name in names:
        if name not in (*NAMES, ALL):
            raise UsageError(
                f'cannot reproduce "{name}".{nearest(name, (*NAMES, ALL))} There are '
                f"{', '.join(NAMES)}, and {ALL}."
            )
    return list(NAMES) if ALL in names else list(dict.fromkeys(names))


def _prepare(folder: Path) -> None:
    """Makes the folder, and finds now what cannot be written after a minute of counting."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(
            f'--output_dir "{folder}" cannot be written: {error.strerror}. Give a folder that you '
            "may write to."
        ) from error


def _write_tables(name: str, found: Sequence[Table], folder: Path) -> str:
    text = "\n".join(table.markdown() for table in found)
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    files = [str(folder / f"{name}.md")]
    for table in found:
        path = folder / f"{table.name}.csv"
        path.write_text(table.csv(), encoding="utf-8")
        files.append(str(path))
    return f"{text}\nFiles: {', '.join(files)}.\n"


def reproduce(
    names: Sequence[str],
    output_dir: str,
    result_files: Sequence[str] = (),
    run_folders: Sequence[str] = (),
) -> Iterator[str]:
    """Builds and writes each; yields its Markdown and where its files are, as soon as it is done.

    Args:
        names: see NAMES.
        output_dir: where the files are written.
        result_files: JSON lines of runs of ours.
        run_folders: model_dirs of runs on data sets of Table 6, for Table 5 and Figure 6.

    Every mistake that the user can make is found before the first is built.

    Raises:
        UsageError: an unknown name, results that cannot be read, a folder that cannot be
            written.
    """
    wanted = chosen(names)
    if any(name in FIGURES or name in TRANSFER_FIGURES for name in wanted):
        require("a figure", "matplotlib", "adjustText")
    measured = gathered(read_results(result_files))
    runs = read_runs(run_folders)
    folder = Path(output_dir)
    _prepare(folder)
    for name in wanted:
        if name in TABLES:
            yield _write_tables(name, TABLES[name](measured), folder)
        elif name in TRANSFER_TABLES:
            yield _write_tables(name, TRANSFER_TABLES[name](runs), folder)
        else:
            picture = (
                TRANSFER_FIGURES[name](runs)
                if name in TRANSFER_FIGURES
                else FIGURES[name](measured)
            )
            yield picture.markdown(figures.save(picture, folder))
