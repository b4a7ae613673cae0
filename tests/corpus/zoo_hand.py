"""The networks of tests/specs/hand, where each is written as a spec by hand: the same in PyTorch, for the numbers."""

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm


def ints(below, *shape):
    return torch.randint(0, below, shape)


class SE(nn.Module):
    def __init__(self, c, r=4):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Sequential(nn.Linear(c, c // r, bias=False), nn.ReLU(inplace=True), nn.Linear(c // r, c, bias=False), nn.Sigmoid())

    def forward(self, x):
        b, c, _, _ = x.size()
        y = self.pool(x).view(b, c)
        y = self.fc(y).view(b, c, 1, 1)
        return x * y.expand_as(x)


class SEBlock(nn.Module):
    def __init__(self, cin, c, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, c, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(c)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(c, c, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(c)
        self.se = SE(c)
        if stride != 1 or cin != c:
            self.shortcut = nn.Sequential(nn.Conv2d(cin, c, 1, stride, bias=False), nn.BatchNorm2d(c))
        else:
            self.same = nn.Identity()

    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.se(self.bn2(self.conv2(out)))
        out += (self.shortcut if hasattr(self, 'shortcut') else self.same)(x)
        return F.relu(out)


class SEResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.layer1 = nn.Sequential(SEBlock(16, 16), SEBlock(16, 16))
        self.layer2 = nn.Sequential(SEBlock(16, 32, 2), SEBlock(32, 32))
        self.fc = nn.Linear(32, 10)

    def forward(self, x):
        x = self.layer2(self.layer1(self.stem(x)))
        x = F.adaptive_avg_pool2d(x, 1)
        x = torch.flatten(x, 1)
        return self.fc(x)


class DoubleConv(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU(inplace=True), nn.Conv2d(o, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU(inplace=True))

    def forward(self, x):
        return self.block(x)


class Up(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.up = nn.ConvTranspose2d(i, i // 2, 2, stride=2)
        self.conv = DoubleConv(i, o)

    def forward(self, x1, x2):
        x1 = self.up(x1)
        dy = x2.size()[2] - x1.size()[2]
        dx = x2.size()[3] - x1.size()[3]
        x1 = F.pad(x1, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2])
        return self.conv(torch.cat([x2, x1], dim=1))


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.inc = DoubleConv(3, 8)
        self.pool = nn.MaxPool2d(2)
        self.down1 = DoubleConv(8, 16)
        self.down2 = DoubleConv(16, 32)
        self.up1 = Up(32, 16)
        self.up2 = Up(16, 8)
        self.outc = nn.Conv2d(8, 2, 1)

    def forward(self, x):
        x1 = self.inc(x)
        x2 = self.down1(self.pool(x1))
        x3 = self.down2(self.pool(x2))
        return self.outc(self.up2(self.up1(x3, x2), x1))


def dw(i, o, s):
    return nn.Sequential(nn.Conv2d(i, i, 3, s, 1, groups=i, bias=False), nn.BatchNorm2d(i), nn.ReLU6(inplace=True), nn.Conv2d(i, o, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU6(inplace=True))


class MobileNetV1(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(inplace=True)), dw(8, 16, 1), dw(16, 32, 2), dw(32, 32, 1), nn.AvgPool2d(7))
        self.fc = nn.Linear(32, 100)

    def forward(self, x):
        x = self.model(x)
        x = x.view(-1, 32)
        return self.fc(x)


def channel_shuffle(x, groups):
    b, c, h, w = x.size()
    cpg = c // groups
    x = x.view(b, groups, cpg, h, w)
    x = torch.transpose(x, 1, 2).contiguous()
    return x.view(b, -1, h, w)


class ShuffleUnit(nn.Module):
    def __init__(self, c, g):
        super().__init__()
        self.g = g
        self.gconv1 = nn.Conv2d(c, c // 4, 1, groups=g, bias=False)
        self.bn1 = nn.BatchNorm2d(c // 4)
        self.dw = nn.Conv2d(c // 4, c // 4, 3, padding=1, groups=c // 4, bias=False)
        self.bn2 = nn.BatchNorm2d(c // 4)
        self.gconv2 = nn.Conv2d(c // 4, c, 1, groups=g, bias=False)
        self.bn3 = nn.BatchNorm2d(c)

    def forward(self, x):
        out = F.relu(self.bn1(self.gconv1(x)))
        out = channel_shuffle(out, self.g)
        out = self.bn2(self.dw(out))
        out = self.bn3(self.gconv2(out))
        return F.relu(x + out)


class ShuffleNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 32, 3, 2, 1)
        self.units = nn.ModuleList([ShuffleUnit(32, 4) for _ in range(3)])
        self.fc = nn.Linear(32, 10)

    def forward(self, x):
        x = self.conv(x)
        for u in self.units:
            x = u(x)
        x = x.mean([2, 3])
        return self.fc(x)


class GhostModule(nn.Module):
    def __init__(self, i, o, ratio=2, relu=True):
        super().__init__()
        init = math.ceil(o / ratio)
        self.o = o
        self.primary_conv = nn.Sequential(nn.Conv2d(i, init, 1, bias=False), nn.BatchNorm2d(init), nn.ReLU(inplace=True) if relu else nn.Sequential())
        self.cheap_operation = nn.Sequential(nn.Conv2d(init, init * (ratio - 1), 3, 1, 1, groups=init, bias=False), nn.BatchNorm2d(init), nn.ReLU(inplace=True) if relu else nn.Sequential())

    def forward(self, x):
        x1 = self.primary_conv(x)
        x2 = self.cheap_operation(x1)
        out = torch.cat([x1, x2], dim=1)
        return out[:, :self.o, :, :]


class GhostNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.g1 = GhostModule(3, 15)
        self.g2 = GhostModule(15, 20, relu=False)

    def forward(self, x):
        return self.g2(self.g1(x)).amax((2, 3))


class Inception(nn.Module):
    def __init__(self, i):
        super().__init__()
        self.b1 = nn.Conv2d(i, 16, 1)
        self.b2 = nn.Sequential(nn.Conv2d(i, 8, 1), nn.ReLU(), nn.Conv2d(8, 16, (1, 7), padding=(0, 3)), nn.Conv2d(16, 16, (7, 1), padding=(3, 0)))
        self.pool = nn.Conv2d(i, 8, 1)

    def forward(self, x):
        return torch.cat((self.b1(x), self.b2(x), self.pool(F.avg_pool2d(x, 3, stride=1, padding=1))), 1)


class IncNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = Inception(3)
        self.b = Inception(40)
        self.drop = nn.Dropout2d()
        self.fc = nn.Linear(40, 7)

    def forward(self, x):
        x = F.max_pool2d(self.a(x), 3, 2)
        x = self.drop(self.b(x))
        return F.log_softmax(self.fc(x.mean(3).mean(2)), dim=1)


class DLayer(nn.Module):
    def __init__(self, i, g):
        super().__init__()
        self.bn = nn.BatchNorm2d(i)
        self.conv = nn.Conv2d(i, g, 3, padding=1, bias=False)

    def forward(self, x):
        return torch.cat([x, self.conv(F.relu(self.bn(x)))], 1)


class DenseNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, padding=1)
        self.block = nn.Sequential(*[DLayer(16 + 12 * i, 12) for i in range(4)])
        self.trans = nn.Sequential(nn.BatchNorm2d(64), nn.ReLU(), nn.Conv2d(64, 32, 1), nn.AvgPool2d(2))
        self.fc = nn.Linear(32, 10)

    def forward(self, x):
        x = self.trans(self.block(self.conv(x)))
        x = F.adaptive_avg_pool2d(x, (1, 1)).view(x.size(0), -1)
        return self.fc(x)


class Attn(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.scale = (dim // heads) ** (-0.5)
        self.qkv = nn.Linear(dim, dim * 3, bias=False)
        self.proj = nn.Sequential(nn.Linear(dim, dim), nn.Dropout(0.1))

    def forward(self, x):
        B, N, C = x.shape
        qkv = self.qkv(x).reshape(B, N, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        attn = q @ k.transpose(-2, -1) * self.scale
        attn = attn.softmax(dim=-1)
        x = (attn @ v).transpose(1, 2).reshape(B, N, C)
        return self.proj(x)


class Blk(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = Attn(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 64, 8, 8)
        self.cls = nn.Parameter(torch.zeros(1, 1, 64))
        self.pos = nn.Parameter(torch.zeros(1, 17, 64))
        self.blocks = nn.Sequential(*[Blk(64, 4) for _ in range(2)])
        self.norm = nn.LayerNorm(64)
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat((self.cls.expand(x.shape[0], -1, -1), x), dim=1)
        x = x + self.pos
        return self.head(self.norm(self.blocks(x))[:, 0])


def window_partition(x, ws):
    B, H, W, C = x.shape
    x = x.view(B, H // ws, ws, W // ws, ws, C)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, ws, ws, C)


def window_reverse(windows, ws, H, W):
    B = int(windows.shape[0] / (H * W / ws / ws))
    x = windows.view(B, H // ws, W // ws, ws, ws, -1)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(B, H, W, -1)


class WinAttn(nn.Module):
    def __init__(self, dim, ws, heads):
        super().__init__()
        self.dim, self.ws, self.heads = (dim, ws, heads)
        self.scale = (dim // heads) ** (-0.5)
        self.table = nn.Parameter(torch.zeros((2 * ws - 1) * (2 * ws - 1), heads))
        self.register_buffer('index', torch.zeros(ws * ws, ws * ws, dtype=torch.long))
        self.qkv = nn.Linear(dim, dim * 3)
        self.proj = nn.Linear(dim, dim)
        self.softmax = nn.Softmax(dim=-1)

    def forward(self, x):
        B_, N, C = x.shape
        qkv = self.qkv(x).reshape(B_, N, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = (qkv[0], qkv[1], qkv[2])
        q = q * self.scale
        attn = q @ k.transpose(-2, -1)
        bias = self.table[self.index.view(-1)].view(self.ws * self.ws, self.ws * self.ws, -1).permute(2, 0, 1).contiguous()
        attn = self.softmax(attn + bias.unsqueeze(0))
        x = (attn @ v).transpose(1, 2).reshape(B_, N, C)
        return self.proj(x)


class SwinBlk(nn.Module):
    def __init__(self, dim, ws, heads, shift):
        super().__init__()
        self.ws, self.shift = (ws, shift)
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WinAttn(dim, ws, heads)

    def forward(self, x):
        B, H, W, C = x.shape
        short = x
        x = self.norm1(x)
        if self.shift > 0:
            x = torch.roll(x, shifts=(-self.shift, -self.shift), dims=(1, 2))
        w = window_partition(x, self.ws).view(-1, self.ws * self.ws, C)
        w = self.attn(w).view(-1, self.ws, self.ws, C)
        x = window_reverse(w, self.ws, H, W)
        if self.shift > 0:
            x = torch.roll(x, shifts=(self.shift, self.shift), dims=(1, 2))
        return short + x


class Swin(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(3, 24, 4, 4)
        self.b = nn.Sequential(SwinBlk(24, 4, 3, 0), SwinBlk(24, 4, 3, 2))

    def forward(self, x):
        return self.b(self.embed(x).permute(0, 2, 3, 1)).mean((1, 2))


class CausalSelfAttention(nn.Module):
    def __init__(self, n, h, t):
        super().__init__()
        self.c_attn = nn.Linear(n, 3 * n)
        self.c_proj = nn.Linear(n, n)
        self.attn_dropout = nn.Dropout(0.1)
        self.resid_dropout = nn.Dropout(0.1)
        self.n, self.h = (n, h)
        self.register_buffer('bias', torch.tril(torch.ones(t, t)).view(1, 1, t, t))

    def forward(self, x):
        B, T, C = x.size()
        q, k, v = self.c_attn(x).split(self.n, dim=2)
        k = k.view(B, T, self.h, C // self.h).transpose(1, 2)
        q = q.view(B, T, self.h, C // self.h).transpose(1, 2)
        v = v.view(B, T, self.h, C // self.h).transpose(1, 2)
        att = q @ k.transpose(-2, -1) * (1.0 / math.sqrt(k.size(-1)))
        att = att.masked_fill(self.bias[:, :, :T, :T] == 0, float('-inf'))
        att = F.softmax(att, dim=-1)
        att = self.attn_dropout(att)
        y = att @ v
        y = y.transpose(1, 2).contiguous().view(B, T, C)
        return self.resid_dropout(self.c_proj(y))


class GBlock(nn.Module):
    def __init__(self, n, h, t):
        super().__init__()
        self.ln_1 = nn.LayerNorm(n)
        self.attn = CausalSelfAttention(n, h, t)
        self.ln_2 = nn.LayerNorm(n)
        self.mlp = nn.ModuleDict(dict(c_fc=nn.Linear(n, 4 * n), c_proj=nn.Linear(4 * n, n), act=nn.GELU(), dropout=nn.Dropout(0.1)))

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        m = self.mlp
        return x + m.dropout(m.c_proj(m.act(m.c_fc(self.ln_2(x)))))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte = nn.Embedding(100, 48)
        self.wpe = nn.Embedding(32, 48)
        self.drop = nn.Dropout(0.1)
        self.h = nn.ModuleList([GBlock(48, 4, 32) for _ in range(2)])
        self.ln_f = nn.LayerNorm(48)
        self.lm_head = nn.Linear(48, 100, bias=False)
        self.wte.weight = self.lm_head.weight

    def forward(self, idx):
        b, t = idx.size()
        pos = torch.arange(0, t, dtype=torch.long).unsqueeze(0)
        x = self.drop(self.wte(idx) + self.wpe(pos))
        for blk in self.h:
            x = blk(x)
        return self.lm_head(self.ln_f(x))


class RMSNorm(nn.Module):
    def __init__(self, dim, eps=1e-06):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        n = x.float() * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + self.eps)
        return n.type_as(x) * self.weight


def rotate_half(x):
    x1, x2 = (x[..., :x.shape[-1] // 2], x[..., x.shape[-1] // 2:])
    return torch.cat((-x2, x1), dim=-1)


class LAttention(nn.Module):
    def __init__(self, d, h, kv):
        super().__init__()
        self.h, self.kv, self.hd = (h, kv, d // h)
        self.wq = nn.Linear(d, d, bias=False)
        self.wk = nn.Linear(d, kv * self.hd, bias=False)
        self.wv = nn.Linear(d, kv * self.hd, bias=False)
        self.wo = nn.Linear(d, d, bias=False)

    def forward(self, x, cos, sin):
        B, L, _ = x.shape
        q = self.wq(x).view(B, L, self.h, self.hd).transpose(1, 2)
        k = self.wk(x).view(B, L, self.kv, self.hd).transpose(1, 2)
        v = self.wv(x).view(B, L, self.kv, self.hd).transpose(1, 2)
        q = q * cos + rotate_half(q) * sin
        k = k * cos + rotate_half(k) * sin
        k = k.repeat_interleave(self.h // self.kv, dim=1)
        v = v.repeat_interleave(self.h // self.kv, dim=1)
        o = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.wo(o.transpose(1, 2).contiguous().view(B, L, -1))


class LFeedForward(nn.Module):
    def __init__(self, d, f):
        super().__init__()
        self.w1 = nn.Linear(d, f, bias=False)
        self.w2 = nn.Linear(f, d, bias=False)
        self.w3 = nn.Linear(d, f, bias=False)

    def forward(self, x):
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class LBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = LAttention(64, 4, 2)
        self.feed_forward = LFeedForward(64, 172)
        self.attention_norm = RMSNorm(64)
        self.ffn_norm = RMSNorm(64)

    def forward(self, x, cos, sin):
        h = x + self.attention(self.attention_norm(x), cos, sin)
        return h + self.feed_forward(self.ffn_norm(h))


class Llama(nn.Module):
    def __init__(self):
        super().__init__()
        self.tok = nn.Embedding(200, 64)
        self.layers = nn.ModuleList([LBlock() for _ in range(2)])
        self.norm = RMSNorm(64)
        self.output = nn.Linear(64, 200, bias=False)
        self.register_buffer('cos', torch.zeros(128, 16))
        self.register_buffer('sin', torch.zeros(128, 16))

    def forward(self, t):
        L = t.shape[1]
        x = self.tok(t)
        for l in self.layers:
            x = l(x, self.cos[:L], self.sin[:L])
        return self.output(self.norm(x))


class EncLayer(nn.Module):
    def __init__(self, d, h):
        super().__init__()
        self.attn = nn.MultiheadAttention(d, h, batch_first=True)
        self.norm = nn.LayerNorm(d)
        self.ff = nn.Sequential(nn.Linear(d, 2 * d), nn.ReLU(), nn.Linear(2 * d, d))

    def forward(self, x, mask):
        a, _ = self.attn(x, x, x, key_padding_mask=mask, need_weights=False)
        x = self.norm(x + a)
        return x + self.ff(x)


class MHANet(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(50, 32, padding_idx=0)
        self.l = nn.ModuleList([EncLayer(32, 4) for _ in range(2)])
        self.fc = nn.Linear(32, 2)

    def forward(self, t):
        mask = t == 0
        x = self.emb(t)
        for l in self.l:
            x = l(x, mask)
        return self.fc(x.mean(dim=1))


class S2S(nn.Module):
    def __init__(self):
        super().__init__()
        self.src = nn.Embedding(60, 32)
        self.tgt = nn.Embedding(70, 32)
        self.transformer = nn.Transformer(32, 4, 2, 2, 64, batch_first=True)
        self.gen = nn.Linear(32, 70)

    def forward(self, a, b):
        m = nn.Transformer.generate_square_subsequent_mask(b.size(1))
        return self.gen(self.transformer(self.src(a) * math.sqrt(32), self.tgt(b) * math.sqrt(32), tgt_mask=m))


class LSTMClf(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(100, 20)
        self.lstm = nn.LSTM(20, 30, 2, batch_first=True, bidirectional=True, dropout=0.2)
        self.fc = nn.Linear(60, 3)

    def forward(self, t):
        _, (h, c) = self.lstm(self.emb(t))
        return self.fc(torch.cat((h[-2], h[-1]), dim=1))


class Dec(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc = nn.GRU(10, 16)
        self.cell = nn.GRUCell(16, 16)
        self.out = nn.Linear(32, 10)

    def forward(self, x):
        o, h = self.enc(x)
        h = h[0]
        y = []
        for t in range(3):
            h = self.cell(o[t], h)
            a = torch.softmax(torch.einsum('bh,tbh->bt', h, o), dim=-1)
            ctx = torch.bmm(a.unsqueeze(1), o.transpose(0, 1)).squeeze(1)
            y.append(self.out(torch.cat([h, ctx], dim=-1)))
        return torch.stack(y, dim=1)


class TCN(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1 = weight_norm(nn.Conv1d(4, 16, 3, padding=2, dilation=1))
        self.c2 = weight_norm(nn.Conv1d(16, 16, 3, padding=4, dilation=2))
        self.down = nn.Conv1d(4, 16, 1)
        self.fc = nn.Linear(16, 5)

    def forward(self, x):
        y = F.relu(self.c1(x)[:, :, :-2])
        y = F.relu(self.c2(y)[:, :, :-4])
        y = F.relu(y + self.down(x))
        return self.fc(y[:, :, -1])


class C3D(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Sequential(nn.Conv3d(3, 8, 3, padding=1), nn.BatchNorm3d(8), nn.ReLU(), nn.MaxPool3d((1, 2, 2)), nn.Conv3d(8, 16, (3, 1, 1), padding=(1, 0, 0)), nn.AdaptiveAvgPool3d(1))
        self.fc = nn.Linear(16, 4)

    def forward(self, x):
        x = self.f(x)
        return self.fc(x.view(x.size(0), -1))


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(8, 16, 3, 2, 1), nn.LeakyReLU(0.2))
        self.mu = nn.Linear(16 * 49, 10)
        self.logvar = nn.Linear(16 * 49, 10)
        self.d = nn.Linear(10, 16 * 49)
        self.dec = nn.Sequential(nn.ConvTranspose2d(16, 8, 3, 2, 1, 1), nn.LeakyReLU(0.2), nn.ConvTranspose2d(8, 1, 3, 2, 1, output_padding=1), nn.Sigmoid())

    def forward(self, x):
        h = self.enc(x).flatten(1)
        mu, lv = (self.mu(h), self.logvar(h))
        std = torch.exp(0.5 * lv)
        z = mu + torch.randn_like(std) * std
        return (self.dec(self.d(z).view(-1, 16, 7, 7)), mu, lv)


class SNDisc(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(spectral_norm(nn.Conv2d(3, 16, 4, 2, 1)), nn.LeakyReLU(0.2, inplace=True), spectral_norm(nn.Conv2d(16, 32, 4, 2, 1)), nn.LeakyReLU(0.2, inplace=True))
        self.fc = spectral_norm(nn.Linear(32 * 8 * 8, 1))

    def forward(self, x):
        x = self.net(x)
        return self.fc(x.view(x.shape[0], -1)).squeeze(1)


class DLRM(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.ModuleList([nn.EmbeddingBag(50, 8, mode='sum') for _ in range(3)])
        self.bot = nn.Sequential(nn.Linear(13, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU())
        self.top = nn.Sequential(nn.Linear(8 + 6, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid())

    def forward(self, dense, a, b, c):
        x = self.bot(dense)
        ly = [e(i) for e, i in zip(self.emb, (a, b, c))]
        T = torch.cat([x] + ly, dim=1).view(x.shape[0], -1, x.shape[1])
        Z = torch.bmm(T, torch.transpose(T, 1, 2))
        li = torch.tensor([1, 2, 2, 3, 3, 3])
        lj = torch.tensor([0, 0, 1, 0, 1, 2])
        R = torch.cat([x, Z[:, li, lj]], dim=1)
        return self.top(R)


class NeXt(nn.Module):
    def __init__(self, i, o, card=8, stride=1):
        super().__init__()
        w = o // 2
        self.conv = nn.Sequential(nn.Conv2d(i, w, 1, bias=False), nn.BatchNorm2d(w), nn.ReLU(True), nn.Conv2d(w, w, 3, stride, 1, groups=card, bias=False), nn.BatchNorm2d(w), nn.ReLU(True), nn.Conv2d(w, o, 1, bias=False), nn.BatchNorm2d(o))
        self.skip = nn.Conv2d(i, o, 1, stride) if i != o or stride > 1 else None

    def forward(self, x):
        y = self.conv(x)
        return torch.relu(y + (x if self.skip is None else self.skip(x)))


class ResNeXt(nn.Module):
    def __init__(self):
        super().__init__()
        self.stages = nn.Sequential(nn.Conv2d(3, 16, 7, 2, 3), nn.MaxPool2d(3, 2, 1), NeXt(16, 32), NeXt(32, 32), NeXt(32, 64, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 12))

    def forward(self, x):
        return self.stages(x)


class CBAM(nn.Module):
    def __init__(self, c, r=8):
        super().__init__()
        self.avg = nn.AdaptiveAvgPool2d(1)
        self.max = nn.AdaptiveMaxPool2d(1)
        self.mlp = nn.Sequential(nn.Conv2d(c, c // r, 1, bias=False), nn.ReLU(), nn.Conv2d(c // r, c, 1, bias=False))
        self.sig = nn.Sigmoid()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x):
        x = x * self.sig(self.mlp(self.avg(x)) + self.mlp(self.max(x)))
        a = torch.mean(x, dim=1, keepdim=True)
        m, _ = torch.max(x, dim=1, keepdim=True)
        return x * self.sig(self.conv(torch.cat([a, m], dim=1)))


class CBAMNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3)
        self.cbam = CBAM(16)
        self.fc = nn.Linear(16, 2)

    def forward(self, x):
        return self.fc(self.cbam(self.conv(x)).mean(dim=(2, 3)))


class IR(nn.Module):
    def __init__(self, i, h, o, k, stride, se, hs):
        super().__init__()
        self.res = stride == 1 and i == o
        act = nn.Hardswish if hs else nn.ReLU
        layers = []
        if h != i:
            layers += [nn.Conv2d(i, h, 1, bias=False), nn.BatchNorm2d(h), act()]
        layers += [nn.Conv2d(h, h, k, stride, k // 2, groups=h, bias=False), nn.BatchNorm2d(h), act()]
        if se:
            layers += [SEL(h)]
        layers += [nn.Conv2d(h, o, 1, bias=False), nn.BatchNorm2d(o)]
        self.conv = nn.Sequential(*layers)

    def forward(self, x):
        return x + self.conv(x) if self.res else self.conv(x)


class SEL(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.fc1 = nn.Conv2d(c, c // 4, 1)
        self.fc2 = nn.Conv2d(c // 4, c, 1)

    def forward(self, x):
        y = F.adaptive_avg_pool2d(x, 1)
        y = F.relu(self.fc1(y), inplace=True)
        return F.hardsigmoid(self.fc2(y)) * x


class MBV3(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.Hardswish(), IR(16, 16, 16, 3, 1, True, False), IR(16, 48, 24, 5, 2, False, True), IR(24, 72, 24, 5, 1, True, True))
        self.c = nn.Linear(24, 10)

    def forward(self, x):
        return self.c(self.f(x).mean(-1).mean(-1))


class SpectralConv(nn.Module):
    def __init__(self, c, m):
        super().__init__()
        self.m = m
        self.w = nn.Parameter(torch.rand(c, c, m, dtype=torch.cfloat))

    def forward(self, x):
        f = torch.fft.rfft(x)
        o = torch.einsum('bix,iox->box', f[:, :, :self.m], self.w)
        return torch.fft.irfft(o, n=x.size(-1))


class FNO(nn.Module):
    def __init__(self):
        super().__init__()
        self.up = nn.Conv1d(1, 8, 1)
        self.sc = SpectralConv(8, 6)
        self.w = nn.Conv1d(8, 8, 1)
        self.out = nn.Conv1d(8, 1, 1)

    def forward(self, x):
        x = self.up(x)
        return self.out(F.gelu(self.sc(x) + self.w(x)))


class FNetBlock(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.n1 = nn.LayerNorm(d)
        self.n2 = nn.LayerNorm(d)
        self.ff = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))

    def forward(self, x):
        x = self.n1(x + torch.fft.fft(torch.fft.fft(x, dim=-1), dim=-2).real)
        return self.n2(x + self.ff(x))


class FNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Sequential(*[FNetBlock(16) for _ in range(2)])

    def forward(self, x):
        return self.l(x)


class SR(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(3, 16, 3, padding='same')
        self.body = nn.ModuleList([nn.Conv2d(16, 16, 3, padding=1) for _ in range(3)])
        self.up = nn.Sequential(nn.Conv2d(16, 12, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, x):
        f = self.head(x)
        y = f
        for b in self.body:
            y = F.leaky_relu(b(y), 0.1)
        return self.up(y + f) + F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False)


class STN(nn.Module):
    def __init__(self):
        super().__init__()
        self.loc = nn.Sequential(nn.Conv2d(1, 8, 7), nn.MaxPool2d(2, stride=2), nn.ReLU(True))
        self.fc = nn.Sequential(nn.Linear(8 * 11 * 11, 32), nn.ReLU(True), nn.Linear(32, 6))
        self.c = nn.Conv2d(1, 10, 5)

    def forward(self, x):
        xs = self.loc(x).view(-1, 8 * 11 * 11)
        theta = self.fc(xs).view(-1, 2, 3)
        grid = F.affine_grid(theta, x.size(), align_corners=False)
        x = F.grid_sample(x, grid, align_corners=False)
        return F.relu(F.max_pool2d(self.c(x), 2))


class Fold(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(27, 27)
        self.un = nn.Unfold(3, padding=1)

    def forward(self, x):
        u = self.un(x).transpose(1, 2)
        u = self.lin(u).transpose(1, 2)
        return F.fold(u, x.shape[2:], 3, padding=1) / F.fold(F.unfold(torch.ones_like(x), 3, padding=1), x.shape[2:], 3, padding=1)


class PointNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.tnet = TNet(3)
        self.conv1 = nn.Conv1d(3, 32, 1)
        self.bn1 = nn.BatchNorm1d(32)
        self.conv2 = nn.Conv1d(32, 64, 1)
        self.bn2 = nn.BatchNorm1d(64)
        self.fc = nn.Linear(64, 5)

    def forward(self, x):
        t = self.tnet(x)
        x = torch.bmm(x.transpose(2, 1), t).transpose(2, 1)
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        x = torch.max(x, 2, keepdim=True)[0]
        x = x.view(-1, 64)
        return F.log_softmax(self.fc(x), dim=1)


class TNet(nn.Module):
    def __init__(self, k):
        super().__init__()
        self.k = k
        self.conv = nn.Conv1d(k, 32, 1)
        self.fc = nn.Linear(32, k * k)

    def forward(self, x):
        b = x.size()[0]
        x = F.relu(self.conv(x))
        x = torch.max(x, 2)[0]
        x = self.fc(x)
        iden = torch.eye(self.k).flatten().view(1, self.k * self.k).repeat(b, 1)
        return (x + iden).view(-1, self.k, self.k)


class MoE(nn.Module):
    def __init__(self, d, n):
        super().__init__()
        self.gate = nn.Linear(d, n, bias=False)
        self.experts = nn.ModuleList([nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d)) for _ in range(n)])

    def forward(self, x):
        w = self.gate(x).softmax(-1)
        y = torch.stack([e(x) for e in self.experts], dim=-1)
        return (y * w.unsqueeze(-2)).sum(-1)


class MoENet(nn.Module):
    def __init__(self):
        super().__init__()
        self.moe = MoE(16, 3)
        self.out = nn.Linear(16, 4)

    def forward(self, x):
        return self.out(self.moe(x))


class Frozen(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        for p in self.backbone.parameters():
            p.requires_grad = False
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        with torch.no_grad():
            f = self.backbone(x)
        return self.head(f)


class TwoTower(nn.Module):
    def __init__(self):
        super().__init__()
        self.u = nn.Embedding(30, 8)
        self.v = nn.Embedding(40, 8)
        self.mlp = nn.Sequential(nn.Linear(16 + 3, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 1))

    def forward(self, user, item, feats):
        p = self.u(user)
        q = self.v(item)
        dot = (p * q).sum(1, keepdim=True)
        return torch.sigmoid(dot + self.mlp(torch.hstack([p, q, feats])))


class Half(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(8, 8)
        self.b = nn.Linear(8, 4).double()

    def forward(self, x):
        return self.b(self.a(x).double()).float()


class Enc(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(d_model=32, nhead=4, dim_feedforward=64, batch_first=True, activation='gelu', norm_first=True)
        self.enc = nn.TransformerEncoder(nn.TransformerEncoderLayer(d_model=32, nhead=4, dim_feedforward=64), num_layers=3)
        self.fc = nn.Linear(32, 2)

    def forward(self, x):
        return self.fc(self.enc(self.layer(x)).mean(1))


class DecNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.dec = nn.TransformerDecoder(nn.TransformerDecoderLayer(32, 4, 64, batch_first=True), 2, norm=nn.LayerNorm(32))

    def forward(self, t, m):
        return self.dec(t, m)


class LQ(nn.Module):
    def __init__(self):
        super().__init__()
        self.q = nn.Parameter(torch.randn(4, 16))
        self.wk = nn.Parameter(torch.randn(16, 16))
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.norm = nn.RMSNorm(16)

    def forward(self, x):
        k = torch.einsum('bnd,de->bne', x, self.wk)
        a = torch.einsum('qd,bnd->bqn', self.q, k).mul(self.scale).softmax(-1)
        return self.norm(torch.matmul(a, x))


class Fn(nn.Module):
    def __init__(self):
        super().__init__()
        self.w1 = nn.Parameter(torch.randn(8, 3, 3, 3))
        self.b1 = nn.Parameter(torch.zeros(8))
        self.w2 = nn.Parameter(torch.randn(10, 8))
        self.register_buffer('rm', torch.zeros(8))
        self.register_buffer('rv', torch.ones(8))

    def forward(self, x):
        x = F.conv2d(x, self.w1, self.b1, stride=2, padding=1)
        x = F.batch_norm(x, self.rm, self.rv)
        x = F.relu(x)
        x = F.avg_pool2d(x, x.shape[-2:]).flatten(1)
        x = F.dropout(x, 0.5, self.training)
        return F.linear(x, self.w2)


class TextCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(80, 16)
        self.convs = nn.ModuleList([nn.Conv2d(1, 10, (k, 16)) for k in (3, 4, 5)])
        self.fc = nn.Linear(30, 2)

    def forward(self, x):
        x = self.emb(x).unsqueeze(1)
        x = [F.relu(c(x)).squeeze(3) for c in self.convs]
        x = [F.max_pool1d(i, i.size(2)).squeeze(2) for i in x]
        return self.fc(torch.cat(x, 1))


class CNBlock(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.dwconv = nn.Conv2d(d, d, 7, padding=3, groups=d)
        self.norm = nn.LayerNorm(d, eps=1e-06)
        self.pw1 = nn.Linear(d, 4 * d)
        self.act = nn.GELU()
        self.pw2 = nn.Linear(4 * d, d)
        self.gamma = nn.Parameter(1e-06 * torch.ones(d))

    def forward(self, x):
        y = self.dwconv(x).permute(0, 2, 3, 1)
        y = self.pw2(self.act(self.pw1(self.norm(y))))
        y = self.gamma * y
        return x + y.permute(0, 3, 1, 2)


class CN(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 4, 4)
        self.blocks = nn.Sequential(*[CNBlock(12) for _ in range(3)])

    def forward(self, x):
        return self.blocks(self.stem(x)).mean([-2, -1])


class SelfAttn(nn.Module):
    def __init__(self, d, h):
        super().__init__()
        self.h, self.hd = (h, d // h)
        self.q = nn.Linear(d, d)
        self.k = nn.Linear(d, d)
        self.v = nn.Linear(d, d)
        self.o = nn.Linear(d, d)

    def forward(self, x):
        b, t, c = x.shape
        q = self.q(x).view(b, t, self.h, self.hd).transpose(1, 2).contiguous().view(b * self.h, t, self.hd)
        k = self.k(x).view(b, t, self.h, self.hd).transpose(1, 2).contiguous().view(b * self.h, t, self.hd)
        v = self.v(x).view(b, t, self.h, self.hd).transpose(1, 2).contiguous().view(b * self.h, t, self.hd)
        w = F.softmax(torch.bmm(q, k.transpose(1, 2)) / math.sqrt(self.hd), dim=2)
        o = torch.bmm(w, v).view(b, self.h, t, self.hd).transpose(1, 2).contiguous().view(b, t, self.h * self.hd)
        return self.o(o)


class BmmAttn(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn = SelfAttn(24, 3)
        self.fc = nn.Linear(24, 5)

    def forward(self, x):
        x = self.attn(x)
        return self.fc(x.reshape(x.shape[0] * x.shape[1], -1))


class NonLocal(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.theta = nn.Conv2d(c, c // 2, 1)
        self.phi = nn.Conv2d(c, c // 2, 1)
        self.g = nn.Conv2d(c, c // 2, 1)
        self.out = nn.Conv2d(c // 2, c, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        n, c, h, w = x.size()
        t = self.theta(x).view(n, -1, h * w).permute(0, 2, 1)
        p = self.phi(x).view(n, -1, h * w)
        a = torch.softmax(torch.bmm(t, p), dim=-1)
        g = self.g(x).view(n, -1, h * w)
        o = torch.bmm(g, a.permute(0, 2, 1)).view(n, c // 2, h, w)
        return self.gamma * self.out(o) + x


class CellNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(5, 12)
        self.out = nn.Linear(12, 2)

    def forward(self, x):
        h = torch.zeros(x.size(0), 12)
        c = torch.zeros(x.size(0), 12)
        for t in range(x.size(1)):
            h, c = self.cell(x[:, t], (h, c))
        return self.out(h)


class TNets(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.ConvTranspose3d(4, 8, 3, stride=2, padding=1, output_padding=1, groups=2)
        self.n = nn.InstanceNorm3d(8, affine=True)
        self.b = nn.ConvTranspose1d(8, 2, 4, 2, 1, bias=False)
        self.g = nn.GroupNorm(2, 8)

    def forward(self, x):
        x = self.n(self.a(x))
        x = self.g(x).mean((2, 3))
        return torch.tanh(self.b(x))


class RNNs(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.RNN(6, 8, nonlinearity='relu', batch_first=True)
        self.b = nn.GRU(8, 8, bidirectional=True, batch_first=True)
        self.c = nn.LSTM(16, 10, proj_size=4, batch_first=True)
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        x, _ = self.a(x)
        x, h = self.b(x)
        x, (h, c) = self.c(x)
        return (self.fc(x), h)


class Proto(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Linear(10, 6)
        self.p = nn.Parameter(torch.randn(4, 6))

    def forward(self, x):
        z = F.normalize(self.f(x), dim=-1)
        d = torch.cdist(z, self.p)
        v, i = d.topk(2, dim=-1, largest=False)
        return (F.softmin(v, dim=-1), F.cosine_similarity(z.unsqueeze(1), self.p.unsqueeze(0), dim=-1))


class Multi(nn.Module):
    def __init__(self):
        super().__init__()
        self.b = nn.Bilinear(5, 6, 7)
        self.h = nn.ModuleDict({'cls': nn.Linear(7, 2), 'box': nn.Linear(7, 4)})

    def forward(self, x, y):
        z = F.elu(self.b(x, y))
        return {k: h(z) for k, h in self.h.items()}


class PosTr(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(40, 16)
        self.register_buffer('pe', torch.zeros(1, 100, 16))
        self.mha = nn.MultiheadAttention(16, 2)
        self.norm = nn.LayerNorm(16)

    def forward(self, t):
        x = self.emb(t) * math.sqrt(16) + self.pe[:, :t.size(1)]
        x = x.permute(1, 0, 2)
        m = torch.triu(torch.ones(t.size(1), t.size(1)), diagonal=1).bool()
        y, w = self.mha(x, x, x, attn_mask=m)
        x = self.norm(x + y).permute(1, 0, 2)
        return x @ self.emb.weight.T


class BAttn(nn.Module):
    def __init__(self, d, h):
        super().__init__()
        self.h = h
        self.query = nn.Linear(d, d)
        self.key = nn.Linear(d, d)
        self.value = nn.Linear(d, d)
        self.dropout = nn.Dropout(0.1)

    def split(self, x):
        x = x.view(x.size()[:-1] + (self.h, x.size(-1) // self.h))
        return x.permute(0, 2, 1, 3)

    def forward(self, x, mask):
        q, k, v = (self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x)))
        a = torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(8) + mask
        a = self.dropout(nn.functional.softmax(a, dim=-1))
        c = torch.matmul(a, v).permute(0, 2, 1, 3).contiguous()
        return c.view(c.size()[:-2] + (c.size(-2) * c.size(-1),))


class BLayer(nn.Module):
    def __init__(self, d, h):
        super().__init__()
        self.attn = BAttn(d, h)
        self.out = nn.Linear(d, d)
        self.ln1 = nn.LayerNorm(d, eps=1e-12)
        self.up = nn.Linear(d, 4 * d)
        self.down = nn.Linear(4 * d, d)
        self.ln2 = nn.LayerNorm(d, eps=1e-12)

    def forward(self, x, mask):
        x = self.ln1(x + self.out(self.attn(x, mask)))
        return self.ln2(x + self.down(F.gelu(self.up(x))))


class Bert(nn.Module):
    def __init__(self):
        super().__init__()
        self.word = nn.Embedding(90, 32, padding_idx=0)
        self.pos = nn.Embedding(64, 32)
        self.typ = nn.Embedding(2, 32)
        self.ln = nn.LayerNorm(32)
        self.layers = nn.ModuleList([BLayer(32, 4) for _ in range(2)])
        self.pooler = nn.Sequential(nn.Linear(32, 32), nn.Tanh())
        self.cls = nn.Linear(32, 3)
        self.register_buffer('position_ids', torch.arange(64).unsqueeze(0))

    def forward(self, ids, types, mask):
        x = self.word(ids) + self.pos(self.position_ids[:, :ids.size(1)]) + self.typ(types)
        x = self.ln(x)
        m = (1.0 - mask[:, None, None, :]) * -10000.0
        for l in self.layers:
            x = l(x, m)
        return {'logits': self.cls(self.pooler(x[:, 0])), 'hidden': x}


class SE3(nn.Module):
    def __init__(self):
        super().__init__()
        self.c = nn.Conv3d(2, 8, 3, padding=1)
        self.p = nn.Conv3d(8, 8, 1)

    def forward(self, x):
        y = self.c(x)
        b, c, d, h, w = y.shape
        z = y.view(b, c, d * h * w).softmax(-1).view(b, c, d, h, w)
        z = z.permute(0, 2, 1, 3, 4).reshape(b * d, c, h, w)
        z = F.max_pool2d(z, 2)
        n, c, h, w = z.shape
        z = z.view(b, n // b, c, h, w).transpose(1, 2)
        return self.p(z)


class OverlapEmbed(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.proj = nn.Conv2d(i, o, 7, 4, 3)
        self.norm = nn.LayerNorm(o)

    def forward(self, x):
        x = self.proj(x)
        _, _, H, W = x.shape
        x = x.flatten(2).transpose(1, 2)
        return (self.norm(x), H, W)


class DWConv(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.dwconv = nn.Conv2d(d, d, 3, 1, 1, groups=d)

    def forward(self, x, H, W):
        B, N, C = x.shape
        x = x.transpose(1, 2).view(B, C, H, W)
        x = self.dwconv(x)
        return x.flatten(2).transpose(1, 2)


class EffAttn(nn.Module):
    def __init__(self, d, h, sr):
        super().__init__()
        self.h = h
        self.scale = (d // h) ** (-0.5)
        self.q = nn.Linear(d, d)
        self.kv = nn.Linear(d, 2 * d)
        self.proj = nn.Linear(d, d)
        self.sr = nn.Conv2d(d, d, sr, sr)
        self.norm = nn.LayerNorm(d)

    def forward(self, x, H, W):
        B, N, C = x.shape
        q = self.q(x).reshape(B, N, self.h, C // self.h).permute(0, 2, 1, 3)
        x_ = self.sr(x.permute(0, 2, 1).reshape(B, C, H, W)).reshape(B, C, -1).permute(0, 2, 1)
        kv = self.kv(self.norm(x_)).reshape(B, -1, 2, self.h, C // self.h).permute(2, 0, 3, 1, 4)
        k, v = (kv[0], kv[1])
        a = (q @ k.transpose(-2, -1) * self.scale).softmax(dim=-1)
        return self.proj((a @ v).transpose(1, 2).reshape(B, N, C))


class SegLayer(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.attn = EffAttn(d, 2, 4)
        self.fc1 = nn.Linear(d, 2 * d)
        self.dw = DWConv(2 * d)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(2 * d, d)

    def forward(self, x, H, W):
        x = x + self.attn(x, H, W)
        return x + self.fc2(self.act(self.dw(self.fc1(x), H, W)))


class SegFormer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = OverlapEmbed(3, 16)
        self.layers = nn.ModuleList([SegLayer(16), SegLayer(16)])
        self.head = nn.Conv2d(16, 5, 1)

    def forward(self, x):
        B = x.shape[0]
        x, H, W = self.embed(x)
        for l in self.layers:
            x = l(x, H, W)
        x = x.reshape(B, H, W, -1).permute(0, 3, 1, 2).contiguous()
        return F.interpolate(self.head(x), size=(H * 4, W * 4), mode='bilinear', align_corners=False)


class Detr(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 16, 7, 4, 3), nn.ReLU(), nn.Conv2d(16, 32, 3, 4, 1))
        self.conv = nn.Conv2d(32, 24, 1)
        self.transformer = nn.Transformer(24, 4, 1, 1, 48)
        self.cls = nn.Linear(24, 6)
        self.box = nn.Linear(24, 4)
        self.query = nn.Parameter(torch.rand(10, 24))
        self.row = nn.Parameter(torch.rand(50, 12))
        self.col = nn.Parameter(torch.rand(50, 12))

    def forward(self, x):
        h = self.conv(self.backbone(x))
        H, W = h.shape[-2:]
        pos = torch.cat([self.col[:W].unsqueeze(0).repeat(H, 1, 1), self.row[:H].unsqueeze(1).repeat(1, W, 1)], dim=-1).flatten(0, 1).unsqueeze(1)
        h = self.transformer(pos + 0.1 * h.flatten(2).permute(2, 0, 1), self.query.unsqueeze(1)).transpose(0, 1)
        return {'logits': self.cls(h), 'boxes': self.box(h).sigmoid()}


class GCN(nn.Module):
    def __init__(self):
        super().__init__()
        self.w1 = nn.Parameter(torch.randn(12, 16))
        self.w2 = nn.Parameter(torch.randn(16, 4))
        self.b = nn.Parameter(torch.zeros(4))

    def forward(self, x, adj):
        h = F.dropout(F.relu(torch.mm(adj, torch.mm(x, self.w1))), 0.5, training=self.training)
        return torch.addmm(self.b, adj, torch.mm(h, self.w2))


class GAT(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.W = nn.Linear(i, o, bias=False)
        self.a = nn.Linear(2 * o, 1, bias=False)

    def forward(self, x, adj):
        h = self.W(x)
        n = h.size(0)
        e = torch.cat([h.repeat_interleave(n, dim=0), h.repeat(n, 1)], dim=1).view(n, n, -1)
        e = F.leaky_relu(self.a(e).squeeze(-1), 0.2)
        a = torch.where(adj > 0, e, torch.full_like(e, -9000000000000000.0)).softmax(dim=1)
        return F.elu(a @ h)


class WNBlock(nn.Module):
    def __init__(self, c, d):
        super().__init__()
        self.conv = nn.Conv1d(c, 2 * c, 2, dilation=d)
        self.res = nn.Conv1d(c, c, 1)
        self.skip = nn.Conv1d(c, c, 1)
        self.d = d

    def forward(self, x):
        y = self.conv(F.pad(x, (self.d, 0)))
        a, b = y.chunk(2, dim=1)
        z = torch.tanh(a) * torch.sigmoid(b)
        return (x + self.res(z), self.skip(z))


class WaveNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.inp = nn.Conv1d(1, 8, 1)
        self.blocks = nn.ModuleList([WNBlock(8, 2 ** i) for i in range(3)])
        self.out = nn.Sequential(nn.ReLU(), nn.Conv1d(8, 4, 1))

    def forward(self, x):
        x = self.inp(x)
        total = 0
        for b in self.blocks:
            x, k = b(x)
            total = total + k
        return self.out(total)


class TimeEmb(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.d = d
        self.mlp = nn.Sequential(nn.Linear(d, 2 * d), nn.SiLU(), nn.Linear(2 * d, d))

    def forward(self, t):
        half = self.d // 2
        freqs = torch.exp(-math.log(10000) * torch.arange(0, half, dtype=torch.float32) / half)
        a = t[:, None].float() * freqs[None]
        return self.mlp(torch.cat([torch.cos(a), torch.sin(a)], dim=-1))


class RB(nn.Module):
    def __init__(self, c, d):
        super().__init__()
        self.n1 = nn.GroupNorm(4, c)
        self.c1 = nn.Conv2d(c, c, 3, padding=1)
        self.emb = nn.Linear(d, 2 * c)
        self.n2 = nn.GroupNorm(4, c)
        self.c2 = nn.Conv2d(c, c, 3, padding=1)

    def forward(self, x, e):
        h = self.c1(F.silu(self.n1(x)))
        scale, shift = self.emb(F.silu(e))[:, :, None, None].chunk(2, dim=1)
        h = self.n2(h) * (1 + scale) + shift
        return x + self.c2(F.silu(h))


class Diff(nn.Module):
    def __init__(self):
        super().__init__()
        self.time = TimeEmb(16)
        self.inp = nn.Conv2d(3, 8, 3, padding=1)
        self.d = RB(8, 16)
        self.down = nn.Conv2d(8, 8, 3, 2, 1)
        self.m = RB(8, 16)
        self.up = nn.Upsample(scale_factor=2, mode='nearest')
        self.u = RB(8, 16)
        self.out = nn.Conv2d(16, 3, 3, padding=1)

    def forward(self, x, t):
        e = self.time(t)
        h0 = self.d(self.inp(x), e)
        h = self.m(self.down(h0), e)
        h = self.u(self.up(h), e)
        return self.out(torch.cat([h, h0], dim=1))


class Caps(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 16, 5, 2)
        self.W = nn.Parameter(torch.randn(1, 72, 3, 4, 8))

    def forward(self, x):
        x = F.relu(self.conv(x))
        x = x.view(x.size(0), -1, 8)
        n = (x ** 2).sum(-1, keepdim=True)
        x = n / (1 + n) * x / torch.sqrt(n + 1e-08)
        x = x.unsqueeze(2).unsqueeze(4)
        u = torch.matmul(self.W, x).squeeze(-1)
        return u.mean(dim=1).norm(dim=-1)


class MixerBlock(nn.Module):
    def __init__(self, n, d):
        super().__init__()
        self.n1 = nn.LayerNorm(d)
        self.tok = nn.Sequential(nn.Linear(n, 2 * n), nn.GELU(), nn.Linear(2 * n, n))
        self.n2 = nn.LayerNorm(d)
        self.ch = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))

    def forward(self, x):
        x = x + self.tok(self.n1(x).mT).mT
        return x + self.ch(self.n2(x))


class Mixer(nn.Module):
    def __init__(self):
        super().__init__()
        self.p = nn.Conv2d(3, 24, 8, 8)
        self.b = nn.ModuleList([MixerBlock(16, 24) for _ in range(2)])
        self.h = nn.LazyLinear(5)

    def forward(self, x):
        x = self.p(x)
        b, c, h, w = x.shape
        x = x.reshape(b, c, h * w).permute(0, 2, 1)
        for l in self.b:
            x = l(x)
        return self.h(x.mean(1))


def mixer():
    m = Mixer()
    m(torch.randn(1, 3, 32, 32))
    return m


class Siam(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 8))

    def forward(self, a, b):
        return F.pairwise_distance(self.net(a), self.net(b))


class Gen(nn.Module):
    def __init__(self, nz=10, ngf=8):
        super().__init__()
        self.main = nn.Sequential(nn.ConvTranspose2d(nz, ngf * 4, 4, 1, 0, bias=False), nn.BatchNorm2d(ngf * 4), nn.ReLU(True), nn.ConvTranspose2d(ngf * 4, ngf * 2, 4, 2, 1, bias=False), nn.BatchNorm2d(ngf * 2), nn.ReLU(True), nn.ConvTranspose2d(ngf * 2, 3, 4, 2, 1, bias=False), nn.Tanh())

    def forward(self, z):
        return self.main(z[:, :, None, None])


class FPN(nn.Module):
    def __init__(self):
        super().__init__()
        self.c = nn.ModuleList([nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 16, 3, 2, 1), nn.Conv2d(16, 32, 3, 2, 1)])
        self.lat = nn.ModuleList([nn.Conv2d(c, 8, 1) for c in (8, 16, 32)])
        self.out = nn.ModuleList([nn.Conv2d(8, 8, 3, padding=1) for _ in range(3)])

    def forward(self, x):
        f = []
        for c in self.c:
            x = F.relu(c(x))
            f.append(x)
        l = [m(y) for m, y in zip(self.lat, f)]
        p2 = l[2]
        p1 = l[1] + F.interpolate(p2, size=l[1].shape[-2:], mode='nearest')
        p0 = l[0] + F.interpolate(p1, size=l[0].shape[-2:], mode='nearest')
        return tuple((m(p) for m, p in zip(self.out, (p0, p1, p2))))


class GatedConv(nn.Module):
    def __init__(self):
        super().__init__()
        self.inp = nn.Linear(8, 32)
        self.conv = nn.Conv1d(16, 16, 4, groups=16, padding=3)
        self.x = nn.Linear(16, 5)
        self.out = nn.Linear(16, 8)
        self.A = nn.Parameter(torch.rand(16))
        self.D = nn.Parameter(torch.ones(16))

    def forward(self, u):
        l = u.shape[1]
        x, z = self.inp(u).chunk(2, dim=-1)
        x = F.silu(self.conv(x.transpose(1, 2))[..., :l]).transpose(1, 2)
        d, B, C = torch.split(self.x(x), [1, 2, 2], dim=-1)
        dt = F.softplus(d)
        y = torch.cumsum(x * torch.exp(-dt * self.A), dim=1) * (B * C).sum(-1, keepdim=True) + self.D * x
        return self.out(y * F.silu(z))


class Coord(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c1 = nn.Conv2d(c, 8, 1)
        self.bn = nn.BatchNorm2d(8)
        self.act = nn.Hardswish()
        self.h = nn.Conv2d(8, c, 1)
        self.w = nn.Conv2d(8, c, 1)

    def forward(self, x):
        n, c, h, w = x.size()
        xh = F.adaptive_avg_pool2d(x, (h, 1))
        xw = F.adaptive_avg_pool2d(x, (1, w)).permute(0, 1, 3, 2)
        y = self.act(self.bn(self.c1(torch.cat([xh, xw], dim=2))))
        a, b = torch.split(y, [h, w], dim=2)
        return x * self.h(a).sigmoid() * self.w(b.permute(0, 1, 3, 2)).sigmoid()


class ECA(nn.Module):
    def __init__(self, k=3):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.conv = nn.Conv1d(1, 1, k, padding=(k - 1) // 2, bias=False)

    def forward(self, x):
        y = self.pool(x)
        y = self.conv(y.squeeze(-1).transpose(-1, -2)).transpose(-1, -2).unsqueeze(-1)
        return x * torch.sigmoid(y).expand_as(x)


class AttNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, 2, 1)
        self.coord = Coord(16)
        self.eca = ECA()
        self.gap = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(16, 4)

    def forward(self, x):
        return self.fc(torch.flatten(self.gap(self.eca(self.coord(self.conv(x)))), start_dim=1))


class CRope(nn.Module):
    def __init__(self):
        super().__init__()
        self.q = nn.Linear(16, 16, bias=False)
        self.register_buffer('freqs', torch.ones(32, 4, dtype=torch.complex64), persistent=False)

    def forward(self, x):
        b, t, _ = x.shape
        q = self.q(x).view(b, t, 2, 8)
        qc = torch.view_as_complex(q.float().reshape(*q.shape[:-1], -1, 2))
        f = self.freqs[:t].view(1, t, 1, 4)
        return torch.view_as_real(qc * f).flatten(3).type_as(x)


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.q = nn.Linear(32, 32)
        self.o = nn.Linear(32, 32)

    def forward(self, x):
        B, N, C = x.shape
        q = self.q(x).view(B, N, 4, 8).transpose(1, 2)
        y = (q @ q.transpose(-2, -1) / 8 ** 0.5).softmax(-1) @ q
        return self.o(y.transpose(1, 2).flatten(2))


class Ein(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(24, 72, bias=False)
        self.out = nn.Linear(24, 24)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        q, k, v = (rearrange(t, 'b n (h d) -> b h n d', h=3) for t in (q, k, v))
        a = torch.matmul(q, k.transpose(-1, -2)) * 8 ** (-0.5)
        o = rearrange(torch.matmul(a.softmax(-1), v), 'b h n d -> b n (h d)')
        return self.out(o)


class Grid(nn.Module):
    def __init__(self):
        super().__init__()
        self.c = nn.Conv2d(3, 8, 4, 4)
        self.pos = nn.Embedding(100, 8)
        self.cls = nn.Parameter(torch.zeros(1, 1, 8))
        self.l = nn.Linear(8, 4)

    def forward(self, x):
        x = self.c(x)
        B, C, H, W = x.shape
        x = x.flatten(2).transpose(1, 2)
        p = self.pos(torch.arange(H * W))
        x = x + p.expand(B, -1, -1)
        x = torch.cat([self.cls.repeat(B, 1, 1), x], 1)
        m = x[:, :H * W + 1].mean(1)
        return self.l(m) * (H * W) ** (-0.5)


class Once(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(6, 6)

    def forward(self, x):
        b, c, h, w = x.shape
        n = h * w
        unused = b * c
        y = x.view(b, c, n).transpose(1, 2)
        y = self.a(y)
        return y.transpose(1, 2).reshape(b * c, n)


class Pr(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(4, 4)

    def forward(self, x):
        b, t, c = x.shape
        return self.l(x.reshape(b * t, c)).view(b, t, c)


class Rep(nn.Module):
    def __init__(self):
        super().__init__()
        self.b = nn.Sequential(*[Pr() for _ in range(3)])
        self.s = Pr()

    def forward(self, x):
        return self.s(self.s(self.b(x)))


class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(10, 6)

    def forward(self, x):
        y = x.reshape(x.size(0) * x.size(1), x.size(2))
        z = self.l(y).view(-1, x.size(1) * 3, 2)
        w = z.reshape(z.shape[0], z.shape[1] // 3 * 6)
        return F.interpolate(w[:, None], size=x.size(2) * 2) * (1 / w.size(1))


class Unf(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(12, 24)

    def forward(self, x):
        y = self.l(x).unflatten(-1, (4, 6))
        y = y.flatten(0, 1)
        return y.tile(1, 2, 1).unflatten(0, (x.shape[0], -1))


class BB(nn.Module):
    def __init__(self, i, o, st=1):
        super().__init__()
        self.conv1 = nn.Conv2d(i, o, 3, st, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(o)
        self.conv2 = nn.Conv2d(o, o, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(o)
        self.shortcut = nn.Sequential()
        if st != 1 or i != o:
            self.shortcut = nn.Sequential(nn.Conv2d(i, o, 1, st, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += self.shortcut(x)
        return F.relu(y)


class Kuang(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 1, 1, bias=False)
        self.layer1 = nn.Sequential(BB(8, 8), BB(8, 8))
        self.layer2 = nn.Sequential(BB(8, 16, 2), BB(16, 16))
        self.linear = nn.Linear(16, 10)

    def forward(self, x):
        y = self.layer2(self.layer1(F.relu(self.conv1(x))))
        y = F.avg_pool2d(y, 4)
        y = y.view(y.size(0), -1)
        return self.linear(y)


class TopK(nn.Module):
    def __init__(self):
        super().__init__()
        self.g = nn.Linear(8, 4)
        self.e = nn.ModuleList([nn.Linear(8, 8) for _ in range(4)])

    def forward(self, x):
        p = self.g(x).softmax(-1)
        t = p.topk(2, dim=-1)
        w = torch.zeros_like(p).scatter(-1, t.indices, t.values)
        outs = torch.stack([e(x) for e in self.e], dim=-2)
        return ((outs * w.unsqueeze(-1)).sum(-2), x.max(dim=1).values)


class Misc(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.ModuleList([nn.Conv2d(2, 2, 1) for _ in range(3)])
        self.b = nn.Parameter(torch.zeros(2, 6, 6))

    def forward(self, x):
        y = sum((c(x) for c in self.l))
        f = torch.fft.irfft2(torch.fft.rfft2(y, norm='ortho') * 2, s=y.shape[-2:])
        q = f[:, 0]
        a = torch.baddbmm(self.b, q, q.mT, beta=1, alpha=0.5)
        return (torch.linalg.norm(a, dim=-1), torch.linalg.vector_norm(f, dim=(1, 2)))


MODELS = {
    "hand/se_resnet": (SEResNet, lambda: (torch.randn(2, 3, 32, 32),)),
    "hand/unet": (UNet, lambda: (torch.randn(1, 3, 50, 46),)),
    "hand/mobilenet_v1": (MobileNetV1, lambda: (torch.randn(4, 3, 28, 28),)),
    "hand/shufflenet": (ShuffleNet, lambda: (torch.randn(2, 3, 32, 32),)),
    "hand/ghost": (GhostNet, lambda: (torch.randn(1, 3, 24, 24),)),
    "hand/inception": (IncNet, lambda: (torch.randn(1, 3, 33, 33),)),
    "hand/densenet": (DenseNet, lambda: (torch.randn(2, 3, 16, 16),)),
    "hand/vit": (ViT, lambda: (torch.randn(2, 3, 32, 32),)),
    "hand/swin": (Swin, lambda: (torch.randn(2, 3, 64, 64),)),
    "hand/gpt": (GPT, lambda: (ints(100, 2, 16),)),
    "hand/llama": (Llama, lambda: (ints(200, 1, 24),)),
    "hand/mha_encoder": (MHANet, lambda: (ints(50, 3, 11),)),
    "hand/seq2seq_transformer": (S2S, lambda: (ints(60, 2, 9), ints(70, 2, 7),)),
    "hand/lstm_clf": (LSTMClf, lambda: (ints(100, 4, 13),)),
    "hand/gru_attention": (Dec, lambda: (torch.randn(8, 2, 10),)),
    "hand/tcn_weight_norm": (TCN, lambda: (torch.randn(2, 4, 40),)),
    "hand/c3d": (C3D, lambda: (torch.randn(1, 3, 8, 16, 16),)),
    "hand/vae": (VAE, lambda: (torch.randn(2, 1, 28, 28),)),
    "hand/sn_disc": (SNDisc, lambda: (torch.randn(2, 3, 32, 32),)),
    "hand/dlrm": (DLRM, lambda: (torch.randn(5, 13), ints(50, 5, 4), ints(50, 5, 4), ints(50, 5, 4),)),
    "hand/resnext": (ResNeXt, lambda: (torch.randn(2, 3, 64, 64),)),
    "hand/cbam": (CBAMNet, lambda: (torch.randn(1, 3, 20, 20),)),
    "hand/mobilenet_v3": (MBV3, lambda: (torch.randn(1, 3, 32, 32),)),
    "hand/fno": (FNO, lambda: (torch.randn(2, 1, 32),)),
    "hand/fnet": (FNet, lambda: (torch.randn(2, 10, 16),)),
    "hand/sr": (SR, lambda: (torch.randn(1, 3, 24, 20),)),
    "hand/stn": (STN, lambda: (torch.randn(2, 1, 28, 28),)),
    "hand/fold": (Fold, lambda: (torch.randn(1, 3, 12, 10),)),
    "hand/pointnet": (PointNet, lambda: (torch.randn(3, 3, 50),)),
    "hand/moe": (MoENet, lambda: (torch.randn(2, 6, 16),)),
    "hand/frozen_backbone": (Frozen, lambda: (torch.randn(1, 3, 16, 16),)),
    "hand/two_tower": (TwoTower, lambda: (ints(30, 6), ints(40, 6), torch.randn(6, 3),)),
    "hand/dtype": (Half, lambda: (torch.randn(3, 8),)),
    "hand/torch_encoder": (Enc, lambda: (torch.randn(2, 7, 32),)),
    "hand/torch_decoder": (DecNet, lambda: (torch.randn(2, 5, 32), torch.randn(2, 7, 32),)),
    "hand/einsum_pool": (LQ, lambda: (torch.randn(2, 9, 16),)),
    "hand/functional_net": (Fn, lambda: (torch.randn(2, 3, 16, 16),)),
    "hand/textcnn": (TextCNN, lambda: (ints(80, 2, 20),)),
    "hand/convnext": (CN, lambda: (torch.randn(1, 3, 64, 64),)),
    "hand/bmm_attn": (BmmAttn, lambda: (torch.randn(2, 7, 24),)),
    "hand/non_local": (lambda: NonLocal(16), lambda: (torch.randn(2, 16, 8, 8),)),
    "hand/non_local_numbers": (lambda: NonLocal(16), lambda: (torch.randn(2, 16, 8, 8),)),
    "hand/lstm_cell_loop": (CellNet, lambda: (torch.randn(3, 4, 5),)),
    "hand/transposed": (TNets, lambda: (torch.randn(1, 4, 4, 4, 6),)),
    "hand/rnns": (RNNs, lambda: (torch.randn(2, 5, 6),)),
    "hand/proto": (Proto, lambda: (torch.randn(3, 10),)),
    "hand/multi": (Multi, lambda: (torch.randn(3, 5), torch.randn(3, 6),)),
    "hand/pos_transformer": (PosTr, lambda: (ints(40, 2, 9),)),
    "hand/bert": (Bert, lambda: (ints(90, 2, 12), ints(2, 2, 12), torch.ones(2, 12),)),
    "hand/video_products": (SE3, lambda: (torch.randn(2, 2, 4, 8, 8),)),
    "hand/segformer": (SegFormer, lambda: (torch.randn(1, 3, 64, 48),)),
    "hand/detr": (Detr, lambda: (torch.randn(1, 3, 64, 96),)),
    "hand/gcn": (GCN, lambda: (torch.randn(20, 12), torch.randn(20, 20),)),
    "hand/gat": (lambda: GAT(6, 4), lambda: (torch.randn(7, 6), torch.randn(7, 7),)),
    "hand/wavenet": (WaveNet, lambda: (torch.randn(1, 1, 64),)),
    "hand/diffusion": (Diff, lambda: (torch.randn(2, 3, 16, 16), ints(1000, 2),)),
    "hand/caps": (Caps, lambda: (torch.randn(2, 1, 16, 16),)),
    "hand/mixer": (mixer, lambda: (torch.randn(1, 3, 32, 32),)),
    "hand/siamese": (Siam, lambda: (torch.randn(2, 1, 8, 8), torch.randn(2, 1, 8, 8),)),
    "hand/dcgan": (Gen, lambda: (torch.randn(4, 10),)),
    "hand/fpn": (FPN, lambda: (torch.randn(1, 3, 40, 40),)),
    "hand/gated_conv": (GatedConv, lambda: (torch.randn(2, 12, 8),)),
    "hand/coord_eca": (AttNet, lambda: (torch.randn(2, 3, 20, 24),)),
    "hand/complex_rope": (CRope, lambda: (torch.randn(2, 6, 16),)),
    "hand/heads_numbers": (Heads, lambda: (torch.randn(2, 10, 32),)),
    "hand/einops_attn": (Ein, lambda: (torch.randn(2, 9, 24),)),
    "hand/grid": (Grid, lambda: (torch.randn(2, 3, 24, 24),)),
    "hand/once": (Once, lambda: (torch.randn(2, 6, 4, 5),)),
    "hand/repeat_products": (Rep, lambda: (torch.randn(2, 3, 4),)),
    "hand/mixed_sizes": (Mixed, lambda: (torch.randn(2, 4, 10),)),
    "hand/unflatten": (Unf, lambda: (torch.randn(2, 3, 12),)),
    "hand/kuangliu_resnet": (Kuang, lambda: (torch.randn(1, 3, 8, 8),)),
    "hand/topk_moe": (TopK, lambda: (torch.randn(3, 5, 8),)),
    "hand/misc_sum_fft2": (Misc, lambda: (torch.randn(2, 2, 6, 6),)),
}
