"""Table `learning_rates`: the scan, and the best rate of each estimator on every base."""

from pathlib import Path

from figures.markdown import provenance, table
from figures.names import long_name, mean, power, share
from figures.plots.learning_rates import Scan, compute
from figures.study_data import DATA, read_study


def learning_rate_table(folder: Path = DATA) -> str:
    """Both tables.

    Args:
        folder: Where the data files lie.

    Raises:
        UserError: One is missing or holds something else.
    """
    data = compute(folder)
    rates = sorted({rate for one in data.scans for rate in one.scan})
    scan = table(
        ["learning rate", *(long_name(one.estimator) for one in data.scans)],
        [[power(rate), *(_cell(one, rate) for one in data.scans)] for rate in rates],
    )
    seeds = sorted({row.seed for one in data.scans for row in one.runs})
    best = table(
        ["estimator", "best rate", *(f"p@1, base {seed}" for seed in seeds), "p@1, mean", "p@16, mean", "escape steps"],
        [
            [
                long_name(one.estimator),
                power(one.best) + (" (edge)" if one.at_edge else ""),
                *(share(p) for p in one.confirmed),
                f"**{share(mean(one.confirmed))}**",
                share(mean([row.p_at_16 for row in one.runs])),
                ", ".join("never" if row.escape_step is None else str(row.escape_step) for row in one.runs),
            ]
            for one in data.scans
        ],
    )
    return "\n\n".join(
        [
            f"The scan, p@1 after {data.steps} steps on base {data.scan_seed}; the best rate of each in bold:",
            scan,
            "The best rate of each on every base (edge: the first or last rate of its window):",
            best,
            *(provenance(read_study(name, folder)) for name in ("learning_rates", "best_learning_rates")),
        ]
    )


def _cell(one: Scan, rate: float) -> str:
    if rate not in one.scan:
        return ""
    return f"**{share(one.scan[rate])}**" if rate == one.best else share(one.scan[rate])
