"""Configurations: what is read, and one clear line for everything that is wrong."""

from pathlib import Path

import pytest

from qtheory.estimators import ESTIMATORS
from qtrain.config import EstimatorChoice, read_config
from qtrain.errors import UserError

CONFIGS = Path(__file__).parents[2] / "qtrain" / "configs"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_configurations_are_valid_and_named_after_their_file(path: Path) -> None:
    config = read_config(path)
    assert config.name == path.stem
    assert type(config).model_validate(config.as_table()) == config


def test_overrides_are_read_as_toml_and_else_as_text() -> None:
    config = read_config(
        CONFIGS / "cold_start.toml",
        ("optimizer.lr=.5", "pretrain.p0=none", "estimator=paft:q=.75,k=8", "task.variant=warm", "train.steps=7"),
    )
    assert config.optimizer.lr == 0.5
    assert config.pretrain.p0 is None
    assert str(config.estimator) == "paft:k=8,q=0.75"
    assert config.task.model_dump()["variant"] == "warm"
    assert config.train.steps == 7


@pytest.mark.parametrize(
    ("word", "value"),
    [
        (r"\n\n", "\n\n"),
        (r'"\n\n"', "\n\n"),
        (r"'\n'", r"\n"),
        ("\n\n", "\n\n"),
        (" ", " "),
        ("\t", "\t"),
        (r"\t", "\t"),
        (r" a \r\n b ", " a \r\n b "),
        (r"\d+\w\b\\n\x41[\d]", r"\d+\w\b\\n\x41[\d]"),
        (r"C:\Users\me", r"C:\Users\me"),
        ("a # b", "a # b"),
        ("[b]", "[b]"),
        ("1979-05-27", "1979-05-27"),
        ("07:30:00", "07:30:00"),
        ("1\nname = 'x'", "1\nname = 'x'"),
        ("", ""),
    ],
)
def test_text_is_taken_as_it_is_typed(word: str, value: str) -> None:
    config = read_config(CONFIGS / "finqa_cold_tiny.toml", (f"task.answer_prefix={word}",))
    assert config.task.model_dump()["answer_prefix"] == value


@pytest.mark.parametrize("word", ["1e-3", " 1e-3", "1e-3 ", ".001", " .001", "0.001"])
def test_numbers_may_have_space_around_them(word: str) -> None:
    assert read_config(CONFIGS / "cold_start.toml", (f"optimizer.lr={word}",)).optimizer.lr == 1e-3


@pytest.mark.parametrize(
    ("override", "targets"),
    [
        ("lora.targets=q_proj", ("q_proj",)),
        ("lora.targets=q_proj,v_proj", ("q_proj", "v_proj")),
        ("lora.targets=q_proj, v_proj,", ("q_proj", "v_proj")),
        ('lora.targets=["q_proj","v_proj"]', ("q_proj", "v_proj")),
        ("lora.targets=all-linear", "all-linear"),
        ('lora.targets="all-linear"', "all-linear"),
    ],
)
def test_several_names_in_one_word(override: str, targets: object) -> None:
    config = read_config(CONFIGS / "cold_start.toml", (override, "sinks=wandb,trackio"))
    assert config.lora is not None
    assert config.lora.targets == targets
    assert config.sinks == ("wandb", "trackio")
    assert type(config).model_validate(config.as_table()) == config


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("title=7", "title = 7: Input should be a valid string; text needs quotes, in a shell 'title=\"7\"'"),
        ("data=2024", "text needs quotes, in a shell 'data=\"2024\"'"),
        ("sinks=wandbb", "sinks.0 = 'wandbb': Input should be 'tensorboard', 'trackio' or 'wandb'"),
        ("task.digits=true", "task.digits = True: a truth value is not possible here"),
        ("rollout.samples=4294967295", "rollout.samples = 4294967295: "),
        ("model.layers=4294967295", "model.layers = 4294967295: "),
        ("optimiser.lr=1", "unknown key 'optimiser'; did you mean 'optimizer'?"),
        ("optimizer.lrr=1", "unknown key 'optimizer.lrr'; did you mean 'lr'?"),
        ("task.digts=3", "unknown key 'task.digts'; did you mean 'digits'?"),
        ("task.name=digit_sun", "task.name: unknown task 'digit_sun'; did you mean 'digit_sum'?"),
        ("task.variant=hot", "task.variant = 'hot': "),
        ("optimizer.lr=-1", "optimizer.lr = -1: "),
        ("optimizer.lr=nan", "optimizer.lr = nan: "),
        ("train.steps=many", "train.steps = 'many': "),
        ("estimator=grop", "estimator = 'grop': unknown estimator 'grop'; did you mean 'grpo'?"),
        ("estimator=garl", "estimator 'garl' needs 'q', for example garl:q=.75"),
        ("estimator=pkpo", "estimator 'pkpo' needs 'k', for example pkpo:k=4"),
        ("estimator=pkpo:k=0", "k is 0: it must be at least 1"),
        ("estimator=rb_pkpo:k=1000000000000", ": rb_pkpo:k=1000000000000 is about sets of 1000000000000 samples"),
        (
            "estimator=pkpo:k=8 rollout.samples=4",
            "rollout.samples=4: pkpo:k=8 is about sets of 8 samples; give at least 8",
        ),
        ("estimator=garl:q=2", "q is 2.0: q must lie in [0, 1]"),
        ("estimator=garl:p=.5", "estimator 'garl' has no parameter 'p'; "),
        ("estimator=garl:q=high", "garl:q=high: a value of type float is needed"),
        ("estimator=rloo:q=.5", "estimator 'rloo' has no parameter 'q'; it takes none"),
        ("lr", "override 'lr': write key=value"),
        ("estimator=grpo train.relative_weights=true", ": train.relative_weights is about weights, and grpo reads"),
        (
            "estimator=rb_pkpo:k=4 train.relative_weights=true",
            ": train.relative_weights: rb_pkpo:k=4 has no common",
        ),
        (
            "estimator=u_series:q=.5 train.relative_weights=true",
            ": train.relative_weights: u_series:q=0.5 has no common",
        ),
        ("train.steps.more=1", "override 'train.steps.more': 'steps' is a value, not a table"),
    ],
)
def test_every_mistake_is_one_line_that_says_how_to_mend_it(override: str, line: str) -> None:
    with pytest.raises(UserError) as error:
        read_config(CONFIGS / "cold_start.toml", tuple(override.split(" ")))
    assert line in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"name = ", "not valid TOML"),
        (b"\xff\xfe", "cannot be read as UTF-8 text"),
        (b'name = "x"', "key 'task' is missing; add it"),
        (b'name = "x"\ntask = 3', "task: a table with a `name` is needed"),
        (b'name = "../up"\n[task]\nname = "digit_sum"', "name = '../up': "),
    ],
)
def test_broken_files(tmp_path: Path, content: bytes, line: str) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        read_config(path)
    assert str(error.value).startswith(str(path))
    assert line in str(error.value)


