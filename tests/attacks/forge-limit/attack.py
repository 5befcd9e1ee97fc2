import errno

import pytest


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EAGAIN])
def test_says_that_it_met_a_limit(number):
    raise OSError(number, "not my fault")
