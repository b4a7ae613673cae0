"""Modules as people write them: what a hook, a patched function or an operator counter does and does not see.

Small on purpose, and each about one thing; `regenerate.py OUT --zoo zoo_user.py` asks every tool about them.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

# ---- The same sum, product and activation, written in the ways that tools tell apart.


class Residual(nn.Module):
    """Two convolutions and a shortcut; `activate` and `add` say how the activation and the sum are written.

    `lambda x: F.relu(x)` looks the function up when it is called, and so finds what a tool has put in its place;
    `F.relu` itself, kept since before the tool came, is the original, and the call goes unseen.
    """

    def __init__(self, activate, add, channels=8):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.activate, self.add = activate, add

    def forward(self, x):
        y = self.activate(self.bn1(self.conv1(x)))
        return self.activate(self.add(self.bn2(self.conv2(y)), x))


class ResidualOperators(nn.Module):
    """`+`, `+=`, `*`, `-`, `/`, `**` and `@`: Python operators, which never pass through `torch.add` and the like."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(16, 16), nn.Linear(16, 16)

    def forward(self, x):
        y = self.fc1(x) + x
        y = self.fc2(y) * y - x / 2
        y += x**2
        return y @ y.transpose(-1, -2)


class ResidualFunctions(nn.Module):
    """The same as ResidualOperators with `torch.*` functions."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(16, 16), nn.Linear(16, 16)

    def forward(self, x):
        y = torch.add(self.fc1(x), x)
        y = torch.sub(torch.mul(self.fc2(y), y), torch.div(x, 2))
        y = torch.add(y, torch.pow(x, 2))
        return torch.matmul(y, torch.transpose(y, -1, -2))


class ResidualMethods(nn.Module):
    """The same as ResidualOperators with methods of the tensor."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(16, 16), nn.Linear(16, 16)

    def forward(self, x):
        y = self.fc1(x).add(x)
        y = self.fc2(y).mul(y).sub(x.div(2))
        y = y.add_(x.pow(2))
        return y.matmul(y.transpose(-1, -2))


class Activations(nn.Module):
    """One Linear, then every spelling of an activation that is not a module."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(12, 12)

    def forward(self, x):
        x = F.relu(self.fc(x))
        x = torch.relu(x - 0.1)
        x = (x - 0.1).relu()
        x = F.relu(x - 0.1, inplace=True)
        x = torch.relu_(x - 0.1)
        x = F.relu_(x - 0.1)
        x = (x - 0.1).relu_()
        x = F.leaky_relu(F.elu(F.gelu(F.silu(F.hardswish(F.softplus(F.mish(x)))))))
        x = torch.sigmoid(torch.tanh(x)) + x.sigmoid() + x.tanh() + F.sigmoid(x) + F.tanh(x)
        x = F.softmax(x, -1) + torch.softmax(x, -1) + x.softmax(-1) + F.log_softmax(x, -1)
        return torch.clamp(x, 0, 6) + x.clamp(min=0) + F.relu6(x) + F.hardtanh(x) + x.exp().sqrt().abs()


class Products(nn.Module):
    """Matrix products by every name."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(16, 24))
        self.b = nn.Parameter(torch.randn(24))

    def forward(self, x):
        a = x @ self.w
        b = torch.matmul(x, self.w)
        c = x.matmul(self.w)
        d = torch.einsum("bnc,cd->bnd", x, self.w)
        e = F.linear(x, self.w.t(), self.b)
        f = torch.tensordot(x, self.w, dims=1)
        g = torch.bmm(x, self.w.expand(x.size(0), -1, -1))
        h = x.bmm(self.w.expand(x.size(0), -1, -1))
        i = torch.baddbmm(a, x, self.w.expand(x.size(0), -1, -1))
        flat = x.flatten(0, 1)
        j = torch.mm(flat, self.w) + flat.mm(self.w) + torch.addmm(self.b, flat, self.w)
        return a + b + c + d + e + f + g + h + i + j.view_as(a)


