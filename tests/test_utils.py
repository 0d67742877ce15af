import importlib.util

import pytest

from mmghm.utils import stack


@pytest.mark.parametrize('missing', sorted(stack.REMEDIES))
def test_a_missing_package_is_named_with_its_remedy(monkeypatch, missing):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        stack, 'find_spec', lambda name: None if name == missing else find(name)
    )
    with pytest.raises(ImportError) as error:
        stack.check_stack()
    assert f'{missing}: {stack.REMEDIES[missing]}' in str(error.value)


def test_the_present_stack_is_complete():
    stack.check_stack()
