"""What a section shows, in words from its configuration."""

from qtrain.report.records import Section
from qtrain.report.text import scientific

OPTIMIZERS = {"sgd": "SGD", "adamw": "AdamW"}


def conditions(section: Section) -> str:
    """Optimiser, learning rate and the P that training starts from, in a few words."""
    p0 = section.config.get("pretrain", {}).get("p0")
    words = [_optimizer(section), f"lr {section.config['optimizer']['lr']:g}"]
    return ", ".join([*words, *([f"from P = {scientific(p0)}"] if p0 else [])])


def intro(section: Section) -> str:
    """The section's first paragraph: what ran, under which budget, from where, and how it was scored."""
    evaluation = section.config["eval"]
    if len(section.runs) == 1:
        what, they = f"One run on task {_task(section)}, with this rollout budget and learning rate", "It starts"
    else:
        count = len(section.by_estimator)
        what = (
            f"{_count(count, 'estimator')} on task {_task(section)}, all under one rollout budget and one learning rate"
        )
        they = "They start"
    return (
        f"{what}: {_budget(section)}. {they} from {_bases(section)}. "
        f"Scores are of {evaluation['samples']} sampled answers to each of {evaluation['prompts']} held-out prompts."
    )


def _optimizer(section: Section) -> str:
    name = str(section.config["optimizer"]["name"])
    return OPTIMIZERS.get(name, name)


def _task(section: Section) -> str:
    task = section.config["task"]
    return f"{task['name']} ({task['variant']})" if "variant" in task else str(task["name"])


def _budget(section: Section) -> str:
    optimizer, rollout, train = (section.config[key] for key in ("optimizer", "rollout", "train"))
    clip = f" with the gradient's norm clipped at {optimizer['clip']:g}" if optimizer.get("clip") else ""
    return (
        f"{train['steps']} steps of {_optimizer(section)} at learning rate {optimizer['lr']:g}{clip}, "
        f"{rollout['prompts']} prompts with {rollout['samples']} rationales each in every step"
    )


def _bases(section: Section) -> str:
    seeds = sorted({run.result.seed for run in section.runs})
    p0 = sorted(run.result.p0 for run in section.runs)
    before = " to ".join(dict.fromkeys([scientific(p0[0]), scientific(p0[-1])]))
    one = len(seeds) == 1
    which = f"{_count(len(seeds), 'base model')} (seed{'' if one else 's'} {', '.join(map(str, seeds))})"
    return f"{which} whose success probability P before training is {before}"


def _count(count: int, name: str) -> str:
    return f"{count} {name}{'' if count == 1 else 's'}"
