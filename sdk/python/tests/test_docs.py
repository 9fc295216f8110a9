"""The programs in the documentation run as they are printed."""

import re
from pathlib import Path

import pytest

import contextcore.testing

ROOT = Path(__file__).parents[3]
PAGES = ["docs/SDK.md", "docs/AGENTS-AUTHORS.md", "sdk/python/README.md"]


@pytest.mark.parametrize("page", PAGES)
def test_programs_of_a_page(page, state, monkeypatch):
    monkeypatch.setenv("CONTEXTCORE_STATE_DIR", str(state))
    programs = re.findall(r"^ *```python\n(.*?)^ *```", (ROOT / page).read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert programs
    names = {"migrate": lambda: None, "run_import": lambda: None}
    with contextcore.testing.memory() as operations:
        for program in programs:
            indent = re.match(r" *", program)[0]
            exec(re.sub(f"^{indent}", "", program, flags=re.MULTILINE), names)
        if "nightly_import" in names:
            names["nightly_import"]()
    assert operations
    assert {each["op"] for each in operations} <= {
        "task.start", "task.status", "task.progress", "task.complete", "insight.emit", "insight.update"
    }  # fmt: skip
