"""How fast and how accurate the exact moments are, measured: `qtheory bench` and `qtheory accuracy`."""

from qtheory.bench.errors import AccuracyResult, AccuracyRow, accuracy, accuracy_json, accuracy_table
from qtheory.bench.speed import BenchResult, BenchRow, bench, bench_json, bench_table

__all__ = [
    "AccuracyResult",
    "AccuracyRow",
    "BenchResult",
    "BenchRow",
    "accuracy",
    "accuracy_json",
    "accuracy_table",
    "bench",
    "bench_json",
    "bench_table",
]
