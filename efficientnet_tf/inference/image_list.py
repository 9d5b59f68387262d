"""Which image files are meant: files, folders, patterns and a list on standard input.

The order is that of the arguments; within a folder or a pattern it is alphabetical. Nothing here
needs TensorFlow, so a wrong path is answered at once.
"""

import glob
import os
from collections.abc import Iterable, Sequence

from efficientnet_tf.data.images.names import EXTENSIONS, is_hidden, is_image
from efficientnet_tf.errors import UsageError
from efficientnet_tf.storage.paths import is_remote

STANDARD_INPUT = "-"
_PATTERN = "*?["


def image_paths(arguments: Sequence[str], lines: Iterable[str] = ()) -> list[str]:
    """The image files that the arguments of a command line name.

    Args:
        arguments: each a file (of any ending), a folder (the images in it, at any depth, hidden
            ones left out), a pattern with `*`, `?`, `[...]` or `**` (the images that match), or
            `-` for the paths in `lines`. Paths with `://` are taken as files.
        lines: one path on each, of standard input. Whether these files exist is not checked: a
            long list should not fail for one file that has gone.

    Raises:
        UsageError: there are no images, a file does not exist, a pattern matches nothing.
    """
    if not arguments:
        raise UsageError(
            "no images: give files, folders or patterns, or - for a list on standard input."
        )
    paths: list[str] = []
    for argument in arguments:
        paths += _listed(lines) if argument == STANDARD_INPUT else _of(argument)
    return paths


def _listed(lines: Iterable[str]) -> list[str]:
    paths = [path for path in (line.rstrip("\r\n") for line in lines) if path.strip()]
    if not paths:
        raise UsageError('no images: the list on standard input ("-") is empty.')
    return paths


def _of(argument: str) -> list[str]:
    if is_remote(argument):
        return [argument]
    path = os.path.expanduser(argument)
    if os.path.isdir(path):
        return _in_folder(path)
    if os.path.exists(path):  # before patterns: a name may hold a bracket
        return [path]
    if any(sign in path for sign in _PATTERN):
        return _matching(path)
    raise UsageError(f'no image file or folder "{argument}".')


def _in_folder(folder: str) -> list[str]:
    paths = []
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        seen = sorted(name for name in files if not is_hidden(name))
        paths += [os.path.join(parent, name) for name in seen if is_image(name)]
    if not paths:
        raise UsageError(f'no images in the folder "{folder}" (looked for {_endings()}).')
    return paths


def _matching(pattern: str) -> list[str]:
    found = sorted(glob.glob(pattern, recursive=True))
    paths = [path for path in found if is_image(path) and os.path.isfile(path)]
    if not paths:
        others = f", only {len(found)} other files or folders" if found else ""
        raise UsageError(f'no images match "{pattern}" (looked for {_endings()}){others}.')
    return paths


def _endings() -> str:
    return ", ".join(EXTENSIONS)
