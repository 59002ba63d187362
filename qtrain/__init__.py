"""Train language models on the likelihood of your answers: GARL, PAFT and their neighbours.

```python
from qtrain import load_config, train

config = load_config("mine.toml", "estimator=garl:q=.75")
result = train(config, "runs/mine")
```

Everything below is imported when it is first used, so that `import qtrain` is quick.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qtheory.estimators import Coefficients
    from qtrain.api import (
        Policy,
        Rollout,
        compare,
        evaluate,
        export,
        load_config,
        load_policy,
        measure,
        roll_out,
        train,
    )
    from qtrain.callbacks import Callback, RunView
    from qtrain.config import Config
    from qtrain.errors import UserError
    from qtrain.tasks.base import Demonstration, Example, Task

__all__ = [
    "Callback",
    "Coefficients",
    "Config",
    "Demonstration",
    "Example",
    "Policy",
    "Rollout",
    "RunView",
    "Task",
    "UserError",
    "compare",
    "evaluate",
    "export",
    "load_config",
    "load_policy",
    "measure",
    "roll_out",
    "train",
]

_MODULES = {
    "Callback": "qtrain.callbacks",
    "Coefficients": "qtheory.estimators",
    "Config": "qtrain.config",
    "Demonstration": "qtrain.tasks.base",
    "Example": "qtrain.tasks.base",
    "RunView": "qtrain.callbacks",
    "Task": "qtrain.tasks.base",
    "UserError": "qtrain.errors",
}
"""Where each name is defined; the others are in `qtrain.api`."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES.get(name, "qtrain.api")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
