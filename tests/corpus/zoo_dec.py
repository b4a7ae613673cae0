"""Functions that the ONNX exporters take apart, a few a model.

    python tests/corpus/regenerate.py OUT --zoo tests/corpus/zoo_dec.py
"""
import torch
from torch import nn
import torch.nn.functional as F

class Fn(nn.Module):
    def __init__(self, width=12):
        super().__init__()
        self.fc = nn.Linear(width, width)
        self.out = nn.Linear(width, 5)

class Var(Fn):
    def forward(self, x):
        x = self.fc(x)
        v = x.var(1, keepdim=True)
        s = torch.std(x, dim=-1, keepdim=True)
        return self.out((x - x.mean(1, keepdim=True)) / (v + 1e-5).sqrt() * s)

class ChannelNorm(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(c)), nn.Parameter(torch.zeros(c))
    def forward(self, x):
        s, u = torch.var_mean(x, dim=1, unbiased=False, keepdim=True)
        x = (x - u) * torch.rsqrt(s + 1e-6)
        return x * self.weight[:, None, None] + self.bias[:, None, None]

class Convs(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.n = nn.Conv2d(3, 8, 3), ChannelNorm(8)
        self.b = nn.Conv2d(8, 8, (4, 3), padding="same")
        self.c = nn.Conv2d(8, 6, 3, padding="valid", bias=False)
    def forward(self, x):
        return self.c(self.b(self.n(self.a(x))))

class Distances(Fn):
    def forward(self, x):
        a, b = self.fc(x), self.out(x)
        d = F.pairwise_distance(x, a)
        c = torch.cdist(x, a)
        s = F.cosine_similarity(x[:, None], a[None, :], dim=-1)
        return d, c, s * 2, b

class Vectors(Fn):
    def __init__(self):
        super().__init__()
        self.v = nn.Parameter(torch.randn(12))
    def forward(self, x):
        x = self.fc(x)
        return torch.mv(x, self.v), torch.outer(x[0], self.v), torch.dot(x[0], self.v), torch.inner(x, x), torch.tensordot(x, x, dims=([1], [1])), self.out(x)

class Losses(Fn):
    def forward(self, x, y):
        z = self.out(self.fc(x))
        return F.cross_entropy(z, y), F.mse_loss(z, z * 2), F.smooth_l1_loss(z, z + 1), F.kl_div(z.log_softmax(-1), z.softmax(-1), reduction="batchmean"), F.binary_cross_entropy_with_logits(z, z.sigmoid()), F.huber_loss(z, z - 1)

class Norms(nn.Module):
    def __init__(self):
        super().__init__()
        self.inst = nn.InstanceNorm2d(6, affine=True)
        self.group = nn.GroupNorm(3, 6)
        self.lrn = nn.LocalResponseNorm(2)
        self.rms = nn.RMSNorm(8)
        self.wn = nn.utils.parametrizations.weight_norm(nn.Linear(8, 4))
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
    def forward(self, x):
        x = self.lrn(self.group(self.inst(self.conv(x))))
        return self.wn(F.normalize(self.rms(x), dim=-1))

class Acts(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(10, 10)
        self.acts = nn.ModuleList([nn.LogSigmoid(), nn.Softshrink(), nn.Hardshrink(), nn.Tanhshrink(), nn.Softsign(), nn.CELU(), nn.Threshold(0.1, 0.2), nn.Softmin(dim=-1), nn.GLU(), nn.RReLU(), nn.PReLU(), nn.Hardtanh(), nn.Softplus(), nn.Mish(), nn.SELU(), nn.ELU(), nn.GELU("tanh"), nn.Hardsigmoid(), nn.Hardswish(), nn.LogSoftmax(-1)])
    def forward(self, x):
        x = self.fc(x)
        return [act(x) for act in self.acts]

class Pools(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.pools = nn.ModuleList([nn.AvgPool2d(2), nn.MaxPool2d(3, 2, 1), nn.LPPool2d(2, 2), nn.AdaptiveAvgPool2d((4, 2)), nn.AdaptiveAvgPool2d((5, 3)), nn.AdaptiveMaxPool2d(4), nn.AdaptiveAvgPool2d(1), nn.AvgPool2d(3, 2, 1, ceil_mode=True)])
        self.one = nn.AdaptiveAvgPool1d(5)
    def forward(self, x):
        x = self.conv(x)
        return [pool(x) for pool in self.pools] + [self.one(x.flatten(2))]

class Resizes(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.shuffle = nn.PixelShuffle(2)
        self.pads = nn.Sequential(nn.ReflectionPad2d(1), nn.ZeroPad2d(1), nn.ReplicationPad2d(1), nn.CircularPad2d(1))
    def forward(self, x):
        x = self.conv(x)
        y = F.interpolate(x, size=(7, 9), mode="bilinear", antialias=True)
        z = F.interpolate(x, size=(5, 6), mode="area")
        w = F.interpolate(x.flatten(2), scale_factor=2, mode="linear")
        n = F.interpolate(x, size=[11, 13], mode="nearest-exact")
        b = F.interpolate(x, scale_factor=1.5, mode="bicubic")
        return self.up(x), self.shuffle(x), self.pads(x), y, z, w, n, b

class Warps(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2 * 8 * 8, 6)
        self.conv = nn.Conv2d(2, 3, 3)
    def forward(self, x):
        theta = self.fc(x.flatten(1)).view(-1, 2, 3)
        return self.conv(F.grid_sample(x, F.affine_grid(theta, list(x.shape), align_corners=False), align_corners=False))

class Bags(nn.Module):
    def __init__(self):
        super().__init__()
        self.bag = nn.EmbeddingBag(20, 6, mode="mean")
        self.e = nn.Embedding(20, 6, padding_idx=0)
        self.bi = nn.Bilinear(6, 6, 4)
    def forward(self, i):
        a, b = self.bag(i), self.e(i).sum(1)
        return self.bi(a, b), F.one_hot(i, 20).float().mean(1)

class Products(Fn):
    def forward(self, x):
        x = self.fc(x)
        y = torch.addmm(x, x, torch.eye(12))
        z = torch.baddbmm(torch.zeros(2, 3, 3), x[None].expand(2, -1, -1)[:, :3], x.t()[None].expand(2, -1, -1)[:, :, :3])
        k = torch.kron(x[:2], x[:1])
        m = torch.linalg.multi_dot([x, torch.eye(12), x.t()])
        c = torch.chain_matmul(x, x.t(), x)
        return y, z, k, m, c, torch.linalg.norm(x), torch.einsum("ij,kj->ik", x, x), torch.addcmul(x, x, x), self.out(x)

class Slices(Fn):
    def forward(self, x):
        x = self.fc(x)
        a, b = x.chunk(2, -1)
        x = torch.lerp(a, b, 0.5) + torch.where(a > 0, a, b) + a.clamp(0, 1).square() + torch.addcdiv(a, b, b.exp())
        return torch.hstack([x, x]), x.cumsum(-1), x.logsumexp(-1), x.prod(-1), x.norm(dim=-1), x.square().mean(), self.out(torch.cat([x, x], -1)), torch.rot90(x), x.flip(-1), x.roll(1, -1)

class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
    def forward(self, x):
        x = F.relu(self.bn(self.c1(x)).mul_(0.5)).add_(x)
        x = torch.add(x, self.c2(x), alpha=2)
        x = x.mul(2) * 3
        return torch.mul(x, x) / x.pow(2).sum((1, 2, 3), keepdim=True), F.max_pool2d(F.relu6(x), 2), torch.matmul(x, x), x.matmul(x), x @ x

class Seq(nn.Module):
    """Recurrent layers with the batch first, then linear layers on what they return."""
    def __init__(self, kind, **kw):
        super().__init__()
        self.rnn = kind(6, 8, batch_first=True, **kw)
        w = 8 * (2 if kw.get("bidirectional") else 1)
        self.head, self.tail = nn.Linear(w, 4), nn.Linear(w, 3, bias=False)
    def forward(self, x):
        y, h = self.rnn(x)
        return self.head(y), self.head(y[:, -1]), self.tail(F.relu(y)), h

class Attentions(nn.Module):
    """Attention on keys and queries that are turned, and on one head that is repeated for two."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.one = nn.Linear(8, 8)

    def heads(self, x):
        return x.view(2, 5, 2, 4).transpose(1, 2)

    def turned(self, x):
        return x.transpose(1, 2).contiguous().view(2, 2, 4, 5).transpose(2, 3)

    def forward(self, x):
        q, k, v = self.q(x), self.k(x), self.v(x)
        plain = F.scaled_dot_product_attention(self.heads(q), self.heads(k), self.heads(v))
        key = F.scaled_dot_product_attention(self.heads(q), self.turned(k), self.heads(v))
        query = F.scaled_dot_product_attention(self.turned(q), self.heads(k), self.heads(v))
        one, other = self.one(x).view(2, 5, 2, 1, 4).permute(2, 0, 3, 1, 4)
        # The optimizer takes out the part of the query that has no elements and the view of the key.
        rotated = torch.cat([self.heads(q) * 2, self.heads(q)[..., 4:]], -1)
        key_of_two, value_of_two = (t[:, :, None].expand(2, 1, 2, 5, 4).reshape(2, 2, 5, 4) for t in (one, other))
        shared = F.scaled_dot_product_attention(rotated, key_of_two, value_of_two)
        return plain + key + query + shared


def r(*shapes):
    return lambda: tuple(torch.randn(*s) for s in shapes)

MODELS = {
    "dec/var": (Var, r((4, 12))),
    "dec/convs": (Convs, r((2, 3, 12, 12))),
    "dec/distances": (Distances, r((4, 12))),
    "dec/vectors": (Vectors, r((4, 12))),
    "dec/losses": (Losses, lambda: (torch.randn(4, 12), torch.tensor([0, 1, 2, 3]))),
    "dec/norms": (Norms, r((2, 3, 8, 8))),
    "dec/acts": (Acts, r((3, 10))),
    "dec/pools": (Pools, r((2, 3, 16, 12))),
    "dec/resizes": (Resizes, r((1, 3, 6, 8))),
    "dec/warps": (Warps, r((2, 2, 8, 8))),
    "dec/bags": (Bags, lambda: (torch.randint(1, 20, (3, 5)),)),
    "dec/products": (Products, r((6, 12))),
    "dec/slices": (Slices, r((3, 12))),
    "dec/attentions": (Attentions, r((2, 5, 8))),
    "dec/residual": (Residual, r((2, 4, 6, 6))),
    "dec/lstm_first": (lambda: Seq(nn.LSTM), r((2, 5, 6))),
    "dec/gru_first": (lambda: Seq(nn.GRU, bidirectional=True), r((2, 5, 6))),
    "dec/rnn_first": (lambda: Seq(nn.RNN, num_layers=2), r((2, 5, 6))),
    "dec/lstm_two": (lambda: Seq(nn.LSTM, num_layers=2, bidirectional=True), r((3, 4, 6))),
}
