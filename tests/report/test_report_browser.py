"""A report and a comparison opened in a real browser, light and dark, narrow and wide.

Needs Debian's chromium (`make test-browser` installs it). Chromium has no window narrower than 500
pixels, so a page is put into a frame of the width that is wanted; what it measures there of itself
comes back as the text of the page around it.
"""

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from efficientnet_tf.report import comparison
from efficientnet_tf.report.write import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no chromium; `make test-browser` installs it"
)
NARROW, WIDE = 400, 1400
DARK, LIGHT = 0, 1  # of chromium's preferredColorScheme
# Of WCAG 2.1, level AA, for text.
CONTRAST = 4.5

# Contrast of every text with the nearest background that is not transparent, as WCAG counts it.
MEASURE = """
function luminance(colour) {
  const [r, g, b] = colour.map(v => v / 255).map(
    v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
  return .2126 * r + .7152 * g + .0722 * b;
}
function numbers(text) { return (text.match(/[0-9.]+/g) || []).map(Number); }
function behind(view, node) {
  for (let at = node; at; at = at.parentElement) {
    const colour = numbers(view.getComputedStyle(at).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour.slice(0, 3);
  }
  return [255, 255, 255];
}
function measure(frame) {
  const page = frame.contentDocument, view = frame.contentWindow, root = page.documentElement;
  const faint = [];
  let texts = 0;
  for (const node of page.body.querySelectorAll("*")) {
    const own = [...node.childNodes].filter(c => c.nodeType === 3).map(c => c.data.trim()).join("");
    if (!own || node.closest("style, script, defs")) continue;
    const onSquare = node.closest("#confusion svg") && /^[0-9]+$/.test(own);  // not on the page
    if (onSquare) continue;
    const style = view.getComputedStyle(node), inChart = node.closest("svg");
    const text = luminance(numbers(inChart ? style.fill : style.color).slice(0, 3));
    const back = luminance(behind(view, node));
    const ratio = (Math.max(text, back) + .05) / (Math.min(text, back) + .05);
    texts += 1;
    if (ratio < LIMIT) faint.push([own.slice(0, 40), Math.round(ratio * 100) / 100]);
  }
  return {
    width: view.innerWidth, scroll: root.scrollWidth, height: root.scrollHeight, texts, faint,
    page: numbers(view.getComputedStyle(page.body).backgroundColor),
    charts: [...page.querySelectorAll("svg.chart")].map(c => c.getBoundingClientRect().width),
    pictures: [...page.images].map(i => i.naturalWidth),
    requests: view.performance.getEntriesByType("resource").map(e => e.name)
      .filter(n => !n.startsWith("data:")),
  };
}
"""


def chromium(folder: Path, *flags: str) -> str:
    """Runs it without a network and returns what it prints."""
    command = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--allow-file-access-from-files",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={folder / 'profile'}",
        *flags,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def look(page: Path, folder: Path, width: int, scheme: int) -> tuple[dict[str, Any], np.ndarray]:
    """What a page measures of itself at a width, and a screenshot of its upper part."""
    copy = folder / "page.html"
    shutil.copy(page, copy)
    around = folder / "around.html"
    around.write_text(
        '<!DOCTYPE html><body style="margin:0"><iframe src="page.html" onload="done(this)" '
        f'style="border:0;width:{width}px;height:2000px"></iframe><pre id="found"></pre><script>'
        f"const LIMIT = {CONTRAST};{MEASURE}"
        "function done(f) { document.getElementById('found').textContent = "
        "JSON.stringify(measure(f)); }</script>"
    )
    flags = (f"--blink-settings=preferredColorScheme={scheme}", f"--window-size={WIDE},2000")
    dom = chromium(folder, *flags, "--dump-dom", around.as_uri())
    found = re.search(r'<pre id="found">(.+?)</pre>', dom, re.DOTALL)
    assert found, dom[-2000:]
    picture = folder / "shot.png"
    chromium(folder, *flags, f"--screenshot={picture}", around.as_uri())
    pixels = np.asarray(Image.open(picture).convert("RGB"))[:2000, :width]
    return json.loads(html.unescape(found.group(1))), pixels


@pytest.fixture(scope="module")
def report(whole_run: Path) -> Path:
    return Path(write_report(str(whole_run)))


@pytest.mark.parametrize("width", [NARROW, WIDE])
@pytest.mark.parametrize("scheme", [LIGHT, DARK])
def test_a_report_in_a_browser(report: Path, tmp_path: Path, width: int, scheme: int) -> None:
    found, pixels = look(report, tmp_path, width, scheme)
    assert found["width"] == width
    assert found["scroll"] <= width, "it can be moved sideways"
    assert found["faint"] == []
    assert found["texts"] > 200
    assert found["requests"] == []
    assert len(found["charts"]) == 6
    assert all(0.6 * min(width, 500) < each <= width for each in found["charts"])
    assert len(found["pictures"]) == 2 * (12 + 8) + 12
    assert min(found["pictures"]) == 32, "a picture was not decoded"
    assert (np.mean(found["page"]) > 200) == (scheme == LIGHT)
    # The screenshot: a background of the page's colour, and much that is not.
    away = np.abs(pixels.astype(int) - found["page"]).sum(axis=2)
    assert (away == 0).mean() > 0.3
    assert (away > 100).mean() > 0.01


def test_a_comparison_in_a_browser(
    make_run: Callable[..., Path], whole_run: Path, tmp_path: Path
) -> None:
    other = make_run(tmp_path / "other", **{"train.seed": 1})
    page = tmp_path / "comparison.html"
    page.write_text(comparison.html(comparison.read_runs([str(whole_run), str(other)])))
    found, _ = look(page, tmp_path, NARROW, DARK)
    assert found["scroll"] <= NARROW
    assert found["faint"] == []
    assert found["requests"] == []
    assert len(found["charts"]) == 4


def test_the_measurement_finds_what_it_looks_for(tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        '<body style="background:#fff"><p style="color:#aaa">faint</p><p>clear</p>'
        '<div style="width:900px">wide</div><img src="http://example.org/a.png">'
    )
    found, _ = look(page, tmp_path, NARROW, LIGHT)
    assert [text for text, _ in found["faint"]] == ["faint"]
    assert found["scroll"] >= 900
    assert found["requests"] == ["http://example.org/a.png"]
