# GHM-CWAP as the paper prints it, with nothing changed: the weights of eq. (1)
# are not scaled, and they act from the first epoch. At the learning rate of 0.1
# of the CIFAR schedule the one run stayed at chance.
loss = dict(type='GHMCWAPLoss', normalize='none')
loss_hooks = [dict(type='AURARebinHook', begin=0)]
