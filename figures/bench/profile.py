"""Where an update's time goes, by torch's profiler: vocabulary, attention, matrix products, optimizer, the rest."""

from collections.abc import Callable, Iterable

from torch.profiler import ProfilerActivity, profile

VOCABULARY, ATTENTION, MATRICES, OPTIMIZER, REST = "vocabulary", "attention", "matrices", "optimizer", "rest"
PARTS = (VOCABULARY, ATTENTION, MATRICES, OPTIMIZER, REST)
_MATRIX_PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::linear", "aten::matmul", "aten::baddbmm")


def profiled(work: Callable[[], None], vocabulary: int, tile: int | None = None) -> dict[str, float]:
    """Seconds of the calling thread and of the backward pass's, by part; the profiler itself slows the work a little.

    Args:
        work: Run once.
        vocabulary: Its size: what handles a tensor with an axis of that length is counted as VOCABULARY.
        tile: Length of the pieces in which the work goes through the vocabulary, where it does.
    """
    sizes = {vocabulary}
    if tile is not None and tile < vocabulary:
        sizes |= {tile, vocabulary % tile}
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as found:
        work()
    seconds: dict[str, float] = dict.fromkeys(PARTS, 0.0)
    for event in found.events() or []:
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
    if any(one.startswith("Optimizer.step") or one.endswith("clip_grad_norm_") for one in above):
        return OPTIMIZER
    if any("scaled_dot_product" in one or "flash_attention" in one for one in above):
        return ATTENTION
    if any(isinstance(shape, (list, tuple)) and sizes & {n for n in shape if isinstance(n, int)} for shape in shapes):
        return VOCABULARY
    return MATRICES if name in _MATRIX_PRODUCTS else REST
