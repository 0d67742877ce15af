# "R + A^AURA" of Table 3: the margin of eq. (2) with the paper's alpha, gamma and
# N, weights from adaptive regions, scaled and in the last fifth of the epochs.
loss = dict(type='GHMCWAPLoss', margin='paper', gamma=0.8)
loss_hooks = [dict(type='AURARebinHook', begin=0.8)]
