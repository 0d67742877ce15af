# Ablation "R + A^URA" of Table 3: the margin of eq. (2), weights from equal
# regions.
loss = dict(
    type='GHMCWAPLoss',
    adaptive=False,
    gamma=0.8,
    margin_size='histogram',
    margin_alpha=None,
    two_sided=False,
)
loss_hooks = [dict(type='AURARebinHook', begin=0.8)]
