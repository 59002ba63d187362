"""The estimators run where neither torch nor transformers can be imported."""

import subprocess
import sys

PROGRAM = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
import numpy as np
import qtheory, qtheory.tsallis, qtheory.estimators

coefficients = qtheory.estimators.garl(np.array([0.0, -np.inf]), 0.5)
assert np.allclose(coefficients.answer, [2**0.5, 0]) and np.allclose(coefficients.rationale, [2**0.5, -1])
assert qtheory.tsallis.log_q(np.array([0.25]), 0.5) == -1
assert not {"torch", "transformers"} & set(sys.modules)
print("ran")
"""


def test_qtheory_with_torch_and_transformers_blocked():
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "ran\n", "")
