"""Styles of models that the other zoos have few of, one of each, small.

    python tests/corpus/regenerate.py OUT --zoo tests/corpus/zoo_wide.py
"""
import math

import torch
import torch.nn.functional as F
from torch import nn


class Detector(nn.Module):
    """A pyramid, one head for all levels, and a DETR-like decoder with learned queries."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.down = nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True))
        self.lateral = nn.ModuleList([nn.Conv2d(8, 16, 1), nn.Conv2d(16, 16, 1)])
        self.head = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.GroupNorm(4, 16), nn.ReLU(), nn.Conv2d(16, 6, 3, padding=1))
        self.query = nn.Embedding(5, 16)
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(16, 2, 32, batch_first=True), 1, nn.LayerNorm(16))
        self.boxes = nn.Linear(16, 4)

    def pyramid(self, x):
        a = self.stem(x)
        b = self.down(a)
        top = self.lateral[1](b)
        return [self.lateral[0](a) + F.interpolate(top, scale_factor=2, mode="nearest"), top]

    def forward(self, x):
        levels = self.pyramid(x)
        dense = torch.cat([self.head(level).flatten(2) for level in levels], dim=2)
        memory = levels[1].flatten(2).transpose(1, 2)
        queries = self.query.weight.unsqueeze(0).expand(x.shape[0], -1, -1)
        return dense.sigmoid(), self.boxes(self.decoder(queries, memory)).sigmoid()


class ResBlock(nn.Module):
    def __init__(self, a, b, time):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(4, a), nn.Conv2d(a, b, 3, padding=1)
        self.time = nn.Linear(time, b)
        self.norm2, self.conv2 = nn.GroupNorm(4, b), nn.Conv2d(b, b, 3, padding=1)
        self.skip = nn.Conv2d(a, b, 1) if a != b else nn.Identity()

    def forward(self, x, t):
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + self.time(F.silu(t))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return h + self.skip(x)


class SpatialAttention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm, self.qkv, self.proj = nn.GroupNorm(4, c), nn.Conv1d(c, 3 * c, 1), nn.Conv1d(c, c, 1)

    def forward(self, x):
        b, c, h, w = x.shape
        q, k, v = self.qkv(self.norm(x).reshape(b, c, h * w)).chunk(3, dim=1)
        weight = torch.einsum("bct,bcs->bts", q * c**-0.5, k).softmax(-1)
        return x + self.proj(torch.einsum("bts,bcs->bct", weight, v)).reshape(b, c, h, w)


class DiffusionUNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.time = nn.Sequential(nn.Linear(8, 16), nn.SiLU(), nn.Linear(16, 16))
        self.inp = nn.Conv2d(3, 8, 3, padding=1)
        self.a, self.down, self.b = ResBlock(8, 8, 16), nn.Conv2d(8, 8, 3, 2, 1), ResBlock(8, 16, 16)
        self.mid = SpatialAttention(16)
        self.up, self.c = nn.ConvTranspose2d(16, 16, 4, 2, 1), ResBlock(24, 8, 16)
        self.out = nn.Sequential(nn.GroupNorm(4, 8), nn.SiLU(), nn.Conv2d(8, 3, 3, padding=1))

    def forward(self, x, t):
        f = torch.exp(-math.log(10000) * torch.arange(4, device=x.device) / 4)
        t = t[:, None].float() * f[None]
        t = self.time(torch.cat([t.sin(), t.cos()], dim=-1))
        a = self.a(self.inp(x), t)
        h = self.mid(self.b(self.down(a), t))
        return self.out(self.c(torch.cat([self.up(h), a], dim=1), t))


class Vocoder(nn.Module):
    """HiFi-GAN: weight norm, leaky ReLU, transposed convolutions, sums of branches divided by their number."""

    def __init__(self):
        super().__init__()
        norm = torch.nn.utils.parametrizations.weight_norm
        self.pre = norm(nn.Conv1d(10, 16, 7, padding=3))
        self.up = norm(nn.ConvTranspose1d(16, 8, 4, 2, 1))
        self.branches = nn.ModuleList([norm(nn.Conv1d(8, 8, k, padding=k // 2)) for k in (3, 5)])
        self.post = nn.Conv1d(8, 1, 7, padding=3)

    def forward(self, x):
        x = F.leaky_relu(self.up(F.leaky_relu(self.pre(x), 0.1)), 0.1)
        total = None
        for branch in self.branches:
            total = branch(x) if total is None else total + branch(x)
        return torch.tanh(self.post(total / len(self.branches)))


class Conformer(nn.Module):
    def __init__(self, c=16):
        super().__init__()
        self.sub = nn.Sequential(nn.Conv2d(1, 4, 3, 2), nn.ReLU(), nn.Conv2d(4, 4, 3, 2), nn.ReLU())
        self.inp = nn.Linear(4 * 4, c)
        self.ff1 = nn.Sequential(nn.LayerNorm(c), nn.Linear(c, 4 * c), nn.SiLU(), nn.Dropout(0.1), nn.Linear(4 * c, c))
        self.norm, self.attn = nn.LayerNorm(c), nn.MultiheadAttention(c, 4, batch_first=True)
        self.cnorm, self.pw1, self.dw = nn.LayerNorm(c), nn.Conv1d(c, 2 * c, 1), nn.Conv1d(c, c, 5, padding=2, groups=c)
        self.bn, self.pw2, self.final = nn.BatchNorm1d(c), nn.Conv1d(c, c, 1), nn.LayerNorm(c)

    def forward(self, mel):
        x = self.sub(mel.unsqueeze(1))
        x = self.inp(x.transpose(1, 2).flatten(2))
        x = x + 0.5 * self.ff1(x)
        y = self.norm(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        y = F.glu(self.pw1(self.cnorm(x).transpose(1, 2)), dim=1)
        x = x + self.pw2(F.silu(self.bn(self.dw(y)))).transpose(1, 2)
        return self.final(x)


class StateSpace(nn.Module):
    """Mamba as its reference writes it: causal depthwise convolution, softplus, a scan in Python."""

    def __init__(self, d=8, n=4):
        super().__init__()
        self.in_proj = nn.Linear(d, 4 * d, bias=False)
        self.conv1d = nn.Conv1d(2 * d, 2 * d, 4, groups=2 * d, padding=3)
        self.x_proj, self.dt_proj = nn.Linear(2 * d, 2 + 2 * n, bias=False), nn.Linear(2, 2 * d)
        self.A_log, self.D = nn.Parameter(torch.rand(2 * d, n)), nn.Parameter(torch.ones(2 * d))
        self.out_proj, self.n = nn.Linear(2 * d, d, bias=False), n

    def forward(self, x):
        b, length, _ = x.shape
        x, z = self.in_proj(x).chunk(2, dim=-1)
        x = F.silu(self.conv1d(x.transpose(1, 2))[..., :length].transpose(1, 2))
        dt, B, C = torch.split(self.x_proj(x), [2, self.n, self.n], dim=-1)
        dt = F.softplus(self.dt_proj(dt))
        A = -torch.exp(self.A_log.float())
        dA = torch.exp(torch.einsum("bld,dn->bldn", dt, A))
        dBx = torch.einsum("bld,bln,bld->bldn", dt, B, x)
        h, ys = x.new_zeros(b, x.shape[-1], self.n), []
        for i in range(length):
            h = dA[:, i] * h + dBx[:, i]
            ys.append(torch.einsum("bdn,bn->bd", h, C[:, i]))
        y = torch.stack(ys, dim=1) + x * self.D
        return self.out_proj(y * F.silu(z))


class Expert(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.w1, self.w2, self.w3 = nn.Linear(d, 2 * d, bias=False), nn.Linear(2 * d, d, bias=False), nn.Linear(d, 2 * d, bias=False)

    def forward(self, x):
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class Routed(nn.Module):
    """Top-2 routing with dense dispatch, and an expert that everyone shares; the block returns its losses, too."""

    def __init__(self, d=8, experts=3):
        super().__init__()
        self.gate = nn.Linear(d, experts, bias=False)
        self.experts = nn.ModuleList([Expert(d) for _ in range(experts)])
        self.shared = Expert(d)

    def forward(self, x):
        scores = F.softmax(self.gate(x), dim=-1)
        top, index = torch.topk(scores, 2, dim=-1)
        top = top / top.sum(-1, keepdim=True)
        mask = F.one_hot(index, len(self.experts)).to(x.dtype)
        weight = torch.einsum("...k,...ke->...e", top, mask)
        out = torch.stack([e(x) for e in self.experts], dim=-1)
        return torch.einsum("bsde,bse->bsd", out, weight) + self.shared(x), scores.mean((0, 1))


class MixtureOfExperts(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.moe, self.norm = nn.Embedding(20, 8), Routed(), nn.RMSNorm(8)
        self.head = nn.Linear(8, 20, bias=False)

    def forward(self, ids):
        x = self.embed(ids)
        y, aux = self.moe(self.norm(x))
        return self.head(x + y), aux


class CachedAttention(nn.Module):
    def __init__(self, d=16, heads=4, kv=2):
        super().__init__()
        self.h, self.kv, self.d = heads, kv, d // heads
        self.q_proj, self.o_proj = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False)
        self.k_proj, self.v_proj = nn.Linear(d, kv * self.d, bias=False), nn.Linear(d, kv * self.d, bias=False)

    def forward(self, x, past):
        b, s, _ = x.shape
        q = self.q_proj(x).view(b, s, self.h, self.d).transpose(1, 2)
        k = self.k_proj(x).view(b, s, self.kv, self.d).transpose(1, 2)
        v = self.v_proj(x).view(b, s, self.kv, self.d).transpose(1, 2)
        k, v = torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)
        y = F.scaled_dot_product_attention(q, k.repeat_interleave(2, 1), v.repeat_interleave(2, 1))
        return self.o_proj(y.transpose(1, 2).reshape(b, s, -1)), (k, v)


class CachedDecoder(nn.Module):
    """One step of a decoder with grouped keys: caches come in and go out."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(30, 16)
        self.attn, self.norm = CachedAttention(), nn.RMSNorm(16)
        self.mlp = nn.Sequential(nn.Linear(16, 32), nn.GELU(approximate="tanh"), nn.Linear(32, 16))

    def forward(self, ids, key, value):
        x = self.embed(ids)
        y, cache = self.attn(self.norm(x), (key, value))
        x = x + y
        x = x + self.mlp(x)
        return F.linear(x, self.embed.weight), *cache