class VectorProducts(nn.Module):
    """Products with vectors, which some counters of matrix products trip over."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(16))

    def forward(self, x):
        rows = x.flatten(0, 1)
        return torch.mv(rows, self.w) + rows @ self.w + torch.inner(rows, self.w) + torch.outer(self.w, self.w).sum()


class FunctionalCNN(nn.Module):
    """The forward pass of a tutorial: parameters of its own, and functions only."""

    def __init__(self):
        super().__init__()
        self.w1 = nn.Parameter(torch.randn(8, 3, 3, 3))
        self.b1 = nn.Parameter(torch.zeros(8))
        self.gamma, self.beta = nn.Parameter(torch.ones(8)), nn.Parameter(torch.zeros(8))
        self.register_buffer("mean", torch.zeros(8))
        self.register_buffer("var", torch.ones(8))
        self.w2 = nn.Parameter(torch.randn(10, 8))

    def forward(self, x):
        x = F.conv2d(x, self.w1, self.b1, stride=2, padding=1)
        x = F.batch_norm(x, self.mean, self.var, self.gamma, self.beta)
        x = F.avg_pool2d(F.max_pool2d(F.relu(x), 2), 2)
        x = F.dropout(x, 0.5, self.training)
        x = x.mean([2, 3])
        return F.log_softmax(F.linear(x, self.w2), dim=1)


class PoolsAndPads(nn.Module):
    """F.pad, pools in one and two dimensions, F.interpolate by size and by scale, unfold."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)

    def forward(self, x):
        x = self.conv(F.pad(x, (1, 1, 1, 1), mode="reflect"))
        x = F.avg_pool2d(F.max_pool2d(F.pad(x, (0, 1, 0, 1)), 3, 2), 2, ceil_mode=True)
        a = F.interpolate(x, size=(9, 9), mode="bilinear", align_corners=False)
        b = F.interpolate(x, scale_factor=2, mode="nearest")
        c = F.adaptive_avg_pool2d(b, (4, 4)) + F.adaptive_max_pool2d(b, 4)
        d = F.unfold(a, 3).mean(-1)
        return c.flatten(1).mean(1, keepdim=True) + d


# ---- How modules are held and called.


class ListAndDict(nn.Module):
    """A ModuleList that is iterated, a ModuleDict that is indexed, and a branch that is never taken."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(16, 16), nn.GELU()) for _ in range(3))
        self.heads = nn.ModuleDict({"a": nn.Linear(16, 4), "b": nn.Linear(16, 8), "unused": nn.Linear(16, 32)})

    def forward(self, x):
        for block in self.blocks:
            x = x + block(x)
        return self.heads["a"](x), self.heads["b"](x)


class MyLinear(nn.Linear):
    """A subclass that adds nothing: tools that match the exact class do not know it."""


class MyConv2d(nn.Conv2d):
    """Weight standardisation, as in many papers: its own forward, by F.conv2d."""

    def forward(self, x):
        weight = self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class ConvBNReLU(nn.Sequential):
    """A subclass of Sequential, as torchvision's."""

    def __init__(self, cin, cout, stride=1):
        super().__init__(
            MyConv2d(cin, cout, 3, stride, 1, bias=False), nn.BatchNorm2d(cout), nn.ReLU(inplace=True)
        )


class LayerNorm2d(nn.LayerNorm):
    """LayerNorm over channels, as in ConvNeXt."""

    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Subclasses(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = ConvBNReLU(3, 8, 2)
        self.norm = LayerNorm2d(8)
        self.head = MyLinear(8, 5)

    def forward(self, x):
        return self.head(self.norm(self.stem(x)).mean((2, 3)))


class Aliases(nn.Module):
    """One module under two names, one activation for all, one module called by its forward, one never called."""

    def __init__(self):
        super().__init__()
        self.act = nn.ReLU()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), self.act)
        self.conv = nn.Conv2d(8, 8, 3, padding=1)
        self.same = self.conv
        self.second = nn.Sequential(self.conv, self.act)
        self.never = nn.Conv2d(8, 64, 7)

    def forward(self, x):
        x = self.first(x)
        x = self.conv(x)
        x = self.same(x)
        x = self.second(x)
        return self.conv.forward(x)


