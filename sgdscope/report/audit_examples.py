"""Adversarial examples of an audit, first those on which networks differ."""

from __future__ import annotations

import io
from base64 import b64encode
from html import escape

import numpy as np
from PIL import Image

from sgdscope.auditing import Audit
from sgdscope.auditing.comparison import points
from sgdscope.report.gallery import answered
from sgdscope.results import style
from sgdscope.results.files import Array
from sgdscope.results.record import Audited, Measurement, array_prefix
from sgdscope.settings import written

MOST = 6  # examples of a network
SIDE = 96  # pixels that an image takes on the page


def examples(found: Audit) -> str:
    """For each network, some points at which an attack fooled it; empty if none were kept."""
    chosen = _attack(found)
    if chosen is None:
        return ""
    measure, eps = chosen
    parts = []
    for one in found.networks:
        reading = _reading(one, measure, eps)
        kept = {} if reading is None else _kept(found, one, reading)
        if reading is None or "shown" not in kept:
            continue
        survivors = _survivors(found, one, measure, eps, kept["shown"])
        order = sorted(range(len(kept["shown"])), key=lambda i: not survivors[i])[:MOST]
        tiles = "".join(_example(kept, i, survivors[i]) for i in order)
        parts.append(f'<h3>{escape(one.network.name)}</h3><div class="pictures">{tiles}</div>')
    if not parts:
        return ""
    several = "; those on which another network is still right come first"
    name = f"{style.short(measure)} at eps {written(eps)}"
    lead = f"Images before and after {name}{several * (len(found.networks) > 1)}."
    return f'<p class="lead">{escape(lead)}</p>' + "".join(parts)


def _attack(found: Audit) -> tuple[str, float] | None:
    """The attack under which networks differ at most points; of one network, the strongest."""
    if found.comparisons:
        attacks = [one for one in found.comparisons if one.eps is not None]
        if attacks:
            best = max(attacks, key=lambda one: one.only_network + one.only_other)
            return best.measure, float(best.eps or 0)
    readings = [m for one in found.networks for m in one.measurements if m.eps]
    if not readings:
        return None
    lowest = min(readings, key=lambda m: (m.value != m.value, m.value))
    return lowest.measure, float(lowest.eps or 0)


def _reading(one: Audited, measure: str, eps: float) -> Measurement | None:
    return next((m for m in one.measurements if (m.measure, m.eps) == (measure, eps)), None)


def _kept(found: Audit, one: Audited, reading: Measurement) -> dict[str, Array]:
    prefix = array_prefix(reading.measure, epoch=reading.epoch, eps=reading.eps)
    return found.folder.arrays(one.id, prefix)


def _survivors(
    found: Audit, one: Audited, measure: str, eps: float, places: Array
) -> list[list[str]]:
    """For each point, the other networks that the attack did not fool there."""
    names: list[list[str]] = [[] for _ in places]
    for other in found.networks:
        reading = _reading(other, measure, eps)
        if other.id == one.id or reading is None:
            continue
        robust = points(other, reading, found.folder)
        for own, place in zip(names, places.tolist(), strict=True):
            if robust is not None and place < len(robust) and robust[place]:
                own.append(other.network.name)
    return names


def _example(kept: dict[str, Array], i: int, survivors: list[str]) -> str:
    before = kept["original"][i].astype(np.float64) / 255
    after = kept["adversarial"][i].astype(np.float64)
    answer, confidence = answered(kept, i)
    now = "no answer" if answer < 0 else f"{answer} ({confidence:.0%})"
    said = f"point {int(kept['shown'][i])}: {int(kept['label'][i])} → {now}"
    beside = f"{' and '.join(survivors)} still right" if survivors else ""
    return (
        f'<figure class="picture">{_image(before)} {_image(after)}<figcaption><b>{escape(said)}</b>'
        f"<span>{escape(beside)}</span></figcaption></figure>"
    )


def _image(pixels: Array) -> str:
    """An image of (C, H, W) in [0, 1] within the page."""
    levels = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    shown = levels[:3].transpose(1, 2, 0) if len(levels) >= 3 else levels[0]
    content = io.BytesIO()
    Image.fromarray(shown).save(content, "PNG")
    source = b64encode(content.getvalue()).decode()
    return (
        f'<img src="data:image/png;base64,{source}" alt="" width="{SIDE}" height="{SIDE}" '
        'style="image-rendering:pixelated">'
    )
