"""Jobs as a person reads them: the table of all, and the summary of one."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from marrow.outlook import Outlook
from marrow.records import Job, SweepSpec
from marrow.summary import JobSummary, Reason, Throughput
from marrow.times import clock_text, duration_text

REASONS_SHOWN = 5


def one_line(job: Job) -> str:
    """What the job is, and what came of it."""
    text = f"Job {job.id} is {job.state}: {job.done} of {job.total} {unit_of(job)}"
    if job.failed:
        text += f", {job.failed} failed"
    return f"{text} ({job.error})" if job.error else text


def hidden_text(hidden: int) -> str:
    """How many smears a list says nothing of."""
    smears = "1 smear is" if hidden == 1 else f"{hidden} smears are"
    return f"{smears} hidden: blind reading (`marrow readers` shows who has still to read)"


def unit_of(job: Job) -> str:
    """What a job's counts are of."""
    return "smears" if job.kind == "classify" else "epochs"


def expected_text(outlook: Outlook, now: float) -> str:
    """`expected 3 h 20 min, done about 01:20`, or why that is not known; empty when it is over."""
    if outlook.ends_at is None or outlook.work_s is None:
        return f"expected duration unknown: {outlook.reason}" if outlook.reason else ""
    nights = f" after {outlook.nights} nights" if outlook.nights > 1 else ""
    duration = duration_text(outlook.work_s)
    return f"expected {duration}, done about {clock_text(outlook.ends_at, now)}{nights}"


def pace_text(throughput: Throughput | None) -> str:
    """`12.3 smears/s` or, below one in a second, `4.1 smears/min`; empty before the first."""
    if throughput is None:
        return ""
    if throughput.per_s >= 1:
        return f"{throughput.per_s:.1f} {throughput.unit}/s"
    return f"{throughput.per_s * 60:.1f} {throughput.unit}/min"


def what_text(job: Job) -> str:
    """`classify 1200 smears with m3`, `train 1 model, 30 epochs`, `sweep 9 cells in 3 runs ...`."""
    if job.kind == "classify":
        smears = "1 smear" if job.total == 1 else f"{job.total} smears"
        return f"classify {smears} with m{job.spec['model_id']}"
    spec = SweepSpec.model_validate(job.spec)
    text = "train 1 model" if len(spec.cells) == 1 else f"sweep {len(spec.cells)} cells"
    text += "" if len(spec.runs) == 1 else f" in {len(spec.runs)} runs"
    return f"{text}, {job.total} {'epoch' if job.total == 1 else 'epochs'}"


def jobs_table(
    found: Sequence[Job],
    outlooks: dict[int, Outlook],
    paces: dict[int, Throughput | None],
    now: float,
) -> Table:
    """A row a job, the newest first."""
    columns = ("job", "what", "how it stands", "done", "failed", "began", "ends", "pace")
    table = Table(*columns, box=SIMPLE_HEAD, pad_edge=False)
    for job in found:
        numbers = (f"{job.done} of {job.total}", str(job.failed or ""))
        began = "" if job.started_at is None else clock_text(job.started_at, now)
        words = escape(outlooks[job.id].words)  # an error may hold [brackets]
        ends = _ends(job, outlooks[job.id], now)
        pace = pace_text(paces.get(job.id))
        table.add_row(str(job.id), what_text(job), words, *numbers, began, ends, pace)
    return table


def reason_lines(reasons: Sequence[Reason], indent: str = "  ") -> list[str]:
    """The most frequent reasons with their counts, a line each."""
    lines = [f"{indent}{one.count} x {one.reason}" for one in reasons[:REASONS_SHOWN]]
    rest = reasons[REASONS_SHOWN:]
    if rest:
        lines.append(f"{indent}{sum(one.count for one in rest)} x {len(rest)} other reasons")
    return lines


def summary_text(summary: JobSummary) -> str:
    """The summary of a job, a line for each thing that there is to say."""
    job = summary.job
    lines = [f"Job {job.id}: {what_text(job)}; {summary.outlook.words}"]
    lines += [f"  {name:<11} {text}" for name, text in _lines(summary, summary.at) if text]
    if summary.failed:
        lines += ["  failed", *reason_lines(summary.failed, "    ")]
    return "\n".join(lines)


def _lines(summary: JobSummary, now: float) -> list[tuple[str, str]]:
    job, unit = summary.job, unit_of(summary.job)
    counts = f"{job.done} of {job.total} {unit}, {job.failed} failed"
    if summary.known:
        counts += f" ({summary.known} were known before)"
    lines = [
        ("done", counts),
        ("expected", expected_text(summary.outlook, now).removeprefix("expected ")),
    ]
    lines.append(("time", _time_text(summary, now)))
    if summary.throughput is not None:
        busy = duration_text(summary.throughput.busy_s)
        lines.append(("throughput", f"{pace_text(summary.throughput)} while it ran ({busy})"))
    lines.append(("model", ", ".join(summary.models)))
    devices = ", ".join(f"{name} ({count} smears)" for name, count in summary.devices.items())
    lines.append(("computed on", devices))
    for one in summary.calls:
        called = ", ".join(f"{name} {count}" for name, count in one.counts.items())
        lines.append(("calls", f"{one.head}: {called} (n = {one.n} smears)" if one.n else ""))
    if summary.hidden:
        lines.append(("hidden", f"the calls of {summary.hidden} smears: blind reading"))
    lines.append(("pieces", _pieces_text(summary)))
    return lines


def _time_text(summary: JobSummary, now: float) -> str:
    job = summary.job
    if job.started_at is None or summary.duration_s is None:
        return f"submitted {clock_text(job.created_at, now)}, not begun"
    text = f"began {clock_text(job.started_at, now)}"
    if job.finished_at is not None:
        text += f", ended {clock_text(job.finished_at, now)}"
    text += f", {duration_text(summary.duration_s)}"
    if summary.waited_s is not None and summary.waited_s >= 1:
        text += f" after a wait of {duration_text(summary.waited_s)}"
    return text


def _pieces_text(summary: JobSummary) -> str:
    if not summary.attempts:
        return ""
    text = f"{summary.pieces_done} of {summary.pieces} done in {summary.attempts} attempts"
    if summary.lost_leases:
        text += f", {summary.lost_leases} lost with their worker"
    if summary.exceptions:
        text += f", {summary.exceptions} ended by an exception (see the worker's log)"
    return text


def _ends(job: Job, outlook: Outlook, now: float) -> str:
    if job.finished_at is not None:
        return clock_text(job.finished_at, now)
    if outlook.ends_at is None:
        return "" if not outlook.reason else "not known yet"
    nights = f", {outlook.nights} nights" if outlook.nights > 1 else ""
    return f"about {clock_text(outlook.ends_at, now)}{nights}"