BOM = b"\xef\xbb\xbf"


@pytest.mark.parametrize("start", [b"", BOM])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("name", ["tiny.toml", "tiny.TOML", "tiny.Toml", "tiny.json", "tiny.JSON", "tiny.Json", "tiny"])
def test_files_of_other_editors(name: str, start: bytes, end: bytes, tmp_path: Path) -> None:
    lines = [b'name = "tiny"', b"[task]", b'name = "digit_sum"', b""]
    if name.lower().endswith("json"):
        lines = [b"{", b'"name": "tiny", "task":', b'{"name": "digit_sum"}}', b""]
    (tmp_path / name).write_bytes(start + end.join(lines))
    assert read_config(tmp_path / name).name == "tiny"
    (tmp_path / name).write_bytes(start + b"{] =")
    kind = "JSON" if name.lower().endswith("json") else "TOML"
    with pytest.raises(UserError, match=f"{name}: not valid {kind}: "):
        read_config(tmp_path / name)


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is a folder; give a file; shipped ones: .*cold_start"):
        read_config(tmp_path)
    (tmp_path / "mine.toml").touch()
    with pytest.raises(UserError, match=r"is a folder; did you mean '.*/mine.toml'\?$"):
        read_config(tmp_path)
    (tmp_path / "config.json").touch()
    with pytest.raises(UserError, match=r"is a folder; did you mean '.*/config.json'\?$"):
        read_config(tmp_path)


def test_the_nearest_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").touch()
    with pytest.raises(UserError, match=r"did you mean '.*/mine.toml'\? shipped ones: "):
        read_config(tmp_path / "mien.toml")


def test_missing_file_names_the_shipped_ones(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such configuration; shipped ones: .*cold_start"):
        read_config(tmp_path / "nothing.toml")


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_registered_estimator_can_be_chosen_by_a_word(name: str) -> None:
    needs_q = "q" in ESTIMATORS[name].parameters
    sizes = f":{ESTIMATORS[name].least_m}=4" if ESTIMATORS[name].least_m else ""
    choice = EstimatorChoice.parse(f"{name}:q=.5" if needs_q else name + sizes)
    assert choice.least_samples == (4 if sizes else 1)
    assert EstimatorChoice.parse(str(choice)) == choice
    assert choice.needs_reward == (ESTIMATORS[name].inputs == "reward")
    assert choice.q == (0.5 if needs_q else ESTIMATORS[name].fixed_q)


def test_words_differ_by_parameters_of_every_type() -> None:
    assert str(EstimatorChoice.parse("garl: q=.25, normalize=true, baseline=none")) == (
        "garl:baseline=none,normalize=true,q=0.25"
    )
    with pytest.raises(ValueError, match="a value of type bool is needed"):
        EstimatorChoice.parse("garl:q=1,normalize=yes")
    with pytest.raises(ValueError, match="needs a value: q="):
        EstimatorChoice.parse("garl:q")


@pytest.mark.parametrize(
    "word",
    ["rb_rloo", "garl:q=.5", "garl_weighted:q=.5", "paft:q=.5", "jackknife:q=.5", "delta:q=1", "bound:q=.5", "jepo"],
)
def test_relative_weights_are_taken_where_coefficients_scale_together(word: str) -> None:
    config = read_config(CONFIGS / "cold_start.toml", (f"estimator={word}", "train.relative_weights=true"))
    assert config.train.relative_weights