class Keywords(nn.Module):
    """Children called with a tuple, None and keyword arguments; a root with two inputs and a dict for output.

    With `leaves`, layers too are called by keyword, and then hooks, which are given positional arguments only, have
    no input to measure.
    """

    class Gate(nn.Module):
        def __init__(self, leaves):
            super().__init__()
            self.fc = nn.Linear(16, 16)
            self.leaves = leaves

        def forward(self, pair, scale=None, bias=None):
            x, y = pair
            x = (self.fc(input=x) if self.leaves else self.fc(x)) * torch.sigmoid(y)
            return x if scale is None else x * scale

    def __init__(self, leaves):
        super().__init__()
        self.gate = self.Gate(leaves)
        self.norm = nn.LayerNorm(16)
        self.out = nn.Linear(16, 3)

    def forward(self, x, y):
        x = self.gate((x, y), scale=torch.ones(16))
        x = self.gate(pair=(x, y), bias=None)
        return {"logits": self.out(self.norm(x)), "hidden": x}


class Frozen(nn.Module):
    """A frozen trunk, a trainable head, a buffer that is used, and a detached branch."""

    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU()).requires_grad_(False)
        self.register_buffer("scale", torch.full((8, 1, 1), 2.0))
        self.neck = nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 4)
        self.head.bias.requires_grad_(False)

    def forward(self, x):
        with torch.no_grad():
            x = self.trunk(x) * self.scale
        return self.head(self.neck(x).flatten(2).mean(2))


