"""The quickstart notebook, run to its end on the CPU, with fewer epochs."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "quickstart.ipynb"


def notebook(**parameters: Any) -> Any:
    """The notebook with other values in its cell of parameters."""
    read = nbformat.read(NOTEBOOK, as_version=4)
    (cell,) = (cell for cell in read.cells if "parameters" in cell.metadata.get("tags", []))
    names = [line.split(" = ")[0] for line in cell.source.splitlines()]
    assert set(parameters) <= set(names)
    cell.source += "".join(f"\n{name} = {value!r}" for name, value in parameters.items())
    return read


def outputs(read: Any) -> str:
    return "".join(
        output.get("text", "") for cell in read.cells for output in cell.get("outputs", [])
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_it_runs_to_its_end(tmp_path: Path) -> None:
    read = notebook(MODEL="efficientnet-lite0", EPOCHS=1, RUN=str(tmp_path / "run"))
    client = NotebookClient(
        read, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}
    )
    client.execute()
    text = outputs(read)
    assert "test top-1: " in text
    assert "of 10 held-out digits right" in text
    assert (tmp_path / "run" / "export" / "saved_model.pb").exists()
    assert (tmp_path / "run" / "export.float32.tflite").exists()
    pictures = [
        output.data
        for cell in read.cells
        for output in cell.get("outputs", [])
        if output.output_type == "display_data"
    ]
    assert ["image/png" in data for data in pictures] == [True]


def test_a_command_that_fails_stops_it_with_its_own_words(tmp_path: Path) -> None:
    read = notebook(MODEL="efficientnet-b99", RUN=str(tmp_path / "run"))
    client = NotebookClient(
        read, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}
    )
    with pytest.raises(CellExecutionError, match="ended with exit code 2; see above"):
        client.execute()
    assert 'unknown model "efficientnet-b99"' in outputs(read)


def test_it_is_stored_without_outputs() -> None:
    read = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(read)
    assert all(not cell.get("outputs") for cell in read.cells)
    assert all(cell.get("execution_count") is None for cell in read.cells)
