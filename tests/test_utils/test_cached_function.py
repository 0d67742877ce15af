import copy
import pickle

import torch

from mmghm.models.losses.functional.class_weights import class_weights
from mmghm.utils.cached_function import CachedFunction

calls = []


def double(tensor, *settings):
    calls.append(settings)
    return 2 * tensor


def test_evaluates_once_per_change():
    calls.clear()
    terms, state = CachedFunction(double), torch.tensor([1.0, 2.0])
    first = terms(state)
    assert terms(state) is first and len(calls) == 1
    state[0] = 5
    assert terms(state).tolist() == [10, 4] and len(calls) == 2
    terms(state, 1)
    assert calls[-1] == (1,)
    # Another tensor, be it equal and of the same version.
    terms(state.clone(), 1)
    assert len(calls) == 4


def test_copies_begin_anew():
    terms, state = CachedFunction(double), torch.tensor([1.0])
    module = dict(terms=terms, state=state)
    terms(state)
    copied = copy.deepcopy(module)
    # As many changes as the original had seen.
    copied['state'].fill_(7)
    assert copied['terms'](copied['state']).tolist() == [14]
    terms = pickle.loads(pickle.dumps(CachedFunction(class_weights)))
    assert terms(torch.tensor([1, 1]), 'none', 0).tolist() == [1, 1]


def test_inference_tensors_have_no_version():
    calls.clear()
    with torch.inference_mode():
        terms, state = CachedFunction(double), torch.tensor([1.0])
        terms(state), terms(state)
    assert len(calls) == 2
