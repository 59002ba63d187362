"""Tasks and models for exact moments, simulation and escape times, all in closed form and in log space."""

from qtheory import _theory as _theory
from qtheory.models.arms import SoftmaxArms
from qtheory.models.categorical import FixedAnswers, SigmoidAnswers, SoftmaxAnswers
from qtheory.models.chain import TwoHopChain
from qtheory.models.examples import AngledSigmoids, Examples, Stacked
from qtheory.models.finite import FiniteTask
from qtheory.models.likelihoods import Likelihoods, bernoulli, beta, log_normal, token_answers, two_level
from qtheory.models.model import LatentModel, Model
from qtheory.models.noise import NoisyLabels
from qtheory.models.sigmoid import Sigmoid

__all__ = [
    "AngledSigmoids",
    "Examples",
    "FiniteTask",
    "FixedAnswers",
    "LatentModel",
    "Likelihoods",
    "Model",
    "NoisyLabels",
    "Sigmoid",
    "SigmoidAnswers",
    "SoftmaxAnswers",
    "SoftmaxArms",
    "Stacked",
    "TwoHopChain",
    "bernoulli",
    "beta",
    "log_normal",
    "token_answers",
    "two_level",
]
