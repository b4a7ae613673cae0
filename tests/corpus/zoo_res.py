"""Research code: hypernetworks, flows, solvers, memory networks, graph nets, scans, quantised layers (`res/`)."""
import math
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, rnn
from torch.utils.checkpoint import checkpoint


# ---- KAN
class KANLinear(nn.Module):
    def __init__(self, i, o, grid=5, k=3):
        super().__init__()
        h = 2 / grid
        g = (torch.arange(-k, grid + k + 1) * h - 1).expand(i, -1).contiguous()
        self.register_buffer("grid", g)
        self.base_weight = nn.Parameter(torch.randn(o, i))
        self.spline_weight = nn.Parameter(torch.randn(o, i, grid + k))
        self.spline_scaler = nn.Parameter(torch.randn(o, i))
        self.k, self.base_activation, self.in_features, self.out_features = k, nn.SiLU(), i, o

    def b_splines(self, x):
        grid = self.grid
        x = x.unsqueeze(-1)
        bases = ((x >= grid[:, :-1]) & (x < grid[:, 1:])).to(x.dtype)
        for k in range(1, self.k + 1):
            bases = ((x - grid[:, : -(k + 1)]) / (grid[:, k:-1] - grid[:, : -(k + 1)]) * bases[:, :, :-1]) + (
                (grid[:, k + 1 :] - x) / (grid[:, k + 1 :] - grid[:, 1:(-k)]) * bases[:, :, 1:]
            )
        return bases.contiguous()

    @property
    def scaled(self):
        return self.spline_weight * self.spline_scaler.unsqueeze(-1)

    def forward(self, x):
        base = F.linear(self.base_activation(x), self.base_weight)
        spline = F.linear(self.b_splines(x).view(x.size(0), -1), self.scaled.view(self.out_features, -1))
        return base + spline


class KAN(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(KANLinear(a, b) for a, b in [(6, 5), (5, 3)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


# ---- Hypernetwork
class Hyper(nn.Module):
    def __init__(self):
        super().__init__()
        self.z = nn.Parameter(torch.randn(2, 4))
        self.gen = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 8 * 8 * 9))
        self.stem, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 5)

    def forward(self, x):
        x = F.relu(self.stem(x), inplace=True)
        for i in range(2):
            w = self.gen(self.z[i]).view(8, 8, 3, 3)
            x = F.relu(F.conv2d(x, w, padding=1) + x)
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


