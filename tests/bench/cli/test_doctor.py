"""`layton-bench doctor`."""

import json

from lab import Lab
from places import SUPPORT


def test_doctor_says_what_each_missing_thing_would_enable(lab: Lab) -> None:
    plugin = str(SUPPORT / "lab_plugin.py")
    outcome = lab.bench("--plugin", plugin, "doctor", "--json", "--data-root", lab.bench.data)
    found = {(row["area"], row["name"]): row for row in json.loads(outcome.out)}
    assert outcome.code == 0
    assert found["data sets", "lab"] == {
        "area": "data sets", "name": "lab", "is_found": True, "detail": "5 images",
        "enables": "suites lab-64",
    }  # fmt: skip
    coco = found["data sets", "coco-val2017"]
    assert not coco["is_found"]
    assert str(lab.bench.data / "val2017") in coco["detail"]
    assert "coco5k-1024" in coco["enables"]
    package = found["packages", "no_such_package_here"]
    assert (package["is_found"], package["detail"], package["enables"]) == (
        False, "pip install 'layton-bench[lab]'", "metric lab-packaged",
    )  # fmt: skip
    text = lab.bench("--plugin", plugin, "doctor", "--data-root", lab.bench.data).out
    assert "✗" in text
    assert "✓" in text
