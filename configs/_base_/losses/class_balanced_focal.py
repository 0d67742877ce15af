# Focal loss with weights by the effective number (Cui et al. 2019).
loss = dict(
    type='SoftmaxFocalLoss',
    gamma=1.0,
    weighting='effective_number',
    beta=0.9999,
)
loss_hooks = []
