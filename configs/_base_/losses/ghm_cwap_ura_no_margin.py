# Row "A^URA" of the paper's Table 3: the weights of eq. (1) from equal regions,
# without a margin.
# Ours, as in ghm_cwap: the scale of the weights, and the epoch in which they begin.
loss = dict(type='GHMCWAPLoss', margin='none', adaptive=False)
loss_hooks = [dict(type='AURARebinHook')]