class QuantLinear(nn.Module):
    """Weights in int8 with a scale; activations rounded with a straight-through estimator."""

    def __init__(self, a, b):
        super().__init__()
        self.register_buffer("weight", torch.randint(-127, 127, (b, a), dtype=torch.int8))
        self.register_buffer("scale", torch.rand(b, 1))
        self.bias = nn.Parameter(torch.zeros(b))

    def forward(self, x):
        q = torch.clamp(torch.round(x / 0.1), -128, 127) * 0.1
        x = x + (q - x).detach()
        return F.linear(x, self.weight.float() * self.scale, self.bias)


class Quantised(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = QuantLinear(12, 16), QuantLinear(16, 4)
        self.conv = nn.Conv1d(4, 6, 3)

    def forward(self, x):
        x = self.b(F.relu6(self.a(x)))
        x = torch.fake_quantize_per_tensor_affine(x, 0.05, 0, -128, 127)
        return self.conv(x.permute(0, 2, 1))


class LinearAttention(nn.Module):
    """RetNet and RWKV have such: time shift, sigmoid gates, a decay mask, cumulated sums."""

    def __init__(self, d=8):
        super().__init__()
        self.mix = nn.Parameter(torch.rand(1, 1, d))
        self.r, self.k, self.v, self.o = (nn.Linear(d, d, bias=False) for _ in range(4))
        self.shift, self.norm = nn.ZeroPad2d((0, 0, 1, -1)), nn.GroupNorm(2, d)

    def forward(self, x):
        shifted = self.shift(x)
        x = x * self.mix + shifted * (1 - self.mix)
        r, k, v = torch.sigmoid(self.r(x)), self.k(x).exp(), self.v(x)
        kv = torch.cumsum(k.unsqueeze(-1) * v.unsqueeze(-2), dim=1)
        z = torch.cumsum(k, dim=1)
        y = (r.unsqueeze(-2) @ kv).squeeze(-2) / (r * z).sum(-1, keepdim=True)
        return self.o(self.norm(y.transpose(1, 2)).transpose(1, 2))


class Perceiver(nn.Module):
    def __init__(self):
        super().__init__()
        self.latents = nn.Parameter(torch.randn(4, 16))
        self.cross = nn.MultiheadAttention(16, 2, kdim=6, vdim=6, batch_first=True)
        self.self = nn.TransformerEncoderLayer(16, 2, 24, activation="gelu", batch_first=True, norm_first=True)
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        z = self.latents.expand(x.size(0), -1, -1)
        z, _ = self.cross(z, x, x)
        return self.head(self.self(z).mean(dim=1))


class Messages(nn.Module):
    """A graph network over an edge list: gather, scatter, a GRU cell as update."""

    def __init__(self, d=8):
        super().__init__()
        self.message = nn.Sequential(nn.Linear(2 * d, d), nn.ReLU(), nn.Linear(d, d))
        self.update = nn.GRUCell(d, d)
        self.read = nn.Linear(d, 2)

    def forward(self, x, edges):
        for _ in range(2):
            source, target = edges[0], edges[1]
            m = self.message(torch.cat([x[source], x[target]], dim=-1))
            total = torch.zeros_like(x).scatter_add(0, target[:, None].expand(-1, x.shape[1]), m)
            x = self.update(total, x)
        return self.read(x.mean(0))


class Patches(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.proj, self.norm = nn.Conv2d(3, d, 4, 4), nn.LayerNorm(d)

    def forward(self, x):
        x = self.proj(x)
        h, w = x.shape[2:]
        return self.norm(x.flatten(2).transpose(1, 2)), (h, w)


class Grid(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.proj = nn.Linear(2, d)

    def forward(self, h, w):
        y, x = torch.meshgrid(torch.linspace(0, 1, h), torch.linspace(0, 1, w), indexing="ij")
        return self.proj(torch.stack([y, x], dim=-1).flatten(0, 1))


class SizedBlock(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.norm, self.dw, self.fc = nn.LayerNorm(d), nn.Conv2d(d, d, 3, padding=1, groups=d), nn.Linear(d, d)

    def forward(self, x, h, w):
        b, n, c = x.shape
        y = self.dw(self.norm(x).transpose(1, 2).reshape(b, c, h, w))
        return x + self.fc(y.flatten(2).transpose(1, 2))


class SizesShown(nn.Module):
    """Integers beside tensors, where the lines show them."""

    def __init__(self, d=8):
        super().__init__()
        self.patches, self.grid, self.block, self.head = Patches(d), Grid(d), SizedBlock(d), nn.Linear(d, 3)

    def forward(self, x):
        x, (h, w) = self.patches(x)
        x = x + self.grid(h, w)
        x = self.block(x, h, w)
        return self.head(x.mean(1))


class SizesHidden(nn.Module):
    """The same in a method, whose lines no program has."""

    def __init__(self, d=8, grid=True, sized=True):
        super().__init__()
        self.patches, self.head = Patches(d), nn.Linear(d, 3)
        self.grid = Grid(d) if grid else None
        self.blocks = nn.ModuleList([SizedBlock(d) for _ in range(2 if sized else 0)])

    def features(self, x):
        x, (h, w) = self.patches(x)
        if self.grid is not None:
            x = x + self.grid(h, w)
        for block in self.blocks:
            x = block(x, h, w)
        return x

    def forward(self, x):
        return self.head(self.features(x).mean(1))


class WithNone(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.fc = nn.Linear(d, d)

    def forward(self, x, mask=None, scale=1.0):
        x = self.fc(x) * scale
        return (x, None) if mask is None else (x + mask, mask)


class Optional(nn.Module):
    """Blocks that return None beside a tensor; the result is indexed, in the same line or later."""

    def __init__(self, d=8, later=True):
        super().__init__()
        self.a, self.b, self.later = WithNone(d), nn.Linear(d, 2), later

    def forward(self, x):
        if self.later:
            out = self.a(x)
            x = out[0] + x
        else:
            x = self.a(x)[0] + x
        return self.b(x)


class UnusedMask(nn.Module):
    """A tensor that a block takes and does not use."""

    def __init__(self, d=8):
        super().__init__()
        self.a, self.b = Expert(d), nn.Linear(d, 2)
        self.ignore = Ignoring(d)

    def forward(self, x, mask):
        return self.b(self.ignore(self.a(x), mask))


class Ignoring(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.fc = nn.Linear(d, d)

    def forward(self, x, mask):
        return self.fc(x)


class Modulated(nn.Module):
    """StyleGAN: weights that a style scales, a grouped convolution over the batch, equalised rates."""

    def __init__(self, c=6, style=4):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, c, c, 3, 3))
        self.affine_weight, self.affine_bias = nn.Parameter(torch.randn(c, style)), nn.Parameter(torch.ones(c))
        self.noise, self.bias = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(c))

    def forward(self, x, w):
        b, c, h, width = x.shape
        s = F.linear(w, self.affine_weight * (1 / math.sqrt(4)), self.affine_bias)
        weight = self.weight * s.view(b, 1, c, 1, 1)
        demod = torch.rsqrt(weight.pow(2).sum([2, 3, 4]) + 1e-8)
        weight = (weight * demod.view(b, c, 1, 1, 1)).view(b * c, c, 3, 3)
        y = F.conv2d(x.reshape(1, b * c, h, width), weight, padding=1, groups=b).view(b, c, h, width)
        return F.leaky_relu(y + self.bias.view(1, -1, 1, 1), 0.2) * math.sqrt(2)


class Style(nn.Module):
    def __init__(self):
        super().__init__()
        self.const = nn.Parameter(torch.randn(1, 6, 4, 4))
        self.mapping = nn.Sequential(*[m for _ in range(2) for m in (nn.Linear(4, 4), nn.LeakyReLU(0.2))])
        self.conv1, self.conv2, self.rgb = Modulated(), Modulated(), nn.Conv2d(6, 3, 1)

    def forward(self, z):
        w = self.mapping(F.normalize(z, dim=1))
        x = self.conv1(self.const.repeat(z.shape[0], 1, 1, 1), w)
        x = self.conv2(F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False), w)
        return self.rgb(x).clamp(-1, 1)


class Radiance(nn.Module):
    def __init__(self, d=16):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3 + 12, d), nn.Linear(d, d), nn.Linear(d + 15, d)])
        self.sigma, self.rgb = nn.Linear(d, 1), nn.Linear(d + 3, 3)

    def forward(self, x, d):
        e = torch.cat([x] + [f(2**i * x) for i in range(2) for f in (torch.sin, torch.cos)], dim=-1)
        h = e
        for i, layer in enumerate(self.layers):
            if i == 2:
                h = torch.cat([h, e], -1)
            h = F.relu(layer(h))
        alpha = 1 - torch.exp(-F.relu(self.sigma(h)))
        t = torch.cumprod(1 - alpha + 1e-10, dim=0)
        return (t * alpha * torch.sigmoid(self.rgb(torch.cat([h, d], -1)))).sum(0)


