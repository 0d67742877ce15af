"""Whatever comes in: a finite loss, or a refusal that changes nothing."""

import pytest
import torch
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from mmghm.losses import GHMCWAPLoss

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
INTEGERS = (torch.int64, torch.int32, torch.uint8)

good_options = st.fixed_dictionaries(
    dict(
        num_classes=st.integers(1, 5),
        num_regions=st.integers(1, 7),
        alpha=st.sampled_from([0.9, 0.1, 1]),
        gamma=st.sampled_from([0.8, 0, 30]),
        normalize=st.sampled_from(['none', 'regions', 'mean', 'gradient']),
        intra_balance=st.booleans(),
        adaptive=st.booleans(),
        margin=st.sampled_from(['balanced', 'paper', 'none']),
        reduction=st.sampled_from(['mean', 'sum', 'none']),
    )
)
bad_options = st.sampled_from(
    [
        dict(num_classes=0),
        dict(num_regions=0),
        dict(num_regions=2.5),
        dict(alpha=1.5),
        dict(alpha=float('nan')),
        dict(gamma=-1),
        dict(gamma=float('inf')),
        dict(gamma='1'),
        dict(normalize=''),
        dict(margin='two_sided'),
        dict(reduction='average'),
    ]
)
# Hypothesis would drop repeated strategies: one in eight is bad.
some = st.sampled_from([False] * 7 + [True])
options = st.tuples(good_options, some, bad_options).map(
    lambda drawn: {**drawn[0], **(drawn[2] if drawn[1] else {})}
)
# Cut to the number of classes, unless they are bad.
good_counts = st.tuples(
    st.integers(1, 10**12), *[st.integers(0, 10**12)] * 4
).map(list)
bad_counts = st.one_of(
    st.lists(st.integers(-1, 3), max_size=5).map(tuple),
    st.just((0.5, 1.0)),
    st.just('/no/such/file'),
)
counts = st.tuples(some, some, good_counts, bad_counts).map(
    lambda drawn: drawn[3] if drawn[0] else None if drawn[1] else drawn[2]
)
magnitudes = st.sampled_from([0, 1, 1, 30, 1e4, 1e30])
spoiled = st.sampled_from([None, None, None, 'nan', 'inf', '-inf'])
kinds = st.sampled_from(
    ['labels', 'soft'] * 6
    + ['beyond', 'negative', 'wide']
    + ['nan soft', 'float labels', 'bool', 'none']
)
layouts = st.sampled_from(['plain', 'plain', 'columns', 'strided', 'part'])
weights = st.sampled_from([None] * 6 + ['ones', 'large', 'short', 'nan'])
avg_factors = st.sampled_from([None] * 9 + [7, 0.5, 0, float('nan')])


def target_of(kind, size, num_classes, generator):
    if kind in ('soft', 'nan soft'):
        soft = torch.rand(size, num_classes, generator=generator)
        soft = soft / soft.sum(1, keepdim=True)
        return soft * float('nan') if kind == 'nan soft' else soft
    labels = torch.randint(num_classes, (size,), generator=generator)
    return {
        'labels': labels.to(INTEGERS[size % 3]),
        'beyond': labels + num_classes,
        'negative': labels - num_classes,
        'wide': labels.unsqueeze(1).expand(size, num_classes + 1),
        'float labels': labels.float(),
        'bool': labels.bool(),
        'none': None,
    }[kind]


def lay_out(tensor, layout):
    """The same values in memory as views of something else have them."""
    if layout == 'columns':
        return tensor.t().contiguous().t()
    if layout == 'strided':
        wide = torch.full((*tensor.shape, 2), 7).to(tensor.dtype)
        wide[..., 0] = tensor
        return wide[..., 0]
    if layout == 'part':
        around = torch.full([n + 2 for n in tensor.shape], 7).to(tensor.dtype)
        inner = around[tuple(slice(1, n + 1) for n in tensor.shape)]
        return inner.copy_(tensor)
    return tensor


def state_of(loss):
    return {k: v.clone() for k, v in loss.state_dict().items()}


calls = st.tuples(
    options,
    counts,
    st.integers(0, 6),
    st.sampled_from(FLOATS),
    magnitudes,
    spoiled,
    kinds,
    weights,
    avg_factors,
    layouts,
    st.integers(0, 2**31),
)


def fuzzed(number):
    return settings(
        max_examples=number,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )


pytestmark = [
    pytest.mark.filterwarnings('ignore:.*no training image of class'),
    pytest.mark.filterwarnings('ignore:.*nothing has called rebin'),
    pytest.mark.filterwarnings('ignore:.*no class counts are known'),
]


@fuzzed(300)
@given(calls)
def test_finite_or_refused(call):
    check(*call)


@pytest.mark.slow
@fuzzed(3_000)
@given(calls)
def test_generated_calls(call):
    check(*call)


def check(
    options,
    counts,
    size,
    dtype,
    magnitude,
    spoiled,
    kind,
    weight,
    avg,
    layout,
    seed,
):
    if isinstance(counts, list):
        counts = counts[: options['num_classes']]
    try:
        loss = GHMCWAPLoss(class_counts=counts, **options)
    except (TypeError, ValueError, FileNotFoundError) as error:
        assert len(str(error)) > 15
        event('arguments refused')
        return
    num_classes = options['num_classes']
    if num_classes == 1 and spoiled == '-inf':
        # Nothing is left of the softmax.
        return
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(size, num_classes, generator=generator)
    # The loss computes in float32: float64 beyond its range is infinite.
    limit = min(torch.finfo(dtype).max, torch.finfo(torch.float32).max)
    logits = (logits * magnitude).clamp(-limit, limit).to(dtype)
    if spoiled and size:
        logits[0, seed % num_classes] = float(spoiled)
    finite = logits.isfinite().all(1)
    # A rival at -inf is masked; NaN and inf spoil an example, as in torch.
    computed = ~logits.float().log_softmax(1).isnan().any(1)
    plain = logits
    logits = lay_out(logits, layout).requires_grad_()
    target = target_of(kind, size, num_classes, generator)
    if target is not None:
        target = lay_out(target, layout)
    if weight:
        length = size + (weight == 'short')
        value = dict(ones=1.0, large=1e3, short=1.0, nan=float('nan'))[weight]
        weight = torch.full((length,), value)
    before = state_of(loss)
    try:
        value = loss(logits, target, weight=weight, avg_factor=avg)
    except (TypeError, ValueError) as error:
        assert len(str(error)) > 15
        for name, tensor in state_of(loss).items():
            assert torch.equal(tensor, before[name]), name
        event('call refused')
        return
    event('loss computed')
    # Where values lie in memory changes nothing.
    with torch.no_grad():
        same = GHMCWAPLoss(class_counts=counts, **options)(
            plain, target.contiguous(), weight=weight, avg_factor=avg
        )
    torch.testing.assert_close(value, same, equal_nan=True)
    assert size == 0 or kind in ('labels', 'soft')
    value.sum().backward()
    # NaN surfaces, so that a scaler of half precision skips the step, and is
    # not counted.
    counted = int(loss.counts.sum()) / 2**20
    assert counted == pytest.approx(int(computed.sum()), abs=1e-4 * size)
    if finite.all():
        assert value.isfinite().all()
        assert logits.grad.isfinite().all()
    loss.rebin()
    for name, tensor in loss.state_dict().items():
        assert not tensor.isnan().any(), name
    again = loss(logits.detach()[finite], target[finite])
    assert again.isfinite().all()
