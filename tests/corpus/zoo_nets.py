"""Networks whose tensors lie otherwise in memory than a program says, whose sizes are multiplied under bare names, and that
change tensors in place (`nets/`): speaker and point networks, relations of graphs, series, routed experts, shifts in time,
layers of a user's classes."""
import math

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import nn


def r(*s):
    return lambda: (torch.randn(*s),)


def rr(*shapes):
    return lambda: tuple(torch.randn(*s) if isinstance(s, tuple) else s() for s in shapes)


def ints(n, *s):
    return lambda: torch.randint(0, n, s)


class TDNN(nn.Module):
    def __init__(self, i, o, ctx, dil=1):
        super().__init__()
        self.i, self.ctx, self.dil = i, ctx, dil
        self.kernel, self.nonlinearity, self.bn = nn.Linear(i * ctx, o), nn.ReLU(), nn.BatchNorm1d(o)

    def forward(self, x):
        _, _, d = x.shape
        x = x.unsqueeze(1)
        x = F.unfold(x, (self.ctx, self.i), stride=(1, self.i), dilation=(self.dil, 1))
        x = x.transpose(1, 2)
        x = self.nonlinearity(self.kernel(x))
        return self.bn(x.transpose(1, 2)).transpose(1, 2)


class XVector(nn.Module):
    def __init__(self):
        super().__init__()
        self.tdnn = nn.Sequential(TDNN(6, 8, 5), TDNN(8, 8, 3, 2), TDNN(8, 12, 1))
        self.seg6, self.seg7, self.out = nn.Linear(24, 8), nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x):
        x = self.tdnn(x)
        stat = torch.cat((torch.mean(x, 1), torch.std(x, 1)), 1)
        return self.out(self.seg7(F.relu(self.seg6(stat))))


class RGCN(nn.Module):
    """Basis decomposition: weights by a matmul of coefficients, per relation masked message passing."""

    def __init__(self, i=5, o=4, rels=3, bases=2):
        super().__init__()
        self.V, self.a = nn.Parameter(torch.randn(bases, i, o)), nn.Parameter(torch.randn(rels, bases))
        self.root, self.bias, self.rels = nn.Parameter(torch.randn(i, o)), nn.Parameter(torch.zeros(o)), rels

    def forward(self, x, adj):
        w = (self.a @ self.V.view(self.V.size(0), -1)).view(self.rels, x.size(1), -1)
        out = x @ self.root
        for k in range(self.rels):
            out = out + torch.mm(adj[k], x).matmul(w[k])
        return out + self.bias


class Transpose(nn.Module):
    def __init__(self, *dims, contiguous=False):
        super().__init__()
        self.dims, self.contiguous = dims, contiguous

    def forward(self, x):
        return x.transpose(*self.dims).contiguous() if self.contiguous else x.transpose(*self.dims)


class PatchTST(nn.Module):
    def __init__(self, P=4, S=2, d=8):
        super().__init__()
        self.P, self.S = P, S
        self.pad, self.W_P = nn.ReplicationPad1d((0, S)), nn.Linear(P, d)
        self.W_pos = nn.Parameter(torch.randn(6, d))
        self.attn, self.bn = nn.MultiheadAttention(d, 2, batch_first=True), nn.Sequential(Transpose(1, 2), nn.BatchNorm1d(d), Transpose(1, 2))
        self.ff = nn.Sequential(nn.Linear(d, 12), nn.GELU(), nn.Dropout(0.1), nn.Linear(12, d))
        self.head = nn.Linear(6 * d, 3)
        self.aw, self.ab = nn.Parameter(torch.ones(2)), nn.Parameter(torch.zeros(2))

    def forward(self, x):
        mean, std = x.mean(1, keepdim=True).detach(), torch.sqrt(x.var(1, keepdim=True, unbiased=False) + 1e-5).detach()
        x = ((x - mean) / std) * self.aw + self.ab
        z = self.pad(x.permute(0, 2, 1)).unfold(dimension=-1, size=self.P, step=self.S)
        b, n, p, l = z.shape
        u = self.W_P(z.reshape(b * n, p, l)) + self.W_pos
        u = self.bn(u + self.attn(u, u, u, need_weights=False)[0])
        u = self.bn(u + self.ff(u))
        y = self.head(u.reshape(b, n, -1)).permute(0, 2, 1)
        return (y - self.ab) / (self.aw + 1e-10) * std + mean


