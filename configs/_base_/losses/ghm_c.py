# GHM-C (Li et al. 2019) as for detection: the paper's row "GHM".
loss = dict(type='GHMCrossEntropyLoss', bins=30, normalize='pairs')
loss_hooks = []
