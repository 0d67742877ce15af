r"""Make a new classifier for a trained network.

Post-hoc logit adjustment (Menon et al. 2021), tau-normalisation, cRT, LWS and
nearest class mean (Kang et al. 2020), from one checkpoint, on the features of
its backbone; and classifiers trained on them with other losses, by the config's
recipe. tau is chosen on images held out of training.

Examples:
    mmghm posthoc softmax/resnet8_digits_lt \
        work_dirs/softmax/resnet8_digits_lt/epoch_40.pth --out posthoc.json \
        --cfg-options train_dataloader.dataset.holdout=0.2
    mmghm posthoc softmax/resnet8_digits_lt \
        work_dirs/softmax/resnet8_digits_lt/epoch_40.pth --methods tau_norm \
        --tau 0.7 --save tau_norm.pth
"""

from argparse import ArgumentParser, Namespace
from typing import List

from .options import add_config, add_trust, read_config


def parse(parser: ArgumentParser, arguments: List[str]) -> Namespace:
    """Read the options."""
    add = parser.add_argument
    add_config(parser)
    add('checkpoint', help='checkpoint file')
    add(
        '--methods',
        nargs='*',
        metavar='METHOD',
        help='some of none, logit_adjustment, tau_norm, crt, lws, ncm; by '
        'default all',
    )
    add(
        '--losses',
        nargs='+',
        default=[],
        metavar='LOSS',
        help='train a classifier with each of these, such as ghm_cwap',
    )
    add(
        '--epochs',
        type=int,
        help='of cRT and LWS; by default 10 and 5, as in the source',
    )
    add(
        '--tau',
        type=float,
        help='of logit_adjustment and tau_norm, in place of choosing it',
    )
    add('--seed', type=int, default=0)
    add('--out', help='file for the results, JSON')
    add(
        '--save',
        metavar='FILE',
        help='write the model with its new classifier as a checkpoint, if one '
        'method or loss is given',
    )
    add_trust(parser)
    args = parser.parse_args(arguments)
    given = args.methods or []
    if args.save and len(given) + len(args.losses) != 1:
        parser.error('--save takes one method or one loss')
    if args.save and given == ['none']:
        parser.error('--save writes a new classifier, which none does not make')
    return args


def run(args: Namespace) -> None:
    """Make classifiers."""
    from mmghm.choose.classifiers import make_classifiers
    from mmghm.engine.launch import named_downloads

    cfg = read_config(args)
    with named_downloads(cfg):
        make_classifiers(args, cfg)
