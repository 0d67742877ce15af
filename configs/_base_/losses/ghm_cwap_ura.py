# Ablation "R + A^URA" of Table 3: the margin of eq. (2), weights from equal
# regions.
loss = dict(
    type='GHMCWAPLoss',
    adaptive=False,
    margin='paper',
    gamma=0.8,
)
loss_hooks = [dict(type='AURARebinHook', begin=0.8)]
