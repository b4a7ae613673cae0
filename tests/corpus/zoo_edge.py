"""Corners of the counting tools: what a rule does with an argument that few models pass.

    python tests/corpus/regenerate.py OUT --zoo tests/corpus/zoo_edge.py
"""

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import DeformConv2d


def random(*shapes):
    return lambda: tuple(torch.randn(shape) for shape in shapes)


class Scale(nn.Module):
    """A forward of functions; a parameter keeps tools happy that want one."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))


class Uses(nn.Module):
    """Holds modules, and calls them as it is told."""

    def __init__(self, use, **modules):
        super().__init__()
        for name, module in modules.items():
            setattr(self, name, module)
        self.use = use

    def forward(self, x, y=None, z=None):
        inputs = [given for given in (x, y, z) if given is not None]
        return self.use(self, *inputs)


class Pair(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)


class Sharing(nn.Module):
    """One layer held by two blocks, and those by two more: hooked and added up once for every place."""

    def __init__(self):
        super().__init__()
        shared = Pair(nn.Conv2d(4, 4, 3, padding=1))
        self.left, self.right = Pair(shared), Pair(shared)
        self.again = self.left
        self.list = nn.ModuleList([shared.inner, nn.BatchNorm2d(4)])

    def forward(self, x):
        x = self.right(self.left(x))
        for module in self.list:
            x = module(x)
        return x


class Outputs(nn.Module):
    """Modules that return tuples, nested lists and dicts."""

    class Dict(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(8, 8)

        def forward(self, x):
            return {"a": self.fc(x), "b": [x[:, :4], x]}

    class Nested(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(8, 6)

        def forward(self, x):
            return (([self.fc(x)],), x)

    def __init__(self, root_is_dict):
        super().__init__()
        self.dict, self.nested = self.Dict(), self.Nested()
        self.root_is_dict = root_is_dict

    def forward(self, x):
        first = self.dict(x)
        (second,), _ = self.nested(first["a"])
        if self.root_is_dict:
            return {"x": second[0], "y": first["b"][1]}
        return second[0] + first["b"][0].sum()


class ScalarLoss(nn.Module):
    """A module with a weight of its own that returns a number."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 8)
        self.weight = nn.Parameter(torch.ones(8))

    def forward(self, x):
        return (self.fc(x) * self.weight).sum()


