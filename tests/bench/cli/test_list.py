"""`layton-bench list`."""

import json
from importlib.metadata import version

import pytest
from lab import Bench, Site

from layton_bench.registry.plugins import Plugins

LISTS = ("suites", "models", "metrics", "plugins", "datasets", "protocols", "backbones", "runs")


@pytest.mark.parametrize("what", LISTS)
def test_lists_are_json_on_stdout_alone(bench: Bench, what: str) -> None:
    outcome = bench("list", what, "--json")
    rows = json.loads(outcome.out)
    assert outcome.code == 0
    assert all(isinstance(value, str) for row in rows for value in row.values())
    shown = bench("list", what).out
    assert all(next(iter(row.values())).split(",")[0] in shown for row in rows)


def test_lists_hold_what_is_registered(bench: Bench) -> None:
    listed = {what: json.loads(bench("list", what, "--json").out) for what in LISTS}
    suites = {row["suite"]: row for row in listed["suites"]}
    assert suites["coco5k-1024"]["samples"] == "5,000"
    assert suites["photos-256"]["protocol"] == "canonical@1"
    assert {row["metric"]: row["better"] for row in listed["metrics"]}["psnr"] == "higher"
    plugins = {row["plugin"]: row for row in listed["plugins"]}
    assert plugins["builtin"] == {
        "plugin": "builtin", "distribution": "layton-bench", "version": version("layton-bench"),
        "state": "works",
    }  # fmt: skip
    assert {row["dataset"]: row["samples"] for row in listed["datasets"]}[
        "imagenet-val"
    ] == "50,000"
    assert "adm-center-crop@1" in {row["protocol"] for row in listed["protocols"]}
    assert listed["runs"] == []


def test_every_plugin_that_comes_along_works(bench: Bench) -> None:
    rows = json.loads(bench("list", "plugins", "--json").out)
    assert {row["plugin"]: row["state"] for row in rows if row["state"] != "works"} == {}


def test_an_empty_list_says_so(bench: Bench) -> None:
    assert bench("list", "runs").out.strip() == "nothing yet"


def test_broken_plugins_are_named_and_the_rest_work(bench: Bench, site: Site) -> None:
    site.plugin("a_broken_one", "import no_such_module_here")
    outcome = bench("list", "plugins", "--json")
    rows = {row["plugin"]: row["state"] for row in json.loads(outcome.out)}
    assert rows["a_broken_one"] == (
        "left out: ModuleNotFoundError: No module named 'no_such_module_here'"
    )
    assert rows["builtin"] == "works"
    text = " ".join(outcome.err.split())
    assert "plugin 'a_broken_one' of dist-a_broken_one is left out: ModuleNotFoundError" in text


def test_the_command_that_an_unknown_name_points_to_exists(bench: Bench) -> None:
    plugins = Plugins()
    for table in (
        plugins.models, plugins.metrics, plugins.datasets, plugins.suites, plugins.protocols,
        plugins.weights, plugins.backbones,
    ):  # fmt: skip
        assert bench(*table.listing.split()).code == 0, table.listing
