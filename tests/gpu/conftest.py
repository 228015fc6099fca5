# SPDX-License-Identifier: Apache-2.0
import pytest
from gossamer.cuda import unavailable


def pytest_collection_modifyitems(items):
    if reason := unavailable():
        for item in items:
            item.add_marker(pytest.mark.skip(reason=reason))
