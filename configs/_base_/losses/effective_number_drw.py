# Weights by the effective number in the last fifth of the epochs (CE-DRW of
# Cao et al. 2019, who divide by the sum of a batch's weights).
loss = dict(
    type='ReweightedCrossEntropyLoss',
    weighting='effective_number',
    beta=0.9999,
    normalize='weights',
)
loss_hooks = [dict(type='DeferredReweightingHook', begin=0.8)]
