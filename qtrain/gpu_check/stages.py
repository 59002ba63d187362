"""The stages by name, in their order."""

from qtrain.gpu_check import escape, multi_hop, throughput
from qtrain.gpu_check.stage import Stage

STAGES: dict[str, Stage] = {"escape": escape.STAGE, "throughput": throughput.STAGE, "multi_hop": multi_hop.STAGE}
