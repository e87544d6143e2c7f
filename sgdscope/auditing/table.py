"""The results of an audit, as a table."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from sgdscope.results.record import Audited


def table(networks: Sequence[Audited]) -> pd.DataFrame:
    """One row per network and measurement, with the applicable columns of a study's table.

    What could not be measured has a row too, with the reason among its flags.
    """
    rows = []
    for one in networks:
        network = one.network
        fixed = {
            "run": one.id, "model": network.name, "data": network.data, "split": network.split,
            "seed": network.seed, "source": network.source, "parameters": network.parameters,
        }  # fmt: skip
        if not one.measurements:
            rows.append(fixed | {"status": one.status, "flags": one.reason})
        rows += [
            fixed
            | {
                "epoch": reading.epoch,
                "measure": reading.measure,
                "eps": float("nan") if reading.eps is None else reading.eps,
                "value": reading.value,
                "status": one.status,
                "flags": " | ".join(reading.flags),
            }
            | reading.evidence
            for reading in one.measurements
        ]
    frame = pd.DataFrame(rows)
    yes_or_no = [name for name in frame if set(frame[name].dropna().map(type)) == {bool}]
    return frame.astype(dict.fromkeys(yes_or_no, "boolean"))
