# GHM-CWAP as the paper prints it: unscaled weights (eq. 1) from the finished
# epoch's histogram (algorithm 1), from the first epoch on, and the one-sided
# margin (eq. 2).
loss = dict(
    type='GHMCWAPLoss',
    normalize='none',
    histogram='previous',
    margin='paper',
    gamma=0.8,
)
loss_hooks = [dict(type='AURARebinHook')]