class Mamba2SSD(nn.Module):
    """Chunked state space duality: segment sums and einsums with three and four operands."""

    def __init__(self, d=8, h=2, n=3, chunk=4):
        super().__init__()
        self.h, self.n, self.chunk, self.p = h, n, chunk, d // h
        self.in_proj = nn.Linear(d, 2 * d + 2 * n + h)
        self.A_log, self.dt_bias, self.D = nn.Parameter(torch.zeros(h)), nn.Parameter(torch.zeros(h)), nn.Parameter(torch.ones(h))
        self.norm, self.out = nn.RMSNorm(d), nn.Linear(d, d)
        self.conv = nn.Conv1d(d + 2 * n, d + 2 * n, 3, groups=d + 2 * n, padding=2)
        self.d = d

    def segsum(self, x):
        T = x.size(-1)
        x = repeat(x, "... d -> ... d e", e=T)
        m = torch.tril(torch.ones(T, T, dtype=bool), diagonal=-1)
        x = x.masked_fill(~m, 0)
        s = torch.cumsum(x, dim=-2)
        return s.masked_fill(~torch.tril(torch.ones(T, T, dtype=bool), diagonal=0), -torch.inf)

    def forward(self, u):
        B_, L, _ = u.shape
        z, xBC, dt = torch.split(self.in_proj(u), [self.d, self.d + 2 * self.n, self.h], dim=-1)
        xBC = F.silu(self.conv(xBC.transpose(1, 2))[..., :L].transpose(1, 2))
        x, B, C = torch.split(xBC, [self.d, self.n, self.n], dim=-1)
        dt = F.softplus(dt + self.dt_bias)
        A = -torch.exp(self.A_log)
        X = rearrange(x, "b l (h p) -> b l h p", h=self.h) * dt.unsqueeze(-1)
        X, A_, Bc, Cc = [rearrange(t, "b (c l) ... -> b c l ...", l=self.chunk) for t in (X, A * dt, B.unsqueeze(2).expand(-1, -1, self.h, -1), C.unsqueeze(2).expand(-1, -1, self.h, -1))]
        A_ = rearrange(A_, "b c l h -> b h c l")
        Ac = torch.cumsum(A_, dim=-1)
        Lm = torch.exp(self.segsum(A_))
        Yd = torch.einsum("bclhn,bcshn,bhcls,bcshp->bclhp", Cc, Bc, Lm, X)
        ds = torch.exp(Ac[:, :, :, -1:] - Ac)
        st = torch.einsum("bclhn,bhcl,bclhp->bchpn", Bc, ds, X)
        st = torch.cat([torch.zeros_like(st[:, :1]), st], dim=1)
        dc = torch.exp(self.segsum(F.pad(Ac[:, :, :, -1], (1, 0))))
        st = torch.einsum("bhzc,bchpn->bzhpn", dc, st)[:, :-1]
        Yo = torch.einsum("bclhn,bchpn,bhcl->bclhp", Cc, st, torch.exp(Ac))
        y = rearrange(Yd + Yo, "b c l h p -> b (c l) h p") + rearrange(x, "b l (h p) -> b l h p", h=self.h) * self.D[:, None]
        return self.out(self.norm(y.flatten(2) * F.silu(z)))


def index_points(points, idx):
    B = points.shape[0]
    view_shape = list(idx.shape)
    view_shape[1:] = [1] * (len(view_shape) - 1)
    repeat_shape = list(idx.shape)
    repeat_shape[0] = 1
    b = torch.arange(B, dtype=torch.long).view(view_shape).repeat(repeat_shape)
    return points[b, idx, :]


