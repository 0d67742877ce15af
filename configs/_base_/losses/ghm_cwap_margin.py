# Ablation "R" of Table 3: the margin of eq. (2) alone.
loss = dict(
    type='GHMCWAPLoss',
    intra_balance=False,
    margin='paper',
    gamma=0.8,
)
loss_hooks = [dict(type='AURARebinHook')]
