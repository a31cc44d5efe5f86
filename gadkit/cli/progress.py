"""What `gadkit train` shows: tables and a live bar on a terminal, plain lines on a pipe."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

from gadkit.cli.console import say
from gadkit.runs.reporter import Plan, Reporter

_STOPPING = "finishing the step and saving; Ctrl-C again to stop at once."


def _work(name: str) -> tuple[str, str]:
    """What is being done, and of what there are so many, told from the name that the preparation gives."""
    if name.startswith("checking "):
        return "checking", "files"
    return ("waiting", "videos") if name.startswith("waiting ") else ("decoding", "videos")


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """The reader of a pipe went away, as `head` does: training goes on without it."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


class ConsoleReporter(Reporter):
    """Plain lines: what is shown where nobody watches a terminal.

    Attributes:
        training: Whether steps are made already; before, the data and the parts are prepared.
    """

    def __init__(self, console: Console, dry_run: bool) -> None:
        self.console = console
        self.dry_run = dry_run
        self._steps = 0
        self._first = 0
        self.training = False
        self._clock = time.monotonic()
        self._prepared = time.monotonic()

    def line(self, text: str) -> None:
        """One line, as it is."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def preparing(self, done: int, total: int, name: str) -> None:
        work, unit = _work(name)
        if (done == total and unit == "videos") or time.monotonic() - self._prepared > 5:
            self._prepared = time.monotonic()
            self.line(f"{work} {done}/{total} {unit}")

    def plan(self, plan: Plan) -> None:
        for kind, name, provider, size in plan.parts:
            self.line(f"{kind:<14} {name} ({provider})" + (f", {size:,} parameters" if size else ""))
        for name, text in plan.facts:
            self.line(f"{name:<14} {text}")
        self.warn(plan)

    def warn(self, plan: Plan) -> None:
        """The plan's table of weights that an old model gives, and its warnings."""
        for line in plan.transfer.lines() if plan.transfer else ():
            self.line(line)
        for warning in plan.warnings:
            self.line(f"warning: {warning}")

    def started(self, step: int, steps: int) -> None:
        self._first, self._steps, self._clock = step, steps, time.monotonic()
        self.training = True
        if step >= steps:
            self.line(f"all {steps} steps are made already; ask for more with --steps")
        elif step:
            self.line(f"going on after step {step}")

    def logged(self, step: int, values: dict[str, float]) -> None:
        rate = (step - self._first) / max(time.monotonic() - self._clock, 1e-9)
        left = _clock((self._steps - step) / rate)
        self.line(f"step {step}/{self._steps}  {rate:.2f} steps/s  {left} left  {_numbers(values)}")

    def measured(self, step: int, values: dict[str, float], seconds: float) -> None:
        told = ", ".join(f"{name} {value:.4g}" for name, value in values.items()) or "no finite value"
        self.line(f"step {step}: measured {told} in {seconds:.1f} s")

    def warned(self, step: int, sentence: str) -> None:
        self.line(f"warning: step {step}: {sentence}")

    def wrote(self, path: Path) -> None:
        self.line(f"wrote {path}")

    def stopping(self) -> None:
        """Somebody asked for an end; called from a signal handler, so it prints nothing that others print beside it."""
        say(f"gadkit: {_STOPPING}")

    def abandoned(self) -> None:
        """The process is about to end at once; called from a signal handler."""
        say("gadkit: stopped at once")

    def ended(self, folder: Path, step: int, reason: str) -> None:
        if reason != "finished":
            kept = f"with the checkpoint of step {step}" if step else "at the beginning"
            self.line(f"{reason.capitalize()} {kept}. Go on with: gadkit train --resume {folder}")

    def closing(self, path: Path | None, reason: str) -> None:
        """The last words: what came out, and what to do next."""
        if self.dry_run:
            self.line(
                "Dry run: everything fits, one step was made, nothing was written; leave --dry-run away to train."
            )
        if path is not None and reason == "finished":
            self.line(f"Done: {path}. Make videos with: gadkit sample {path} --num 16 --grid --out videos.mp4")


