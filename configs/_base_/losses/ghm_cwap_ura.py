# Ablation "R + A^URA" of Table 3: margin, weights from equal regions.
loss = dict(type='GHMCWAPLoss', adaptive=False)
loss_hooks = [dict(type='AURARebinHook', begin=0.8)]
