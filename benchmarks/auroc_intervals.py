"""How often the 95 % intervals of AUROCs, and of their differences, hold the truth.

python benchmarks/auroc_intervals.py        about a minute; goal: 0.94 to 0.98 for one AUROC, and never below
0.94 for a difference (two methods near 1 that agree in nearly all images cannot be told apart: there it is 1)
"""

import helpers_of_tests  # noqa: F401
from simulated import CASES, coverage, coverage_of_difference, true_auroc
from timing import print_table

DRAWS = 2000
# How the two methods' scores of one image correlate; by which share of the shift the second is worse.
PAIRS = {
    f"difference, r {r:g}{', worse' if worse else ''}": (r, worse) for r in (0, 0.9) for worse in (0, 0.5)
}


def main() -> None:
    """Simulate splits of several sizes and print the coverage."""
    rows = []
    for anomalies, good, shift in CASES:
        found = [coverage(anomalies, good, shift, DRAWS)]
        for r, worse in PAIRS.values():
            shifts = (shift, shift * (1 - worse))
            found.append(coverage_of_difference(anomalies, good, shifts, r, DRAWS))
        numbers = [f"{value:.3f}" for value in (true_auroc(shift), *found)]
        rows.append([f"{anomalies}, {good}", *numbers])
    header = ["anomalies, good", "AUROC", "interval", *PAIRS]
    print_table("Coverage of 95 % intervals of AUROCs", header, rows)


if __name__ == "__main__":
    main()
