"""Faults are opt-in: they take minutes. make test-faults"""

import os

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("PATCHSETS_TEST_FAULTS"):
        return
    for item in items:
        if "tests/faults" in item.path.as_posix():
            item.add_marker(pytest.mark.skip(reason="minutes: make test-faults"))
