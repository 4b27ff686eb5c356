"""Lets a benchmark import what the tests start runs with."""

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "search"), str(TESTS / "anomaly")]