class Quantizer(nn.Module):
    """VQ-VAE: distances by sums and products, argmin, straight-through; the block returns a tuple."""

    def __init__(self, n=8, d=4):
        super().__init__()
        self.embedding = nn.Embedding(n, d)

    def forward(self, z):
        flat = z.permute(0, 2, 3, 1).reshape(-1, z.shape[1])
        e = self.embedding.weight
        d = flat.pow(2).sum(1, keepdim=True) + e.pow(2).sum(1) - 2 * flat @ e.t()
        index = torch.argmin(d, dim=1)
        q = self.embedding(index).view(z.shape[0], *z.shape[2:], -1).permute(0, 3, 1, 2).contiguous()
        loss = F.mse_loss(q.detach(), z) + 0.25 * F.mse_loss(q, z.detach())
        return z + (q - z).detach(), loss, index


class Autoencoding(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc = nn.Sequential(nn.Conv2d(1, 8, 4, 2, 1), nn.ELU(), nn.Conv2d(8, 4, 1))
        self.vq = Quantizer()
        self.dec = nn.Sequential(nn.ConvTranspose2d(4, 8, 4, 2, 1), nn.ELU(), nn.Conv2d(8, 1, 3, padding=1))

    def forward(self, x):
        q, loss, _ = self.vq(self.enc(x))
        return self.dec(q), loss


class Variational(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc, self.mu, self.logvar, self.dec = nn.Linear(20, 16), nn.Linear(16, 4), nn.Linear(16, 4), nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 20))

    def encode(self, x):
        h = F.elu(self.enc(x))
        return self.mu(h), self.logvar(h)

    def forward(self, x):
        mu, logvar = self.encode(x)
        z = mu + torch.exp(0.5 * logvar) * 0.5
        kl = -0.5 * torch.mean(1 + logvar - mu.pow(2) - logvar.exp())
        return torch.sigmoid(self.dec(z)), kl