def square_distance(src, dst):
    B, N, _ = src.shape
    _, M, _ = dst.shape
    dist = -2 * torch.matmul(src, dst.permute(0, 2, 1))
    dist += torch.sum(src**2, -1).view(B, N, 1)
    dist += torch.sum(dst**2, -1).view(B, 1, M)
    return dist


class PointTransformer(nn.Module):
    def __init__(self, i=4, d=8, k=3):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(i, d), nn.Linear(d, i)
        self.delta = nn.Sequential(nn.Linear(3, d), nn.ReLU(), nn.Linear(d, d))
        self.gamma = nn.Sequential(nn.Linear(d, d), nn.ReLU(), nn.Linear(d, d))
        self.q, self.kk, self.v = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False)
        self.k = k

    def forward(self, xyz, features):
        idx = square_distance(xyz, xyz).argsort()[:, :, : self.k]
        knn = index_points(xyz, idx)
        x = self.fc1(features)
        q, k, v = self.q(x), index_points(self.kk(x), idx), index_points(self.v(x), idx)
        pos = self.delta(xyz[:, :, None] - knn)
        attn = self.gamma(q[:, :, None] - k + pos)
        attn = F.softmax(attn / math.sqrt(k.size(-1)), dim=-2)
        res = torch.einsum("bmnf,bmnf->bmf", attn, v + pos)
        return self.fc2(res) + features, attn


class SwitchFFN(nn.Module):
    """Top-2 routing with dense dispatch: one-hot, cumsum capacity, einsum combine."""

    def __init__(self, d=6, e=4, cap=3):
        super().__init__()
        self.gate = nn.Linear(d, e, bias=False)
        self.w1, self.w2 = nn.Parameter(torch.randn(e, d, 10)), nn.Parameter(torch.randn(e, 10, d))
        self.e, self.cap = e, cap

    def forward(self, x):
        s, d = x.shape
        gates = F.softmax(self.gate(x), dim=1)
        i1 = torch.argmax(gates, dim=1)
        m1 = F.one_hot(i1, num_classes=self.e)
        i2 = torch.argmax(gates.masked_fill(m1.bool(), float("-inf")), dim=1)
        m2 = F.one_hot(i2, num_classes=self.e)
        l1, l2 = torch.cumsum(m1, dim=0) - 1, torch.cumsum(m2, dim=0) - 1
        l2 += torch.sum(m1, dim=0, keepdim=True)
        m1 *= torch.lt(l1, self.cap); m2 *= torch.lt(l2, self.cap)
        aux = (gates.mean(0) * m1.float().mean(0)).mean() * self.e * self.e
        p1, p2 = torch.sum(l1 * m1, dim=1).clamp(0, self.cap - 1), torch.sum(l2 * m2, dim=1).clamp(0, self.cap - 1)
        g1, g2 = torch.einsum("se,se->s", gates, m1.float()), torch.einsum("se,se->s", gates, m2.float())
        den = torch.clamp(g1 + g2, min=1e-9)
        c = torch.einsum("se,sc->sec", (g1 / den)[:, None] * m1.float(), F.one_hot(p1, self.cap).float())
        c = c + torch.einsum("se,sc->sec", (g2 / den)[:, None] * m2.float(), F.one_hot(p2, self.cap).float())
        disp = torch.einsum("sec,sm->ecm", c.bool().type_as(x), x)
        h = torch.bmm(F.gelu(torch.bmm(disp, self.w1), approximate="tanh"), self.w2)
        return torch.einsum("sec,ecm->sm", c, h), aux


