"""The three array libraries that every law is tested on, with conversions apart from the code under test."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import array_api_strict
import numpy as np
import torch

LIBRARIES = (np, torch, array_api_strict)


@dataclass(frozen=True)
class Library:
    """An array library."""

    module: ModuleType

    def array(self, values: Any, dtype: str = "float64") -> Any:
        """A fresh array of the library from numbers or a numpy array."""
        fresh = np.array(values, dtype=dtype)
        return torch.tensor(fresh) if self.module is torch else self.module.asarray(fresh)

    def numpy(self, array: Any) -> np.ndarray:
        """The numbers, after a check that they come in this library's array type."""
        if self.module is np:
            assert isinstance(array, np.ndarray | np.generic)
        else:
            assert isinstance(array, torch.Tensor if self.module is torch else type(array_api_strict.ones(1)))
        return np.asarray(array)
