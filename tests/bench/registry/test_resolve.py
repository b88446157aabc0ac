import pytest
from fakes import spec, suite
from lab import Site

from layton_bench.errors import UnknownNameError, UserError
from layton_bench.registry.plugins import Plugins
from layton_bench.registry.resolve import parse_options, resolve_model

MODELS = """
    from layton_bench import ModelCard, ModelSpec, hookimpl

    def card(name, **known):
        common = {"name": name, "kind": "tokenizer", "family": "f", "summary": "s"}
        return ModelCard(**common | known)

    @hookimpl
    def layton_bench_register_models(register):
        for made in (
            card("any-size"), card("at-16", sizes_px=(16,)), card("at-two", sizes_px=(64, 128)),
            card("at-two@64"), card("draws", kind="generator"),
            card("draws-32", kind="generator", sizes_px=(32,)),
        ):
            register(ModelSpec(card=made, load=lambda context: None))
"""


@pytest.fixture
def plugins(site: Site) -> Plugins:
    site.plugin("sizes", MODELS)
    return Plugins()


@pytest.mark.parametrize("name", ["any-size", "at-16"])
def test_a_model_of_the_suites_size_is_taken(plugins: Plugins, name: str) -> None:
    assert resolve_model(plugins, name, suite()).card.name == name


def test_another_size_needs_the_adapter_and_the_message_says_which(plugins: Plugins) -> None:
    with pytest.raises(UserError) as caught:
        resolve_model(plugins, "at-two", suite())
    assert str(caught.value) == (
        "model 'at-two': the model was made for 64 px and 128 px, not for 16 px. "
        "Run it behind a resize adapter: at-two@64."
    )


def test_an_adapted_name_is_resolved(plugins: Plugins) -> None:
    found = resolve_model(plugins, "at-two@128", suite())
    assert found.card.name == "at-two@128"
    assert "behind a resize adapter" in found.card.notes


def test_a_registered_name_wins_over_the_adapter(plugins: Plugins) -> None:
    assert resolve_model(plugins, "at-two@64", suite()).card.notes == ""


def test_an_unknown_base_is_named_with_its_nearest(plugins: Plugins) -> None:
    with pytest.raises(UnknownNameError) as caught:
        resolve_model(plugins, "at-tow@64", suite())
    assert caught.value.near[0].startswith("at-two")


def test_a_generator_does_not_reconstruct(plugins: Plugins) -> None:
    with pytest.raises(UserError, match="needs a tokenizer, the model is a generator"):
        resolve_model(plugins, "draws", suite())


def test_a_tokenizer_does_not_draw(plugins: Plugins) -> None:
    with pytest.raises(UserError, match="needs a generator, the model is a tokenizer"):
        resolve_model(plugins, "any-size", suite(kind="generation"))
    assert resolve_model(plugins, "draws", suite(kind="generation")).card.name == "draws"


def test_a_generator_of_another_size_needs_the_adapter(plugins: Plugins) -> None:
    drawn = suite(kind="generation")
    with pytest.raises(UserError, match="Run it behind a resize adapter: draws-32@32"):
        resolve_model(plugins, "draws-32", drawn)
    assert resolve_model(plugins, "draws-32@32", drawn).card.sizes_px == (16,)
    # GenEval, say, takes pictures as they come
    as_drawn = suite(kind="generation", size_px=None)
    assert resolve_model(plugins, "draws-32", as_drawn).card.sizes_px == (32,)
    assert resolve_model(plugins, "draws-32@32", as_drawn).card.sizes_px == (32,)


OPTIONED = spec("m", options={"steps": 4, "strength": 0.5, "sampler": "euler"})


def test_options_are_typed_as_their_defaults() -> None:
    given = parse_options(OPTIONED, ["steps=8", "strength=1", "sampler=a=b"])
    assert given == {"steps": 8, "strength": 1.0, "sampler": "a=b"}
    assert isinstance(given["strength"], float)
    assert parse_options(OPTIONED, []) == {"steps": 4, "strength": 0.5, "sampler": "euler"}


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("stesp=8", "model 'm' has no such option. It has: steps=4, strength=0.5, sampler=euler."),
        ("steps", "model 'm' has no such option"),
        ("steps=four", "not a value of type int"),
        ("steps=4.5", "not a value of type int"),
        ("strength=nan", "not a value of type float"),
    ],
)
def test_a_wrong_option_is_refused(setting: str, reason: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_options(OPTIONED, [setting])
    assert reason in str(caught.value)


def test_a_model_without_options_says_so() -> None:
    with pytest.raises(UserError, match="It has: none"):
        parse_options(spec("bare"), ["steps=1"])