# ---- flows
class Coupling(nn.Module):
    def __init__(self, d, flip):
        super().__init__()
        self.flip = flip
        self.net = nn.Sequential(nn.Linear(d // 2, 16), nn.Tanh(), nn.Linear(16, d))

    def forward(self, x):
        a, b = x.chunk(2, dim=1)
        if self.flip:
            a, b = b, a
        s, t = self.net(a).chunk(2, dim=1)
        s = torch.tanh(s)
        b = b * torch.exp(s) + t
        out = torch.cat((b, a) if self.flip else (a, b), dim=1)
        return out, s.sum(dim=1)


class InvConv(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.w = nn.Parameter(torch.linalg.qr(torch.randn(d, d))[0])

    def forward(self, x):
        return x @ self.w.t(), torch.slogdet(self.w)[1]


class Flow(nn.Module):
    def __init__(self, d=6):
        super().__init__()
        self.steps = nn.ModuleList()
        for i in range(3):
            self.steps.append(nn.ModuleDict({"mix": InvConv(d), "couple": Coupling(d, i % 2 == 1)}))

    def forward(self, x):
        logdet = x.new_zeros(x.shape[0])
        for s in self.steps:
            x, ld = s["mix"](x)
            logdet += ld
            x, ld = s["couple"](x)
            logdet = logdet + ld
        logp = -0.5 * (x**2 + math.log(2 * math.pi)).sum(1)
        return logp + logdet


# ---- ODE RK4
class Dynamics(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.f1, self.f2, self.calls = nn.Linear(d + 1, 16), nn.Linear(16, d), 0

    def forward(self, t, x):
        return self.f2(F.softplus(self.f1(torch.cat([x, t.expand(x.shape[0], 1)], -1))))


def rk4(f, x, t0, t1, steps):
    h = (t1 - t0) / steps
    for i in range(steps):
        t = torch.full((1, 1), t0 + i * h)
        k1 = f(t, x)
        k2 = f(t + h / 2, x + h / 2 * k1)
        k3 = f(t + h / 2, torch.add(x, k2, alpha=h / 2))
        k4 = f(t + h, x + h * k3)
        x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return x


class NeuralODE(nn.Module):
    def __init__(self, d=4):
        super().__init__()
        self.inp, self.dyn, self.out = nn.Linear(3, d), Dynamics(d), nn.Linear(d, 2)

    def forward(self, x):
        return self.out(rk4(self.dyn, self.inp(x), 0.0, 1.0, 3))


# ---- Memory network with dict output
@dataclass
class Answer:
    logits: Tensor
    attention: list


class MemN2N(nn.Module):
    def __init__(self, v=30, d=8, hops=2):
        super().__init__()
        self.A = nn.ModuleList(nn.Embedding(v, d) for _ in range(hops + 1))
        self.hops, self.drop = hops, nn.Dropout(0.1)
        self.register_buffer("enc", torch.randn(6, d))

    def forward(self, story, query):
        u = (self.A[0](query) * self.enc[: query.shape[1]]).sum(1)
        att = []
        for h in range(self.hops):
            m = (self.A[h](story) * self.enc).sum(2)
            p = torch.softmax(torch.einsum("bmd,bd->bm", m, u), -1)
            att.append(p)
            c = (self.A[h + 1](story) * self.enc).sum(dim=2)
            u = u + torch.bmm(p.unsqueeze(1), c).squeeze(1)
        return {"logits": F.linear(u, self.A[-1].weight), "attention": att}


# ---- packed sequences
class Packed(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb, self.rnn = nn.Embedding(20, 8, padding_idx=0), nn.LSTM(8, 6, 2, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(12, 3)

    def forward(self, ids):
        x = self.emb(ids)
        packed = rnn.pack_padded_sequence(x, torch.tensor([5, 3]), batch_first=True)
        out, (h, c) = self.rnn(packed)
        out, lens = rnn.pad_packed_sequence(out, batch_first=True)
        return self.fc(torch.cat([h[-2], h[-1]], 1)), out


# ---- parametrizations
class Parametrized(nn.Module):
    def __init__(self):
        super().__init__()
        self.wn = parametrizations.weight_norm(nn.Conv1d(4, 8, 3, padding=1))
        self.sn = parametrizations.spectral_norm(nn.Linear(8, 8))
        self.orth = parametrizations.orthogonal(nn.Linear(8, 8, bias=False))
        self.oldwn = torch.nn.utils.weight_norm(nn.Linear(8, 4))
        self.oldsn = torch.nn.utils.spectral_norm(nn.Conv1d(4, 4, 3, padding=1))

    def forward(self, x):
        x = F.leaky_relu(self.wn(x), 0.2).transpose(1, 2)
        x = self.orth(F.elu(self.sn(x)))
        return self.oldsn(self.oldwn(x).transpose(1, 2))


# ---- SN-GAN discriminator with projection and minibatch stddev
class DBlock(nn.Module):
    def __init__(self, i, o, down=True):
        super().__init__()
        sn = nn.utils.spectral_norm
        self.c1, self.c2, self.down = sn(nn.Conv2d(i, o, 3, 1, 1)), sn(nn.Conv2d(o, o, 3, 1, 1)), down
        self.sc = sn(nn.Conv2d(i, o, 1)) if i != o else None

    def forward(self, x):
        h = self.c2(F.relu(self.c1(F.relu(x))))
        s = x if self.sc is None else self.sc(x)
        if self.down:
            h, s = F.avg_pool2d(h, 2), F.avg_pool2d(s, 2)
        return h + s


class SNDiscriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(DBlock(3, 8), DBlock(8, 16), DBlock(17, 16, False))
        self.l, self.embed = nn.utils.spectral_norm(nn.Linear(16, 1)), nn.Embedding(10, 16)

    def stddev(self, x):
        s = torch.sqrt(x.var(0, unbiased=False) + 1e-8).mean().view(1, 1, 1, 1)
        return torch.cat([x, s.expand(x.size(0), 1, *x.shape[2:])], 1)

    def forward(self, x, y):
        h = self.blocks[1](self.blocks[0](x))
        h = F.relu(self.blocks[2](self.stddev(h))).sum((2, 3))
        return self.l(h).squeeze(-1) + (self.embed(y) * h).sum(-1)


# ---- graph nets with scatter
class SAGEConv(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.lin_l, self.lin_r = nn.Linear(i, o), nn.Linear(i, o, bias=False)

    def forward(self, x, edge):
        src, dst = edge[0], edge[1]
        agg = torch.zeros_like(x).index_add_(0, dst, x[src])
        deg = torch.zeros(x.size(0), dtype=x.dtype).scatter_add_(0, dst, torch.ones_like(dst, dtype=x.dtype))
        return self.lin_l(agg / deg.clamp(min=1).unsqueeze(-1)) + self.lin_r(x)


class GIN(nn.Module):
    def __init__(self, d=8):
        super().__init__()
        self.eps = nn.Parameter(torch.zeros(1))
        self.sage = SAGEConv(5, d)
        self.nn = nn.Sequential(nn.Linear(d, 2 * d), nn.BatchNorm1d(2 * d), nn.ReLU(), nn.Linear(2 * d, d))
        self.readout = nn.Linear(2 * d, 3)

    def forward(self, x, edge, batch):
        x = self.sage(x, edge).relu()
        agg = x.new_zeros(x.shape).scatter_reduce(0, edge[1].unsqueeze(-1).expand(-1, x.size(1)), x[edge[0]], "sum")
        x = self.nn((1 + self.eps) * x + agg)
        mean = torch.zeros(2, x.size(1)).scatter_reduce_(0, batch[:, None].expand_as(x), x, "mean", include_self=False)
        mx = torch.full((2, x.size(1)), -1e9).index_reduce_(0, batch, x, "amax")
        return self.readout(torch.cat([mean, mx], dim=-1)).log_softmax(-1)


# ---- selective scan
class MambaBlock(nn.Module):
    def __init__(self, d=8, n=4, r=2):
        super().__init__()
        self.in_proj = nn.Linear(d, 4 * d, bias=False)
        self.conv1d = nn.Conv1d(2 * d, 2 * d, 4, groups=2 * d, padding=3)
        self.x_proj = nn.Linear(2 * d, r + 2 * n, bias=False)
        self.dt_proj = nn.Linear(r, 2 * d)
        self.A_log = nn.Parameter(torch.log(torch.arange(1, n + 1).float().repeat(2 * d, 1)))
        self.D, self.out_proj, self.n, self.r = nn.Parameter(torch.ones(2 * d)), nn.Linear(2 * d, d, bias=False), n, r

    def ssm(self, x):
        A = -torch.exp(self.A_log.float())
        delta, B, C = self.x_proj(x).split([self.r, self.n, self.n], dim=-1)
        delta = F.softplus(self.dt_proj(delta))
        dA = torch.exp(torch.einsum("bld,dn->bldn", delta, A))
        dB = torch.einsum("bld,bln,bld->bldn", delta, B, x)
        s, ys = torch.zeros(x.shape[0], x.shape[2], self.n), []
        for i in range(x.shape[1]):
            s = dA[:, i] * s + dB[:, i]
            ys.append(torch.einsum("bdn,bn->bd", s, C[:, i, :]))
        return torch.stack(ys, 1) + x * self.D

    def forward(self, x):
        l = x.shape[1]
        x, res = self.in_proj(x).split([16, 16], -1)
        x = self.conv1d(x.mT)[:, :, :l].mT
        return self.out_proj(self.ssm(F.silu(x)) * F.silu(res))


class Mamba(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(30, 8)
        self.layers = nn.ModuleList(nn.Sequential(OrderedDict(norm=nn.RMSNorm(8), mixer=MambaBlock())) for _ in range(2))
        self.norm_f, self.lm_head = nn.RMSNorm(8), nn.Linear(8, 30, bias=False)
        self.lm_head.weight = self.embedding.weight

    def forward(self, ids):
        x = self.embedding(ids)
        for layer in self.layers:
            x = layer(x) + x
        return self.lm_head(self.norm_f(x))


# ---- S4D by FFT
class S4D(nn.Module):
    def __init__(self, h=6, n=8):
        super().__init__()
        self.log_dt, self.C = nn.Parameter(torch.randn(h)), nn.Parameter(torch.randn(h, n, 2))
        self.log_A_real, self.A_imag = nn.Parameter(torch.zeros(h, n)), nn.Parameter(torch.randn(h, n))
        self.D, self.out = nn.Parameter(torch.randn(h)), nn.Sequential(nn.Conv1d(h, 2 * h, 1), nn.GLU(dim=-2))

    def kernel(self, L):
        dt = torch.exp(self.log_dt)
        C = torch.view_as_complex(self.C)
        A = -torch.exp(self.log_A_real) + 1j * self.A_imag
        dtA = A * dt.unsqueeze(-1)
        K = dtA.unsqueeze(-1) * torch.arange(L)
        C = C * (torch.exp(dtA) - 1.0) / A
        return 2 * torch.einsum("hn, hnl -> hl", C, torch.exp(K)).real

    def forward(self, u):
        L = u.size(-1)
        k = self.kernel(L)
        k_f, u_f = torch.fft.rfft(k, n=2 * L), torch.fft.rfft(u, n=2 * L)
        y = torch.fft.irfft(u_f * k_f, n=2 * L)[..., :L] + u * self.D.unsqueeze(-1)
        return self.out(F.gelu(y))


# ---- hooks, functional_call, vmap
class Ensemble(nn.Module):
    def __init__(self):
        super().__init__()
        self.base = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        self.w1, self.b1 = nn.Parameter(torch.randn(3, 8, 4)), nn.Parameter(torch.randn(3, 8))
        self.w2, self.b2 = nn.Parameter(torch.randn(3, 2, 8)), nn.Parameter(torch.randn(3, 2))

    def forward(self, x):
        outs = []
        for i in range(3):
            p = {"0.weight": self.w1[i], "0.bias": self.b1[i], "2.weight": self.w2[i], "2.bias": self.b2[i]}
            outs.append(torch.func.functional_call(self.base, p, (x,)))
        return torch.stack(outs).mean(0)


class Vmapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.w, self.enc = nn.Parameter(torch.randn(3, 5, 4)), nn.Linear(6, 4)

    def forward(self, x):
        x = self.enc(x)
        return torch.vmap(lambda w: F.relu(x @ w.t()))(self.w).sum(0)


class Hooked(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))
        self.probe, self.kept = nn.Linear(8, 2), {}
        self.net[1].register_forward_hook(partial(self.keep, "a"))
        self.net[2].register_forward_hook(lambda m, i, o: o * 2)
        self.net[4].register_forward_pre_hook(lambda m, i: (i[0] + 1,))

    def keep(self, name, module, inputs, output):
        self.kept[name] = output

    def forward(self, x):
        y = self.net(x)
        return y, self.probe(self.kept["a"])


# ---- custom autograd
class Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.round(x)

    @staticmethod
    def backward(ctx, g):
        return g


class QConv(nn.Conv2d):
    def forward(self, x):
        s = self.weight.abs().amax((1, 2, 3), keepdim=True) / 7
        w = Round.apply(self.weight / s).clamp(-8, 7) * s
        a = x.abs().max() / 127
        x = Round.apply(x / a).clamp(-128, 127) * a
        return F.conv2d(x, w, self.bias, self.stride, self.padding, self.dilation, self.groups)


class BinaryLinear(nn.Linear):
    def forward(self, x):
        w = (torch.sign(self.weight) - self.weight).detach() + self.weight
        return F.linear(torch.sign(x), w, self.bias)


class QAT(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(QConv(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Hardtanh(), nn.MaxPool2d(2), QConv(8, 16, 3, 2, 1, groups=2), nn.BatchNorm2d(16), nn.ReLU6())
        self.fc = BinaryLinear(16, 4)

    def forward(self, x):
        return self.fc(self.features(x).mean([-2, -1]))


# ---- script submodule
@torch.jit.script
def gated(a, b):
    return torch.tanh(a) * torch.sigmoid(b)


class ScriptGate(nn.Module):
    def __init__(self):
        super().__init__()
        self.f, self.g, self.o = nn.Conv1d(4, 8, 3, padding=1), nn.Conv1d(4, 8, 3, padding=1), nn.Conv1d(8, 4, 1)

    def forward(self, x):
        return x + self.o(gated(self.f(x), self.g(x)))


# ---- buffers in place, checkpoints, autocast
class EMA(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("running", torch.zeros(8))
        self.register_buffer("steps", torch.tensor(0))
        self.a, self.b, self.bn = nn.Linear(8, 8), nn.Linear(8, 8), nn.BatchNorm1d(8)

    def forward(self, x):
        y = checkpoint(self.block, x, use_reentrant=False)
        self.running.mul_(0.9).add_(y.detach().mean(0), alpha=0.1)
        self.steps += 1
        with torch.autocast("cpu", dtype=torch.bfloat16):
            z = self.b(y - self.running)
        return z.float()

    def block(self, x):
        return F.dropout(self.bn(self.a(x)).relu_(), 0.2, self.training)


# ---- Neural Turing machine step
class NTM(nn.Module):
    def __init__(self, n=6, m=4):
        super().__init__()
        self.ctrl, self.n, self.m = nn.LSTMCell(3 + m, 8), n, m
        self.heads = nn.ModuleDict({k: nn.Linear(8, m + 6) for k in ("read", "write")})
        self.erase, self.add, self.out = nn.Linear(8, m), nn.Linear(8, m), nn.Linear(8 + m, 2)
        self.init = nn.ParameterDict({"h": nn.Parameter(torch.zeros(1, 8)), "c": nn.Parameter(torch.zeros(1, 8))})

    def address(self, head, h, mem, w):
        k, beta, g, s, gamma = head(h).split([self.m, 1, 1, 3, 1], dim=1)
        sim = F.cosine_similarity(k.tanh().unsqueeze(1), mem, dim=-1)
        wc = F.softmax(F.softplus(beta) * sim, dim=1)
        wg = torch.lerp(w, wc, torch.sigmoid(g))
        s = s.softmax(-1)
        ws = sum(s[:, j : j + 1] * torch.roll(wg, j - 1, 1) for j in range(3))
        wp = ws.pow(1 + F.softplus(gamma))
        return wp / wp.sum(-1, keepdim=True)

    def forward(self, x):
        b = x.shape[0]
        h, c = self.init["h"].expand(b, -1), self.init["c"].repeat(b, 1)
        mem, r = torch.full((b, self.n, self.m), 1e-2), x.new_zeros(b, self.m)
        wr = ww = F.one_hot(torch.zeros(b, dtype=torch.long), self.n).float()
        ys = []
        for t in range(x.shape[1]):
            h, c = self.ctrl(torch.cat((x[:, t], r), 1), (h, c))
            wr = self.address(self.heads["read"], h, mem, wr)
            ww = self.address(self.heads["write"], h, mem, ww)
            r = torch.matmul(wr.unsqueeze(1), mem).squeeze(1)
            mem = mem * (1 - torch.einsum("bn,bm->bnm", ww, self.erase(h).sigmoid())) + ww[..., None] * self.add(h)[:, None]
            ys.append(self.out(torch.cat((h, r), dim=1)))
        return torch.stack(ys, dim=1)


# ---- NeRF
def posenc(x, n):
    return torch.cat([x] + [f(2.0**i * x) for i in range(n) for f in (torch.sin, torch.cos)], -1)


class NeRF(nn.Module):
    def __init__(self, w=16):
        super().__init__()
        self.pts = nn.ModuleList([nn.Linear(27, w)] + [nn.Linear(w + 27 if i == 2 else w, w) for i in range(1, 5)])
        self.alpha, self.feat, self.view, self.rgb = nn.Linear(w, 1), nn.Linear(w, w), nn.Linear(w + 15, w // 2), nn.Linear(w // 2, 3)

    def query(self, p, d):
        e, v = posenc(p, 4), posenc(d, 2)
        h = e
        for i, l in enumerate(self.pts):
            h = F.relu(l(torch.cat([e, h], -1) if i == 2 else h))
        return torch.cat([self.rgb(F.relu(self.view(torch.cat([self.feat(h), v], -1)))), self.alpha(h)], -1)

    def forward(self, o, d):
        z = torch.linspace(2.0, 6.0, 8)
        p = o[:, None] + d[:, None] * z[:, None]
        raw = self.query(p.reshape(-1, 3), F.normalize(d, dim=-1)[:, None].expand(p.shape).reshape(-1, 3)).view(*p.shape[:2], 4)
        dists = torch.cat([z[1:] - z[:-1], torch.tensor([1e10])]) * d.norm(dim=-1, keepdim=True)
        alpha = 1 - torch.exp(-F.relu(raw[..., 3]) * dists)
        T = torch.cumprod(torch.cat([torch.ones(len(o), 1), 1 - alpha + 1e-10], -1), -1)[:, :-1]
        w = alpha * T
        return (w[..., None] * raw[..., :3].sigmoid()).sum(-2), (w * z).sum(-1), torch.cumsum(w, 1)


# ---- speech separation
class GlobalNorm(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.ones(1, c, 1)), nn.Parameter(torch.zeros(1, c, 1))

    def forward(self, y):
        mean = y.mean(dim=1, keepdim=True).mean(dim=2, keepdim=True)
        var = (torch.pow(y - mean, 2)).mean(dim=1, keepdim=True).mean(dim=2, keepdim=True)
        return self.gamma * (y - mean) / torch.pow(var + 1e-8, 0.5) + self.beta


class ConvTasNet(nn.Module):
    def __init__(self, n=16, l=8, b=8, h=12, x=3, c=2):
        super().__init__()
        self.c, self.enc = c, nn.Conv1d(1, n, l, stride=l // 2, bias=False)
        self.ln, self.bottleneck = nn.GroupNorm(1, n), nn.Conv1d(n, b, 1)
        blocks = [nn.Sequential(nn.Conv1d(b, h, 1), nn.PReLU(), GlobalNorm(h), nn.Conv1d(h, h, 3, padding=2**i, dilation=2**i, groups=h), nn.PReLU(), GlobalNorm(h), nn.Conv1d(h, b, 1)) for i in range(x)]
        self.tcn, self.mask, self.dec = nn.ModuleList(blocks), nn.Conv1d(b, c * n, 1), nn.ConvTranspose1d(n, 1, l, stride=l // 2, bias=False)

    def forward(self, mix):
        w = self.enc(mix.unsqueeze(1)).relu()
        y = self.bottleneck(self.ln(w))
        for blk in self.tcn:
            y = y + blk(y)
        m = F.relu(self.mask(y)).view(w.shape[0], self.c, *w.shape[1:])
        s = w[:, None] * m
        out = self.dec(s.flatten(0, 1)).unflatten(0, (-1, self.c)).squeeze(2)
        return F.pad(out, (0, mix.shape[-1] - out.shape[-1]))


# ---- STFT front end
class Spectro(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("window", torch.hann_window(32))
        self.register_buffer("fb", torch.rand(17, 8))
        self.conv, self.bn = nn.Conv1d(8, 12, 3), nn.BatchNorm1d(12)
        self.gru, self.head = nn.GRU(12, 6, batch_first=True), nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 4))

    def forward(self, wav):
        spec = torch.stft(wav, 32, 16, 32, self.window, return_complex=True).abs().pow(2.0)
        mel = torch.matmul(spec.transpose(-1, -2), self.fb).transpose(-1, -2)
        mel = torch.log(torch.clamp(mel, min=1e-5))
        mel = (mel - mel.mean(-1, keepdim=True)) / (mel.std(-1, keepdim=True) + 1e-5)
        y, h = self.gru(self.bn(self.conv(mel)).relu().permute(0, 2, 1))
        return self.head(h[-1])


# ---- deep equilibrium, shared submodule through functions
class DEQ(nn.Module):
    def __init__(self, d=6):
        super().__init__()
        self.W, self.U, self.norm = nn.Linear(d, d, bias=False), nn.Linear(d, d), nn.GroupNorm(2, d)
        self.shared = self.W

    def cell(self, z, x):
        return self.norm(torch.tanh(self.W(z) + self.U(x)))

    def forward(self, x):
        z = torch.zeros_like(x)
        with torch.no_grad():
            for _ in range(4):
                z = self.cell(z, x)
        return apply_shared(self.cell(z, x), self.shared)


def apply_shared(z, module):
    return module(z) + z


# ---- spatial transformer, attention pooling, deformable sampling
class STN(nn.Module):
    def __init__(self):
        super().__init__()
        self.loc = nn.Sequential(nn.Conv2d(1, 4, 5), nn.MaxPool2d(2, 2), nn.ReLU(True), nn.Conv2d(4, 6, 3), nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.Linear(24, 6))
        self.conv = nn.Sequential(nn.Conv2d(1, 6, 3, padding="same", padding_mode="reflect"), nn.InstanceNorm2d(6, affine=True), nn.Mish())
        self.q, self.attn = nn.Parameter(torch.randn(1, 1, 6)), nn.MultiheadAttention(6, 2, batch_first=True)

    def forward(self, x):
        theta = self.loc(x).view(-1, 2, 3)
        x = self.conv(F.grid_sample(x, F.affine_grid(theta, x.size(), align_corners=False), align_corners=False))
        t = x.flatten(2).transpose(1, 2)
        return self.attn(self.q.expand(t.shape[0], -1, -1), t, t, need_weights=False)[0].squeeze(1)


# ---- U-Net with attention gates and pixel shuffle
class Gate(nn.Module):
    def __init__(self, g, x, i):
        super().__init__()
        self.wg, self.wx = (nn.Sequential(nn.Conv2d(c, i, 1), nn.BatchNorm2d(i)) for c in (g, x))
        self.psi = nn.Sequential(nn.Conv2d(i, 1, 1), nn.BatchNorm2d(1), nn.Sigmoid())

    def forward(self, g, x):
        return x * self.psi(F.relu(self.wg(g) + self.wx(x), inplace=True))


def double(i, o):
    return nn.Sequential(nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.LeakyReLU(0.1, inplace=True), nn.Conv2d(o, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.LeakyReLU(0.1, inplace=True))


class AttUNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.e = nn.ModuleList([double(3, 8), double(8, 16), double(16, 32)])
        self.up = nn.ModuleList([nn.Sequential(nn.Conv2d(32, 64, 1), nn.PixelShuffle(2)), nn.ConvTranspose2d(16, 8, 2, 2)])
        self.g = nn.ModuleList([Gate(16, 16, 8), Gate(8, 8, 4)])
        self.d = nn.ModuleList([double(32, 16), double(16, 8)])
        self.heads = nn.ModuleDict({"mask": nn.Conv2d(8, 1, 1), "edge": nn.Conv2d(8, 1, 1)})

    def forward(self, x):
        skips = []
        for i, e in enumerate(self.e):
            x = e(x if i == 0 else F.max_pool2d(x, 2))
            skips.append(x)
        for i in range(2):
            u = self.up[i](x)
            x = self.d[i](torch.cat([u, self.g[i](u, skips[-i - 2])], dim=1))
        return OrderedDict((k, h(x).sigmoid()) for k, h in self.heads.items())


# ---- Sparse MoE with topk, mixture of depths
class TopK(nn.Module):
    def __init__(self, d=8, e=4, k=2):
        super().__init__()
        self.gate, self.k = nn.Linear(d, e, bias=False), k
        self.w1, self.w2 = nn.Parameter(torch.randn(e, d, 16)), nn.Parameter(torch.randn(e, 16, d))

    def forward(self, x):
        w, i = self.gate(x).softmax(-1).topk(self.k, -1)
        w = w / w.sum(-1, keepdim=True)
        h = torch.einsum("btd,edf->betf", x, self.w1).relu().square()
        y = torch.einsum("betf,efd->betd", h, self.w2)
        mask = torch.zeros(*x.shape[:2], 4).scatter(-1, i, w).permute(0, 2, 1)
        return (y * mask[..., None]).sum(1)


# ---- Transformer-XL-like relative attention, baddbmm, tril, masked_fill
class RelAttention(nn.Module):
    def __init__(self, d=8, h=2, L=10):
        super().__init__()
        self.qkv, self.o, self.h = nn.Linear(d, 3 * d), nn.Linear(d, d), h
        self.rel = nn.Parameter(torch.randn(h, 2 * L - 1, d // h))
        self.register_buffer("mask", torch.tril(torch.ones(L, L, dtype=torch.bool)), persistent=False)

    def shift(self, x):
        b, h, q, k = x.shape
        x = F.pad(x, (1, 0)).view(b, h, k + 1, q)
        return x[:, :, 1:].view(b, h, q, k)[..., : q]

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = (y.view(b, t, self.h, -1).transpose(1, 2) for y in self.qkv(x).chunk(3, -1))
        content = torch.baddbmm(torch.zeros(1), q.flatten(0, 1), k.flatten(0, 1).transpose(1, 2), beta=0, alpha=0.5).view(b, self.h, t, t)
        position = self.shift(torch.matmul(q, self.rel[:, : 2 * t - 1].transpose(-1, -2)))
        s = (content + position).masked_fill(~self.mask[:t, :t], float("-inf"))
        return self.o((s.softmax(-1) @ v).transpose(1, 2).reshape(b, t, d))


# ---- namedtuple/list outputs; several losses; contrastive
Pair = namedtuple("Pair", "logits features")


class SimCLR(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(OrderedDict([("conv", nn.Conv2d(3, 8, 3, 2)), ("bn", nn.BatchNorm2d(8)), ("act", nn.SiLU(inplace=True)), ("pool", nn.AdaptiveAvgPool2d((1, 1))), ("flat", nn.Flatten())]))
        self.projector = nn.Sequential(nn.Linear(8, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))
        self.t = nn.Parameter(torch.tensor(0.07))

    def forward(self, a, b):
        za, zb = (F.normalize(self.projector(self.encoder(v)), dim=1) for v in (a, b))
        z = torch.cat((za, zb))
        sim = torch.mm(z, z.T) / self.t.exp()
        sim.fill_diagonal_(-1e9)
        labels = torch.arange(z.size(0)).roll(za.size(0))
        return F.cross_entropy(sim, labels), [za, zb]


# ---- GRU forecaster, decomposition, series
class Autoformerish(nn.Module):
    def __init__(self, L=16, p=8, c=3):
        super().__init__()
        self.avg = nn.AvgPool1d(5, 1, 2, count_include_pad=False)
        self.season, self.trend = nn.Linear(L, p), nn.Linear(L, p)
        self.corr = nn.Linear(c, c)

    def forward(self, x):
        mu, sd = x.mean(1, keepdim=True), torch.sqrt(torch.var(x, dim=1, keepdim=True, unbiased=False) + 1e-5)
        x = (x - mu) / sd
        trend = self.avg(x.permute(0, 2, 1)).permute(0, 2, 1)
        f = torch.fft.rfft(x - trend, dim=1)
        k = torch.topk(f.abs().mean((0, 2)), 3).indices
        auto = torch.fft.irfft(f * torch.conj(f), n=x.shape[1], dim=1)
        s = (x - trend) + self.corr(torch.index_select(auto, 1, k).mean(1, keepdim=True))
        y = self.season(s.transpose(1, 2)) + self.trend(trend.transpose(1, 2))
        return y.transpose(1, 2) * sd + mu


# ---- Echo: lazy, ParameterList, Bilinear, CosineSimilarity, PairwiseDistance
class Matcher(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.EmbeddingBag(30, 8, mode="mean")
        self.bi, self.cos, self.pd = nn.Bilinear(8, 8, 4), nn.CosineSimilarity(dim=-1), nn.PairwiseDistance(p=2)
        self.ps = nn.ParameterList([nn.Parameter(torch.randn(8, 8)) for _ in range(2)])
        self.mlp = nn.Sequential(nn.Linear(6, 8), nn.PReLU(8), nn.AlphaDropout(0.1), nn.Linear(8, 1), nn.Sigmoid())

    def forward(self, a, b):
        u, v = self.embed(a), self.embed(b)
        for p in self.ps:
            u = torch.addmm(u, u, p, alpha=0.1)
        s = torch.cat([self.bi(u, v), self.cos(u, v)[:, None], self.pd(u, v)[:, None]], 1)
        return self.mlp(s), torch.cdist(u, v), torch.outer(u[0], v[0])


class FNO(nn.Module):
    def __init__(self, w=6, m=3):
        super().__init__()
        self.p, self.m = nn.Linear(3, w), m
        self.w1, self.w2 = (nn.Parameter(torch.rand(w, w, m, m, dtype=torch.cfloat)) for _ in range(2))
        self.conv, self.q = nn.Conv2d(w, w, 1), nn.Sequential(nn.Linear(w, 8), nn.GELU(), nn.Linear(8, 1))

    def forward(self, a):
        b, h, w, _ = a.shape
        gx = torch.linspace(0, 1, h).reshape(1, h, 1, 1).repeat([b, 1, w, 1])
        gy = torch.linspace(0, 1, w).reshape(1, 1, w, 1).repeat([b, h, 1, 1])
        x = self.p(torch.cat((a, gx, gy), dim=-1)).permute(0, 3, 1, 2)
        ft = torch.fft.rfft2(x)
        out = torch.zeros(b, 6, h, w // 2 + 1, dtype=torch.cfloat)
        out[:, :, : self.m, : self.m] = torch.einsum("bixy,ioxy->boxy", ft[:, :, : self.m, : self.m], self.w1)
        out[:, :, -self.m :, : self.m] = torch.einsum("bixy,ioxy->boxy", ft[:, :, -self.m :, : self.m], self.w2)
        x = F.gelu(torch.fft.irfft2(out, s=(h, w)) + self.conv(x))
        return self.q(x.permute(0, 2, 3, 1))


class GatedPixelCNN(nn.Module):
    class Masked(nn.Conv2d):
        def __init__(self, kind, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.register_buffer("mask", torch.ones_like(self.weight))
            h, w = self.weight.shape[2:]
            self.mask[:, :, h // 2, w // 2 + (kind == "B") :] = 0
            self.mask[:, :, h // 2 + 1 :] = 0

        def forward(self, x):
            self.weight.data *= self.mask
            return super().forward(x)

    def __init__(self):
        super().__init__()
        self.a = self.Masked("A", 1, 8, 7, padding=3)
        self.b = nn.ModuleList([self.Masked("B", 8, 16, 3, padding=1) for _ in range(2)])
        self.out = nn.Sequential(nn.ReLU(), nn.Conv2d(8, 16, 1), nn.ReLU(), nn.Conv2d(16, 4, 1))

    def forward(self, x):
        x = self.a(x)
        for b in self.b:
            f, g = b(x).chunk(2, 1)
            x = x + torch.tanh(f) * torch.sigmoid(g)
        return self.out(x)


class DQN(nn.Module):
    """Noisy, duelling, with a loop over agents and stateful GRU cells."""

    class Noisy(nn.Linear):
        def __init__(self, i, o):
            super().__init__(i, o)
            self.sigma = nn.Parameter(torch.full((o, i), 0.017))
            self.register_buffer("eps", torch.randn(o, i))

        def forward(self, x):
            return F.linear(x, torch.addcmul(self.weight, self.sigma, self.eps), self.bias)

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(4, 8, 4, 2), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten())
        self.rnn, self.v, self.a = nn.GRUCell(72, 16), self.Noisy(16, 1), self.Noisy(16, 3)

    def forward(self, obs):
        h = None
        qs = []
        for t in range(obs.shape[1]):
            h = self.rnn(self.body(obs[:, t].div(255)), h)
            v, a = self.v(h), self.a(h)
            qs.append(v + a - a.mean(dim=-1, keepdim=True))
        q = torch.stack(qs, 1)
        return q, q.argmax(-1), q.max(-1)[0]


def r(*shapes):
    return lambda: tuple(torch.randn(*shape) for shape in shapes)


def ids(below, *shapes):
    return lambda: tuple(torch.randint(1, below, shape) for shape in shapes)


def graph():
    return torch.randn(6, 5), torch.randint(0, 6, (2, 12)), torch.tensor([0, 0, 0, 1, 1, 1])


MODELS = {
    "res/kan": (KAN, r((4, 6))),
    "res/hyper": (Hyper, r((2, 3, 8, 8))),
    "res/flow": (Flow, r((4, 6))),
    "res/ode": (NeuralODE, r((4, 3))),
    "res/memn2n": (MemN2N, ids(30, (2, 5, 6), (2, 6))),
    "res/packed": (Packed, ids(20, (2, 5))),
    "res/parametrized": (Parametrized, r((2, 4, 9))),
    "res/sngan": (SNDiscriminator, lambda: (torch.randn(2, 3, 16, 16), torch.tensor([1, 4]))),
    "res/gin": (GIN, graph),
    "res/mamba": (Mamba, ids(30, (2, 5))),
    "res/s4d": (S4D, r((2, 6, 10))),
    "res/ensemble": (Ensemble, r((5, 4))),
    "res/vmapped": (Vmapped, r((5, 6))),
    "res/hooked": (Hooked, r((5, 6))),
    "res/qat": (QAT, r((2, 3, 12, 12))),
    "res/script_gate": (ScriptGate, r((2, 4, 9))),
    "res/ema": (EMA, r((5, 8))),
    "res/ntm": (NTM, r((2, 3, 3))),
    "res/nerf": (NeRF, r((5, 3), (5, 3))),
    "res/tasnet": (ConvTasNet, r((2, 100))),
    "res/spectro": (Spectro, r((2, 160))),
    "res/deq": (DEQ, r((4, 6))),
    "res/stn": (STN, r((2, 1, 16, 16))),
    "res/attunet": (AttUNet, r((1, 3, 16, 16))),
    "res/topk": (TopK, r((2, 5, 8))),
    "res/relattn": (RelAttention, r((2, 6, 8))),
    "res/simclr": (SimCLR, r((3, 3, 9, 9), (3, 3, 9, 9))),
    "res/autoformer": (Autoformerish, r((2, 16, 3))),
    "res/matcher": (Matcher, ids(30, (3, 4), (3, 4))),
    "res/fno": (FNO, r((2, 8, 8, 1))),
    "res/pixelcnn": (GatedPixelCNN, r((2, 1, 10, 10))),
    "res/dqn": (DQN, r((2, 3, 4, 12, 12))),
}
