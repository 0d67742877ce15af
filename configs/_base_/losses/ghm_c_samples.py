# GHM-C, divided by examples in place of (example, class) pairs.
loss = dict(type='GHMCrossEntropyLoss', bins=30, normalize='samples')
loss_hooks = []
