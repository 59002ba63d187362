"""What the command `qtrain gpu-check` does: run what is missing, and write results as they come."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qtrain.errors import UserError, did_you_mean
from qtrain.files import writing
from qtrain.gpu_check.machine import check_device, machine
from qtrain.gpu_check.page import page
from qtrain.gpu_check.stage import Device, Place, Size
from qtrain.gpu_check.stages import STAGES
from qtrain.progress import console
from qtrain.runs.folder import read_json, write_json

RESULTS, PAGE = "gpu-check.json", "gpu-check.md"


def gpu_check_command(
    out: Path, only: Sequence[str] | None, device: Device, size: Size, page_path: Path | None
) -> None:
    """See `qtrain.cli.gpu_check`.

    Raises:
        UserError: There is no such stage or device, or `out` holds something else or cannot be written.
    """
    for name in only or ():
        if name not in STAGES:
            raise UserError(f"--only {name}: no such stage; {did_you_mean(name, STAGES)}")
    check_device(device)
    page_path = page_path or out / PAGE
    if page_path.suffix != ".md" or page_path.is_dir() or not (page_path.parent.is_dir() or page_path.parent == out):
        raise UserError(f"--page {page_path}: name a file that ends in .md, in a folder that is there")
    settings = {"device": device, "size": size}
    results = _before(out, settings)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    for name in STAGES:
        if name in results or (only and name not in only):
            continue
        console.print(f"stage {name}", highlight=False)
        about = machine(device)  # as it is when the stage starts
        result = STAGES[name].run(Place(out, device, size))
        results[name] = {"machine": about, "settings": settings, "result": result}
        _write(results, out, page_path)
    _write(results, out, page_path)
    console.print(f"{out / RESULTS} and {page_path}", highlight=False)


def _write(results: dict[str, dict[str, Any]], out: Path, page_path: Path) -> None:
    """Write results and page; beside a page that lies elsewhere, the results once more."""
    for path in {out / RESULTS, page_path.with_suffix(".json")}:
        with writing(path):
            write_json(path, results)
    with writing(page_path):
        page_path.write_text(page(results), encoding="utf-8")


def _before(out: Path, settings: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The results of the stages that an earlier call finished."""
    if not (out / RESULTS).exists():
        return {}
    results = read_json(out / RESULTS, "a folder of gpu-check")
    if not isinstance(results, dict) or not all(
        name in STAGES and isinstance(one, dict) and {"machine", "settings", "result"} <= one.keys()
        for name, one in results.items()
    ):
        raise UserError(f"{out / RESULTS}: not what gpu-check writes; choose another --out")
    for name, one in results.items():
        if one["settings"] != settings:
            there = " ".join(f"--{key} {value}" for key, value in one["settings"].items())
            raise UserError(f"{out}: holds stage {name} of {there}; give the same, or choose another --out")
    return results
