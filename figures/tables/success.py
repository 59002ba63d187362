"""Tables `cold_start`, `adam_conflict` and `adam_alike`: every base's success, and the means."""

from pathlib import Path

from figures.markdown import provenance, table
from figures.names import long_name, mean, power, share
from figures.plots.success import panel, setting, verdict
from figures.study_data import DATA, Row, read_study
from qtrain.runs.folder import ESCAPED


def cold_start_table(folder: Path = DATA) -> str:
    """The table of study `cold_start`; UserError if the data file is missing or malformed."""
    return _table("cold_start", folder)


def adam_conflict_table(folder: Path = DATA) -> str:
    """The table of study `adam_conflict`, with the easy half; UserError if the data file is missing or malformed."""
    return _table("adam_conflict", folder)


def adam_alike_table(folder: Path = DATA) -> str:
    """The table of study `adam_alike`; UserError if the data file is missing or malformed."""
    return _table("adam_alike", folder)


def _table(name: str, folder: Path) -> str:
    study = read_study(name, folder)
    seeds = study.seeds
    easy = any(row.p_at_1_easy is not None for row in study.rows)
    columns = [
        "estimator",
        *(f"p@1, base {seed}" for seed in seeds),
        "p@1, mean",
        *(["p@1 easy, mean"] if easy else []),
        "p@16, mean",
        "maj@16, mean",
        "mean log P",
        "escape step by base",
    ]
    lines = []
    for estimator, rows in study.by_estimator.items():
        by_seed = {row.seed: row for row in rows}
        lines.append(
            [
                long_name(estimator),
                *(share(by_seed[seed].p_at_1) if seed in by_seed else "not run" for seed in seeds),
                f"**{share(mean([row.p_at_1 for row in rows]))}**",
                *([share(mean([row.p_at_1_easy for row in rows]))] if easy else []),
                share(mean([row.p_at_16 for row in rows])),
                share(mean([row.maj_at_16 for row in rows])),
                _log_p(rows),
                ", ".join("never" if row.escape_step is None else str(row.escape_step) for row in rows),
            ]
        )
    content = panel(study)
    p0 = ", ".join(power(next(row.p0 for row in study.rows if row.seed == seed)) for seed in seeds)
    note = (
        f"{setting(content)} (by base: {p0}), {content.prompts} prompts x {content.samples} rationales a step, "
        f"{max(row.steps for row in study.rows)} steps. "
        f"The escape step is the first whose batch has a mean P above {ESCAPED:g}."
    )
    return "\n\n".join([table(columns, lines), note, verdict(content), provenance(study)])


def _log_p(rows: list[Row]) -> str:
    value = mean([row.mean_log_p for row in rows])
    return "diverged" if value is None else f"{value:.2f}"
