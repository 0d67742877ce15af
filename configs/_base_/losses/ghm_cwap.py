# GHM-CWAP, the paper's method: the margin of eq. (2), the weights of eq. (1),
# adaptive regions by algorithm 1, alpha 0.9, gamma 0.8, N 30.
# Ours are two things: the scale of the weights (normalize='gradient'), and that
# they act in the last fifth of the epochs (begin=0.8). Both are the defaults.
loss = dict(type='GHMCWAPLoss')
loss_hooks = [dict(type='AURARebinHook'), dict(type='HistogramPictureHook')]
