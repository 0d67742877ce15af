# Balanced Softmax (Ren et al. 2020), logit adjustment with tau 1.
loss = dict(type='LogitAdjustedLoss', tau=1.0)
loss_hooks = []
