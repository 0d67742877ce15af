# Row "R + A^URA" of the paper's Table 3: the margin of eq. (2), and the weights
# of eq. (1) from equal regions.
# Ours, as in ghm_cwap: the scale of the weights, and the epoch in which they begin.
loss = dict(type='GHMCWAPLoss', adaptive=False)
loss_hooks = [dict(type='AURARebinHook')]