class Containers(nn.Module):
    """Lists and dicts that are never called, an empty Sequential, parameters in a list."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(8, 8), nn.ReLU()) for _ in range(2)])
        self.heads = nn.ModuleDict({"a": nn.Linear(8, 4), "b": nn.Linear(8, 2)})
        self.scales = nn.ParameterList([nn.Parameter(torch.ones(8)), nn.Parameter(torch.zeros(8))])
        self.bias_net = nn.Linear(8, 8, bias=False)
        self.empty = Pair(nn.Sequential())

    def forward(self, x):
        for block, scale in zip(self.blocks, self.scales):
            x = block(x) * scale
        x = self.bias_net(self.empty(x))
        x = self.blocks[0](x)
        return torch.cat([self.heads["a"](x), self.heads["b"](x)], 1)


class Sums(Scale):
    """Two ranks: shapes that ptflops compares from the wrong side."""

    def forward(self, x, y):
        a = torch.add(x, y)
        b = x.mul(y).add(2.0)
        return torch.mul(b, 3).add(a, alpha=2) + torch.add(a, 1)


class Products(Scale):
    def forward(self, x, y):
        a = torch.mm(x[0], y[0])
        b = torch.bmm(x, y).add(torch.addmm(a[0], x[1], y[1], beta=0))
        return torch.baddbmm(b, x, y) + x.matmul(y) + torch.matmul(x, y[0]) + x @ y[1] + a.mm(a).mm(a.t())


class Scaled(Scale):
    def forward(self, x):
        x = F.interpolate(x, scale_factor=1.5, mode="bilinear")
        x = F.interpolate(x, scale_factor=(1.25, 2.5))
        x = F.interpolate(x, size=9) + F.interpolate(x, size=(9, 9), mode="bicubic")
        return F.interpolate(x, scale_factor=0.7, mode="area")


class Activations(Scale):
    def forward(self, x):
        x = F.relu(x) + F.relu6(x) + F.elu(x) + F.gelu(x, approximate="tanh") + F.silu(x) + F.leaky_relu(x)
        x = F.softmax(x, -1) + x.softmax(-1) + F.log_softmax(x, -1) + torch.relu(x) + x.relu() + torch.sigmoid(x)
        return F.softplus(x) + F.hardswish(x) + F.mish(x) + F.prelu(x, torch.tensor([0.25]))


class Pools(Scale):
    def forward(self, x):
        return (
            F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False).sum()
            + F.max_pool2d(x, 3, stride=2, ceil_mode=True).sum()
            + F.max_pool2d(x, 2, return_indices=True)[0].sum()
            + F.adaptive_avg_pool2d(x, (3, None)).sum()
            + F.adaptive_max_pool2d(x, 5).sum()
            + F.lp_pool2d(x, 2, 2).sum()
            + F.avg_pool1d(x[0], 2).sum()
        )


class Attention(Scale):
    def forward(self, x):
        q, k, v = x.chunk(3, -1)
        a = F.scaled_dot_product_attention(q, k, v)
        b = F.scaled_dot_product_attention(q[:, :, :4], k, v[..., :2], is_causal=False)
        return a.sum() + b.sum() + torch.einsum("bhid,bhjd->bhij", q, k).sum() + torch.einsum("bhid->bi", q).sum()


class Einsums(Scale):
    def forward(self, x, y):
        z = torch.einsum("bij,bjk->bik", x, y) + torch.einsum("...ij,...jk->...ik", x, y)
        z = z + torch.einsum("bij,jk->bik", [x, y[0]]) + torch.einsum("bij,bjk", x, y)
        return z.sum() + torch.einsum("bij,bjk,bkl->bl", x, y, y.transpose(1, 2)).sum() + torch.einsum("ij,ij->", x[0], x[0])


MODELS = {
    "edge/sharing": (Sharing, random((2, 4, 6, 6))),
    "edge/outputs": (lambda: Outputs(False), random((3, 8))),
    "edge/outputs_dict": (lambda: Outputs(True), random((3, 8))),
    "edge/scalar_loss": (ScalarLoss, random((3, 8))),
    "edge/containers": (Containers, random((5, 8))),
    "edge/sums": (Sums, random((3, 4, 5), (4, 5))),
    "edge/sums_vector": (Sums, random((2, 3, 4, 5), (5,))),
    "edge/products": (Products, random((2, 4, 4), (2, 4, 4))),
    "edge/scaled": (Scaled, random((3, 2, 7, 5))),
    "edge/activations": (Activations, random((3, 10))),
    "edge/pools": (Pools, random((2, 4, 11, 12))),
    "edge/attention": (Attention, random((2, 3, 7, 12))),
    "edge/einsums": (Einsums, random((2, 3, 4), (2, 4, 5))),
    "edge/upsample": (
        lambda: nn.Sequential(
            nn.Upsample(scale_factor=2), nn.Upsample(scale_factor=1.5, mode="bilinear"), nn.Upsample(size=(20, 18)),
            nn.UpsamplingNearest2d(scale_factor=2), nn.UpsamplingBilinear2d(size=12), nn.Upsample(16, mode="bicubic"),
            nn.Upsample(scale_factor=(2, 1), mode="nearest-exact"),
        ),
        random((3, 2, 6, 5)),
    ),
    "edge/upsample_1d3d": (
        lambda: Uses(
            lambda self, x, y: self.linear(x).sum() + self.trilinear(y).sum(),
            linear=nn.Upsample(scale_factor=2, mode="linear"), trilinear=nn.Upsample(size=5, mode="trilinear"),
        ),
        random((2, 3, 6), (2, 3, 4, 4, 4)),
    ),
    "edge/avgpool": (
        lambda: nn.Sequential(
            nn.AvgPool2d(3, stride=2, padding=1), nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
            nn.AvgPool2d((2, 1), ceil_mode=True), nn.AvgPool2d(2, stride=(1, 2), count_include_pad=False),
        ),
        random((2, 3, 37, 41)),
    ),
    "edge/adaptive": (
        lambda: nn.Sequential(nn.AdaptiveAvgPool2d((7, None)), nn.AdaptiveAvgPool2d(5), nn.AdaptiveMaxPool2d((3, 2))),
        random((2, 3, 16, 11)),
    ),
    "edge/adaptive_tuple": (
        lambda: nn.Sequential(nn.AdaptiveAvgPool2d((7, 3)), nn.AdaptiveAvgPool2d(1)), random((2, 3, 16, 11))
    ),
    "edge/softmax": (
        lambda: nn.Sequential(nn.Softmax(dim=1), nn.Softmax(-1), nn.Softmax2d(), nn.LogSoftmax(2), nn.Softmin(0)),
        random((2, 3, 4, 5)),
    ),
    "edge/softmax_implicit": (lambda: nn.Sequential(nn.Linear(6, 6), nn.Softmax()), random((2, 6))),
    "edge/norms_plain": (
        lambda: nn.Sequential(
            nn.BatchNorm2d(8, affine=False), nn.InstanceNorm2d(8), nn.InstanceNorm2d(8, affine=True), nn.GroupNorm(2, 8),
            nn.GroupNorm(2, 8, affine=False), nn.LayerNorm(5), nn.LayerNorm([5, 5], elementwise_affine=False),
            nn.LayerNorm(5, bias=False), nn.RMSNorm(5), nn.RMSNorm(5, elementwise_affine=False), nn.LocalResponseNorm(3),
        ),
        random((3, 8, 5, 5)),
    ),
    "edge/unbatched": (
        lambda: nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.MaxPool2d(2)), random((4, 9, 9))
    ),
    "edge/rnn_unbatched": (lambda: Uses(lambda self, x: self.rnn(x)[0], rnn=nn.LSTM(6, 5)), random((7, 6))),
    "edge/lstm_deep": (
        lambda: Uses(lambda self, x: self.rnn(x)[0], rnn=nn.LSTM(6, 5, 3, bidirectional=True, batch_first=True)),
        random((2, 7, 6)),
    ),
    "edge/lstm_projection": (
        lambda: Uses(lambda self, x: self.rnn(x)[0], rnn=nn.LSTM(6, 8, 2, proj_size=3, bidirectional=True)),
        random((7, 2, 6)),
    ),
    "edge/gru_nobias": (
        lambda: Uses(lambda self, x: self.rnn(x)[0], rnn=nn.GRU(6, 8, 2, bias=False, bidirectional=True)),
        random((7, 2, 6)),
    ),
    "edge/rnn_state": (
        lambda: Uses(lambda self, x, h: self.rnn(x, h)[1], rnn=nn.RNN(6, 8, nonlinearity="relu")),
        random((7, 2, 6), (1, 2, 8)),
    ),
    "edge/cells": (
        lambda: Uses(
            lambda self, x: self.lstm(self.gru(self.rnn(x)))[0],
            rnn=nn.RNNCell(6, 8), gru=nn.GRUCell(8, 8, bias=False), lstm=nn.LSTMCell(8, 4),
        ),
        random((3, 6)),
    ),
    "edge/mha_extra_keys": (
        lambda: Uses(
            lambda self, x: self.mha(x, x, x)[0],
            mha=nn.MultiheadAttention(12, 3, add_bias_kv=True, add_zero_attn=True, batch_first=True),
        ),
        random((2, 5, 12)),
    ),
    "edge/mha_unbatched": (
        lambda: Uses(lambda self, x: self.mha(x, x, x, need_weights=False)[0], mha=nn.MultiheadAttention(12, 3)),
        random((5, 12)),
    ),
    "edge/mha_mask": (
        lambda: Uses(
            lambda self, x: self.mha(x, x, x, attn_mask=torch.zeros(5, 5), average_attn_weights=False)[0],
            mha=nn.MultiheadAttention(12, 3, bias=False),
        ),
        random((5, 2, 12)),
    ),
    "edge/deform": (
        lambda: Uses(
            lambda self, x, offset, mask: self.masked(x, offset, mask) + self.plain(x, offset),
            masked=DeformConv2d(4, 6, 3, padding=1), plain=DeformConv2d(4, 6, 3, padding=1, groups=2, bias=False),
        ),
        random((2, 4, 7, 7), (2, 18, 7, 7), (2, 9, 7, 7)),
    ),
    "edge/transposed": (
        lambda: nn.Sequential(
            nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2),
            nn.ConvTranspose2d(6, 4, 2, stride=2, bias=False), nn.PReLU(4), nn.LeakyReLU(), nn.ELU(),
        ),
        random((3, 4, 5, 5)),
    ),
    "edge/batch_average": (
        lambda: nn.Sequential(nn.Linear(5, 3), nn.ReLU(), nn.LayerNorm(3), nn.Linear(3, 2), nn.GELU()),
        random((7, 3, 5)),
    ),
    "edge/leaf_upsample": (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), random((3, 2, 4, 4))),
    "edge/leaf_sequence": (lambda: nn.Linear(6, 4), random((2, 3, 4, 6))),
}

LAYERS = set(MODELS)
