# Ablation "A^URA" of Table 3: weights from equal regions, no margin.
loss = dict(type='GHMCWAPLoss', margin='none', adaptive=False)
loss_hooks = [dict(type='AURARebinHook', begin=0.8)]
