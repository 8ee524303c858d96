"""The background thread."""

import pytest

from mlflow_thermo.background import Background


def test_background_keeps_the_order_and_raises_the_first_failure():
    done, background = [], Background()
    background.submit(*(lambda i=i: done.append(i) for i in range(20)))
    background.wait()
    assert done == list(range(20))

    def fail(text):
        raise RuntimeError(text)

    background.submit(lambda: fail("first"), lambda: fail("second"), lambda: done.append("last"))
    with pytest.raises(RuntimeError, match="first"):
        background.wait()
    # Work submitted after the failures was done all the same, and they are raised only once.
    assert done[-1] == "last"
    background.submit(lambda: done.append("later"))
    background.wait()
    assert done[-1] == "later"
    background.stop()