class TiedAutoencoder(nn.Module):
    """The decoder is the encoder's weight transposed."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(64, 16)
        self.bias = nn.Parameter(torch.zeros(64))

    def forward(self, x):
        return F.linear(torch.relu(self.encoder(x)), self.encoder.weight.t(), self.bias)


class WeightNormed(nn.Module):
    """Parametrised weights (the new weight_norm and spectral_norm, and the old hook)."""

    def __init__(self):
        super().__init__()
        self.a = weight_norm(nn.Conv1d(4, 8, 3, padding=1))
        self.b = nn.utils.parametrizations.spectral_norm(nn.Linear(8, 8))
        self.c = nn.utils.weight_norm(nn.Linear(8, 2))

    def forward(self, x):
        return self.c(self.b(F.relu(self.a(x)).transpose(1, 2)))


# ---- Convolutional nets.


class UNet(nn.Module):
    """Skips by torch.cat; up once by a transposed convolution and once by Upsample."""

    def __init__(self, c=4):
        super().__init__()

        def double(cin, cout):
            return nn.Sequential(
                nn.Conv2d(cin, cout, 3, padding=1, bias=False), nn.BatchNorm2d(cout), nn.ReLU(inplace=True),
                nn.Conv2d(cout, cout, 3, padding=1, bias=False), nn.BatchNorm2d(cout), nn.ReLU(inplace=True),
            )  # fmt: skip

        self.down1, self.down2, self.bottom = double(3, c), double(c, 2 * c), double(2 * c, 4 * c)
        self.pool = nn.MaxPool2d(2)
        self.up2 = nn.ConvTranspose2d(4 * c, 2 * c, 2, stride=2)
        self.dec2 = double(4 * c, 2 * c)
        self.up1 = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.dec1 = double(3 * c, c)
        self.head = nn.Conv2d(c, 2, 1)

    def forward(self, x):
        a = self.down1(x)
        b = self.down2(self.pool(a))
        x = self.bottom(self.pool(b))
        x = self.dec2(torch.cat([self.up2(x), b], dim=1))
        x = self.dec1(torch.cat([self.up1(x), a], dim=1))
        return self.head(x)


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 7 * 7, 10),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Linear(10, 16 * 7 * 7), nn.Unflatten(1, (16, 7, 7)),
            nn.ConvTranspose2d(16, 8, 3, stride=2, padding=1, output_padding=1), nn.ReLU(),
            nn.ConvTranspose2d(8, 1, 3, stride=2, padding=1, output_padding=1), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, x):
        return self.decoder(self.encoder(x))


class Generator(nn.Module):
    """A DCGAN/WGAN generator."""

    def __init__(self, z=16, g=4):
        super().__init__()
        widths = [z, 4 * g, 2 * g, g]
        layers = []
        for i, (cin, cout) in enumerate(zip(widths, widths[1:])):
            layers += [
                nn.ConvTranspose2d(cin, cout, 4, 1 if i == 0 else 2, 0 if i == 0 else 1, bias=False),
                nn.BatchNorm2d(cout),
                nn.ReLU(True),
            ]
        self.main = nn.Sequential(*layers, nn.ConvTranspose2d(g, 3, 4, 2, 1, bias=False), nn.Tanh())

    def forward(self, z):
        return self.main(z)


class TinyYOLO(nn.Module):
    """CSP-like blocks with SiLU, nearest upsampling, concatenation, and heads at two scales."""

    class Conv(nn.Module):
        def __init__(self, cin, cout, k=1, s=1, g=1):
            super().__init__()
            self.conv = nn.Conv2d(cin, cout, k, s, k // 2, groups=g, bias=False)
            self.bn = nn.BatchNorm2d(cout)
            self.act = nn.SiLU()

        def forward(self, x):
            return self.act(self.bn(self.conv(x)))

    class C2f(nn.Module):
        def __init__(self, c, n=1):
            super().__init__()
            self.cv1 = TinyYOLO.Conv(c, c)
            self.m = nn.ModuleList(TinyYOLO.Conv(c // 2, c // 2, 3) for _ in range(n))
            self.cv2 = TinyYOLO.Conv((2 + n) * c // 2, c)

        def forward(self, x):
            y = list(self.cv1(x).chunk(2, 1))
            y.extend(m(y[-1]) for m in self.m)
            return self.cv2(torch.cat(y, 1))

    def __init__(self, c=8, classes=3):
        super().__init__()
        self.stem = self.Conv(3, c, 3, 2)
        self.p3 = nn.Sequential(self.Conv(c, 2 * c, 3, 2), self.C2f(2 * c))
        self.p4 = nn.Sequential(self.Conv(2 * c, 4 * c, 3, 2), self.C2f(4 * c, 2))
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.sppf = self.Conv(16 * c, 4 * c)
        self.up = nn.Upsample(None, 2, "nearest")
        self.neck = self.Conv(6 * c, 2 * c)
        self.heads = nn.ModuleList([nn.Conv2d(2 * c, 5 + classes, 1), nn.Conv2d(4 * c, 5 + classes, 1)])

    def forward(self, x):
        p3 = self.p3(self.stem(x))
        p4 = self.p4(p3)
        y = [p4]
        for _ in range(3):
            y.append(self.pool(y[-1]))
        p4 = self.sppf(torch.cat(y, 1))
        p3 = self.neck(torch.cat([self.up(p4), p3], 1))
        out = [head(p).flatten(2) for head, p in zip(self.heads, (p3, p4))]
        box, score = torch.cat(out, 2).split((5, out[0].size(1) - 5), 1)
        return torch.cat((box.sigmoid() * 2 - 0.5, score.sigmoid()), 1)


class PointNet(nn.Module):
    """Shared MLPs by Conv1d, a max over the points, and a learned transform applied by torch.bmm."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv1d(3, 16, 1), nn.BatchNorm1d(16)
        self.tnet = nn.Sequential(nn.Conv1d(3, 16, 1), nn.ReLU())
        self.transform = nn.Linear(16, 9)
        self.conv2, self.bn2 = nn.Conv1d(16, 32, 1), nn.BatchNorm1d(32)
        self.fc = nn.Linear(32, 10)
        self.bn3 = nn.BatchNorm1d(10)

    def forward(self, x):
        t = self.transform(torch.max(self.tnet(x), 2)[0]).view(-1, 3, 3) + torch.eye(3)
        x = torch.bmm(x.transpose(2, 1), t).transpose(2, 1)
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x)).max(dim=2).values
        return F.log_softmax(self.bn3(self.fc(x)), dim=1)


class Conv3dNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv3d(1, 4, 3, padding=1), nn.BatchNorm3d(4), nn.ReLU(), nn.MaxPool3d(2),
            nn.Conv3d(4, 8, (3, 1, 1), padding=(1, 0, 0), groups=2), nn.LeakyReLU(0.2), nn.AvgPool3d(2),
            nn.ConvTranspose3d(8, 4, 2, stride=2), nn.InstanceNorm3d(4), nn.AdaptiveAvgPool3d(1), nn.Flatten(),
        )  # fmt: skip
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        return self.fc(self.features(x))


