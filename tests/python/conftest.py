# SPDX-License-Identifier: Apache-2.0
"""Fixtures that several files share."""

import pytest
from frameworks import FRAMEWORKS


@pytest.fixture
def framework(request):
    """The array framework that `frameworks.every_framework` names."""
    return FRAMEWORKS[request.param]()
