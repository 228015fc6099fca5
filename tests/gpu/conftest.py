# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest
from gossamer.cuda import unavailable


def pytest_collection_modifyitems(items):
    # Called with the tests of all folders.
    if reason := unavailable():
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=reason))