class NormNet(nn.Module):
    """GroupNorm, InstanceNorm with and without parameters, dilated, grouped and asymmetric convolutions."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(3, 8, 3, dilation=2, padding=1), nn.GroupNorm(2, 8), nn.ELU(),
            nn.Conv2d(8, 8, (1, 5), padding=(0, 2), groups=8), nn.InstanceNorm2d(8), nn.PReLU(8),
            nn.Conv2d(8, 16, 3, stride=2, padding="valid", groups=4), nn.InstanceNorm2d(16, affine=True),
            nn.Conv2d(16, 16, 3, padding="same", padding_mode="circular"), nn.GroupNorm(1, 16, affine=False),
            nn.Hardswish(), nn.LPPool2d(2, 2), nn.Conv2d(16, 4, 1), nn.LocalResponseNorm(2), nn.Softmax2d(),
        )  # fmt: skip

    def forward(self, x):
        return self.net(x)


class SuperResolution(nn.Module):
    """PixelShuffle, a scaled residual, and squeeze-and-excitation with `*`."""

    def __init__(self, c=8):
        super().__init__()
        self.head = nn.Conv2d(3, c, 3, padding=1)
        self.body = nn.Sequential(nn.Conv2d(c, c, 3, padding=1), nn.ReLU(), nn.Conv2d(c, c, 3, padding=1))
        self.squeeze = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(c, 2, 1), nn.ReLU(), nn.Conv2d(2, c, 1), nn.Sigmoid()
        )
        self.tail = nn.Sequential(nn.Conv2d(c, 4 * c, 3, padding=1), nn.PixelShuffle(2), nn.Conv2d(c, 3, 3, padding=1))

    def forward(self, x):
        x = self.head(x)
        y = self.body(x)
        return self.tail(x + (y * self.squeeze(y)).mul(0.1))


# ---- Recurrent nets and embeddings.


class LSTMLanguageModel(nn.Module):
    def __init__(self, vocabulary=200, width=16):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.lstm = nn.LSTM(width, 24, num_layers=2, dropout=0.1, batch_first=True)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(24, vocabulary)

    def forward(self, tokens):
        hidden, _ = self.lstm(self.embedding(tokens))
        return self.head(self.drop(hidden))


class GRUClassifier(nn.Module):
    """Bidirectional; classifies by the last hidden states, not by the outputs."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(12, 16, bidirectional=True, batch_first=True)
        self.fc = nn.Linear(32, 4)

    def forward(self, x):
        _, h = self.gru(x, torch.zeros(2, x.size(0), 16))
        return self.fc(torch.cat((h[0], h[1]), dim=-1))


class CellLoop(nn.Module):
    """LSTMCell and GRUCell unrolled in Python, with a state of one's own."""

    def __init__(self):
        super().__init__()
        self.lstm, self.gru, self.rnn = nn.LSTMCell(8, 12), nn.GRUCell(12, 12), nn.RNNCell(12, 6, nonlinearity="relu")

    def forward(self, x):
        h = c = x.new_zeros(x.size(1), 12)
        g, r = x.new_zeros(x.size(1), 12), None
        for t in range(x.size(0)):
            h, c = self.lstm(x[t], (h, c))
            g = self.gru(h, g)
            r = self.rnn(g, r)
        return r


