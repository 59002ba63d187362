"""Table `learning_rates`: the scan, and the best rate of each estimator on every base."""

from pathlib import Path

from figures.markdown import provenance, table
from figures.names import long_name, mean, power, share
from figures.plots.learning_rates import Scan, compute
from figures.study_data import DATA, read_study


def learning_rate_table(folder: Path = DATA) -> str:
    """Both tables.

    Args:
        folder: Folder of the data files.

    Raises:
        UserError: A data file is missing or malformed.
    """
    data = compute(folder)
    rates = sorted({rate for scan in data.scans for rate in scan.scan})
    scan_table = table(
        ["learning rate", *(long_name(scan.estimator) for scan in data.scans)],
        [[power(rate), *(_cell(scan, rate) for scan in data.scans)] for rate in rates],
    )
    seeds = sorted({row.seed for scan in data.scans for row in scan.runs})
    best = table(
        ["estimator", "best rate", *(f"p@1, base {seed}" for seed in seeds), "p@1, mean", "p@16, mean", "escape steps"],
        [
            [
                long_name(scan.estimator),
                power(scan.best) + (" (edge)" if scan.at_edge else ""),
                *(share(p) for p in scan.confirmed),
                f"**{share(mean(scan.confirmed))}**",
                share(mean([row.p_at_16 for row in scan.runs])),
                ", ".join("never" if row.escape_step is None else str(row.escape_step) for row in scan.runs),
            ]
            for scan in data.scans
        ],
    )
    return "\n\n".join(
        [
            f"The scan, p@1 after {data.steps} steps on base {data.scan_seed}; the best rate of each in bold:",
            scan_table,
            "The best rate of each on every base (edge: the first or last rate of its window):",
            best,
            *(provenance(read_study(name, folder)) for name in ("learning_rates", "best_learning_rates")),
        ]
    )


def _cell(scan: Scan, rate: float) -> str:
    if rate not in scan.scan:
        return ""
    return f"**{share(scan.scan[rate])}**" if rate == scan.best else share(scan.scan[rate])
