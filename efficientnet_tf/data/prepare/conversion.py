"""Any source as shuffled TFRecord files with a manifest: see `prepare`.

Of each split one shuffled stream, a function of (source, seed), is cut into consecutive stretches,
one for each file. So a file's contents do not depend on threads or on where a run was killed: a
journal names the files that are finished, and the next run goes on where the first is missing.

Differences from the official conversion script: images are kept as they are (there PNG and CMYK
ones become RGB JPEGs), those held out as "minival" have files of their own, height and width are
those of the image's header, and left out if it does not tell; a killed run can go on.
"""

import collections
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tqdm import tqdm

from efficientnet_tf.data.prepare import journal
from efficientnet_tf.data.prepare.encoded import EncodedExample, StreamOptions, encoded_examples
from efficientnet_tf.data.prepare.shard_writer import ShardWriters, serialise
from efficientnet_tf.data.sources.manifest import PREFIXES, FileEntry, Manifest, file_name
from efficientnet_tf.data.sources.source import Source
from efficientnet_tf.errors import RunError, UsageError, nearest, whole_number
from efficientnet_tf.storage.lock import alone
from efficientnet_tf.terminal.progress import progress_bar

LABEL_OFFSET = 1  # official files number the classes from 1
_PER_SHARD = 1250  # examples, about as many as in the official files
_MIN_SHARDS, _MAX_SHARDS = 16, 1024  # so that a small set, too, is read in parallel

Say = Callable[[str], object]


@dataclasses.dataclass(frozen=True)
class _Shard:
    """The stretch start..stop-1 of a split's stream, kept in the file `name`."""

    name: str
    start: int
    stop: int


def prepare(
    source: Source,
    output_dir: str,
    *,
    options: StreamOptions | None = None,
    splits: Sequence[str] | None = None,
    shards: Mapping[str, int] | None = None,
    threads: int = 4,
    say: Say = print,
) -> Manifest:
    """Writes train-*, minival-* and validation-* files and manifest.json, or goes on with them.

    Args:
        output_dir: a folder or gs://bucket/folder, made if need be. A killed run of the same
            arguments in it is finished; files of anything else are refused.
        options: order and form of the images.
        splits: those to write; None means all that have examples.
        shards: files of a split; by default one per 1,250 examples, but 16 to 1,024.
        threads: files written at once.
        say: is told what a person should know, a line at a time.

    Raises:
        UsageError: an argument is wrong, or `output_dir` holds something else.
        RunError: an example cannot be used, the source has more or fewer examples than it says, or
            a file cannot be written. Finished files are kept.
    """
    options = options or StreamOptions()
    if whole_number(threads) is None:
        raise UsageError(f"threads must be a whole number of at least 1, received {threads!r}.")
    plan = _plan(source, splits, shards or {})
    identity = _identity(source, options, plan)
    journal.make_folder(output_dir)
    with alone("--output_dir", output_dir):
        return _write(source, output_dir, options, plan, identity, threads, say)


def _write(
    source: Source,
    output_dir: str,
    options: StreamOptions,
    plan: dict[str, list[_Shard]],
    identity: dict[str, Any],
    threads: int,
    say: Say,
) -> Manifest:
    """What is missing of the files, and the manifest."""
    finished = journal.begin(output_dir, identity)
    total = sum(map(len, plan.values()))
    if len(finished) == total:
        say(f"{output_dir} is complete: nothing to write.")
    elif finished:
        say(f"{len(finished)} of {total} files are finished in {output_dir}, going on.")

    def note(entry: FileEntry) -> None:
        journal.add(output_dir, entry)
        finished[entry.name] = entry

    done = sum(shard.stop - shard.start for shard in _all(plan) if shard.name in finished)
    formats: collections.Counter[str] = collections.Counter()
    with progress_bar(sum(identity["examples"].values()), " images", "writing", done) as bar:
        for split, stretches in plan.items():
            with ShardWriters(output_dir, threads, note) as writers:
                missing = [shard for shard in stretches if shard.name not in finished]
                _write_split(source, split, options, missing, writers, bar, formats)
    written = Manifest(
        name=source.name,
        num_classes=source.num_classes,
        class_names=source.class_names,
        label_offset=LABEL_OFFSET,
        files={split: tuple(finished[shard.name] for shard in plan[split]) for split in plan},
        origin=identity,
    )
    for split, count in written.num_examples.items():
        if count == 0:
            raise RunError(
                f'None of the {source.num_examples[split]} examples of split "{split}" of source '
                f'"{source.name}" can be used; `python main.py check-data` says why.'
            )
    journal.finish(output_dir, written)
    _summarise(written, identity["examples"], formats, say)
    return written


