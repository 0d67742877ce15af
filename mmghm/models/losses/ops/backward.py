"""What the backward passes written by hand share."""

import torch


def refuse_second_derivative() -> None:
    """Raise an error in a backward pass that builds a graph of its own.

    ``once_differentiable`` would let a gradient penalty pass as a constant.

    Raises:
        RuntimeError: Under ``create_graph=True``.
    """
    if torch.is_grad_enabled():
        raise RuntimeError(
            "mmghm's losses are differentiable once: their gradient cannot be "
            'differentiated again; call backward() without create_graph=True'
        )


def graph_is_kept() -> bool:
    """Whether the backward pass under way may be repeated."""
    autograd = torch._C._autograd
    # Before torch 2.6 nobody knows.
    ask = getattr(autograd, '_get_current_graph_task_keep_graph', None)
    return ask is None or ask()
