"""What the contract says beyond names."""

import json

import pytest

from mlflow_thermo.schema import digests_of


def test_the_digest_of_every_series():
    assert digests_of(json.dumps({"spaced": "0" * 64})) == {"spaced": "0" * 64}


@pytest.mark.parametrize("tag", [None, "", "0" * 64, "abc", "[]", '{"spaced": 1}', "[" * 100_000, "1" * 5000])
def test_a_tag_of_another_form_names_none(tag):
    assert digests_of(tag) == {}
