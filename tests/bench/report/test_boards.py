from pathlib import Path

from report_site import pages


def test_the_table_has_values_intervals_and_what_to_sort_by(site: Path) -> None:
    page = pages(site)["index.html"]
    text = page.text
    assert "3 runs of 3 models on 1 suite in 1 table" in text
    assert "[29.00, 31.00]" in text
    orders = [cell.get("data-order") for cell in page.all("td")]
    assert {"30.0", "9.5", "inf", "3584.0"} <= set(orders)
    assert [row.get("data-first") for row in page.all("th")[:6]] == [
        "ascending", "ascending", "ascending", "ascending", "descending", "descending",
    ]  # fmt: skip
    assert "Reported elsewhere, not measured here" in text
    assert "Not drawn: exact (infinite)" in text
