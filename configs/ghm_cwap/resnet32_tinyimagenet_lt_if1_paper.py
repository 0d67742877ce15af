# The paper's values. The default differs in the margin: balanced, gamma 1.
_base_ = './resnet32_tinyimagenet_lt_if1.py'
model = dict(
    head=dict(
        loss=dict(
            margin='paper', gamma=0.8, alpha=0.9, num_regions=30, adaptive=True
        )
    )
)