class Spectral(nn.Module):
    """Spectral norm in both its forms, and weight norm's older hook."""

    def __init__(self):
        super().__init__()
        self.a = nn.utils.spectral_norm(nn.Conv2d(3, 6, 3))
        self.b = nn.utils.parametrizations.spectral_norm(nn.Linear(6, 5))
        self.c = nn.utils.weight_norm(nn.Linear(5, 4))

    def forward(self, x):
        return self.c(F.leaky_relu(self.b(self.a(x).mean([2, 3]))))


class Chomp(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.n = n

    def forward(self, x):
        return x[:, :, : -self.n].contiguous()


class Temporal(nn.Module):
    def __init__(self):
        super().__init__()
        layers = []
        for i, (a, b) in enumerate([(4, 6), (6, 6)]):
            d = 2**i
            layers.append(nn.Sequential(nn.Conv1d(a, b, 3, padding=2 * d, dilation=d), Chomp(2 * d), nn.PReLU(), nn.Dropout(0.2)))
        self.network = nn.Sequential(*layers)
        self.linear = nn.Linear(6, 3)

    def forward(self, x):
        return F.log_softmax(self.linear(self.network(x)[:, :, -1]), dim=1)


class ConvLSTM(nn.Module):
    def __init__(self, c=4):
        super().__init__()
        self.conv, self.c = nn.Conv2d(2 + c, 4 * c, 3, padding=1), c

    def forward(self, x):
        b, t, _, h, w = x.size()
        s = torch.zeros(b, self.c, h, w, device=x.device)
        m = torch.zeros_like(s)
        for i in range(t):
            a, f, o, g = torch.split(self.conv(torch.cat((x[:, i], s), 1)), self.c, dim=1)
            m = torch.sigmoid(f) * m + torch.sigmoid(a) * torch.tanh(g)
            s = torch.sigmoid(o) * torch.tanh(m)
        return s


class Capsules(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 5, 3)
        self.W = nn.Parameter(torch.randn(1, 3, 8, 4, 4))

    def forward(self, x):
        u = self.conv(x).view(x.size(0), -1, 4)[:, :8]
        u = u / u.norm(dim=-1, keepdim=True)
        hat = torch.matmul(self.W, u[:, None, :, :, None]).squeeze(-1)
        b = torch.zeros(x.size(0), 3, 8, 1)
        for _ in range(2):
            c = F.softmax(b, dim=1)
            s = (c * hat).sum(dim=2, keepdim=True)
            v = s * torch.linalg.norm(s, dim=-1, keepdim=True)
            b = b + torch.matmul(hat, v.transpose(-1, -2))
        return v.squeeze(2)


class Rotary(nn.Module):
    """Rotation by complex numbers, grouped queries by the operator's own flag."""

    def __init__(self, d=16, heads=4):
        super().__init__()
        self.qkv, self.o, self.h, self.d = nn.Linear(d, 2 * d, bias=False), nn.Linear(d, d, bias=False), heads, d // heads
        t = torch.outer(torch.arange(6).float(), 1 / 100 ** (torch.arange(0, 4, 2) / 4))
        self.register_buffer("cos", t.cos().repeat_interleave(2, 1), persistent=False)
        self.register_buffer("sin", t.sin().repeat_interleave(2, 1), persistent=False)

    def rotate(self, x):
        a, b = x[..., ::2], x[..., 1::2]
        return x * self.cos + torch.stack((-b, a), dim=-1).flatten(-2) * self.sin

    def forward(self, x):
        b, s, _ = x.shape
        q, k, v = self.qkv(x).split([16, 8, 8], dim=2)
        q = self.rotate(q.view(b, s, self.h, self.d).transpose(1, 2))
        k = self.rotate(k.view(b, s, 2, self.d).transpose(1, 2))
        v = v.view(b, s, 2, self.d).transpose(1, 2)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return self.o(y.transpose(1, 2).contiguous().view(b, s, -1))


class TwoTowers(nn.Module):
    def __init__(self):
        super().__init__()
        self.image = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 6))
        self.text, self.project = nn.EmbeddingBag(30, 8, mode="mean"), nn.Parameter(torch.randn(8, 6))
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, image, ids):
        a = F.normalize(self.image(image), dim=-1)
        b = self.text(ids) @ self.project
        b = b / b.norm(dim=1, keepdim=True)
        logits = self.scale.exp() * a @ b.t()
        return logits, logits.T


