# GHM-CWAP as eq. (1) and algorithm 1 print it: unscaled weights from the
# finished epoch's histogram, from the first epoch on.
loss = dict(type='GHMCWAPLoss', normalize='none', histogram='previous')
loss_hooks = [dict(type='AURARebinHook')]