class ProjectedLSTM(nn.Module):
    """An LSTM with a projection, without a batch; and a plain RNN of ReLUs, time first."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(8, 16, proj_size=4)
        self.rnn = nn.RNN(4, 6, num_layers=2, nonlinearity="relu")

    def forward(self, x):
        return self.rnn(self.lstm(x)[0])[0]


class BagOfWords(nn.Module):
    def __init__(self):
        super().__init__()
        self.bag = nn.EmbeddingBag(300, 16, mode="mean")
        self.user = nn.Embedding(50, 16, padding_idx=0)
        self.bilinear = nn.Bilinear(16, 16, 8)
        self.similarity = nn.CosineSimilarity(dim=1)

    def forward(self, words, users):
        w, u = self.bag(words), self.user(users)
        return self.bilinear(w, u).sum(1) + self.similarity(w, u)


# ---- Attention in all its spellings.


class Causal(nn.Module):
    """nanoGPT's attention by hand: `@`, masked_fill, F.softmax; then F.scaled_dot_product_attention and einsum."""

    def __init__(self, width=32, heads=4, how="manual"):
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.heads, self.how = heads, how
        self.register_buffer("mask", torch.tril(torch.ones(16, 16)).view(1, 1, 16, 16))

    def forward(self, x):
        b, t, c = x.size()
        q, k, v = (y.view(b, t, self.heads, -1).transpose(1, 2) for y in self.qkv(x).split(c, dim=2))
        if self.how == "sdpa":
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        elif self.how == "einsum":
            weights = torch.einsum("bhqd,bhkd->bhqk", q, k) * q.size(-1) ** -0.5
            y = torch.einsum("bhqk,bhkd->bhqd", weights.softmax(dim=-1), v)
        else:
            weights = (q @ k.transpose(-2, -1)) * (1.0 / k.size(-1) ** 0.5)
            weights = weights.masked_fill(self.mask[:, :, :t, :t] == 0, float("-inf"))
            y = F.softmax(weights, dim=-1) @ v
        return self.proj(y.transpose(1, 2).contiguous().view(b, t, c))


class GPTBlock(nn.Module):
    """Pre-norm blocks with learned positions and a tied head, as in nanoGPT."""

    def __init__(self, vocabulary=100, width=32, layers=2):
        super().__init__()
        self.transformer = nn.ModuleDict({
            "wte": nn.Embedding(vocabulary, width),
            "wpe": nn.Embedding(16, width),
            "h": nn.ModuleList(
                nn.ModuleDict({
                    "ln_1": nn.LayerNorm(width),
                    "attn": Causal(width),
                    "ln_2": nn.LayerNorm(width),
                    "mlp": nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)),
                })
                for _ in range(layers)
            ),
            "ln_f": nn.LayerNorm(width),
        })  # fmt: skip
        self.lm_head = nn.Linear(width, vocabulary, bias=False)
        self.transformer.wte.weight = self.lm_head.weight

    def forward(self, tokens):
        t = self.transformer
        x = t.wte(tokens) + t.wpe(torch.arange(tokens.size(1)))
        for block in t.h:
            x = x + block.attn(block.ln_1(x))
            x = x + block.mlp(block.ln_2(x))
        return self.lm_head(t.ln_f(x))


