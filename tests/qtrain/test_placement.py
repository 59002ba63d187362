"""Where runs go: one a GPU, which each sees alone, one a core where models are narrow, and a single one where not."""

import pytest
import torch

from qtrain.config import Config, ModelConfig
from qtrain.errors import UserError
from qtrain.jobs import placement
from qtrain.jobs.placement import VISIBLE, Place, on_one_thread, places

UUIDS = ["GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "MIG-a3f2c1d0-0b6e-5a4b-9c3d-77aa10f0e2b1"]


@pytest.fixture
def wide(config: Config) -> Config:
    """The tiny run with a model that more than one thread helps."""
    return config.with_values({"model.hidden_size": placement.SINGLE_THREAD_WIDTH + 2})


@pytest.fixture(autouse=True)
def cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six cores for torch's six threads, and no GPU."""
    monkeypatch.setattr(placement.os, "cpu_count", lambda: 6)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def with_gpus(monkeypatch: pytest.MonkeyPatch, count: int, listed: str | None = None) -> None:
    """Have torch see this number of GPUs, and CUDA_VISIBLE_DEVICES list them."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.delenv(VISIBLE, raising=False)
    if listed is not None:
        monkeypatch.setenv(VISIBLE, listed)


def gpus(configs: list[Config], jobs: int | None = None) -> list[str | None]:
    return [place.gpu for place in places(configs, jobs)]


@pytest.mark.parametrize(("jobs", "runs", "number"), [(None, 9, 6), (None, 2, 2), (4, 9, 4), (8, 9, 8), (1, 9, 1)])
def test_narrow_models_share_the_cores_one_thread_each(
    config: Config, jobs: int | None, runs: int, number: int
) -> None:
    assert places([config] * runs, jobs) == [Place(None, 1)] * number


def test_nothing_to_do_needs_no_workers() -> None:
    assert len(places([], None)) == 1


@pytest.mark.parametrize(("jobs", "number", "threads"), [(None, 1, 6), (1, 1, 6), (2, 2, 3), (4, 4, 1), (9, 5, 1)])
def test_one_wide_model_is_enough_for_one_run_at_a_time(
    config: Config, wide: Config, jobs: int | None, number: int, threads: int
) -> None:
    assert places([config, config, wide, config, config], jobs) == [Place(None, threads)] * number


def test_what_counts_as_narrow(config: Config) -> None:
    assert on_one_thread(config.with_values({"model.hidden_size": 256}))
    assert not on_one_thread(config.with_values({"model.hidden_size": 258}))
    assert not on_one_thread(Config.model_validate({**QA, "model": {"pretrained": "some/model"}}))
    assert on_one_thread(Config.model_validate({**QA, "model": ModelConfig()}))


QA = {"name": "qa", "task": {"name": "finqa"}}


@pytest.mark.parametrize(
    ("count", "listed", "names"),
    [
        (3, None, ["0", "1", "2"]),
        (2, "5,3", ["5", "3"]),
        (2, ",".join(UUIDS), UUIDS),
        (3, f" 2 , {UUIDS[0]},GPU-89", ["2", UUIDS[0], "GPU-89"]),
        (1, "1,-1,0", ["1"]),  # to CUDA the list ends before a name that it does not know
    ],
)
def test_one_run_a_visible_gpu(
    config: Config, monkeypatch: pytest.MonkeyPatch, count: int, listed: str | None, names: list[str]
) -> None:
    with_gpus(monkeypatch, count, listed)
    assert gpus([config] * 9) == names


def test_the_number_of_jobs_on_gpus(config: Config, wide: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 4, "7,6,5,4")
    assert gpus([config] * 9, 2) == ["7", "6"]
    assert gpus([config] * 3) == ["7", "6", "5"]
    assert gpus([config] * 9, 6) == ["7", "6", "5", "4", "7", "6"]  # shared where more are asked for
    assert gpus([config]) == ["7"]
    # Wide models take a GPU each too, and share the cores.
    assert places([wide] * 9, 3) == [Place(name, 2) for name in ("7", "6", "5")]


def test_the_device_of_the_configuration_decides(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    on_cpu, on_gpu = (config.with_values({"train.device": device}) for device in ("cpu", "cuda"))
    with pytest.raises(UserError, match=r"train\.device='cuda'"):
        places([on_gpu], None)
    with_gpus(monkeypatch, 2)
    assert gpus([on_cpu] * 9) == [None] * 6
    assert gpus([on_gpu] * 9) == ["0", "1"]
    assert gpus([on_cpu, on_gpu, on_cpu]) == ["0", "1"]
