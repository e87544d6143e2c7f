"""Warnings to read before trusting a figure: runs and numbers that went wrong."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from html import escape
from typing import Any

import pandas as pd

from sgdscope.report import explained, markup
from sgdscope.results import style
from sgdscope.results.view import View, unconverged
from sgdscope.settings import written

MEANING = {
    "failed": "stopped with an error; not in any figure",
    "diverged": "loss or weights became NaN or infinite; drawn as ×, and left out of means and "
    "bands",
    "collapsed": "predicts one class for 99 of 100 images or more, so its 'robust' accuracy is an "
    "artefact; drawn as ▽, and left out of means and bands",
}


def warnings(view: View, *, missing: int) -> list[str]:
    """Every warning, the most serious first, as HTML."""
    found = []
    for status, meaning in MEANING.items():
        runs = view.runs[view.runs["status"] == status]
        if len(runs):
            html = explained.more(explained.LOST) + _list(_names(runs))
            what = f"{_runs(len(runs))} {status}"
            found.append(_warning(status, what, meaning, html, id=anchor(status)))
    found += _risen(view)
    if missing > 0:
        found.append(_warning("missing", f"{_runs(missing)} missing", "not trained yet", ""))
    if not view.table.empty:
        found += _unconverged(view) + _flagged(view)
    return found


def risen(view: View) -> pd.DataFrame:
    """The runs whose training loss rose late and ended at more than twice its lowest.

    Of a loss that reaches 0 or less, twice as much means nothing.
    """
    done = view.runs[view.runs["status"] == "done"]
    lowest = done["lowest_train_loss"]
    return done[(lowest > 0) & (done["final_train_loss"] > 2 * lowest)]


def _risen(view: View) -> list[str]:
    runs = risen(view)
    if runs.empty:
        return []
    losses = zip(runs["lowest_train_loss"], runs["final_train_loss"], strict=True)
    each = [
        f"{name}: from {lowest:.2g} to {final:.2g}"
        for name, (lowest, final) in zip(_names(runs), losses, strict=True)
    ]
    html = explained.more(explained.RISEN) + _list(each)
    whose = "its" if len(runs) == 1 else "their"
    what = f"{_runs(len(runs))} ended at more than twice {whose} lowest training loss"
    meaning = "the loss rose late and had not come back when the network was measured"
    return [_warning("risen", what, meaning, html, id=anchor("risen"))]


def _unconverged(view: View) -> list[str]:
    if "converged" not in view.table:
        return []
    rows = view.table[unconverged(view.table)]
    return [
        _warning(
            "flagged",
            f"{style.label(str(measure))}: {_values(len(own))} not converged",
            _residual(own),
            explained.note(explained.UNCONVERGED) + _list(_names(own)),
            id=anchor(f"{measure}-unconverged"),
        )
        for measure, own in rows.groupby("measure")
    ]


def _residual(rows: pd.DataFrame) -> str:
    known = rows["residual"].dropna() if "residual" in rows else pd.Series(dtype=float)
    return f"largest residual {known.max():.3g}" if len(known) else ""


def _flagged(view: View) -> list[str]:
    """One warning per measure, with its kinds of flags; flags of a kind differ only in numbers."""
    rows = view.table[view.table["flags"].fillna("") != ""]
    each = rows.assign(flag=rows["flags"].str.split(" | ", regex=False)).explode("flag")
    each = each[~(unconverged(each) & each["flag"].map(explained.of_convergence))]
    each["kind"] = each["flag"].str.replace(r"[\d.,]+(e-?\d+)?", "…", regex=True)
    taken = view.table["measure"].value_counts()
    found = []
    for measure, own in each.groupby("measure", sort=False):
        what = f"{style.label(str(measure))}: {own['reading'].nunique()} of "
        what += f"{_values(int(taken[measure]))} flagged"
        kinds = sorted((part for _, part in own.groupby("kind")), key=len, reverse=True)
        html = "".join(map(_kind, kinds))
        id_ = anchor(str(measure))
        found.append(_warning("flagged", what, _example(kinds[0]), html, id=id_))
    return found


def _kind(rows: pd.DataFrame) -> str:
    """Flags of one kind: what they mean and what to do, then the values that carry them."""
    names = [f"{name}: {flag}" for name, flag in zip(_names(rows), rows["flag"], strict=True)]
    summary = f"{_values(len(rows))}, {escape(_example(rows))}"
    note = explained.note(str(rows["flag"].iloc[0]))
    return note + markup.fold(summary, _list(names), kind="panel")


def _example(rows: pd.DataFrame) -> str:
    flags = rows["flag"]
    return ("" if flags.nunique() == 1 else "for example: ") + str(flags.iloc[0])


def anchor(about: str) -> str:
    """The id of the warning about a measure or about runs of a status."""
    return f"warning-{about}"


def _warning(kind: str, what: str, meaning: str, html: str, *, id: str = "") -> str:
    """What is wrong and what that means, with details as HTML to be unfolded."""
    text = f"<b>{escape(what)}</b> <span>{escape(meaning)}</span>"
    if not html:
        return f'<div class="warning {kind}">{text}</div>'
    return markup.fold(text, html, kind=f"warning {kind}", id=id)


def note(sentence: str) -> str:
    """A note on how several folders were combined."""
    return _warning("flagged", "Several folders.", sentence, "")


def _list(items: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"


def _names(rows: pd.DataFrame) -> list[str]:
    return [
        f"{row['panel']}, {row['label']}, batch size {row['batch_size']}, seed {row['seed']}"
        + (f", eps {written(row['eps'])}" if "eps" in row and row["eps"] == row["eps"] else "")
        + f" ({row['run']})"
        for row in rows.to_dict("records")
    ]


def _runs(count: int) -> str:
    return f"{count} run" + "s" * (count > 1)


def _values(count: int) -> str:
    return f"{count} value" + "s" * (count > 1)


def failures(view: View) -> str:
    """Each failed run with its traceback, folded."""
    if view.runs.empty:
        return ""
    return "".join(
        markup.fold(
            f"<b>{escape(run['run'])}</b> <span>{escape(_described(run))}</span>",
            f"<pre>{escape((run['error'] or 'no traceback').strip())}</pre>",
            kind="warning failed",
        )
        for run in view.runs[view.runs["status"] == "failed"].to_dict("records")
    )


def _described(run: dict[Hashable, Any]) -> str:
    last = (run["error"] or "").strip().splitlines()[-1:]
    where = f"{run['panel']}, {run['label']}"
    return ": ".join([f"{where}, batch size {run['batch_size']}, seed {run['seed']}", *last])