class _Rate(ProgressColumn):
    def __init__(self) -> None:
        super().__init__(Column(no_wrap=True))

    def render(self, task: Task) -> Text:
        rate = f"{task.speed:.2f}" if task.speed else "–"
        return Text(f"{rate} {task.fields['unit']}/s")


class _Bar(Progress):
    """One line with the bar, which fills the width, and the newest numbers under it."""

    numbers = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if self.numbers:
            yield Text(self.numbers, no_wrap=True, overflow="ellipsis")


class LiveReporter(ConsoleReporter):
    """A table of what was chosen, then a bar with the newest numbers under it."""

    def __init__(self, console: Console, dry_run: bool) -> None:
        super().__init__(console, dry_run)
        self.bar = _Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed}/{task.total}"),
            _Rate(),
            TimeRemainingColumn(table_column=Column(no_wrap=True)),
            console=console,
            expand=True,
        )
        self._newest = ""
        self._task = self.bar.add_task("", visible=False, unit="videos", total=1)

    def preparing(self, done: int, total: int, name: str) -> None:
        self.bar.update(self._task, description=_work(name)[0], visible=True, completed=done, total=total)

    def plan(self, plan: Plan) -> None:
        self.bar.update(self._task, visible=False)
        table = Table(box=None, header_style="bold", pad_edge=False)
        for column in ("part", "name", "provider"):
            table.add_column(column)
        table.add_column("parameters", justify="right")
        for kind, name, provider, size in plan.parts:
            table.add_row(kind, name, provider, f"{size:,}" if size else "")
        self.console.print(table)
        facts = Table(box=None, show_header=False, pad_edge=False)
        for name, text in plan.facts:
            facts.add_row(Text(name, style="bold"), Text(text))
        self.console.print(facts)
        self.warn(plan)

    def started(self, step: int, steps: int) -> None:
        super().started(step, steps)
        visible = step < steps
        self.bar.reset(self._task, description="training", total=steps, completed=step, visible=visible, unit="steps")

    def advanced(self, step: int) -> None:
        self.bar.update(self._task, completed=step)

    def logged(self, step: int, values: dict[str, float]) -> None:
        self._newest = _numbers(values)
        if self.bar.numbers != _STOPPING:
            self.bar.numbers = self._newest

    def stopping(self) -> None:
        self.bar.numbers = _STOPPING  # the bar's own thread shows it

    def abandoned(self) -> None:
        os.write(2, b"\x1b[?25h\n")  # the cursor, which the bar hides
        super().abandoned()

    def ended(self, folder: Path, step: int, reason: str) -> None:
        self.bar.numbers = self._newest
        self.bar.stop()  # what follows stands below it
        super().ended(folder, step, reason)


@contextmanager
def console_reporter(*, dry_run: bool) -> Iterator[ConsoleReporter]:
    """The reporter that fits where the output goes: a terminal that somebody watches, or anything else."""
    console = _Console()
    watched = console.file.isatty() and not console.is_dumb_terminal and not os.environ.get("CI")
    if not watched:
        yield ConsoleReporter(console, dry_run)
        return
    reporter = LiveReporter(console, dry_run)
    with reporter.bar:
        yield reporter


#: The values that are shown, where a trainer logs them; the others stand in the log.
_SHOWN = {
    "loss/generator": "G",
    "loss/discriminator": "D",
    "logits/real": "D(real)",
    "logits/fake": "D(fake)",
    "penalty": "penalty",
    "loss/reconstruction": "reconstruction",
    "kl/total": "KL",
}


def _numbers(values: dict[str, float]) -> str:
    known = {_SHOWN[name]: value for name, value in values.items() if name in _SHOWN}
    return "  ".join(f"{name} {value:.3g}" for name, value in (known or values).items())


def _clock(seconds: float) -> str:
    minutes, second = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{second:02d}"