class Old(nn.Module):
    """AlexNet's time: local response norm, overlapping pools, two halves; LP pools and other rare layers."""

    def __init__(self):
        super().__init__()
        self.a, self.lrn = nn.Conv2d(3, 8, 5, padding=2), nn.LocalResponseNorm(5)
        self.pool, self.b = nn.MaxPool2d(3, 2), nn.Conv2d(8, 8, 3, groups=2)
        self.lp, self.fold = nn.LPPool2d(2, 2), nn.Unfold(2)
        self.drop, self.fc = nn.Dropout2d(), nn.Linear(32, 5)
        self.cos, self.pair = nn.CosineSimilarity(dim=1), nn.PairwiseDistance()

    def forward(self, x):
        x = self.pool(self.lrn(F.relu(self.a(x))))
        x = self.drop(self.lp(torch.relu(self.b(x))))
        x = self.fc(self.fold(x).mean(-1))
        return x, self.cos(x, x + 1), self.pair(x, x * 2)


class Indexed(nn.Module):
    """Parts of a Sequential called by index and slice, a ModuleDict, a norm used twice."""

    def __init__(self, d=8):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(d, d), nn.ReLU(), nn.Linear(d, d), nn.Tanh())
        self.heads = nn.ModuleDict({"cls": nn.Linear(d, 3), "box": nn.Linear(d, 4)})
        self.norm = nn.LayerNorm(d)

    def forward(self, x):
        x = self.norm(self.net[:2](x))
        for layer in self.net[2:]:
            x = layer(x)
        x = self.norm(self.net[0](x))
        return {name: head(x) for name, head in self.heads.items()}