class CoordAtt(nn.Module):
    def __init__(self, c=6):
        super().__init__()
        self.ph, self.pw = nn.AdaptiveAvgPool2d((None, 1)), nn.AdaptiveAvgPool2d((1, None))
        self.c1, self.bn, self.ch, self.cw = nn.Conv2d(c, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, c, 1), nn.Conv2d(4, c, 1)
        self.eca, self.sp = nn.Conv1d(1, 1, 3, padding=1, bias=False), nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.hs = nn.Hardswish()

    def forward(self, x):
        n, c, h, w = x.size()
        y = torch.cat([self.ph(x), self.pw(x).permute(0, 1, 3, 2)], dim=2)
        y = self.hs(self.bn(self.c1(y)))
        xh, xw = torch.split(y, [h, w], dim=2)
        x = x * self.ch(xh).sigmoid() * self.cw(xw.permute(0, 1, 3, 2)).sigmoid()
        g = F.adaptive_avg_pool2d(x, 1)
        x = x * self.eca(g.squeeze(-1).transpose(-1, -2)).transpose(-1, -2).unsqueeze(-1).sigmoid().expand_as(x)
        s = torch.cat([torch.max(x, 1)[0].unsqueeze(1), torch.mean(x, 1).unsqueeze(1)], dim=1)
        e = (x - x.mean(dim=[2, 3], keepdim=True)).pow(2)
        sim = x * torch.sigmoid(e / (4 * (e.sum(dim=[2, 3], keepdim=True) / (w * h - 1) + 1e-4)) + 0.5)
        return sim * torch.sigmoid(self.sp(s))


class BiGRU(nn.GRU):
    def __init__(self, i, h):
        super().__init__(i, h, bidirectional=True, batch_first=True)
        self.proj = nn.Linear(2 * h, 3)

    def forward(self, x):
        y, h = super().forward(x)
        return self.proj(y) + h.mean()


class MyMHA(nn.MultiheadAttention):
    def __init__(self, d, h):
        super().__init__(d, h, batch_first=True)
        self.scale = nn.Parameter(torch.ones(d))

    def forward(self, x, mem=None):
        mem = x if mem is None else mem
        return super().forward(x, mem, mem, need_weights=False)[0] * self.scale


class LoRALinear(nn.Linear):
    def __init__(self, i, o, rank=2):
        super().__init__(i, o)
        self.lora_A, self.lora_B, self.scaling = nn.Parameter(torch.randn(rank, i)), nn.Parameter(torch.zeros(o, rank)), 0.5
        self.weight.requires_grad = False

    def forward(self, x):
        return F.linear(x, self.weight, bias=self.bias) + (x @ self.lora_A.transpose(0, 1) @ self.lora_B.transpose(0, 1)) * self.scaling


class CausalConv1d(nn.Conv1d):
    def forward(self, x):
        pad = (self.kernel_size[0] - 1) * self.dilation[0]
        return super().forward(F.pad(x, (pad, 0)))


class ScaledEmbedding(nn.Embedding):
    def forward(self, ids):
        return super().forward(ids) * math.sqrt(self.embedding_dim)


class FP32LN(nn.LayerNorm):
    def forward(self, x):
        return super().forward(x.float()).to(x.dtype)


class Subclassed(nn.Module):
    def __init__(self):
        super().__init__()
        self.att, self.lin, self.conv = MyMHA(8, 2), LoRALinear(8, 8), CausalConv1d(8, 8, 3, dilation=2)
        self.emb, self.ln = ScaledEmbedding(9, 8), FP32LN(8)
        self.gru = BiGRU(8, 4)

    def forward(self, ids):
        x = self.emb(ids)
        x = x + self.att(self.ln(x)) + self.att(x, x[:, :2])
        x = self.lin(x)
        x = self.conv(x.transpose(1, 2)).transpose(1, 2)
        return self.gru(x)


class Inplace(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1, self.c2, self.l = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 1), nn.Linear(4, 4)

    def forward(self, x):
        x = self.c1(x).relu_()
        y = self.c2(x)
        y.mul_(0.5).add_(x).clamp_(-3, 3)
        y /= 2
        y -= y.mean()
        z = y.flatten(2).transpose_(1, 2)
        z = self.l(z)
        z[..., 0] = 0
        z[:, ::2] *= 2
        z.masked_fill_(z < 0, 0.0)
        return z.unsqueeze_(1).squeeze_(1).t_() if z.dim() == 2 else z.div_(z.abs().sum(-1, keepdim=True) + 1)


