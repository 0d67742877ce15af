# Ablation "R" of Table 3: the margin of eq. (2) alone.
loss = dict(
    type='GHMCWAPLoss',
    intra_balance=False,
    gamma=0.8,
    margin_size='histogram',
    margin_alpha=None,
    two_sided=False,
)
loss_hooks = [dict(type='AURARebinHook')]
