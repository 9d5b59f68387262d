"""Progress: lines where nobody watches, a bar on a terminal."""

import io

from efficientnet_tf.terminal.progress import TerminalBar, progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_elsewhere() -> None:
    stream = io.StringIO()
    with progress_bar(2000, " images", "writing", initial=500, stream=stream) as bar:
        bar.update(1500)
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("writing: 500/2.00k images, 00:00")
    assert lines[-1].startswith("writing: 2.00k/2.00k images, 00:00, 00:00 left, ")
    assert lines[-1].endswith(" images/s")
    assert len(lines) == 2
    assert "\r" not in stream.getvalue()


def test_a_bar_on_a_terminal() -> None:
    stream = Terminal()
    with progress_bar(100, " images", "writing", stream=stream) as bar:
        bar.update(100)
    assert "\rwriting: 100%|" in stream.getvalue()
    assert " images/s" in stream.getvalue()


def test_standard_error_by_default(capsys) -> None:
    with progress_bar(1, "B", "checksums"):
        pass
    assert "checksums: 0/1B" in capsys.readouterr().err


def test_small_counts_are_whole_numbers() -> None:
    stream = io.StringIO()
    with progress_bar(7, " images", "predicting", stream=stream) as bar:
        bar.update(7)
    assert stream.getvalue().splitlines()[-1].startswith("predicting: 7/7 images, 00:00")


def test_lines_above_a_bar_or_alone() -> None:
    alone, terminal = io.StringIO(), Terminal()
    for stream in (alone, terminal):
        with TerminalBar(stream, total=4, unit="run") as bar:
            bar.say("one was there")
            bar.skip()
            bar.say("two")
            bar.update(3)
    assert alone.getvalue() == "one was there\ntwo\n"
    assert "\rone was there\n" in terminal.getvalue()
    assert "| 4/4 [" in terminal.getvalue()
