"""Adversarial examples of a few runs, as compact numbers that the page draws."""

from __future__ import annotations

import math
from base64 import b64encode
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sgdscope.results import style
from sgdscope.results.files import Array
from sgdscope.results.view import View, most_informative_eps
from sgdscope.settings import written

BUDGET = 200_000  # characters that perturbations may take; each original is there once, on top
MOST = 4  # examples of a run

Kept = tuple[dict[Hashable, Any], dict[str, Array]]  # a run's row of the table, its arrays


def gallery(view: View) -> dict[str, Any]:
    """The choices for each panel, and the original images.

    For each line it shows one run at the smallest and one at the largest batch size, for every
    attack and eps with examples, the most informative first, until the budget is used up.
    """
    ranked = _ranked(view)
    panels: dict[str, list[dict[str, Any]]] = {}
    images: dict[str, int] = {}  # base64 → place
    spent = 0
    for attack, eps in ranked:
        rows = view.extremes(view.at_end(attack, eps=eps))
        for panel, own in view.by_panel(rows):
            if spent < BUDGET and (kept := _kept(view, attack, eps, own.to_dict("records"))):
                share = BUDGET // (len(ranked) * len(view.panels))
                made = _choice(kept, images, share)
                spent += sum(len(one["change"]) for run in made["runs"] for one in run["examples"])
                name = f"{style.short(attack)}, eps {written(eps)}"
                panels.setdefault(panel, []).append({"name": name, "eps": eps, **made})
    return {"panels": panels, "images": list(images)} if panels else {}


def _ranked(view: View) -> list[tuple[str, float]]:
    """Every attack and eps: the main attacks where runs differ most, then all others."""
    every = [(attack, eps) for attack in reversed(view.attacks) for eps in view.attacks[attack]]
    main = [
        (attack, most_informative_eps(view.at_end(attack)))
        for attack in reversed(view.main_attacks)
    ]
    return list(dict.fromkeys([*main, *every]))


def _kept(view: View, attack: str, eps: float, rows: Sequence[dict[Hashable, Any]]) -> list[Kept]:
    """The runs that kept examples, with their arrays."""
    found = [(row, view.arrays(row["run"], attack, epoch=row["epoch"], eps=eps)) for row in rows]
    return [(row, arrays) for row, arrays in found if "shown" in arrays]


def _choice(kept: Sequence[Kept], images: dict[str, int], share: int) -> dict[str, Any]:
    """The examples of one attack and eps on one panel.

    Args:
        kept: the runs, all on the same data.
        images: all originals so far; new ones are added.
        share: characters available for the perturbations.
    """
    channels, height, width = kept[0][1]["original"].shape[1:]
    each = channels * height * width * 4 // 3
    count = min(MOST, max(1, share // (each * len(kept))))
    common = Counter(int(place) for _, arrays in kept for place in arrays["shown"])
    changes = [_change(arrays) for _, arrays in kept]
    peak = max(float(abs(change).max()) for change in changes) or 1.0
    runs = []
    for (row, arrays), change in zip(kept, changes, strict=True):
        places = arrays["shown"].tolist()
        # Points that fooled most of the runs first, so that runs can be compared on them.
        order = sorted(range(len(places)), key=lambda i: (-common[places[i]], places[i]))
        examples = [_example(arrays, change, i, peak, images) for i in order[:count]]
        settings = {name: row[name] for name in ("run", "line", "batch_size", "seed")}
        runs.append({**settings, "examples": examples})
    return {"peak": peak, "shape": [channels, height, width], "runs": runs}


def _change(arrays: dict[str, Array]) -> npt.NDArray[np.float64]:
    """Perturbations, (K, C, H, W), in pixel units."""
    before = arrays["original"].astype(np.float64) / 255
    return arrays["adversarial"].astype(np.float64) - before


def _example(
    arrays: dict[str, Array],
    change: npt.NDArray[np.float64],
    i: int,
    peak: float,
    images: dict[str, int],
) -> dict[str, Any]:
    """One example: bytes 1 to 255 stand for perturbations from −peak to peak, 128 for none."""
    original = b64encode(arrays["original"][i].tobytes()).decode()
    answer, confidence = answered(arrays, i)
    steps = np.rint(change[i] / peak * 127) + 128
    return {
        "place": int(arrays["shown"][i].item()),
        "image": images.setdefault(original, len(images)),
        "change": b64encode(steps.astype(np.uint8).tobytes()).decode(),
        "label": int(arrays["label"][i].item()),
        "confidence": round(float(np.nan_to_num(arrays["confidence"][i].item())), 4),
        "answer": answer,
        "answer_confidence": round(confidence, 4),
    }


def answered(arrays: dict[str, Array], i: int) -> tuple[int, float]:
    """The network's answer to an example, −1 where it gave none, and its confidence.

    Earlier folders hold a class even then, beside a confidence that is not a number.
    """
    confidence = float(arrays["answer_confidence"][i].item())
    if math.isnan(confidence):
        return -1, 0.0
    return int(arrays["answer"][i].item()), confidence
