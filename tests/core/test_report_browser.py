"""The page of a run in a browser: it plays, reads its curves aloud, asks for nothing and complains of nothing."""

from __future__ import annotations

import time

import pytest
from browser import browser
from reported_runs import EVIL, lines, make_run, result, video

from gadkit.report.page import write_report
from gadkit.runs.folder import Run

_PLOT = "document.querySelectorAll('.chart')[{}].querySelector('.plot')"
_VALUE = "document.querySelectorAll('.chart')[{}].querySelectorAll('tbody td')[0].textContent"
_HEAD = "document.querySelector('.at').textContent"
_TIMES = "[...document.querySelectorAll('video')].map((video) => video.currentTime)"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reported")
    steps = list(range(10, 1010, 10))
    values = {"loss/a": [step / 100 for step in steps], "spread": [10.0 ** (step / 200) for step in steps]}
    log = [*lines(steps[:50], **values), {"step": 500, "event": "rollback", "text": EVIL, "trouble": 520}]
    log += lines(steps[50:], **{name: each[50:] for name, each in values.items()})
    samples = {step: video(folder, shade=step // 10) for step in (250, 500, 1000)}
    evaluations = {f"{number}.json": result(number, 9.5, seed=number) for number in range(3)}
    run = make_run(folder / "run<b>", log, samples=samples, evaluations=evaluations, checkpoints=[0, 500, 1000])
    return write_report(Run(run))


def test_it_asks_for_nothing_and_complains_of_nothing(chromium, report):
    chromium.look()
    chromium.open(report)
    chromium.until(f"{_TIMES}.every((time) => time > 0)")
    assert list(chromium.requests.values()) == [report.resolve().as_uri()]
    assert chromium.complaints == []
    assert chromium.ask("document.title") == "run<b> · gadkit"
    assert chromium.ask("document.querySelectorAll('script').length") == 1


def test_its_policy_runs_nothing_else_and_lets_nothing_in(chromium, report):
    chromium.look()
    chromium.open(report)
    chromium.ask(
        "(() => { const bad = document.createElement('script'); bad.textContent = 'window.harmed = 1';"
        " document.body.append(bad); const image = new Image(); image.src = 'https://example.invalid/x.png';"
        " document.body.append(image); const wrong = document.createElement('p');"
        " wrong.setAttribute('onclick', 'window.harmed = 2'); document.body.append(wrong); wrong.click();"
        " fetch('https://example.invalid/y').catch(() => {}); })()"
    )
    time.sleep(0.2)
    assert chromium.ask("window.harmed") is None
    chromium.ask("0")
    assert any("Content Security Policy" in each for each in chromium.complaints)
    assert list(chromium.requests.values()) == [report.resolve().as_uri()]


def test_videos_play_and_the_slider_chooses(chromium, report):
    chromium.look()
    chromium.open(report)
    large, shown = "document.querySelector('.stage video')", "document.querySelector('output').textContent"
    assert chromium.ask(shown) == "1,000"
    chromium.until(f"{large}.readyState >= 2 && {large}.currentTime > 0")
    last = chromium.ask(f"{large}.src")
    chromium.ask("document.querySelector('input[type=range]').focus()")
    chromium.press("ArrowLeft", 37)
    assert chromium.ask(shown) == "500"
    assert chromium.ask(f"{large}.src") != last
    chromium.until(f"{large}.readyState >= 2 && !{large}.paused")
    chromium.ask("document.querySelector('.strip button').click()")
    assert chromium.ask(shown) == "250"
    assert chromium.ask("document.querySelector('input[type=range]').value") == "0"
    assert chromium.ask("[...document.querySelectorAll('figure.shown video')].map((v) => v.dataset.step)") == ["250"]
    chromium.ask("document.querySelector('button.play').click()")
    paused = "[...document.querySelectorAll('video')].every((video) => video.paused)"
    chromium.until(paused)
    chromium.ask("document.querySelector('input[type=range]').focus()")
    chromium.press("ArrowRight", 39)
    chromium.until(f"{shown} == '500' && {large}.readyState >= 2")
    assert chromium.ask(paused)
    assert chromium.complaints == []


def test_nothing_moves_for_those_who_asked_for_that(chromium, report):
    chromium.look(prefers_reduced_motion="reduce")
    chromium.open(report)
    chromium.until("[...document.querySelectorAll('video')].every((video) => video.readyState >= 2)")
    time.sleep(0.3)
    assert set(chromium.ask(_TIMES)) == {0}
    assert chromium.ask("document.querySelector('button.play').textContent") == "Play"
    chromium.ask("document.querySelector('button.play').click()")
    chromium.until(f"{_TIMES}.every((time) => time > 0)")


def test_a_pointer_and_keys_read_the_curves(chromium, report):
    chromium.look()
    chromium.open(report)
    plot = _PLOT.format(0)
    chromium.ask(f"{plot}.scrollIntoView({{ block: 'center' }})")
    left, top, width = chromium.ask(
        f"(() => {{ const b = {plot}.getBoundingClientRect(); return [b.x, b.y, b.width] }})()"
    )
    chromium.move(left + width * 0.3, top + 20)
    chromium.until(f"{_HEAD} == 'at 300'")
    assert chromium.ask(_VALUE.format(0)) == "3"
    assert float(chromium.ask(_VALUE.format(1))) == pytest.approx(10**1.5, rel=1e-3)
    chromium.move(5, 5)
    chromium.until(f"{_HEAD} == 'last'")
    assert chromium.ask(_VALUE.format(0)) == "10"
    chromium.ask(f"{plot}.focus()")
    chromium.press("Home", 36)
    assert chromium.ask(_VALUE.format(0)) == "0.1"
    chromium.press("ArrowRight", 39)
    assert (chromium.ask(_HEAD), chromium.ask(_VALUE.format(0))) == ("at 20", "0.2")
    spoken = chromium.ask("document.querySelector('.chart [aria-live]').textContent")
    assert spoken == "at 20: loss/a 0.2"
    chromium.press("Escape", 27)
    assert chromium.ask(_HEAD) == "last"
    assert chromium.complaints == []


def test_the_scale_is_chosen_without_a_script_too(chromium, report):
    chromium.look()
    chromium.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        chromium.open(report)
        views = "[...document.querySelectorAll('.chart')[1].querySelectorAll('.view')].map((v) => v.offsetHeight > 0)"
        assert chromium.ask(views) == [True, False]
        assert (
            chromium.ask("[...document.querySelectorAll('.chart')[1].querySelectorAll('label')][1].textContent")
            == "linear"
        )
        chromium.ask("document.querySelectorAll('.chart')[1].querySelectorAll('label')[1].click()")
        assert chromium.ask(views) == [False, True]
        assert chromium.ask("document.querySelector('.stage').offsetHeight") == 0
        assert chromium.ask(
            "[...document.querySelectorAll('.strip video')].every((v) => v.controls && v.offsetHeight > 0)"
        )
    finally:
        chromium.call("Emulation.setScriptExecutionDisabled", value=False)


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (1200, "dark"), (360, "light")])
def test_it_fits_every_window_and_is_legible(chromium, report, width, scheme):
    chromium.look(width, prefers_color_scheme=scheme)
    chromium.open(report)
    assert chromium.ask("document.documentElement.scrollWidth") <= width
    ink, paper = (
        chromium.ask(f"getComputedStyle(document.body).{name}.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + +b, 0)")
        for name in ("color", "backgroundColor")
    )
    assert abs(ink - paper) > 500
    assert (paper < ink) == (scheme == "dark")
