"""The kernels of :mod:`.fused`; importing it needs Triton."""
# Triton reads annotations: arguments without one are pointers and numbers.
# mypy: disallow-untyped-defs=False

import triton
import triton.language as tl


@triton.jit
def _adjust(
    z,
    cols,
    mask,
    rival_ptr,
    own,
    HAS_RIVAL: tl.constexpr,
    ONE_SIDED: tl.constexpr,
):
    """Add the margins (eq. 2) to some logits of a row."""
    if HAS_RIVAL:
        margin = tl.load(rival_ptr + cols, mask=mask, other=0.0)
        if ONE_SIDED:
            margin = tl.minimum(margin - own, 0.0)
        z += margin
    return z


@triton.jit(debug=True)
def forward_kernel(
    logits_ptr,
    stride,
    target_ptr,
    rival_ptr,
    own_ptr,
    interior_ptr,
    counts_ptr,
    loss_ptr,
    largest_ptr,
    inverse_ptr,
    cell_ptr,
    num_classes,
    num_regions,
    HAS_RIVAL: tl.constexpr,
    ONE_SIDED: tl.constexpr,
    FIND_CELL: tl.constexpr,
    COUNT: tl.constexpr,
    BLOCK: tl.constexpr,
    EDGES: tl.constexpr,
):
    """One row: cross-entropy of the adjusted logits; cell of its g."""
    row = tl.program_id(0).to(tl.int64)
    logits_ptr += row * stride
    target = tl.load(target_ptr + row)
    tl.device_assert(
        (target >= 0) & (target < num_classes), 'target out of range'
    )
    own = 0.0
    if ONE_SIDED:
        own = tl.load(own_ptr + target)
    largest = float('-inf')
    total = 0.0
    spoiled = 0.0
    for start in range(0, num_classes, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        mask = cols < num_classes
        z = tl.load(logits_ptr + cols, mask=mask, other=0.0).to(tl.float32)
        finite = tl.abs(z) < float('inf')
        spoiled += tl.sum(tl.where(finite, 0.0, float('nan')), axis=0)
        z = _adjust(z, cols, mask, rival_ptr, own, HAS_RIVAL, ONE_SIDED)
        z = tl.where(mask, z, float('-inf'))
        new_largest = tl.maximum(largest, tl.max(z, axis=0))
        total = total * tl.exp(largest - new_largest)
        total += tl.sum(tl.exp(z - new_largest), axis=0)
        largest = new_largest
    mine = tl.load(logits_ptr + target).to(tl.float32)
    mine = _adjust(mine, target, True, rival_ptr, own, HAS_RIVAL, ONE_SIDED)
    loss = (largest - mine) + tl.log(total) + spoiled
    tl.store(loss_ptr + row, loss)
    tl.store(largest_ptr + row, largest)
    tl.store(inverse_ptr + row, 1.0 / total)
    if FIND_CELL:
        # 1 - p; a region holds its lower edge, the last one also 1.
        norm = 1.0 - tl.exp(-loss)
        region = tl.arange(0, EDGES)
        edges = tl.load(
            interior_ptr + target * (num_regions - 1) + region,
            mask=region < num_regions - 1,
            other=float('inf'),
        )
        cell = target * num_regions
        cell += tl.sum((norm >= edges).to(tl.int64), axis=0)
        valid = loss == loss
        tl.store(cell_ptr + row, tl.where(valid, cell, -1))
        if COUNT:
            tl.atomic_add(counts_ptr + cell, valid.to(tl.int64))


@triton.jit
def weight_kernel(
    cell_ptr,
    counts_ptr,
    lone_ptr,
    moment_ptr,
    weight_ptr,
    num_regions,
    alpha,
    NORMALIZE: tl.constexpr,
    REGIONS: tl.constexpr,
):
    """One example: W of its region from its category's counts (eq. 1)."""
    row = tl.program_id(0).to(tl.int64)
    cell = tl.load(cell_ptr + row)
    category = tl.maximum(cell, 0) // num_regions
    region = tl.arange(0, REGIONS)
    mask = region < num_regions
    offsets = category * num_regions + region
    lone = tl.load(lone_ptr + offsets, mask=mask, other=0.0)
    moment = tl.load(moment_ptr + offsets, mask=mask, other=0.0)
    count = tl.load(counts_ptr + offsets, mask=mask, other=0)
    value = count.to(tl.float32) * lone
    occupied = value > 0.0
    # pow(v, a), 0 in empty regions.
    log_value = tl.log(tl.where(occupied, value, 1.0))
    if NORMALIZE == 0 or NORMALIZE == 1:
        powers = tl.where(occupied, tl.exp(alpha * log_value), 0.0)
        scale = tl.sum(powers, axis=0)
        if NORMALIZE == 1:
            scale /= tl.sum(occupied.to(tl.float32), axis=0)
    else:
        rest = tl.where(occupied, tl.exp((1.0 - alpha) * log_value), 0.0)
        scale = tl.sum(value * moment, axis=0)
        scale /= tl.sum(rest * moment, axis=0)
    own = tl.sum(tl.where(offsets == cell, value, 0.0), axis=0)
    own_lone = tl.sum(tl.where(offsets == cell, lone, 0.0), axis=0)
    own = tl.where(own > 0.0, own, own_lone)
    weight = scale * tl.exp(-alpha * tl.log(own))
    # A category without any example, or an example with a NaN.
    weight = tl.where(scale > 0.0, weight, 1.0)
    weight = tl.where(cell >= 0, weight, 1.0)
    tl.store(weight_ptr + row, weight)


@triton.jit
def backward_kernel(
    logits_ptr,
    stride,
    target_ptr,
    rival_ptr,
    own_ptr,
    largest_ptr,
    inverse_ptr,
    factor_ptr,
    grad_ptr,
    grad_stride,
    out_ptr,
    num_classes,
    HAS_RIVAL: tl.constexpr,
    ONE_SIDED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One row: ``(softmax - one_hot) * factor * grad``."""
    row = tl.program_id(0).to(tl.int64)
    logits_ptr += row * stride
    out_ptr += row * num_classes
    target = tl.load(target_ptr + row)
    own = 0.0
    if ONE_SIDED:
        own = tl.load(own_ptr + target)
    largest = tl.load(largest_ptr + row)
    inverse = tl.load(inverse_ptr + row)
    factor = tl.load(factor_ptr + row)
    factor *= tl.load(grad_ptr + row * grad_stride)
    for start in range(0, num_classes, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        mask = cols < num_classes
        z = tl.load(logits_ptr + cols, mask=mask, other=0.0).to(tl.float32)
        z = _adjust(z, cols, mask, rival_ptr, own, HAS_RIVAL, ONE_SIDED)
        softmax = tl.exp(z - largest) * inverse
        gradient = (softmax - tl.where(cols == target, 1.0, 0.0)) * factor
        tl.store(out_ptr + cols, gradient, mask=mask)