def default_shards(examples: int) -> int:
    """Files for a split of so many examples."""
    wanted = max(_MIN_SHARDS, min(_MAX_SHARDS, -(-examples // _PER_SHARD)))
    return min(wanted, examples)


def _plan(
    source: Source, splits: Sequence[str] | None, shards: Mapping[str, int]
) -> dict[str, list[_Shard]]:
    """The files of each split; their sizes differ by one at most."""
    existing = [split for split in PREFIXES if source.num_examples.get(split, 0)]
    for split in (*(splits or ()), *shards):
        if split not in existing:
            raise UsageError(
                f"splits and shards may name {', '.join(existing)}, of which source "
                f'"{source.name}" has examples, received "{split}".' + nearest(split, existing)
            )
    plan = {}
    for split in existing if splits is None else sorted(set(splits), key=existing.index):
        examples = source.num_examples[split]
        asked = shards.get(split, default_shards(examples))
        total = whole_number(asked)
        if total is None or total > examples:
            raise UsageError(
                f'shards of split "{split}" must be a whole number from 1 to its {examples} '
                f"examples, received {asked!r}."
            )
        bounds = [number * examples // total for number in range(total + 1)]
        plan[split] = [
            _Shard(file_name(split, number, total), start, stop)
            for number, (start, stop) in enumerate(itertools.pairwise(bounds))
        ]
    return plan


def _all(plan: Mapping[str, Sequence[_Shard]]) -> Iterator[_Shard]:
    return itertools.chain.from_iterable(plan.values())


def _identity(
    source: Source, options: StreamOptions, plan: Mapping[str, Sequence[_Shard]]
) -> dict[str, Any]:
    """What decides the contents of the files; JSON."""
    return {
        "source": source.name,
        "examples": {split: source.num_examples[split] for split in plan},
        "fingerprints": {split: source.fingerprint(split) for split in plan},
        "shards": {split: len(plan[split]) for split in plan},
        "num_classes": source.num_classes,
        "class_names": None if source.class_names is None else list(source.class_names),
        **dataclasses.asdict(options),
    }


def _write_split(
    source: Source,
    split: str,
    options: StreamOptions,
    missing: Sequence[_Shard],
    writers: ShardWriters,
    bar: tqdm,
    formats: collections.Counter[str],
) -> None:
    """Writes the missing files of a split, counting the images of each format."""
    if not missing:
        return
    total = source.num_examples[split]
    position = missing[0].start
    stream = encoded_examples(source, split, options, position)
    for shard in missing:
        # Files in between are finished: several were being written when the run was killed.
        skipped = sum(1 for _ in itertools.islice(stream, shard.start - position))
        position += skipped
        writers.begin(shard.name)
        for example in itertools.islice(stream, shard.stop - shard.start):
            if example is not None:
                formats[example.header.format] += 1
                writers.add(_record(source, example))
            position += 1
            bar.update()
        if position < shard.stop:
            raise _wrong_count(source, split, f"only {position} could be read")
        if position == total and any(True for _ in stream):
            raise _wrong_count(source, split, "there are more")
        writers.end()


def _record(source: Source, example: EncodedExample) -> bytes:
    names = source.class_names
    return serialise(
        example.image,
        example.header,
        example.label + LABEL_OFFSET,
        None if names is None else names[example.label],
        example.place,
    )


def _wrong_count(source: Source, split: str, what: str) -> RunError:
    return RunError(
        f'source "{source.name}" should have {source.num_examples[split]} examples in split '
        f'"{split}", but {what}: no manifest was written. Check the files of the source (cut off? '
        "changed while they were read?) and its counts."
    )


def _summarise(
    written: Manifest,
    examples: Mapping[str, int],
    formats: Mapping[str, int],
    say: Say,
) -> None:
    for split, count in written.num_examples.items():
        left_out = examples[split] - count
        note = f", {left_out} left out because they cannot be used" if left_out else ""
        say(f"{split}: {count} images in {len(written.files[split])} files{note}")
    others = {name: count for name, count in formats.items() if name != "JPEG"}
    if others:
        listed = ", ".join(f"{count} {name}" for name, count in sorted(others.items()))
        say(
            f"note: {listed} images were written in their own format, which this package reads; "
            "the official code reads JPEG only (re-encode with --jpeg)."
        )
