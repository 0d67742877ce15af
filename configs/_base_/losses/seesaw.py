# Seesaw loss (Wang et al. 2021).
loss = dict(type='SeesawCrossEntropyLoss', p=0.8, q=2.0)
loss_hooks = []
