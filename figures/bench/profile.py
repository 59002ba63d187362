"""Split an update's time with torch's profiler: vocabulary, attention, matrix products, optimizer, everything else."""

from collections.abc import Callable, Iterable

from torch.profiler import ProfilerActivity, profile

VOCABULARY, ATTENTION, MATRICES, OPTIMIZER, REST = "vocabulary", "attention", "matrices", "optimizer", "rest"
PARTS = (VOCABULARY, ATTENTION, MATRICES, OPTIMIZER, REST)
_MATRIX_PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::linear", "aten::matmul", "aten::baddbmm")


def profiled(work: Callable[[], None], vocabulary: int, tile: int | None = None) -> dict[str, float]:
    """Seconds by part, on the calling thread and the backward pass's thread; the profiler slows the work a little.

    Args:
        work: The update; it is run once.
        vocabulary: Size of the vocabulary: an operation on a tensor with an axis of that length counts as VOCABULARY.
        tile: Length of the pieces in which the work processes the vocabulary, None if it does not split it.
    """
    sizes = {vocabulary}
    if tile is not None and tile < vocabulary:
        sizes |= {tile, vocabulary % tile}
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
        work()
    seconds: dict[str, float] = dict.fromkeys(PARTS, 0.0)
    for event in profiler.events() or []:
        part = _part(event.name, event.input_shapes or [], sizes, _parents(event))
        seconds[part] += event.self_cpu_time_total / 1e6
    return seconds


def _parents(event: object) -> Iterable[str]:
    parent = getattr(event, "cpu_parent", None)
    while parent is not None:
        yield parent.name
        parent = parent.cpu_parent


def _part(name: str, shapes: Iterable[object], sizes: set[int], parents: Iterable[str]) -> str:
    above = [name, *parents]
    if any(operation.startswith("Optimizer.step") or operation.endswith("clip_grad_norm_") for operation in above):
        return OPTIMIZER
    if any("scaled_dot_product" in operation or "flash_attention" in operation for operation in above):
        return ATTENTION
    if any(isinstance(shape, (list, tuple)) and sizes & {n for n in shape if isinstance(n, int)} for shape in shapes):
        return VOCABULARY
    return MATRICES if name in _MATRIX_PRODUCTS else REST
