"""GHM-CWAP once more, as plain loops in Python's float64, for comparison.

Written from the paper and the contract alone: no tensor operations beyond
single scalars, no code of mmghm.
"""

import math

import torch


class ReferenceGHMCWAP:
    """One process, labels or shares as targets."""

    def __init__(
        self,
        num_classes,
        num_regions=30,
        alpha=0.9,
        gamma=1.0,
        intra_balance=True,
        inter_balance=True,
        adaptive=True,
        normalize='gradient',
        histogram='running',
        max_weight=math.inf,
        momentum=0.0,
        adjusted_norm=True,
        margin_size='class_counts',
        margin_alpha=1.0,
        two_sided=True,
        class_counts=None,
    ):
        self.C, self.N = num_classes, num_regions
        self.alpha, self.gamma = alpha, gamma
        self.intra, self.inter = intra_balance, inter_balance
        self.adaptive, self.normalize = adaptive, normalize
        self.histogram = histogram
        self.max_weight, self.momentum = max_weight, momentum
        self.adjusted_norm, self.margin_size = adjusted_norm, margin_size
        self.margin_alpha = margin_alpha or alpha
        self.two_sided, self.class_counts = two_sided, class_counts
        self.published = [False] * self.C
        equal = [i / self.N for i in range(self.N)] + [1.0]
        self.edges = [list(equal) for _ in range(self.C)]
        self.counts = [[0.0] * self.N for _ in range(self.C)]
        self.values = [[0.0] * self.N for _ in range(self.C)]
        self.values_edges = [list(equal) for _ in range(self.C)]
        self.finished = 0
        if class_counts is not None:
            for c, n in enumerate(class_counts):
                self.values[c] = [n / self.N] * self.N

    @staticmethod
    def size(values, alpha):
        return sum(v**alpha for v in values if v > 0)

    def margin_of(self, c):
        values = self.values[c]
        if self.margin_size == 'class_counts':
            edges = self.values_edges[c]
            n = (
                self.class_counts[c]
                if self.class_counts
                else sum(
                    v * self.N * (hi - lo)
                    for v, lo, hi in zip(values, edges, edges[1:])
                )
            )
            values = [n / self.N] * self.N
        return self.size(values, self.margin_alpha)

    def margin(self, m, n):
        sm, sn = self.margin_of(m), self.margin_of(n)
        if self.two_sided:
            # An absent category has the (geometric) mean size of the others.
            sizes = [self.margin_of(c) for c in range(self.C)]
            logs = [math.log(s) for s in sizes if s > 0] or [0.0]
            mean = math.exp(sum(logs) / len(logs))
            sm, sn = sm or mean, sn or mean
        if not self.inter or sm == 0 or sn == 0:
            return 0.0
        ratio = sn / sm if self.two_sided else min(1.0, sn / sm)
        return self.gamma * math.log(ratio)

    @staticmethod
    def region(g, edges):
        for i in range(len(edges) - 1):
            if edges[i] <= g < edges[i + 1]:
                return i
        return len(edges) - 2

    def finished_on(self, c, edges):
        """The published histogram's v on other edges, overlap by overlap."""
        old = list(
            zip(self.values[c], self.values_edges[c], self.values_edges[c][1:])
        )
        return [
            sum(v * max(0.0, min(hi, up) - max(lo, low)) for v, low, up in old)
            / (hi - lo)
            for lo, hi in zip(edges, edges[1:])
        ]

    def weight(self, c, g):
        return min(self.unlimited_weight(c, g), self.max_weight)

    def unlimited_weight(self, c, g):
        if not self.intra:
            return 1.0
        if self.histogram == 'previous':
            if self.finished == 0:
                return 1.0
            v, edges = self.values[c], self.values_edges[c]
        else:
            edges = self.edges[c]
            v = [
                k / (self.N * (hi - lo))
                for k, lo, hi in zip(self.counts[c], edges, edges[1:])
            ]
            if self.histogram == 'fading':
                before = self.finished_on(c, edges)
                total = sum(
                    b * self.N * (hi - lo)
                    for b, lo, hi in zip(before, edges, edges[1:])
                )
                if total:
                    left = 1 - sum(self.counts[c]) / total
                    if left > 1e-6:
                        v = [a + left * b for a, b in zip(v, before)]
        if not any(v):
            return 1.0
        size = self.size(v, self.alpha)
        widths = [hi - lo for lo, hi in zip(edges, edges[1:])]
        occupied = [i for i in range(self.N) if v[i] > 0]
        r = {i: size / v[i] ** self.alpha for i in occupied}
        k = {i: v[i] * self.N * widths[i] for i in occupied}
        m = {i: (edges[i] + edges[i + 1]) / 2 for i in occupied}
        f = {
            'none': lambda: 1.0,
            'regions': lambda: 1 / len(occupied),
            'mean': lambda: sum(k.values()) / sum(k[i] * r[i] for i in k),
            'gradient': lambda: (
                sum(k[i] * m[i] for i in k) / sum(k[i] * m[i] * r[i] for i in k)
            ),
        }[self.normalize]()
        i = self.region(g, edges)
        value = v[i] if v[i] > 0 else 1 / (self.N * widths[i])
        return f * size / value**self.alpha

    def cross_entropy(self, z, c, with_margin=True):
        adjusted = [
            z[n] + (self.margin(c, n) if with_margin else 0.0)
            for n in range(self.C)
        ]
        return torch.logsumexp(torch.stack(adjusted), 0) - z[c]

    def __call__(self, logits, target, training=True):
        """Losses of a batch; logits float64 (B, C)."""
        shares = [
            [(int(t), 1.0)]
            if target.dim() == 1
            else [(c, float(s)) for c, s in enumerate(t)]
            for t in target
        ]

        def norm(z, c):
            ce = self.cross_entropy(z.detach(), c, self.adjusted_norm)
            return -math.expm1(-float(ce))

        terms = [
            [(c, s, self.cross_entropy(z, c), norm(z, c)) for c, s in row]
            for z, row in zip(logits, shares)
        ]
        if training:
            for row in terms:
                for c, s, _, g in row:
                    self.counts[c][self.region(g, self.edges[c])] += s
        return torch.stack(
            [
                sum(s * self.weight(c, g) * ce for c, s, ce, g in row)
                for row in terms
            ]
        )

    def rebin(self):
        any_counted = False
        for c in range(self.C):
            if not any(self.counts[c]):
                continue
            any_counted = True
            edges = self.edges[c]
            values = [
                k / (self.N * (hi - lo))
                for k, lo, hi in zip(self.counts[c], edges, edges[1:])
            ]
            if self.published[c]:
                values = [
                    (1 - self.momentum) * v + self.momentum * b
                    for v, b in zip(values, self.finished_on(c, edges))
                ]
            self.values[c] = values
            self.published[c] = True
            self.values_edges[c] = list(edges)
            if self.adaptive:
                d = [1 / math.log(max(v, math.e)) for v in self.values[c]]
                running, total = [0.0], sum(d)
                for width in d:
                    running.append(running[-1] + width / total)
                running[-1] = 1.0
                self.edges[c] = running
            self.counts[c] = [0.0] * self.N
        self.finished += any_counted