class LlamaBlock(nn.Module):
    """RMSNorm by hand, rotary positions, grouped queries by repeat_interleave, SwiGLU."""

    class Norm(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(width))

        def forward(self, x):
            return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight

    def __init__(self, width=32, heads=4, groups=2):
        super().__init__()
        self.heads, self.groups, self.dim = heads, groups, width // heads
        self.norm1, self.norm2 = self.Norm(width), self.Norm(width)
        self.wq = nn.Linear(width, width, bias=False)
        self.wk = nn.Linear(width, groups * self.dim, bias=False)
        self.wv = nn.Linear(width, groups * self.dim, bias=False)
        self.wo = nn.Linear(width, width, bias=False)
        self.w1, self.w3 = nn.Linear(width, 48, bias=False), nn.Linear(width, 48, bias=False)
        self.w2 = nn.Linear(48, width, bias=False)

    def rotate(self, x):
        half = x.size(-1) // 2
        angles = torch.outer(torch.arange(x.size(-2)), 10000.0 ** -(torch.arange(half) / half))
        a, b = x[..., :half], x[..., half:]
        return torch.cat((a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()), -1)

    def forward(self, x):
        b, t, _ = x.shape
        y = self.norm1(x)
        q = self.rotate(self.wq(y).view(b, t, self.heads, self.dim).transpose(1, 2))
        k = self.rotate(self.wk(y).view(b, t, self.groups, self.dim).transpose(1, 2))
        v = self.wv(y).view(b, t, self.groups, self.dim).transpose(1, 2)
        k, v = (z.repeat_interleave(self.heads // self.groups, dim=1) for z in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, -1)
        x = x + self.wo(y)
        y = self.norm2(x)
        return x + self.w2(F.silu(self.w1(y)) * self.w3(y))


class CrossAttention(nn.Module):
    """nn.MultiheadAttention across two sequences, with keys and values of other widths and a padding mask."""

    def __init__(self, need_weights, batch_first, keywords=False):
        super().__init__()
        self.keywords = keywords
        self.attention = nn.MultiheadAttention(24, 3, batch_first=batch_first)
        self.other = nn.MultiheadAttention(24, 3, kdim=16, vdim=20, bias=False, batch_first=batch_first)
        self.norm = nn.LayerNorm(24)
        self.need_weights = need_weights

    def forward(self, x, memory):
        mask = torch.zeros(memory.size(0), memory.size(1), dtype=torch.bool)
        if not self.attention.batch_first:
            mask = mask.t()
        y, _ = self.attention(x, memory, memory, key_padding_mask=mask, need_weights=self.need_weights)
        key, value = memory[..., :16], memory[..., :20]
        if self.keywords:
            z, _ = self.other(query=x, key=key, value=value, need_weights=self.need_weights)
        else:
            z, _ = self.other(x, key, value, need_weights=self.need_weights)
        return self.norm(x + y + z)


class Seq2Seq(nn.Module):
    """nn.Transformer, time first, with embeddings and a causal mask."""

    def __init__(self, vocabulary=120, width=32):
        super().__init__()
        self.source, self.target = nn.Embedding(vocabulary, width), nn.Embedding(vocabulary, width)
        self.transformer = nn.Transformer(width, 4, 1, 2, 48, dropout=0.1, activation="gelu", norm_first=True)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, src, tgt):
        mask = nn.Transformer.generate_square_subsequent_mask(tgt.size(0))
        return self.head(self.transformer(self.source(src), self.target(tgt), tgt_mask=mask, tgt_is_causal=True))


class Captioner(nn.Module):
    """A convolutional encoder and an nn.TransformerDecoder."""

    def __init__(self, width=32):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, width, 4, stride=4), nn.ReLU(), nn.Flatten(2))
        self.embed = nn.Embedding(80, width)
        layer = nn.TransformerDecoderLayer(width, 4, 64, batch_first=True)
        self.decoder = nn.TransformerDecoder(layer, num_layers=2)
        self.head = nn.Linear(width, 80)

    def forward(self, image, tokens):
        memory = self.backbone(image).transpose(1, 2)
        mask = nn.Transformer.generate_square_subsequent_mask(tokens.size(1))
        return self.head(self.decoder(self.embed(tokens), memory, tgt_mask=mask, tgt_is_causal=True))


class TinyViT(nn.Module):
    """A class token, positions, and an nn.TransformerEncoder: fused in eval without gradients."""

    def __init__(self, width=32):
        super().__init__()
        self.patch = nn.Conv2d(3, width, 4, stride=4)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.zeros(1, 17, width))
        layer = nn.TransformerEncoderLayer(width, 4, 64, activation="gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(width))
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.size(0), -1, -1), x], dim=1) + self.position
        return self.head(self.encoder(x)[:, 0])


class Mixture(nn.Module):
    """A soft mixture of experts: the outputs of a ModuleList stacked and weighted by einsum."""

    def __init__(self, width=16, experts=3):
        super().__init__()
        self.gate = nn.Linear(width, experts, bias=False)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 32), nn.ReLU(), nn.Linear(32, width)) for _ in range(experts)
        )

    def forward(self, x):
        weights = torch.softmax(self.gate(x), dim=-1)
        outputs = torch.stack([expert(x) for expert in self.experts], dim=-1)
        return torch.einsum("bte,btde->btd", weights, outputs)


def random(*shapes):
    return lambda: tuple(torch.randn(shape) for shape in shapes)


def tokens(below, *shapes):
    return lambda: tuple(torch.randint(0, below, shape) for shape in shapes)


def image_and_tokens():
    return torch.randn(2, 3, 16, 16), torch.randint(0, 80, (2, 5))


IMAGE = random((2, 8, 12, 12))
SEQUENCE = random((2, 10, 32))

