"""GHM-CWAP once more, as plain loops in Python's float64, for comparison.

Written from the paper and the contract alone: no tensor operations beyond
single scalars, no code of mmghm.
"""

import itertools
import math

import torch


class ReferenceGHMCWAP:
    """One process, labels or soft targets."""

    def __init__(
        self,
        num_classes,
        num_regions=30,
        alpha=0.9,
        gamma=0.8,
        margin='paper',
        intra_balance=True,
        adaptive=True,
        normalize='gradient',
        class_counts=None,
    ):
        self.C, self.N = num_classes, num_regions
        self.alpha, self.gamma = alpha, gamma
        self.intra, self.kind = intra_balance, margin
        self.adaptive, self.normalize = adaptive, normalize
        self.class_counts = class_counts or [0] * num_classes
        equal = [i / self.N for i in range(self.N)] + [1.0]
        self.edges = [list(equal) for _ in range(self.C)]
        self.counts = [[0.0] * self.N for _ in range(self.C)]
        # Of the finished epoch, and the edges they were counted on.
        self.values = [[0.0] * self.N for _ in range(self.C)]
        self.finished_edges = [list(equal) for _ in range(self.C)]

    @staticmethod
    def size(values, alpha):
        return sum(v**alpha for v in values if v > 0)

    def size_of(self, c):
        """S of the margin."""
        values, edges = self.values[c], self.finished_edges[c]
        if self.kind == 'balanced':
            widths = [hi - lo for lo, hi in itertools.pairwise(edges)]
            counted = sum(v * self.N * d for v, d in zip(values, widths))
            return self.class_counts[c] or counted
        if not any(values):
            values = [self.class_counts[c] / self.N] * self.N
        return self.size(values, self.alpha)

    def margin(self, m, n):
        sm, sn = self.size_of(m), self.size_of(n)
        if self.kind == 'balanced':
            # An absent category has the (geometric) mean size of the others.
            sizes = [self.size_of(c) for c in range(self.C)]
            logs = [math.log(s) for s in sizes if s > 0] or [0.0]
            mean = math.exp(sum(logs) / len(logs))
            return self.gamma * math.log((sn or mean) / (sm or mean))
        if self.kind == 'none' or sm == 0 or sn == 0:
            return 0.0
        return self.gamma * math.log(min(1.0, sn / sm))

    @staticmethod
    def region(g, edges):
        for i in range(len(edges) - 1):
            if edges[i] <= g < edges[i + 1]:
                return i
        return len(edges) - 2

    def weight(self, c, g):
        v, edges = self.values[c], self.finished_edges[c]
        if not self.intra or not any(v):
            return 1.0
        size = self.size(v, self.alpha)
        widths = [hi - lo for lo, hi in itertools.pairwise(edges)]
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

    def cross_entropy(self, z, c):
        adjusted = [z[n] + self.margin(c, n) for n in range(self.C)]
        return torch.logsumexp(torch.stack(adjusted), 0) - z[c]

    def __call__(self, logits, target, training=True):
        """Losses of a batch; logits float64 (B, C)."""
        parts = [
            [(int(t), 1.0)]
            if target.dim() == 1
            else [(c, float(s)) for c, s in enumerate(t)]
            for t in target
        ]

        def norm(z, c):
            return -math.expm1(-float(self.cross_entropy(z.detach(), c)))

        terms = [
            [(c, s, self.cross_entropy(z, c), norm(z, c)) for c, s in row]
            for z, row in zip(logits, parts)
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
        for c in range(self.C):
            if not any(self.counts[c]):
                continue
            edges = self.edges[c]
            self.values[c] = [
                k / (self.N * (hi - lo))
                for k, lo, hi in zip(self.counts[c], edges, edges[1:])
            ]
            self.finished_edges[c] = list(edges)
            if self.adaptive:
                d = [1 / math.log(max(v, math.e)) for v in self.values[c]]
                running, total = [0.0], sum(d)
                for width in d:
                    running.append(running[-1] + width / total)
                running[-1] = 1.0
                self.edges[c] = running
            self.counts[c] = [0.0] * self.N
