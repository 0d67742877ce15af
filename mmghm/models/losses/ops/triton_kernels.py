"""The kernels of :mod:`.triton_cross_entropy`; importing it needs Triton."""
# Triton reads annotations: arguments without one are pointers and numbers.
# mypy: disallow-untyped-defs=False

import triton
import triton.language as tl


@triton.jit
def _adjust(
    z,
    cols,
    mask,
    logit_bias_ptr,
    own,
    HAS_BIAS: tl.constexpr,
    ONE_SIDED: tl.constexpr,
):
    """Add the margins (eq. 2) to some logits of a row."""
    if HAS_BIAS:
        margin = tl.load(logit_bias_ptr + cols, mask=mask, other=0.0)
        if ONE_SIDED:
            margin = tl.minimum(margin - own, 0.0)
        z += margin
    return z


@triton.jit
def forward_kernel(
    logits_ptr,
    stride,
    target_ptr,
    logit_bias_ptr,
    target_bias_ptr,
    loss_ptr,
    largest_ptr,
    inverse_ptr,
    num_classes,
    HAS_BIAS: tl.constexpr,
    ONE_SIDED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One row: cross-entropy of the adjusted logits."""
    row = tl.program_id(0).to(tl.int64)
    logits_ptr += row * stride
    target = tl.load(target_ptr + row)
    own = 0.0
    if ONE_SIDED:
        own = tl.load(target_bias_ptr + target)
    largest = float('-inf')
    total = 0.0
    spoiled = 0.0
    for start in range(0, num_classes, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        mask = cols < num_classes
        z = tl.load(logits_ptr + cols, mask=mask, other=0.0).to(tl.float32)
        finite = tl.abs(z) < float('inf')
        spoiled += tl.sum(tl.where(finite, 0.0, float('nan')), axis=0)
        z = _adjust(z, cols, mask, logit_bias_ptr, own, HAS_BIAS, ONE_SIDED)
        z = tl.where(mask, z, float('-inf'))
        new_largest = tl.maximum(largest, tl.max(z, axis=0))
        total = total * tl.exp(largest - new_largest)
        total += tl.sum(tl.exp(z - new_largest), axis=0)
        largest = new_largest
    mine = tl.load(logits_ptr + target).to(tl.float32)
    mine = _adjust(mine, target, True, logit_bias_ptr, own, HAS_BIAS, ONE_SIDED)
    loss = (largest - mine) + tl.log(total) + spoiled
    tl.store(loss_ptr + row, loss)
    tl.store(largest_ptr + row, largest)
    tl.store(inverse_ptr + row, 1.0 / total)


@triton.jit
def backward_kernel(
    logits_ptr,
    stride,
    target_ptr,
    logit_bias_ptr,
    target_bias_ptr,
    largest_ptr,
    inverse_ptr,
    grad_ptr,
    grad_stride,
    out_ptr,
    num_classes,
    HAS_BIAS: tl.constexpr,
    ONE_SIDED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One row: ``(softmax - one_hot) * grad``."""
    row = tl.program_id(0).to(tl.int64)
    logits_ptr += row * stride
    out_ptr += row * num_classes
    target = tl.load(target_ptr + row)
    own = 0.0
    if ONE_SIDED:
        own = tl.load(target_bias_ptr + target)
    largest = tl.load(largest_ptr + row)
    inverse = tl.load(inverse_ptr + row)
    factor = tl.load(grad_ptr + row * grad_stride)
    for start in range(0, num_classes, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        mask = cols < num_classes
        z = tl.load(logits_ptr + cols, mask=mask, other=0.0).to(tl.float32)
        z = _adjust(z, cols, mask, logit_bias_ptr, own, HAS_BIAS, ONE_SIDED)
        softmax = tl.exp(z - largest) * inverse
        gradient = (softmax - tl.where(cols == target, 1.0, 0.0)) * factor
        tl.store(out_ptr + cols, gradient, mask=mask)
