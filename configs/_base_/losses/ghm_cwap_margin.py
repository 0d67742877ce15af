# Ablation "R" of Table 3: the margin alone.
loss = dict(type='GHMCWAPLoss', intra_balance=False)
loss_hooks = [dict(type='AURARebinHook')]
