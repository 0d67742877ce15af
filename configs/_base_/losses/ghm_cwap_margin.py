# Row "R" of the paper's Table 3: the margin of eq. (2) alone, without weights.
loss = dict(type='GHMCWAPLoss', intra_balance=False)
loss_hooks = [dict(type='AURARebinHook')]
