"""What a program must say in every release of torch that writes it: exported by several of them and read alike.

`DYNAMIC` names the dimensions that stay symbolic; `regenerate.py` gives them to `torch.export.export`. No torchvision
here, so that an old release needs torch alone.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.export import Dim


def random(*shapes):
    return lambda: tuple(torch.randn(shape) for shape in shapes)


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Identity() if stride == 1 else nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class Residual(nn.Module):
    """Convolutions, a ReLU that is called twice, containers, a functional head."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 7, 2, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.blocks = nn.ModuleList([Block(8, 8, 1), Block(8, 16, 2)])
        self.fc = nn.Linear(16, 10)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        x = F.adaptive_avg_pool2d(x, 1)
        return F.log_softmax(self.fc(torch.flatten(x, 1)), dim=1)


class Attention(nn.Module):
    """`@` and torch.matmul, which have one name in a program and are two to tools that replace functions."""

    def __init__(self):
        super().__init__()
        self.embed, self.norm = nn.Embedding(50, 16), nn.LayerNorm(16)
        self.q, self.k, self.v = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 16)
        self.mlp = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))
        self.head = nn.Linear(16, 50, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids):
        x = self.embed(ids)
        y = self.norm(x)
        scores = torch.matmul(self.q(y), self.k(y).transpose(1, 2)) / 4
        x = x + F.softmax(scores, dim=-1) @ self.v(y)
        return self.head(x.add(self.mlp(self.norm(x))))


class Layers(nn.Module):
    """Layers of torch's own that call several operators."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(8, 12, num_layers=2, bidirectional=True, batch_first=True)
        self.mha = nn.MultiheadAttention(24, 4, batch_first=True)
        self.layer = nn.TransformerEncoderLayer(24, 2, 48, batch_first=True)
        self.up = nn.Upsample(scale_factor=2)

    def forward(self, x):
        x = self.lstm(x)[0]
        x = self.mha(x, x, x, need_weights=False)[0]
        return self.up(self.layer(x).transpose(1, 2))


class NoGrad(nn.Module):
    """A frozen trunk under no_grad, which a program keeps as a higher-order operator."""

    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
        self.head = nn.Sequential(nn.Conv2d(8, 4, 3), nn.ReLU())

    def forward(self, x):
        with torch.no_grad():
            x = self.trunk(x)
        return self.head(x).mean((2, 3))


class Autocast(nn.Module):
    """The same with autocast."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(16, 32), nn.Linear(32, 16)

    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            x = F.relu(self.a(x))
        return self.b(x.float())


class Cond(nn.Module):
    """A branch on data: which one is taken is not in the file."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, 8), nn.Linear(8, 16), nn.Linear(16, 8)

    def forward(self, x):
        return torch.cond(x.sum() > 0, lambda t: self.a(t), lambda t: self.c(torch.relu(self.b(t))), (x,))


class WhileLoop(nn.Module):
    """A loop on data: how often it runs is not in the file."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(8, 8)

    def forward(self, n, x):
        from torch._higher_order_ops.while_loop import while_loop

        return while_loop(lambda n, x: n.sum() > 0, lambda n, x: (n - 1, torch.relu(self.a(x))), (n, x))[1]


MODELS = {
    "rel/residual": (Residual, random((2, 3, 32, 32))),
    "rel/attention": (Attention, lambda: (torch.randint(0, 50, (2, 6)),)),
    "rel/layers": (Layers, random((2, 5, 8))),
    "rel/no_grad": (NoGrad, random((2, 3, 12, 12))),
    "rel/autocast": (Autocast, random((2, 16))),
    "rel/cond": (Cond, random((2, 8))),
    "rel/while_loop": (WhileLoop, lambda: (torch.tensor([3]), torch.randn(2, 8))),
    "rel/residual_batch": (Residual, random((2, 3, 32, 32))),
    "rel/attention_sequence": (Attention, lambda: (torch.randint(0, 50, (2, 6)),)),
}

DYNAMIC = {
    "rel/residual_batch": {"x": {0: Dim("batch", max=512)}},
    "rel/attention_sequence": {"ids": {0: Dim("batch", max=512), 1: Dim("seq", max=512)}},
}
LAYERS = set(MODELS)
