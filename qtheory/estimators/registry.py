"""The registry of estimators: an entry here is known to the law suite and to the trainer."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from qtheory._arrays import shown
from qtheory.command.names import did_you_mean
from qtheory.estimators.bound import SPEC as BOUND
from qtheory.estimators.delta import SPEC as DELTA
from qtheory.estimators.dr_grpo import SPEC as DR_GRPO
from qtheory.estimators.garl import SPEC as GARL
from qtheory.estimators.garl_weighted import SPEC as GARL_WEIGHTED
from qtheory.estimators.grpo import SPEC as GRPO
from qtheory.estimators.iwae import SPEC as IWAE
from qtheory.estimators.jackknife import SPEC as JACKKNIFE
from qtheory.estimators.jepo import SPEC as JEPO
from qtheory.estimators.logprob import SPEC as LOGPROB
from qtheory.estimators.logprob_mean import SPEC as LOGPROB_MEAN
from qtheory.estimators.maxrl import SPEC as MAXRL
from qtheory.estimators.paft import SPEC as PAFT
from qtheory.estimators.pkpo import SPEC as PKPO
from qtheory.estimators.rb_pkpo import SPEC as RB_PKPO
from qtheory.estimators.rb_rloo import SPEC as RB_RLOO
from qtheory.estimators.rloo import SPEC as RLOO
from qtheory.estimators.sign import SPEC as SIGN
from qtheory.estimators.spec import Estimator
from qtheory.estimators.star import SPEC as STAR
from qtheory.estimators.trice import SPEC as TRICE
from qtheory.estimators.u_series import SPEC as U_SERIES


def by_name(estimators: Iterable[Estimator]) -> Mapping[str, Estimator]:
    """A read-only mapping from names to estimators.

    Args:
        estimators: In the order in which tables show them.

    Returns:
        The mapping.

    Raises:
        ValueError: Two share a name.
    """
    names: dict[str, Estimator] = {}
    for estimator in estimators:
        if estimator.name in names:
            raise ValueError(f"estimator {estimator.name!r} is registered twice: rename one of the two")
        names[estimator.name] = estimator
    return MappingProxyType(names)


ESTIMATORS = by_name(
    [
        *(GARL, PAFT, RB_RLOO, IWAE, TRICE, GARL_WEIGHTED, JACKKNIFE, DELTA, U_SERIES),
        *(BOUND, JEPO, LOGPROB, LOGPROB_MEAN, RB_PKPO),
        *(GRPO, DR_GRPO, RLOO, MAXRL, STAR, PKPO, SIGN),
    ]
)


def get(name: str) -> Estimator:
    """Look an estimator up.

    Args:
        name: Its registered name.

    Returns:
        The estimator.

    Raises:
        ValueError: No such name; the nearest is given.
    """
    if isinstance(name, str) and name in ESTIMATORS:
        return ESTIMATORS[name]
    raise ValueError(f"unknown estimator {shown(name)}; {did_you_mean(str(name), ESTIMATORS)}")