class StandardConv(nn.Conv2d):
    def forward(self, x):
        mean = self.weight.mean(dim=[1, 2, 3], keepdim=True)
        std = self.weight.std(dim=[1, 2, 3], keepdim=True)
        return F.conv2d(x, (self.weight - mean) / (std + 1e-5), self.bias, self.stride, self.padding)


class FirstNorm(nn.LayerNorm):
    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Derived(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.n = StandardConv(3, 8, 3, 2), FirstNorm(8)
        self.act, self.e = nn.Hardswish(), nn.Linear(8, 8)

    def forward(self, x):
        x = self.act(self.n(self.a(x)))
        s = F.hardsigmoid(self.e(F.adaptive_avg_pool2d(x, 1).flatten(1)))
        return x * s[:, :, None, None]


class Involution(nn.Module):
    def __init__(self, c=4):
        super().__init__()
        self.reduce, self.span = nn.Conv2d(c, 2, 1), nn.Conv2d(2, 9, 1)
        self.unshuffle, self.unfold = nn.PixelUnshuffle(2), nn.Unfold(3, padding=1)
        self.pad, self.norm = nn.ReflectionPad2d(1), nn.InstanceNorm2d(c)

    def forward(self, x):
        x = self.unshuffle(x)
        b, c, h, w = x.shape
        k = self.span(self.reduce(x)).view(b, 1, 9, h, w)
        y = (k * self.unfold(x).view(b, c, 9, h, w)).sum(dim=2)
        return F.avg_pool2d(self.norm(self.pad(y)), 2)


class Fused(nn.Module):
    """Operators that multiply and add at once."""

    def __init__(self, d=6):
        super().__init__()
        self.hyper, self.w, self.b = nn.Linear(d, d * d), nn.Parameter(torch.randn(d, d)), nn.Parameter(torch.randn(d))

    def forward(self, x):
        k = self.hyper(x.mean(1)).view(-1, 6, 6)
        y = torch.baddbmm(x, x, k)
        y = torch.addcmul(y, x, x, value=0.5)
        y = torch.lerp(y, x, 0.3) + torch.addmm(self.b, x[:, 0], self.w)[:, None]
        return torch.bmm(y, k.mT), torch.addmv(self.b, self.w, self.b), torch.addbmm(self.w, y[:, :6].mT, y[:, :6])


class Conditional(nn.Module):
    """FiLM, ConvNeXt's block with a layer scale, drop path, global response norm."""

    def __init__(self, c=8):
        super().__init__()
        self.dw, self.norm, self.film = nn.Conv2d(c, c, 7, padding=3, groups=c), nn.LayerNorm(c, eps=1e-6), nn.Linear(3, 2 * c)
        self.up, self.act, self.down = nn.Linear(c, 4 * c), nn.GELU(), nn.Linear(4 * c, c)
        self.g, self.gamma, self.path = nn.Parameter(torch.zeros(1, 1, 1, 4 * c)), nn.Parameter(torch.ones(c)), nn.Identity()

    def forward(self, x, cond):
        y = self.norm(self.dw(x).permute(0, 2, 3, 1))
        scale, shift = self.film(cond)[:, None, None].chunk(2, dim=-1)
        y = self.act(self.up(torch.addcmul(shift, y, 1 + scale)))
        n = torch.norm(y, p=2, dim=(1, 2), keepdim=True)
        y = self.g * (y * (n / (n.mean(dim=-1, keepdim=True) + 1e-6))) + y
        return x + self.path((self.gamma * self.down(y)).permute(0, 3, 1, 2))


class Scores(nn.Module):
    """A linear chain's forward algorithm, and Transformer with masks."""

    def __init__(self, d=8, tags=3):
        super().__init__()
        self.embed, self.rnn, self.emit = nn.Embedding(20, d), nn.LSTM(d, d // 2, bidirectional=True, batch_first=True), nn.Linear(d, tags)
        self.trans = nn.Parameter(torch.randn(tags, tags))

    def forward(self, ids):
        x, _ = self.rnn(self.embed(ids))
        e = self.emit(x)
        a = e[:, 0]
        for i in range(1, e.shape[1]):
            a = torch.logsumexp(a.unsqueeze(2) + self.trans, dim=1) + e[:, i]
        return torch.logsumexp(a, dim=1)


class Translator(nn.Module):
    def __init__(self, d=8):
        super().__init__()
        self.src, self.tgt, self.pos = nn.Embedding(20, d), nn.Embedding(20, d), nn.Parameter(torch.randn(1, 10, d))
        self.net = nn.Transformer(d, 2, 1, 1, 16, batch_first=True)
        self.out = nn.Linear(d, 20)

    def forward(self, src, tgt):
        mask = torch.triu(torch.full((tgt.shape[1], tgt.shape[1]), float("-inf")), 1)
        s = self.src(src) * math.sqrt(8) + self.pos[:, : src.shape[1]]
        return self.out(self.net(s, self.tgt(tgt) + self.pos[:, : tgt.shape[1]], tgt_mask=mask))


class Seq2Seq(nn.Module):
    """A bidirectional GRU encoder, a decoder of cells with additive attention."""

    def __init__(self, d=6):
        super().__init__()
        self.embed, self.enc = nn.Embedding(15, d), nn.GRU(d, d, batch_first=True, bidirectional=True)
        self.bridge, self.cell = nn.Linear(2 * d, d), nn.LSTMCell(3 * d, d)
        self.Wa, self.Ua, self.va, self.out = nn.Linear(d, d), nn.Linear(2 * d, d), nn.Linear(d, 1, bias=False), nn.Linear(d, 15)

    def forward(self, src, tgt):
        memory, h = self.enc(self.embed(src))
        h = torch.tanh(self.bridge(torch.cat([h[-2], h[-1]], dim=1)))
        c, outs = torch.zeros_like(h), []
        for t in range(tgt.size(1)):
            score = self.va(torch.tanh(self.Wa(h).unsqueeze(1) + self.Ua(memory)))
            context = (F.softmax(score, dim=1) * memory).sum(1)
            h, c = self.cell(torch.cat([self.embed(tgt[:, t]), context], -1), (h, c))
            outs.append(self.out(h))
        return torch.stack(outs, 1)


class Windows(nn.Module):
    """Shifted windows with a table of relative positions, by hand."""

    def __init__(self, d=8, ws=4):
        super().__init__()
        self.norm, self.qkv, self.proj, self.ws = nn.LayerNorm(d), nn.Linear(d, 3 * d), nn.Linear(d, d), ws
        self.table = nn.Parameter(torch.zeros((2 * ws - 1) ** 2, 2))
        c = torch.stack(torch.meshgrid([torch.arange(ws)] * 2, indexing="ij")).flatten(1)
        r = (c[:, :, None] - c[:, None]).permute(1, 2, 0) + ws - 1
        self.register_buffer("index", r[..., 0] * (2 * ws - 1) + r[..., 1])
        self.mlp = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))

    def windows(self, x):
        b, h, w, c = x.shape
        x = x.view(b, h // self.ws, self.ws, w // self.ws, self.ws, c)
        return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, self.ws**2, c)

    def forward(self, x):
        b, h, w, c = x.shape
        y = self.windows(torch.roll(self.norm(x), (-2, -2), (1, 2)))
        q, k, v = self.qkv(y).reshape(-1, self.ws**2, 3, 2, c // 2).permute(2, 0, 3, 1, 4).unbind(0)
        a = (q * 0.5) @ k.transpose(-2, -1)
        a = a + self.table[self.index.view(-1)].view(16, 16, -1).permute(2, 0, 1).unsqueeze(0)
        y = self.proj((a.softmax(dim=-1) @ v).transpose(1, 2).reshape(-1, 16, c))
        y = y.view(b, h // 4, w // 4, 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(b, h, w, c)
        x = x + torch.roll(y, (2, 2), (1, 2))
        return x + self.mlp(x)


def r(*shapes):
    return lambda: tuple(torch.randn(*shape) for shape in shapes)


def ids(below, *shapes):
    return lambda: tuple(torch.randint(1, below, shape) for shape in shapes)


MODELS = {
    "wide/detector": (Detector, r((1, 3, 32, 32))),
    "wide/diffusion_unet": (DiffusionUNet, lambda: (torch.randn(2, 3, 8, 8), torch.tensor([3, 40]))),
    "wide/vocoder": (Vocoder, r((1, 10, 12))),
    "wide/conformer": (Conformer, r((2, 20, 19))),
    "wide/state_space": (StateSpace, r((2, 4, 8))),
    "wide/mixture_of_experts": (MixtureOfExperts, ids(20, (2, 5))),
    "wide/cached_decoder": (CachedDecoder, lambda: (torch.randint(1, 30, (2, 1)), torch.randn(2, 2, 6, 4), torch.randn(2, 2, 6, 4))),
    "wide/quantised": (Quantised, r((2, 7, 12))),
    "wide/linear_attention": (LinearAttention, r((2, 5, 8))),
    "wide/perceiver": (Perceiver, r((2, 9, 6))),
    "wide/messages": (Messages, lambda: (torch.randn(5, 8), torch.randint(0, 5, (2, 9)))),
    "wide/sizes_shown": (SizesShown, r((1, 3, 16, 16))),
    "wide/sizes_hidden": (SizesHidden, r((1, 3, 16, 16))),
    "wide/sizes_hidden_blocks": (lambda: SizesHidden(grid=False), r((1, 3, 16, 16))),
    "wide/sizes_hidden_output": (lambda: SizesHidden(grid=False, sized=False), r((1, 3, 16, 16))),
    "wide/optional": (Optional, r((2, 5, 8))),
    "wide/optional_at_once": (lambda: Optional(later=False), r((2, 5, 8))),
    "wide/unused_mask": (UnusedMask, r((2, 5, 8), (2, 5, 1))),
    "wide/style": (Style, r((2, 4))),
    "wide/radiance": (Radiance, r((10, 3), (10, 3))),
    "wide/vq": (Autoencoding, r((1, 1, 8, 8))),
    "wide/variational": (Variational, r((3, 20))),
    "wide/spectral": (Spectral, r((2, 3, 8, 8))),
    "wide/temporal": (Temporal, r((2, 4, 10))),
    "wide/conv_lstm": (ConvLSTM, r((1, 3, 2, 6, 6))),
    "wide/capsules": (Capsules, r((2, 1, 14, 14))),
    "wide/rotary": (Rotary, r((2, 6, 16))),
    "wide/two_towers": (TwoTowers, lambda: (torch.randn(2, 3, 9, 9), torch.randint(1, 30, (2, 5)))),
    "wide/old": (Old, r((2, 3, 13, 13))),
    "wide/indexed": (Indexed, r((2, 5, 8))),
    "wide/derived": (Derived, r((2, 3, 9, 9))),
    "wide/involution": (Involution, r((1, 1, 12, 12))),
    "wide/fused": (Fused, r((2, 7, 6))),
    "wide/conditional": (Conditional, r((2, 8, 6, 6), (2, 3))),
    "wide/scores": (Scores, ids(20, (2, 4))),
    "wide/translator": (Translator, ids(20, (2, 5), (2, 4))),
    "wide/seq2seq": (Seq2Seq, ids(15, (2, 5), (2, 3))),
    "wide/windows": (Windows, r((1, 8, 8, 8))),
}
