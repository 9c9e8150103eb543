"""What every test has in common."""

from __future__ import annotations

import os

from hypothesis import Phase, settings

# `make mutants` asks one thing of a test, whether it fails: the smallest example is not looked for,
# and every change of the code meets the same examples.
settings.register_profile("mutants", phases=(Phase.explicit, Phase.generate), database=None,
                          derandomize=True, deadline=None)
if "MUTANT_UNDER_TEST" in os.environ:
    settings.load_profile("mutants")