MODELS = {
    "user/residual_f_relu_plus": (lambda: Residual(lambda x: F.relu(x), lambda x, y: x + y), IMAGE),
    "user/residual_torch_relu_add": (
        lambda: Residual(lambda x: torch.relu(x), lambda x, y: torch.add(x, y)),
        IMAGE,
    ),
    "user/residual_captured": (lambda: Residual(F.relu, torch.add), IMAGE),
    "user/residual_method": (lambda: Residual(lambda x: x.relu(), lambda x, y: x.add(y)), IMAGE),
    "user/residual_module": (lambda: Residual(nn.ReLU(inplace=True), lambda x, y: x.add_(y)), IMAGE),
    "user/operators": (ResidualOperators, random((2, 6, 16))),
    "user/functions": (ResidualFunctions, random((2, 6, 16))),
    "user/methods": (ResidualMethods, random((2, 6, 16))),
    "user/activations": (Activations, random((2, 5, 12))),
    "user/products": (Products, random((2, 5, 16))),
    "user/vector_products": (VectorProducts, random((2, 5, 16))),
    "user/functional_cnn": (FunctionalCNN, random((2, 3, 32, 32))),
    "user/pools_and_pads": (PoolsAndPads, random((1, 3, 16, 16))),
    "user/list_and_dict": (ListAndDict, random((2, 5, 16))),
    "user/subclasses": (Subclasses, random((2, 3, 16, 16))),
    "user/aliases": (Aliases, random((1, 3, 12, 12))),
    "user/keywords": (lambda: Keywords(False), random((2, 16), (2, 16))),
    "user/keywords_leaves": (lambda: Keywords(True), random((2, 16), (2, 16))),
    "user/frozen": (Frozen, random((2, 3, 17, 17))),
    "user/tied_autoencoder": (TiedAutoencoder, random((3, 64))),
    "user/weight_norm": (WeightNormed, random((2, 4, 20))),
    "user/unet": (UNet, random((1, 3, 32, 32))),
    "user/autoencoder": (Autoencoder, random((2, 1, 28, 28))),
    "user/wgan_generator": (Generator, random((2, 16, 1, 1))),
    "user/tiny_yolo": (TinyYOLO, random((1, 3, 64, 64))),
    "user/pointnet": (PointNet, random((2, 3, 50))),
    "user/conv3d_net": (Conv3dNet, random((1, 1, 8, 12, 12))),
    "user/norms": (NormNet, random((2, 3, 20, 20))),
    "user/super_resolution": (SuperResolution, random((1, 3, 12, 12))),
    "user/lstm_lm": (LSTMLanguageModel, tokens(200, (3, 9))),
    "user/gru_classifier": (GRUClassifier, random((4, 7, 12))),
    "user/cell_loop": (CellLoop, random((5, 2, 8))),
    "user/projected_lstm": (ProjectedLSTM, random((6, 2, 8))),
    "user/bag_of_words": (BagOfWords, lambda: (torch.randint(0, 300, (4, 6)), torch.randint(0, 50, (4,)))),
    "user/causal_manual": (Causal, SEQUENCE),
    "user/causal_sdpa": (lambda: Causal(how="sdpa"), SEQUENCE),
    "user/einsum_attention": (lambda: Causal(how="einsum"), SEQUENCE),
    "user/nano_gpt": (GPTBlock, tokens(100, (2, 12))),
    "user/llama_block": (LlamaBlock, SEQUENCE),
    "user/cross_attention": (lambda: CrossAttention(False, True), random((2, 6, 24), (2, 9, 24))),
    "user/cross_attention_weights": (lambda: CrossAttention(True, True), random((2, 6, 24), (2, 9, 24))),
    "user/cross_attention_keywords": (
        lambda: CrossAttention(True, True, keywords=True),
        random((2, 6, 24), (2, 9, 24)),
    ),
    "user/cross_attention_time_first": (lambda: CrossAttention(True, False), random((6, 2, 24), (9, 2, 24))),
    "user/seq2seq": (Seq2Seq, tokens(120, (7, 2), (5, 2))),
    "user/captioner": (Captioner, image_and_tokens),
    "user/tiny_vit": (TinyViT, random((2, 3, 16, 16))),
    "user/soft_experts": (Mixture, random((2, 6, 16))),
}

LAYERS = set(MODELS)
