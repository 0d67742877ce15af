# Weights by the effective number of samples (Cui et al. 2019).
loss = dict(
    type='ReweightedCrossEntropyLoss',
    weighting='effective_number',
    beta=0.9999,
)
loss_hooks = []