class TSM(nn.Module):
    def __init__(self, T=3):
        super().__init__()
        self.T = T
        self.c1, self.bn, self.c2 = nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, padding=1)
        self.action, self.fc = nn.Conv1d(8, 8, 3, padding=1, groups=8, bias=False), nn.Linear(8, 3)
        self.action.weight.requires_grad = True
        self.action.weight.data.zero_()
        self.action.weight.data[:2, 0, 2] = 1

    def shift(self, x):
        nt, c, h, w = x.size()
        x = x.view(nt // self.T, self.T, c, h, w)
        out = torch.zeros_like(x)
        out[:, :-1, :2] = x[:, 1:, :2]
        out[:, 1:, 2:4] = x[:, :-1, 2:4]
        out[:, :, 4:] = x[:, :, 4:]
        return out.view(nt, c, h, w)

    def forward(self, x):
        b, t, c, h, w = x.shape
        x = torch.relu_(self.bn(self.c1(x.view(-1, c, h, w))))
        x = self.c2(self.shift(x)) + x
        n, c, h, w = x.shape
        y = x.view(b, t, c, h, w).permute(0, 3, 4, 2, 1).contiguous().view(b * h * w, c, t)
        y = self.action(y).view(b, h, w, c, t).permute(0, 4, 3, 1, 2).contiguous().view(n, c, h, w)
        d = y.view(b, t, c, h, w)
        diff = d[:, 1:] - d[:, :-1]
        x = x + F.pad(diff.reshape(b, t - 1, -1), (0, 0, 0, 1)).view_as(x)
        return self.fc(x.mean([2, 3])).view(b, t, -1).mean(1)


class SlowFast(nn.Module):
    def __init__(self):
        super().__init__()
        self.slow, self.fast = nn.Conv3d(3, 6, (1, 5, 5), (1, 2, 2), (0, 2, 2), bias=False), nn.Conv3d(3, 2, (5, 5, 5), (1, 2, 2), (2, 2, 2), bias=False)
        self.lat = nn.Conv3d(2, 4, (5, 1, 1), stride=(2, 1, 1), padding=(2, 0, 0), bias=False)
        self.bn, self.relu = nn.BatchNorm3d(10), nn.ReLU(inplace=True)
        self.conv = nn.Sequential(nn.Conv3d(10, 6, (1, 3, 3), padding=(0, 1, 1)), nn.BatchNorm3d(6), nn.ReLU(), nn.Conv3d(6, 6, (3, 1, 1), padding=(1, 0, 0)))
        self.proj = nn.Linear(8, 4)

    def forward(self, x):
        s = torch.index_select(x, 2, torch.linspace(0, x.shape[2] - 1, x.shape[2] // 2).long())
        f = self.fast(x)
        s = self.relu(self.bn(torch.cat([self.slow(s), self.lat(f)], 1)))
        s = self.conv(F.max_pool3d(s, kernel_size=[1, 3, 3], stride=[1, 2, 2], padding=[0, 1, 1]))
        p = torch.cat([F.adaptive_avg_pool3d(s, 1), nn.AvgPool3d([f.shape[2], f.shape[3], f.shape[4]], stride=1)(f)], 1)
        p = p.permute((0, 2, 3, 4, 1))
        return F.softmax(self.proj(p), dim=4).mean([1, 2, 3]).view(x.size(0), -1)


MODELS = {
    "nets/xvector": (XVector, r(2, 14, 6)),
    "nets/rgcn": (RGCN, rr((6, 5), (3, 6, 6))),
    "nets/patchtst": (PatchTST, r(2, 12, 2)),
    "nets/ssd": (Mamba2SSD, r(2, 8, 8)),
    "nets/point_transformer": (PointTransformer, rr((2, 7, 3), (2, 7, 4))),
    "nets/switch": (SwitchFFN, r(5, 6)),
    "nets/coordatt": (CoordAtt, r(2, 6, 5, 7)),
    "nets/subclassed": (Subclassed, rr(ints(9, 2, 6))),
    "nets/inplace": (Inplace, r(1, 2, 5, 5)),
    "nets/tsm": (TSM, r(2, 3, 3, 8, 8)),
    "nets/slowfast": (SlowFast, r(1, 3, 8, 12, 12)),
}
