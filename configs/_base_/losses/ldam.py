# LDAM (Cao et al. 2019).
loss = dict(type='LDAMLoss', max_margin=0.5, scale=30.0)
head = dict(type='NormedLinearClsHead')
loss_hooks = []
