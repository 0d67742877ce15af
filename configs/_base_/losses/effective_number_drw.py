# Weights by the effective number in the last fifth of the epochs.
loss = dict(
    type='ReweightedCrossEntropyLoss',
    weighting='effective_number',
    beta=0.9999,
)
loss_hooks = [dict(type='DeferredReweightingHook', begin=0.8)]
