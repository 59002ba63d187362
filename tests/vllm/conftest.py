"""The tests of the real vLLM: `make test-vllm` runs them; where vLLM is not installed they are not collected."""

import pytest
from vllm_pair import MODELS, Pair, make_pair

from qtrain.rollout.vllm_process import installed

collect_ignore_glob = [] if installed() else ["test_*.py"]

MEASURED = pytest.StashKey[Pair]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which model the engine's tests are about."""
    parser.addoption("--vllm-model", choices=list(MODELS), default="untied")


@pytest.fixture(scope="session")
def pair(request: pytest.FixtureRequest) -> Pair:
    """The one model of this call of pytest."""
    request.config.stash[MEASURED] = made = make_pair(str(request.config.getoption("--vllm-model")))
    return made


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how far vLLM was from transformers."""
    made = config.stash.get(MEASURED, None)
    for push, (token, log_w) in enumerate(made.measured if made else []):
        line = (
            f"{config.getoption('--vllm-model')}, push {push}: log p of a token {token:.1e} nats off, log w {log_w:.1e}"
        )
        terminalreporter.write_line(line)
