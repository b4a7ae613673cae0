"""Architectures of the literature in styles of code that the other zoos have few of (`arch/`): diffusion with cross attention,
transformers for images, generators and vocoders, mixers without attention, routed experts, caches, detectors, points and
graphs, fields, series, recommenders, taggers, decoders in loops, parametrized, shared, lazy and frozen layers …"""
import copy
import math
from collections import OrderedDict
from functools import partial, reduce as freduce
from typing import NamedTuple, Optional

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from einops import einsum as eeinsum, rearrange, reduce, repeat
from einops.layers.torch import EinMix, Rearrange, Reduce
from torch import Tensor, einsum, nn
from torch.nn import LayerNorm
from torch.nn.utils import fuse_conv_bn_eval, parametrize, prune, remove_weight_norm, spectral_norm, weight_norm
from torch.nn.utils.parametrizations import weight_norm as pweight_norm


def r(*s):
    return lambda: (torch.randn(*s),)


def rr(*shapes):
    return lambda: tuple(torch.randn(*s) if isinstance(s, tuple) else s() for s in shapes)


def ints(n, *s):
    return lambda: torch.randint(0, n, s)


# ---- latent diffusion
def timestep_embedding(t, dim, max_period=10000):
    half = dim // 2
    freqs = torch.exp(-math.log(max_period) * torch.arange(0, half, dtype=torch.float32) / half).to(t.device)
    args = t[:, None].float() * freqs[None]
    emb = torch.cat([torch.cos(args), torch.sin(args)], dim=-1)
    if dim % 2:
        emb = torch.cat([emb, torch.zeros_like(emb[:, :1])], dim=-1)
    return emb


class GroupNorm32(nn.GroupNorm):
    def forward(self, x):
        return super().forward(x.float()).type(x.dtype)


def zero_module(m):
    for p in m.parameters():
        p.detach().zero_()
    return m


class TimestepBlock(nn.Module):
    pass


class EmbedSequential(nn.Sequential, TimestepBlock):
    def forward(self, x, emb, context=None):
        for layer in self:
            if isinstance(layer, TimestepBlock):
                x = layer(x, emb)
            elif isinstance(layer, SpatialTransformer):
                x = layer(x, context)
            else:
                x = layer(x)
        return x


class ResBlock(TimestepBlock):
    def __init__(self, c, e, o):
        super().__init__()
        self.in_layers = nn.Sequential(GroupNorm32(4, c), nn.SiLU(), nn.Conv2d(c, o, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(e, 2 * o))
        self.out_layers = nn.Sequential(GroupNorm32(4, o), nn.SiLU(), nn.Dropout(p=0), zero_module(nn.Conv2d(o, o, 3, padding=1)))
        self.skip = nn.Identity() if c == o else nn.Conv2d(c, o, 1)

    def forward(self, x, emb):
        h = self.in_layers(x)
        emb_out = self.emb_layers(emb).type(h.dtype)
        while len(emb_out.shape) < len(h.shape):
            emb_out = emb_out[..., None]
        out_norm, out_rest = self.out_layers[0], self.out_layers[1:]
        scale, shift = torch.chunk(emb_out, 2, dim=1)
        h = out_norm(h) * (1 + scale) + shift
        return self.skip(x) + out_rest(h)


class GEGLU(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.proj = nn.Linear(i, o * 2)

    def forward(self, x):
        x, gate = self.proj(x).chunk(2, dim=-1)
        return x * F.gelu(gate)


class CrossAttention(nn.Module):
    def __init__(self, q, c=None, heads=2, d=8):
        super().__init__()
        c = c or q
        self.scale, self.heads = d**-0.5, heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(n, heads * d, bias=False) for n in (q, c, c))
        self.to_out = nn.Sequential(nn.Linear(heads * d, q), nn.Dropout(0.0))

    def forward(self, x, context=None, mask=None):
        h = self.heads
        q = self.to_q(x)
        context = x if context is None else context
        k, v = self.to_k(context), self.to_v(context)
        q, k, v = map(lambda t: rearrange(t, "b n (h d) -> (b h) n d", h=h), (q, k, v))
        sim = einsum("b i d, b j d -> b i j", q, k) * self.scale
        attn = sim.softmax(dim=-1)
        out = einsum("b i j, b j d -> b i d", attn, v)
        out = rearrange(out, "(b h) n d -> b n (h d)", h=h)
        return self.to_out(out)


class SpatialTransformer(nn.Module):
    def __init__(self, c, ctx):
        super().__init__()
        self.norm = GroupNorm32(4, c)
        self.proj_in, self.proj_out = nn.Conv2d(c, 16, 1), zero_module(nn.Conv2d(16, c, 1))
        self.attn1, self.attn2 = CrossAttention(16), CrossAttention(16, ctx)
        self.ff = nn.Sequential(GEGLU(16, 32), nn.Dropout(0.0), nn.Linear(32, 16))
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(16) for _ in range(3))

    def forward(self, x, context=None):
        b, c, h, w = x.shape
        x_in = x
        x = self.proj_in(self.norm(x))
        x = rearrange(x, "b c h w -> b (h w) c").contiguous()
        x = self.attn1(self.norm1(x)) + x
        x = self.attn2(self.norm2(x), context=context) + x
        x = self.ff(self.norm3(x)) + x
        x = rearrange(x, "b (h w) c -> b c h w", h=h, w=w).contiguous()
        return self.proj_out(x) + x_in


class LDM(nn.Module):
    def __init__(self, ch=8, ctx=12):
        super().__init__()
        self.ch = ch
        self.time_embed = nn.Sequential(nn.Linear(ch, 32), nn.SiLU(), nn.Linear(32, 32))
        self.input_blocks = nn.ModuleList([
            EmbedSequential(nn.Conv2d(4, ch, 3, padding=1)),
            EmbedSequential(ResBlock(ch, 32, ch), SpatialTransformer(ch, ctx)),
            EmbedSequential(nn.Conv2d(ch, ch, 3, stride=2, padding=1)),
            EmbedSequential(ResBlock(ch, 32, 2 * ch)),
        ])
        self.middle = EmbedSequential(ResBlock(2 * ch, 32, 2 * ch), SpatialTransformer(2 * ch, ctx), ResBlock(2 * ch, 32, 2 * ch))
        self.output_blocks = nn.ModuleList([
            EmbedSequential(ResBlock(4 * ch, 32, 2 * ch)),
            EmbedSequential(ResBlock(3 * ch, 32, ch), nn.Upsample(scale_factor=2)),
            EmbedSequential(ResBlock(2 * ch, 32, ch), SpatialTransformer(ch, ctx)),
            EmbedSequential(ResBlock(2 * ch, 32, ch)),
        ])
        self.out = nn.Sequential(GroupNorm32(4, ch), nn.SiLU(), zero_module(nn.Conv2d(ch, 4, 3, padding=1)))

    def forward(self, x, timesteps, context):
        hs = []
        emb = self.time_embed(timestep_embedding(timesteps, self.ch))
        h = x
        for module in self.input_blocks:
            h = module(h, emb, context)
            hs.append(h)
        h = self.middle(h, emb, context)
        for module in self.output_blocks:
            h = torch.cat([h, hs.pop()], dim=1)
            h = module(h, emb, context)
        return self.out(h)


# ---- DiT / MMDiT
def modulate(x, shift, scale):
    return x * (1 + scale.unsqueeze(1)) + shift.unsqueeze(1)


class DiTBlock(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(d, elementwise_affine=False, eps=1e-6), nn.LayerNorm(d, elementwise_affine=False, eps=1e-6)
        self.qkv, self.proj, self.heads = nn.Linear(d, 3 * d), nn.Linear(d, d), heads
        self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(approximate="tanh"), nn.Linear(4 * d, d))
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(d, 6 * d, bias=True))

    def attn(self, x):
        B, N, C = x.shape
        q, k, v = self.qkv(x).reshape(B, N, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        x = F.scaled_dot_product_attention(q, k, v, dropout_p=0.0)
        return self.proj(x.transpose(1, 2).reshape(B, N, C))

    def forward(self, x, c):
        s1, c1, g1, s2, c2, g2 = self.adaLN_modulation(c).chunk(6, dim=1)
        x = x + g1.unsqueeze(1) * self.attn(modulate(self.norm1(x), s1, c1))
        return x + g2.unsqueeze(1) * self.mlp(modulate(self.norm2(x), s2, c2))


class DiT(nn.Module):
    def __init__(self, d=16):
        super().__init__()
        self.x_embedder = nn.Conv2d(4, d, 2, stride=2)
        self.t = nn.Sequential(nn.Linear(32, d), nn.SiLU(), nn.Linear(d, d))
        self.y = nn.Embedding(11, d)
        self.pos_embed = nn.Parameter(torch.zeros(1, 16, d), requires_grad=False)
        self.blocks = nn.ModuleList([DiTBlock(d, 2) for _ in range(2)])
        self.norm, self.linear, self.ada = nn.LayerNorm(d, elementwise_affine=False), nn.Linear(d, 2 * 2 * 8), nn.Sequential(nn.SiLU(), nn.Linear(d, 2 * d))

    def unpatchify(self, x):
        h = w = int(x.shape[1] ** 0.5)
        x = x.reshape(shape=(x.shape[0], h, w, 2, 2, 8))
        x = torch.einsum("nhwpqc->nchpwq", x)
        return x.reshape(shape=(x.shape[0], 8, h * 2, h * 2))

    def forward(self, x, t, y):
        x = self.x_embedder(x).flatten(2).transpose(1, 2) + self.pos_embed
        c = self.t(timestep_embedding(t, 32)) + self.y(y)
        for block in self.blocks:
            x = block(x, c)
        shift, scale = self.ada(c).chunk(2, dim=1)
        return self.unpatchify(self.linear(modulate(self.norm(x), shift, scale)))


class MMDiT(nn.Module):
    def __init__(self, d=16, h=2):
        super().__init__()
        self.h = h
        self.qkv_x, self.qkv_c, self.out_x, self.out_c = nn.Linear(d, 3 * d), nn.Linear(d, 3 * d), nn.Linear(d, d), nn.Linear(d, d)
        self.qn, self.kn = nn.RMSNorm(d // h), nn.RMSNorm(d // h, eps=1e-6)
        self.nx, self.nc = nn.LayerNorm(d, bias=False), nn.LayerNorm(d)

    def split(self, qkv):
        q, k, v = rearrange(qkv, "b n (three h d) -> three b h n d", three=3, h=self.h)
        return self.qn(q), self.kn(k), v

    def forward(self, x, c):
        qx, kx, vx = self.split(self.qkv_x(self.nx(x)))
        qc, kc, vc = self.split(self.qkv_c(self.nc(c)))
        q, k, v = (torch.cat(p, dim=2) for p in ((qc, qx), (kc, kx), (vc, vx)))
        o = F.scaled_dot_product_attention(q, k, v, scale=0.3)
        o = rearrange(o, "b h n d -> b n (h d)")
        oc, ox = o[:, : c.shape[1]], o[:, c.shape[1] :]
        return x + self.out_x(ox), c + self.out_c(oc)


# ---- VQGAN
class VQGAN(nn.Module):
    class Attn(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.norm = nn.GroupNorm(4, c, eps=1e-6)
            self.q, self.k, self.v, self.proj_out = (nn.Conv2d(c, c, 1) for _ in range(4))

        def forward(self, x):
            h_ = self.norm(x)
            q, k, v = self.q(h_), self.k(h_), self.v(h_)
            b, c, h, w = q.shape
            q = q.reshape(b, c, h * w).permute(0, 2, 1)
            k = k.reshape(b, c, h * w)
            w_ = torch.bmm(q, k) * (int(c) ** (-0.5))
            w_ = torch.nn.functional.softmax(w_, dim=2)
            v = v.reshape(b, c, h * w)
            h_ = torch.bmm(v, w_.permute(0, 2, 1)).reshape(b, c, h, w)
            return x + self.proj_out(h_)

    def __init__(self, c=8):
        super().__init__()
        self.enc = nn.Sequential(nn.Conv2d(3, c, 3, 2, 1), nn.SiLU(), VQGAN.Attn(c), nn.Conv2d(c, c, 3, padding=1))
        self.embedding = nn.Embedding(20, c)
        self.dec = nn.ModuleList([nn.Conv2d(c, c, 3, padding=1), VQGAN.Attn(c), nn.Conv2d(c, 3, 3, padding=1)])

    def forward(self, x):
        z = self.enc(x).permute(0, 2, 3, 1).contiguous()
        flat = z.view(-1, z.shape[-1])
        d = torch.sum(flat**2, dim=1, keepdim=True) + torch.sum(self.embedding.weight**2, dim=1) - 2 * torch.einsum("bd,dn->bn", flat, self.embedding.weight.t())
        idx = torch.argmin(d, dim=1)
        zq = self.embedding(idx).view(z.shape)
        loss = 0.25 * torch.mean((zq.detach() - z) ** 2) + torch.mean((zq - z.detach()) ** 2)
        zq = z + (zq - z).detach()
        h = zq.permute(0, 3, 1, 2)
        h = self.dec[0](h)
        h = self.dec[1](h)
        h = F.interpolate(h, scale_factor=2.0, mode="nearest")
        return torch.sigmoid(self.dec[-1](h * torch.sigmoid(h))), loss, idx


# ---- CycleGAN / PatchGAN
class CycleGAN(nn.Module):
    class Block(nn.Module):
        def __init__(self, d):
            super().__init__()
            seq = []
            for i in range(2):
                seq += [nn.ReflectionPad2d(1), nn.Conv2d(d, d, 3, padding=0, bias=False), nn.InstanceNorm2d(d)]
                if i == 0:
                    seq += [nn.ReLU(True), nn.Dropout(0.5)]
            self.conv_block = nn.Sequential(*seq)

        def forward(self, x):
            return x + self.conv_block(x)

    def __init__(self, n=4):
        super().__init__()
        g = [nn.ReflectionPad2d(3), nn.Conv2d(3, n, 7), nn.InstanceNorm2d(n), nn.ReLU(True), nn.Conv2d(n, 2 * n, 3, 2, 1), nn.InstanceNorm2d(2 * n, affine=True), nn.ReLU(True)]
        g += [CycleGAN.Block(2 * n) for _ in range(2)]
        g += [nn.ConvTranspose2d(2 * n, n, 3, 2, 1, output_padding=1), nn.InstanceNorm2d(n, track_running_stats=True), nn.ReLU(True), nn.ReflectionPad2d(3), nn.Conv2d(n, 3, 7), nn.Tanh()]
        self.G = nn.Sequential(*g)
        d, mult = [nn.Conv2d(3, n, 4, 2, 1), nn.LeakyReLU(0.2, True)], 1
        for i in (1, 2):
            prev, mult = mult, min(2**i, 8)
            d += [spectral_norm(nn.Conv2d(n * prev, n * mult, 4, 2, 1, bias=False)), nn.BatchNorm2d(n * mult), nn.LeakyReLU(0.2, True)]
        self.D = nn.Sequential(*d, nn.Conv2d(n * mult, 1, 4, 1, 1))

    def forward(self, x):
        fake = self.G(x)
        return fake, self.D(fake), self.D(x)


# ---- StyleGAN2-like upfirdn
class UpFir(nn.Module):
    def __init__(self, c):
        super().__init__()
        k = torch.tensor([1.0, 3, 3, 1])
        self.register_buffer("kernel", (k[None] * k[:, None] / 64).flip(0, 1))
        self.weight = nn.Parameter(torch.randn(c, c, 3, 3))
        self.style, self.noise, self.act = nn.Linear(6, c), nn.Parameter(torch.zeros(1)), nn.LeakyReLU(0.2)

    def upfirdn2d(self, x, up=2):
        b, c, h, w = x.shape
        x = x.reshape(b * c, 1, h, 1, w, 1)
        x = F.pad(x, (0, up - 1, 0, 0, 0, up - 1)).view(b * c, 1, h * up, w * up)
        x = F.pad(x, [2, 1, 2, 1])
        return F.conv2d(x, self.kernel[None, None]).view(b, c, h * up, w * up)

    def forward(self, x, s):
        b, c, h, w = x.shape
        style = self.style(s).view(b, 1, c, 1, 1)
        weight = self.weight.unsqueeze(0) * style
        demod = torch.rsqrt(weight.pow(2).sum([2, 3, 4]) + 1e-8)
        weight = (weight * demod.view(b, c, 1, 1, 1)).view(b * c, c, 3, 3)
        out = F.conv2d(x.view(1, b * c, h, w), weight, padding=1, groups=b).view(b, c, h, w)
        return self.act(self.upfirdn2d(out) + self.noise * torch.ones(1, 1, 2 * h, 2 * w)) * math.sqrt(2)


# ---- HiFi-GAN and discriminators
class HiFi(nn.Module):
    class Res(nn.Module):
        def __init__(self, c, k, dil):
            super().__init__()
            self.convs1 = nn.ModuleList([weight_norm(nn.Conv1d(c, c, k, 1, dilation=d, padding=(k * d - d) // 2)) for d in dil])
            self.convs2 = nn.ModuleList([pweight_norm(nn.Conv1d(c, c, k, 1, padding=(k - 1) // 2)) for d in dil])

        def forward(self, x):
            for c1, c2 in zip(self.convs1, self.convs2):
                xt = F.leaky_relu(x, 0.1)
                xt = c1(xt)
                xt = F.leaky_relu(xt, 0.1)
                x = c2(xt) + x
            return x

    def __init__(self, c=8):
        super().__init__()
        self.conv_pre = weight_norm(nn.Conv1d(10, c, 7, 1, padding=3))
        self.ups = nn.ModuleList([weight_norm(nn.ConvTranspose1d(c // 2**i, c // 2 ** (i + 1), 4, 2, padding=1)) for i in range(2)])
        self.resblocks = nn.ModuleList(HiFi.Res(c // 2 ** (i + 1), k, d) for i in range(2) for k, d in zip([3, 5], [(1, 3), (1, 2)]))
        self.conv_post = weight_norm(nn.Conv1d(c // 4, 1, 7, 1, padding=3))
        remove_weight_norm(self.conv_post)
        self.mpd = nn.ModuleList([spectral_norm(nn.Conv2d(1, 4, (5, 1), (3, 1), padding=(2, 0))), weight_norm(nn.Conv2d(4, 4, (5, 1), (3, 1), padding=(2, 0)))])

    def period(self, x, p=3):
        b, c, t = x.shape
        if t % p != 0:
            n_pad = p - (t % p)
            x = F.pad(x, (0, n_pad), "reflect")
            t = t + n_pad
        x = x.view(b, c, t // p, p)
        fmap = []
        for l in self.mpd:
            x = F.leaky_relu(l(x), 0.1)
            fmap.append(x)
        return torch.flatten(x, 1, -1), fmap

    def forward(self, x):
        x = self.conv_pre(x)
        for i in range(2):
            x = self.ups[i](F.leaky_relu(x, 0.1))
            xs = None
            for j in range(2):
                if xs is None:
                    xs = self.resblocks[i * 2 + j](x)
                else:
                    xs += self.resblocks[i * 2 + j](x)
            x = xs / 2
        x = torch.tanh(self.conv_post(F.leaky_relu(x)))
        return x, self.period(x)


# ---- Demucs
class Demucs(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder, ch, i = nn.ModuleList(), nn.ModuleList(), 4, 2
        for k in range(2):
            self.encoder.append(nn.Sequential(nn.Conv1d(i, ch, 8, 4), nn.ReLU(), nn.Conv1d(ch, 2 * ch, 1), nn.GLU(dim=1)))
            dec = [nn.Conv1d(ch, 2 * ch, 3, padding=1), nn.GLU(dim=1), nn.ConvTranspose1d(ch, i, 8, 4)]
            if k > 0:
                dec.append(nn.ReLU())
            self.decoder.insert(0, nn.Sequential(*dec))
            i, ch = ch, 2 * ch
        self.lstm, self.linear = nn.LSTM(bidirectional=True, num_layers=2, hidden_size=i, input_size=i), nn.Linear(2 * i, i)

    def forward(self, mix):
        x, skips = mix, [mix]
        for e in self.encoder:
            x = e(x)
            skips.append(x)
        x = x.permute(2, 0, 1)
        x = self.lstm(x)[0]
        x = self.linear(x).permute(1, 2, 0)
        for d in self.decoder:
            skip = skips.pop(-1)
            x = x + skip[..., : x.shape[-1]]
            x = d(x)
        return x


# ---- Tacotron-like
class Tacotron(nn.Module):
    def __init__(self, d=8):
        super().__init__()
        self.emb = nn.Embedding(20, d)
        self.convs = nn.ModuleList(nn.Sequential(nn.Conv1d(d, d, 5, padding=2), nn.BatchNorm1d(d)) for _ in range(2))
        self.lstm = nn.LSTM(d, d // 2, 1, batch_first=True, bidirectional=True)
        self.prenet = nn.ModuleList([nn.Linear(4, d, bias=False), nn.Linear(d, d, bias=False)])
        self.att_rnn, self.dec_rnn = nn.LSTMCell(2 * d, d), nn.LSTMCell(2 * d, d, bias=False)
        self.query, self.memory, self.v = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False), nn.Linear(d, 1, bias=False)
        self.loc_conv, self.loc_dense = nn.Conv1d(2, 3, 5, padding=2, bias=False), nn.Linear(3, d, bias=False)
        self.proj, self.gate, self.d = nn.Linear(2 * d, 4), nn.Linear(2 * d, 1), d

    def forward(self, text):
        x = self.emb(text).transpose(1, 2)
        for conv in self.convs:
            x = F.dropout(F.relu(conv(x)), 0.5, self.training)
        memory, _ = self.lstm(x.transpose(1, 2))
        B, T, _ = memory.shape
        pm = self.memory(memory)
        h = c = h2 = c2 = memory.data.new(B, self.d).zero_()
        w = wc = torch.zeros(B, T)
        ctx, frame, outs, gates = memory.new_zeros(B, self.d), memory.new_zeros(B, 4), [], []
        for _ in range(3):
            y = frame
            for l in self.prenet:
                y = F.dropout(F.relu(l(y)), p=0.5, training=False)
            h, c = self.att_rnn(torch.cat((y, ctx), -1), (h, c))
            loc = self.loc_dense(self.loc_conv(torch.cat((w.unsqueeze(1), wc.unsqueeze(1)), dim=1)).transpose(1, 2))
            e = self.v(torch.tanh(self.query(h.unsqueeze(1)) + loc + pm)).squeeze(-1)
            w = F.softmax(e, dim=1)
            wc += w
            ctx = torch.bmm(w.unsqueeze(1), memory).squeeze(1)
            h2, c2 = self.dec_rnn(torch.cat((h, ctx), -1), (h2, c2))
            hc = torch.cat((h2, ctx), dim=1)
            frame = self.proj(hc)
            outs.append(frame)
            gates.append(self.gate(hc))
        return torch.stack(outs).transpose(0, 1).contiguous(), torch.stack(gates).transpose(0, 1)


# ---- mixers
class EinMixer(nn.Module):
    def __init__(self):
        super().__init__()
        self.to_patch = nn.Sequential(Rearrange("b c (h p) (w q) -> b (h w) (p q c)", p=4, q=4), nn.Linear(48, 12))
        self.tok = nn.Sequential(nn.LayerNorm(12), Rearrange("b n c -> b c n"), nn.Linear(16, 16), nn.GELU(), Rearrange("b c n -> b n c"))
        self.mix = EinMix("b n c -> b n d", weight_shape="c d", bias_shape="d", c=12, d=12)
        self.conv1 = nn.Sequential(nn.LayerNorm(12), nn.Conv1d(16, 32, kernel_size=1), nn.GELU(), nn.Conv1d(32, 16, 1))
        self.head = nn.Sequential(Reduce("b n c -> b c", "mean"), nn.Linear(12, 3))

    def forward(self, x):
        x = self.to_patch(x)
        x = x + self.tok(x)
        x = x + self.mix(x)
        x = x + self.conv1(x)
        y = eeinsum(x, x, "b i c, b j c -> b i j")
        return self.head(x), reduce(y, "b i j -> b", "max"), repeat(x[:, 0], "b c -> b r c", r=2)


class FNet(nn.Module):
    def __init__(self, d=8):
        super().__init__()
        self.n1, self.n2, self.ff = nn.LayerNorm(d), nn.LayerNorm(d), nn.Sequential(nn.Linear(d, 16), nn.GELU(), nn.Linear(16, d))

    def forward(self, x):
        x = self.n1(x + torch.fft.fft(torch.fft.fft(x, dim=-1), dim=-2).real)
        return self.n2(x + self.ff(x))


class Hyena(nn.Module):
    def __init__(self, d=8, l=12):
        super().__init__()
        self.in_proj, self.out_proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.short = nn.Conv1d(3 * d, 3 * d, 3, padding=2, groups=3 * d)
        self.filter = nn.Sequential(nn.Linear(3, 8), nn.SiLU(), nn.Linear(8, d, bias=False))
        t = torch.linspace(0, 1, l)[None, :, None]
        self.register_buffer("z", torch.cat([t, torch.sin(t * 6), torch.cos(t * 6)], -1))
        self.D, self.l = nn.Parameter(torch.randn(d)), l

    def fftconv(self, u, k, D):
        n = 2 * u.shape[-1]
        kf = torch.fft.rfft(k, n=n) / n
        uf = torch.fft.rfft(u.to(dtype=k.dtype), n=n)
        return torch.fft.irfft(uf * kf, n=n, norm="forward")[..., : u.shape[-1]] + u * D.unsqueeze(-1)

    def forward(self, u):
        l = u.size(-2)
        u = rearrange(self.in_proj(u), "b l d -> b d l")
        *x, v = self.short(u)[..., :l].split(8, dim=1)
        k = rearrange(self.filter(self.z), "1 l d -> d l")
        for x_i in reversed(x):
            v = self.fftconv(v * x_i, k, self.D)
        return self.out_proj(rearrange(v, "b d l -> b l d"))


class RetNet(nn.Module):
    def __init__(self, d=16, h=2):
        super().__init__()
        self.q, self.k, self.v, self.g, self.o = (nn.Linear(d, d, bias=False) for _ in range(5))
        self.gn, self.h = nn.GroupNorm(h, d, affine=False), h
        self.register_buffer("decay", torch.log(1 - 2 ** (-5 - torch.arange(h, dtype=torch.float))))

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = [l(x).view(B, T, self.h, -1).transpose(1, 2) for l in (self.q, self.k, self.v)]
        idx = torch.arange(T).float()
        mask = torch.masked_fill(idx[:, None] - idx[None, :], torch.tril(torch.ones(T, T)) == 0, float("inf"))
        mask = torch.nan_to_num(torch.exp(mask * self.decay[:, None, None]))
        s = (q @ k.mT) * mask
        s = s / s.detach().abs().sum(-1, keepdim=True).clamp(min=1, max=5e4)
        out = torch.matmul(s, v).transpose(1, 2).reshape(B * T, C)
        out = self.gn(out).view(B, T, C)
        return self.o(F.silu(self.g(x)).mul(out))


class RWKV(nn.Module):
    def __init__(self, d=8):
        super().__init__()
        self.time_decay, self.time_first = nn.Parameter(torch.ones(d)), nn.Parameter(torch.ones(d))
        self.mk, self.mv = nn.Parameter(torch.rand(1, 1, d)), nn.Parameter(torch.rand(1, 1, d))
        self.shift = nn.ZeroPad2d((0, 0, 1, -1))
        self.key, self.value, self.recept, self.output = (nn.Linear(d, d, bias=False) for _ in range(4))
        self.ffk, self.ffv = nn.Linear(d, 4 * d, bias=False), nn.Linear(4 * d, d, bias=False)

    def forward(self, x):
        xx = self.shift(x)
        k = self.key(x * self.mk + xx * (1 - self.mk))
        v = self.value(torch.lerp(xx, x, self.mv))
        r_ = torch.sigmoid(self.recept(x))
        w = -torch.exp(self.time_decay)
        aa, bb, pp, out = torch.zeros_like(v[:, 0]), torch.zeros_like(v[:, 0]), torch.full_like(v[:, 0], -1e30), []
        for t in range(x.shape[1]):
            kt, vt = k[:, t], v[:, t]
            ww = self.time_first + kt
            p = torch.maximum(pp, ww)
            e1, e2 = torch.exp(pp - p), torch.exp(ww - p)
            out.append((e1 * aa + e2 * vt) / (e1 * bb + e2))
            ww = pp + w
            p = torch.max(ww, kt)
            e1, e2 = torch.exp(ww - p), torch.exp(kt - p)
            aa, bb, pp = e1 * aa + e2 * vt, e1 * bb + e2, p
        x = x + self.output(r_ * torch.stack(out, dim=1))
        return x + self.ffv(torch.square(torch.relu(self.ffk(x))))


class Performer(nn.Module):
    def __init__(self, d=16, h=2, m=6):
        super().__init__()
        self.qkv, self.o, self.h = nn.Linear(d, 3 * d), nn.Linear(d, d), h
        self.register_buffer("proj", torch.randn(m, d // h))

    def phi(self, x, query):
        x = x * x.shape[-1] ** -0.25
        dash = torch.einsum("...id,...jd->...ij", x, repeat(self.proj, "j d -> b h j d", b=x.shape[0], h=self.h))
        diag = (x**2).sum(-1, keepdim=True) / 2
        return torch.exp(dash - diag - torch.amax(dash, dim=-1 if query else (-1, -2), keepdim=True)) + 1e-4

    def forward(self, x):
        q, k, v = rearrange(self.qkv(x), "b n (k h d) -> k b h n d", k=3, h=self.h).unbind()
        q, k = self.phi(q, True), self.phi(k, False)
        d_inv = 1.0 / torch.einsum("...nd,...d->...n", q, k.sum(dim=-2))
        ctx = torch.einsum("...nd,...ne->...de", k, v)
        out = torch.einsum("...de,...nd,...n->...ne", ctx, q, d_inv)
        return self.o(rearrange(out, "b h n d -> b n (h d)"))


class Linformer(nn.Module):
    def __init__(self, d=16, n=12, k=4, h=2):
        super().__init__()
        self.E, self.Fp = nn.Parameter(torch.randn(n, k)), nn.Parameter(torch.randn(n, k))
        self.q, self.kv, self.h, self.out = nn.Linear(d, d), nn.Linear(d, 2 * d), h, nn.Linear(d, d)

    def forward(self, x):
        b, n, d = x.shape
        q, (k, v) = self.q(x), self.kv(x).tensor_split(2, dim=-1)
        k, v = torch.einsum("bnd,nk->bkd", k, self.E), torch.einsum("bnd,nk->bkd", v, self.Fp)
        q = q.reshape(b, n, self.h, -1).transpose(1, 2)
        k, v = (t.reshape(b, -1, self.h, d // self.h).transpose(1, 2) for t in (k, v))
        att = torch.einsum("bhnd,bhkd->bhnk", q, k).mul(d**-0.5).softmax(-1)
        return self.out(torch.einsum("bhnk,bhkd->bhnd", att, v).transpose(1, 2).flatten(2))


# ---- MoE, GShard one-hot
class GShard(nn.Module):
    def __init__(self, d=8, e=3, cap=4):
        super().__init__()
        self.gate = nn.Linear(d, e, bias=False)
        self.wi, self.wo = nn.Parameter(torch.randn(e, d, 16)), nn.Parameter(torch.randn(e, 16, d))
        self.e, self.cap = e, cap

    def forward(self, x):
        s, m = x.shape
        gates = F.softmax(self.gate(x), dim=1)
        idx = torch.argmax(gates, dim=1)
        mask = F.one_hot(idx, num_classes=self.e).float()
        loc = torch.cumsum(mask, dim=0) - 1
        mask = mask * torch.lt(loc, self.cap)
        aux = torch.sum(gates.mean(0) * mask.mean(0)) * self.e
        locs = F.one_hot((loc * mask).sum(1).long(), self.cap).float()
        combine = torch.einsum("s,se,sc->sec", (gates * mask).sum(dim=1), mask, locs)
        disp = torch.einsum("sec,sm->ecm", combine.bool().float(), x)
        h = torch.relu(torch.bmm(disp, self.wi))
        out = torch.baddbmm(torch.zeros(self.e, self.cap, m), h, self.wo)
        return torch.einsum("sec,ecm->sm", combine, out), aux


class SoftMoE(nn.Module):
    def __init__(self, d=8, e=2, p=3):
        super().__init__()
        self.phi = nn.Parameter(torch.randn(d, e, p))
        self.experts = nn.ModuleList([nn.Sequential(nn.Linear(d, 16), nn.GELU(), nn.Linear(16, d)) for _ in range(e)])

    def forward(self, x):
        logits = torch.einsum("bmd,dnp->bmnp", F.normalize(x, dim=-1), F.normalize(self.phi, dim=0))
        d = torch.softmax(logits, dim=1)
        c = logits.flatten(2).softmax(-1).view_as(logits)
        xs = torch.einsum("bmd,bmnp->bnpd", x, d)
        ys = torch.stack([f(xs[:, i]) for i, f in enumerate(self.experts)], dim=1)
        return torch.einsum("bnpd,bmnp->bmd", ys, c)


# ---- LLaMA with a cache
class RMSNorm(nn.Module):
    def __init__(self, d, eps=1e-6):
        super().__init__()
        self.eps, self.weight = eps, nn.Parameter(torch.ones(d))

    def _norm(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)

    def forward(self, x):
        return self._norm(x.float()).type_as(x) * self.weight


def apply_rotary_emb(xq, xk, freqs_cis):
    a = torch.view_as_complex(xq.float().reshape(*xq.shape[:-1], -1, 2))
    b = torch.view_as_complex(xk.float().reshape(*xk.shape[:-1], -1, 2))
    f = freqs_cis.view(1, a.shape[1], 1, a.shape[-1])
    return torch.view_as_real(a * f).flatten(3).type_as(xq), torch.view_as_real(b * f).flatten(3).type_as(xk)


class MetaLlama(nn.Module):
    def __init__(self, d=16, h=4, kv=2, v=30, maxlen=16):
        super().__init__()
        self.emb, self.h, self.kv, self.hd = nn.Embedding(v, d), h, kv, d // h
        self.wq, self.wk, self.wv, self.wo = nn.Linear(d, d, bias=False), nn.Linear(d, kv * self.hd, bias=False), nn.Linear(d, kv * self.hd, bias=False), nn.Linear(d, d, bias=False)
        self.w1, self.w2, self.w3 = nn.Linear(d, 24, bias=False), nn.Linear(24, d, bias=False), nn.Linear(d, 24, bias=False)
        self.an, self.fn, self.norm, self.output = RMSNorm(d), RMSNorm(d), RMSNorm(d), nn.Linear(d, v, bias=False)
        self.output.weight = self.emb.weight
        f = 1.0 / (10000 ** (torch.arange(0, self.hd, 2).float() / self.hd))
        t = torch.outer(torch.arange(maxlen).float(), f)
        self.freqs_cis = torch.polar(torch.ones_like(t), t)
        self.register_buffer("cache_k", torch.zeros(2, maxlen, kv, self.hd), persistent=False)
        self.register_buffer("cache_v", torch.zeros(2, maxlen, kv, self.hd), persistent=False)

    def forward(self, tokens):
        b, n = tokens.shape
        start = 3
        h = self.emb(tokens)
        x = self.an(h)
        q, k, v = self.wq(x).view(b, n, self.h, -1), self.wk(x).view(b, n, self.kv, -1), self.wv(x).view(b, n, self.kv, -1)
        q, k = apply_rotary_emb(q, k, self.freqs_cis[start : start + n])
        self.cache_k[:b, start : start + n] = k.detach()
        self.cache_v[:b, start : start + n] = v.detach()
        k, v = self.cache_k[:b, : start + n], self.cache_v[:b, : start + n]
        k, v = torch.repeat_interleave(k, dim=2, repeats=2), v[:, :, :, None, :].expand(b, start + n, self.kv, 2, self.hd).reshape(b, start + n, self.h, self.hd)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        s = torch.matmul(q, k.transpose(2, 3)) / math.sqrt(self.hd)
        mask = torch.hstack([torch.zeros((n, start)), torch.triu(torch.full((n, n), float("-inf")), diagonal=1)])
        s = F.softmax((s + mask).float(), dim=-1).type_as(q)
        h = h + self.wo(torch.matmul(s, v).transpose(1, 2).contiguous().view(b, n, -1))
        y = self.fn(h)
        h = h + self.w2(F.silu(self.w1(y)) * self.w3(y))
        return self.output(self.norm(h)[:, -1]).float()


class GemmaLike(nn.Module):
    def __init__(self, d=16):
        super().__init__()
        self.emb, self.scale = nn.Embedding(20, d), d**0.5
        self.q, self.k, self.v, self.o = nn.Linear(d, 32), nn.Linear(d, 16), nn.Linear(d, 16), nn.Linear(32, d, bias=False)
        self.gate_up, self.down, self.n = nn.Linear(d, 48, bias=False), nn.Linear(24, d, bias=False), nn.RMSNorm(d)

    def forward(self, ids):
        x = self.emb(ids) * self.scale
        B, T, _ = x.shape
        h = self.n(x)
        q, k, v = (p(h).unflatten(-1, (-1, 8)).movedim(1, 2) for p in (self.q, self.k, self.v))
        o = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + self.o(o.swapaxes(1, 2).flatten(-2))
        g, u = self.gate_up(self.n(x)).chunk(2, -1)
        x = x + self.down(F.gelu(g, approximate="tanh") * u)
        logits = x @ self.emb.weight.T
        return torch.tanh(logits / 30.0) * 30.0


class T5Attention(nn.Module):
    def __init__(self, d=16, h=2):
        super().__init__()
        self.q, self.k, self.v, self.o, self.h = *(nn.Linear(d, d, bias=False) for _ in range(4)), h
        self.relative_attention_bias = nn.Embedding(8, h)

    @staticmethod
    def bucket(rel, n=8, maxd=16):
        buckets = (rel > 0).to(torch.long) * (n // 2)
        n //= 2
        rel = torch.abs(rel)
        exact = n // 2
        large = exact + (torch.log(rel.float() / exact) / math.log(maxd / exact) * (n - exact)).to(torch.long)
        large = torch.min(large, torch.full_like(large, n - 1))
        return buckets + torch.where(rel < exact, rel, large)

    def forward(self, x):
        b, n, d = x.size()
        pos = torch.arange(n, dtype=torch.long)
        bias = self.relative_attention_bias(self.bucket(pos[None, :] - pos[:, None])).permute([2, 0, 1]).unsqueeze(0)
        q, k, v = (l(x).view(b, -1, self.h, d // self.h).transpose(1, 2) for l in (self.q, self.k, self.v))
        scores = torch.matmul(q, k.transpose(3, 2))
        scores += bias
        a = nn.functional.softmax(scores.float(), dim=-1).type_as(scores)
        return self.o(torch.matmul(a, v).transpose(1, 2).contiguous().view(b, -1, d))


class Alibi(nn.Module):
    def __init__(self, d=16, h=4):
        super().__init__()
        self.c_attn, self.c_proj, self.h = nn.Linear(d, 3 * d), nn.Linear(d, d), h
        self.slopes = torch.tensor([2 ** (-8 * (i + 1) / h) for i in range(h)])

    def forward(self, x, mask):
        B, T, C = x.size()
        q, k, v = self.c_attn(x).split(C, dim=2)
        k = k.view(B, T, self.h, C // self.h).permute(0, 2, 3, 1)
        q, v = (t.view(B, T, self.h, C // self.h).transpose(1, 2) for t in (q, v))
        bias = (self.slopes[:, None, None] * torch.arange(T)[None, None, :]).repeat(B, 1, 1)
        att = torch.baddbmm(bias, q.reshape(-1, T, C // self.h), k.reshape(-1, C // self.h, T), beta=1.0, alpha=0.5)
        att = att.view(B, self.h, T, T).masked_fill(mask[:, None, None, :], torch.finfo(x.dtype).min)
        y = torch.bmm(att.softmax(-1).flatten(0, 1), v.flatten(0, 1)).view(B, self.h, T, -1)
        return self.c_proj(y.permute(0, 2, 1, 3).reshape(B, T, C))


# ---- DETR on nn.Transformer
class DETR(nn.Module):
    def __init__(self, d=16):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1))
        self.conv, self.transformer = nn.Conv2d(8, d, 1), nn.Transformer(d, 2, 1, 2, 32, batch_first=False)
        self.linear_class, self.bbox = nn.Linear(d, 5), nn.ModuleList(nn.Linear(n, k) for n, k in zip([d, d], [d, 4]))
        self.query_pos, self.row_embed, self.col_embed = nn.Parameter(torch.rand(6, d)), nn.Parameter(torch.rand(10, d // 2)), nn.Parameter(torch.rand(10, d // 2))

    def forward(self, inputs):
        x = self.backbone(inputs)
        h = self.conv(x)
        H, W = h.shape[-2:]
        pos = torch.cat([self.col_embed[:W].unsqueeze(0).repeat(H, 1, 1), self.row_embed[:H].unsqueeze(1).repeat(1, W, 1)], dim=-1).flatten(0, 1).unsqueeze(1)
        h = self.transformer(pos + 0.1 * h.flatten(2).permute(2, 0, 1), self.query_pos.unsqueeze(1)).transpose(0, 1)
        b = h
        for i, l in enumerate(self.bbox):
            b = F.relu(l(b)) if i < len(self.bbox) - 1 else l(b)
        return {"pred_logits": self.linear_class(h), "pred_boxes": b.sigmoid()}


# ---- RetinaNet / YOLOv8 head
class YoloHead(nn.Module):
    class Conv(nn.Module):
        default_act = nn.SiLU()

        def __init__(self, c1, c2, k=1, s=1, p=None, g=1, act=True):
            super().__init__()
            self.conv, self.bn = nn.Conv2d(c1, c2, k, s, k // 2 if p is None else p, groups=g, bias=False), nn.BatchNorm2d(c2)
            self.act = self.default_act if act is True else nn.Identity()

        def forward(self, x):
            return self.act(self.bn(self.conv(x)))

    class DFL(nn.Module):
        def __init__(self, c1=4):
            super().__init__()
            self.conv = nn.Conv2d(c1, 1, 1, bias=False).requires_grad_(False)
            self.conv.weight.data[:] = nn.Parameter(torch.arange(c1, dtype=torch.float).view(1, c1, 1, 1))
            self.c1 = c1

        def forward(self, x):
            b, _, a = x.shape
            return self.conv(x.view(b, 4, self.c1, a).transpose(2, 1).softmax(1)).view(b, 4, a)

    def __init__(self, nc=3, ch=(8, 16)):
        super().__init__()
        Conv = YoloHead.Conv
        self.stem, self.down, self.sppf_cv = Conv(3, 8, 3, 2), Conv(8, 16, 3, 2), Conv(64, 16, 1)
        self.m = nn.MaxPool2d(5, 1, 2)
        self.cv2 = nn.ModuleList(nn.Sequential(Conv(c, 8, 3), nn.Conv2d(8, 16, 1)) for c in ch)
        self.cv3 = nn.ModuleList(nn.Sequential(nn.Sequential(Conv(c, c, 3, g=c), Conv(c, 8, 1)), nn.Conv2d(8, nc, 1)) for c in ch)
        self.dfl, self.nc, self.up = YoloHead.DFL(), nc, nn.Upsample(None, 2, "nearest")
        self.lat = Conv(24, 8, 1, act=False)

    def forward(self, x):
        a = self.stem(x)
        b = self.down(a)
        y = [b]
        y.extend(self.m(y[-1]) for _ in range(3))
        b = self.sppf_cv(torch.cat(y, 1))
        a = self.lat(torch.cat([self.up(b), a], 1))
        outs = [torch.cat((self.cv2[i](f), self.cv3[i](f)), 1) for i, f in enumerate((a, b))]
        cat = torch.cat([o.view(o.shape[0], 16 + self.nc, -1) for o in outs], 2)
        box, cls = cat.split((16, self.nc), 1)
        lt, rb = self.dfl(box).chunk(2, 1)
        return torch.cat((torch.cat(((rb - lt) / 2, lt + rb), 1), cls.sigmoid()), 1)


class DeepLab(nn.Module):
    class ASPPPooling(nn.Sequential):
        def __init__(self, i, o):
            super().__init__(nn.AdaptiveAvgPool2d(1), nn.Conv2d(i, o, 1, bias=False), nn.ReLU())

        def forward(self, x):
            size = x.shape[-2:]
            for mod in self:
                x = mod(x)
            return F.interpolate(x, size=size, mode="bilinear", align_corners=False)

    def __init__(self):
        super().__init__()
        self.low, self.high = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU6()), nn.Sequential(nn.Conv2d(6, 12, 3, 2, 1), nn.Hardswish())
        self.convs = nn.ModuleList([nn.Conv2d(12, 8, 1)] + [nn.Conv2d(12, 8, 3, padding=d, dilation=d, groups=4) for d in (2, 4)] + [DeepLab.ASPPPooling(12, 8)])
        self.project, self.red, self.cls = nn.Conv2d(32, 8, 1), nn.Conv2d(6, 4, 1), nn.Conv2d(12, 3, 3, padding="same")

    def forward(self, x):
        size = x.size()[2:]
        low = self.low(x)
        h = self.high(low)
        h = self.project(torch.cat([c(h) for c in self.convs], dim=1))
        h = F.interpolate(h, low.size()[2:], mode="bilinear", align_corners=True)
        return F.upsample(self.cls(torch.cat([h, self.red(low)], 1)), size, mode="bilinear")


class U2Block(nn.Module):
    class REBN(nn.Module):
        def __init__(self, i, o, dirate=1):
            super().__init__()
            self.conv_s1, self.bn_s1, self.relu_s1 = nn.Conv2d(i, o, 3, padding=dirate, dilation=dirate), nn.BatchNorm2d(o), nn.ReLU(inplace=True)

        def forward(self, x):
            hx = x
            return self.relu_s1(self.bn_s1(self.conv_s1(hx)))

    def __init__(self):
        super().__init__()
        R = U2Block.REBN
        self.inp, self.e1, self.e2, self.e3 = R(3, 8), R(8, 4), R(4, 4), R(4, 4, 2)
        self.pool = nn.MaxPool2d(2, stride=2, ceil_mode=True)
        self.d2, self.d1, self.side = R(8, 4), R(8, 8), nn.Conv2d(8, 1, 3, padding=1)

    def forward(self, x):
        hx = x
        hin = self.inp(hx)
        h1 = self.e1(hin)
        h2 = self.e2(self.pool(h1))
        h3 = self.e3(h2)
        d2 = self.d2(torch.cat((h3, h2), 1))
        up = F.interpolate(d2, size=h1.shape[2:], mode="bilinear")
        d1 = self.d1(torch.cat((up, h1), 1)) + hin
        return torch.sigmoid(self.side(d1))


class SwinLike(nn.Module):
    def __init__(self, d=8, w=4, h=2):
        super().__init__()
        self.w, self.h = w, h
        self.table = nn.Parameter(torch.zeros((2 * w - 1) ** 2, h))
        c = torch.stack(torch.meshgrid(torch.arange(w), torch.arange(w), indexing="ij")).flatten(1)
        rel = (c[:, :, None] - c[:, None, :]).permute(1, 2, 0).contiguous()
        self.register_buffer("index", (rel[..., 0] + w - 1) * (2 * w - 1) + rel[..., 1] + w - 1)
        self.norm, self.qkv, self.proj = nn.LayerNorm(d), nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.red, self.mnorm, self.expand = nn.Linear(4 * d, 2 * d, bias=False), nn.LayerNorm(4 * d), nn.Linear(2 * d, 4 * d, bias=False)

    def windows(self, x):
        B, H, W, C = x.shape
        return x.view(B, H // self.w, self.w, W // self.w, self.w, C).permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, self.w**2, C)

    def forward(self, x):
        B, H, W, C = x.shape
        s = torch.roll(self.norm(x), shifts=(-2, -2), dims=(1, 2))
        win = self.windows(s)
        n, N, _ = win.shape
        q, k, v = self.qkv(win).reshape(n, N, 3, self.h, C // self.h).permute(2, 0, 3, 1, 4)
        attn = (q * 0.5) @ k.transpose(-2, -1) + self.table[self.index.view(-1)].view(N, N, -1).permute(2, 0, 1).contiguous().unsqueeze(0)
        o = self.proj((attn.softmax(-1) @ v).transpose(1, 2).reshape(n, N, C))
        o = o.view(B, H // self.w, W // self.w, self.w, self.w, C).permute(0, 1, 3, 2, 4, 5).reshape(B, H, W, C)
        x = x + torch.roll(o, (2, 2), (1, 2))
        m = torch.cat([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], -1)
        m = self.red(self.mnorm(m.view(B, -1, 4 * C)))
        e = self.expand(m).view(B, H // 2, W // 2, -1)
        return rearrange(e, "b h w (p q c)-> b (h p) (w q) c", p=2, q=2)


# ---- points and graphs
def knn(x, k):
    inner = -2 * torch.matmul(x.transpose(2, 1), x)
    xx = torch.sum(x**2, dim=1, keepdim=True)
    return (-xx - inner - xx.transpose(2, 1)).topk(k=k, dim=-1)[1]


def graph_feature(x, k=3):
    B, D, N = x.size()
    idx = (knn(x, k) + torch.arange(0, B).view(-1, 1, 1) * N).view(-1)
    x = x.transpose(2, 1).contiguous()
    f = x.view(B * N, -1)[idx, :].view(B, N, k, D)
    x = x.view(B, N, 1, D).repeat(1, 1, k, 1)
    return torch.cat((f - x, x), dim=3).permute(0, 3, 1, 2).contiguous()


class DGCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(8)
        self.conv1 = nn.Sequential(nn.Conv2d(6, 8, 1, bias=False), self.bn1, nn.LeakyReLU(negative_slope=0.2))
        self.conv2 = nn.Sequential(nn.Conv2d(16, 8, 1, bias=False), nn.BatchNorm2d(8), nn.LeakyReLU(negative_slope=0.2))
        self.conv5, self.bn5 = nn.Conv1d(16, 12, 1, bias=False), nn.BatchNorm1d(12)
        self.lin, self.dp = nn.Linear(24, 4), nn.Dropout()

    def forward(self, x):
        b = x.size(0)
        x1 = self.conv1(graph_feature(x)).max(dim=-1, keepdim=False)[0]
        x2 = self.conv2(graph_feature(x1)).max(dim=-1).values
        x = F.leaky_relu(self.bn5(self.conv5(torch.cat((x1, x2), dim=1))), 0.2)
        x = torch.cat((F.adaptive_max_pool1d(x, 1).view(b, -1), F.adaptive_avg_pool1d(x, 1).view(b, -1)), 1)
        return self.lin(self.dp(x))


class PointNet2(nn.Module):
    def __init__(self):
        super().__init__()
        self.mlp = nn.ModuleList([nn.Conv2d(6, 8, 1), nn.Conv2d(8, 8, 1)])
        self.bns = nn.ModuleList([nn.BatchNorm2d(8), nn.BatchNorm2d(8)])
        self.fp = nn.Conv1d(11, 6, 1)

    def index_points(self, p, idx):
        B = p.shape[0]
        view = list(idx.shape)
        view[1:] = [1] * (len(view) - 1)
        rep = list(idx.shape)
        rep[0] = 1
        return p[torch.arange(B).view(view).repeat(rep), idx, :]

    def forward(self, xyz, feat):
        B, N, _ = xyz.shape
        centre = self.index_points(xyz, torch.arange(0, N, 4).expand(B, -1))
        dist = torch.cdist(centre, xyz)
        idx = dist.topk(4, dim=-1, largest=False, sorted=False).indices
        g = torch.cat([self.index_points(xyz, idx) - centre.unsqueeze(2), torch.gather(feat, 1, idx.flatten(1).unsqueeze(-1).expand(-1, -1, 3)).view(B, -1, 4, 3)], -1)
        g = g.permute(0, 3, 2, 1)
        for conv, bn in zip(self.mlp, self.bns):
            g = F.relu(bn(conv(g)))
        g = torch.max(g, 2)[0]
        d, i = torch.cdist(xyz, centre).sort(dim=-1)
        w = 1.0 / (d[:, :, :3] + 1e-8)
        w = w / torch.sum(w, dim=2, keepdim=True)
        up = torch.sum(self.index_points(g.transpose(1, 2), i[:, :, :3]) * w.view(B, N, 3, 1), dim=2)
        return self.fp(torch.cat([up, feat], -1).permute(0, 2, 1))


class GCN(nn.Module):
    def __init__(self):
        super().__init__()
        self.w1, self.b1 = nn.Parameter(torch.randn(5, 8)), nn.Parameter(torch.zeros(8))
        self.w2, self.b2 = nn.Parameter(torch.randn(8, 3)), nn.Parameter(torch.zeros(3))
        self.register_parameter("none", None)

    def forward(self, x, adj):
        adj = adj + torch.eye(adj.shape[0])
        d = adj.sum(1).pow(-0.5)
        a = torch.diag(d) @ adj @ torch.diag(d)
        x = F.relu(torch.mm(a, torch.mm(x, self.w1)) + self.b1)
        x = F.dropout(x, 0.5, training=self.training)
        return F.log_softmax(torch.addmm(self.b2, a.mm(x), self.w2), dim=1)


class EGNN(nn.Module):
    def __init__(self, d=6):
        super().__init__()
        self.edge_mlp = nn.Sequential(nn.Linear(2 * d + 1, 12), nn.SiLU(), nn.Linear(12, d), nn.SiLU())
        self.coord_mlp = nn.Sequential(nn.Linear(d, d), nn.SiLU(), nn.Linear(d, 1, bias=False))
        self.node_mlp, self.gate = nn.Sequential(nn.Linear(2 * d, d), nn.SiLU(), nn.Linear(d, d)), nn.Sequential(nn.Linear(d, 1), nn.Sigmoid())

    def forward(self, h, x, edges):
        row, col = edges
        diff = x[row] - x[col]
        radial = torch.sum(diff**2, 1, keepdim=True)
        m = self.edge_mlp(torch.cat([h[row], h[col], radial], dim=1))
        m = m * self.gate(m)
        trans = diff * self.coord_mlp(m)
        agg = torch.zeros_like(x).scatter_add_(0, row.unsqueeze(-1).expand(-1, 3), trans)
        x = x + agg / 4
        mi = h.new_zeros(h.shape).index_add(0, row, m)
        return h + self.node_mlp(torch.cat([h, mi], dim=-1)), x


class HashGrid(nn.Module):
    def __init__(self):
        super().__init__()
        self.tables = nn.ModuleList([nn.Embedding(32, 2) for _ in range(3)])
        self.sigma, self.color = nn.Sequential(nn.Linear(6, 8, bias=False), nn.ReLU(), nn.Linear(8, 5, bias=False)), nn.Sequential(nn.Linear(13, 8), nn.ReLU(), nn.Linear(8, 3), nn.Sigmoid())
        self.register_buffer("primes", torch.tensor([1, 2654435761, 805459861]))
        self.register_buffer("corners", torch.tensor([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]))

    def forward(self, x, d):
        feats = []
        for l, t in enumerate(self.tables):
            s = x * (4 * 2**l)
            lo = torch.floor(s).long()
            w = s - lo
            c = lo[:, None] + self.corners
            key = c[..., 0] * self.primes[0] ^ c[..., 1] * self.primes[1] ^ c[..., 2] * self.primes[2]
            e = t(key % 32)
            ww = torch.where(self.corners.bool(), w[:, None], 1 - w[:, None]).prod(-1, keepdim=True)
            feats.append((e * ww).sum(1))
        h = self.sigma(torch.cat(feats, -1))
        sh = torch.cat([torch.ones_like(d[:, :1]), d, d[:, :1] * d[:, 1:2], d[:, 1:2] * d[:, 2:], d**2, 3 * d[:, 2:] ** 2 - 1][:5], -1)
        return torch.exp(h[:, 0]), self.color(torch.cat([h, sh, d[:, :0]], -1)[:, :13])


class Siren(nn.Module):
    class Sine(nn.Linear):
        def __init__(self, i, o, w0=30.0, first=False):
            super().__init__(i, o)
            self.w0 = w0
            with torch.no_grad():
                self.weight.uniform_(-1 / i, 1 / i)

        def forward(self, x):
            return torch.sin(self.w0 * super().forward(x))

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(Siren.Sine(2, 16), Siren.Sine(16, 16), nn.Linear(16, 3))
        self.mod = nn.Linear(4, 16)

    def forward(self, coords, z):
        coords = coords.clone().detach().requires_grad_(True)
        g = self.mod(z)
        x = coords
        for i, l in enumerate(self.net):
            x = l(x)
            if i == 0:
                x = x * g[:, None]
        return x, coords


class TCN(nn.Module):
    class Block(nn.Module):
        def __init__(self, i, o, d):
            super().__init__()
            self.conv1 = pweight_norm(nn.Conv1d(i, o, 3, padding=2 * d, dilation=d))
            self.conv2 = pweight_norm(nn.Conv1d(o, o, 3, padding=2 * d, dilation=d))
            self.chomp, self.relu, self.dropout = 2 * d, nn.ReLU(), nn.Dropout1d(0.1)
            self.downsample = nn.Conv1d(i, o, 1) if i != o else None

        def forward(self, x):
            out = self.dropout(self.relu(self.conv1(x)[..., : -self.chomp]))
            out = self.dropout(self.relu(self.conv2(out)[..., : -self.chomp].contiguous()))
            res = x if self.downsample is None else self.downsample(x)
            return self.relu(out + res)

    def __init__(self):
        super().__init__()
        self.network, self.linear = nn.Sequential(*[TCN.Block(4 if i == 0 else 6, 6, 2**i) for i in range(3)]), nn.Linear(6, 2)

    def forward(self, x):
        return F.log_softmax(self.linear(self.network(x)[:, :, -1]), dim=1)


class NBeats(nn.Module):
    def __init__(self, b=10, f=4):
        super().__init__()
        self.stacks, self.parameters_list = [], []
        for s in range(2):
            blocks = [nn.ModuleDict({"fc": nn.Sequential(*[m for k in range(2) for m in (nn.Linear(b if k == 0 else 12, 12), nn.ReLU())]), "theta_b": nn.Linear(12, 3, bias=False), "theta_f": nn.Linear(12, 3, bias=False)}) for _ in range(2)]
            self.parameters_list.extend(blocks)
            self.stacks.append(blocks)
        self.all = nn.ModuleList(self.parameters_list)
        tb, tf = torch.arange(b) / b, torch.arange(f) / f
        self.register_buffer("Tb", torch.stack([tb**i for i in range(3)]), persistent=False)
        self.Tf = nn.Parameter(torch.stack([tf**i for i in range(3)]), requires_grad=False)

    def forward(self, backcast):
        forecast = torch.zeros(size=(backcast.size(0), 4))
        for stack in self.stacks:
            for block in stack:
                h = block["fc"](backcast)
                backcast = backcast - block["theta_b"](h).mm(self.Tb)
                forecast = forecast + torch.mm(block["theta_f"](h), self.Tf)
        return backcast, forecast


class TFT(nn.Module):
    class GRN(nn.Module):
        def __init__(self, i, h, o, ctx=None):
            super().__init__()
            self.fc1, self.fc2, self.elu = nn.Linear(i, h), nn.Linear(h, o), nn.ELU()
            self.context = nn.Linear(ctx, h, bias=False) if ctx is not None else None
            self.gate, self.norm, self.skip = nn.Linear(o, 2 * o), nn.LayerNorm(o), nn.Linear(i, o) if i != o else nn.Identity()

        def forward(self, x, c: Optional[Tensor] = None):
            h = self.fc1(x)
            if c is not None:
                h = h + self.context(c)[:, None]
            return self.norm(F.glu(self.gate(self.fc2(self.elu(h)))) + self.skip(x))

    def __init__(self, n=3, d=8):
        super().__init__()
        self.embs = nn.ModuleList([nn.Linear(1, d) for _ in range(n)])
        self.vsn, self.grns = TFT.GRN(n * d, d, n, d), nn.ModuleList([TFT.GRN(d, d, d) for _ in range(n)])
        self.static, self.lstm = nn.Embedding(4, d), nn.LSTM(d, d, batch_first=True)
        self.h0, self.c0 = TFT.GRN(d, d, d), TFT.GRN(d, d, d)
        self.attn, self.outs = nn.MultiheadAttention(d, 2, batch_first=True), nn.ModuleList([nn.Linear(d, 1) for _ in (0.1, 0.5, 0.9)])

    def forward(self, x, s):
        st = self.static(s)
        e = [l(x[..., i : i + 1]) for i, l in enumerate(self.embs)]
        w = torch.softmax(self.vsn(torch.cat(e, -1), st), -1).unsqueeze(-2)
        v = torch.stack([g(t) for g, t in zip(self.grns, e)], -1)
        z = (v * w).sum(-1)
        o, _ = self.lstm(z, (self.h0(st)[None], self.c0(st).unsqueeze(0)))
        m = torch.triu(torch.ones(z.shape[1], z.shape[1], dtype=torch.bool), 1)
        a, w = self.attn(o[:, -2:], o, o, attn_mask=m[-2:])
        return torch.cat([l(a) for l in self.outs], -1), w


class Informer(nn.Module):
    def __init__(self, d=8, h=2):
        super().__init__()
        self.q, self.k, self.v, self.o, self.h = nn.Linear(d, d), nn.Linear(d, d), nn.Linear(d, d), nn.Linear(d, d), h
        self.token = nn.Conv1d(3, d, 3, padding=1, padding_mode="circular", bias=False)
        self.conv1, self.conv2 = nn.Conv1d(d, 16, 1), nn.Conv1d(16, d, 1)
        self.down, self.norm, self.activation, self.pool = nn.Conv1d(d, d, 3, padding=1, padding_mode="circular"), nn.BatchNorm1d(d), nn.ELU(), nn.MaxPool1d(3, 2, 1)
        self.n1, self.n2 = LayerNorm(d), LayerNorm(d)

    def forward(self, x):
        x = self.token(x.permute(0, 2, 1)).transpose(1, 2)
        B, L, D = x.shape
        q, k, v = (l(x).view(B, L, self.h, -1).transpose(2, 1) for l in (self.q, self.k, self.v))
        ks = k.unsqueeze(-3).expand(B, self.h, L, L, D // self.h)[:, :, torch.arange(L).unsqueeze(1), torch.arange(3).repeat(L, 1), :]
        qk = torch.matmul(q.unsqueeze(-2), ks.transpose(-2, -1)).squeeze(-2)
        M = qk.max(-1)[0] - torch.div(qk.sum(-1), L)
        top = M.topk(4, sorted=False)[1]
        qr = q[torch.arange(B)[:, None, None], torch.arange(self.h)[None, :, None], top, :]
        s = torch.matmul(qr, k.transpose(-2, -1)) * (1.0 / math.sqrt(D / self.h))
        ctx = v.mean(dim=-2).unsqueeze(-2).expand(B, self.h, L, D // self.h).clone()
        ctx[torch.arange(B)[:, None, None], torch.arange(self.h)[None, :, None], top, :] = torch.matmul(torch.softmax(s, dim=-1), v).type_as(ctx)
        x = self.n1(x + self.o(ctx.transpose(2, 1).contiguous().view(B, L, -1)))
        y = self.conv2(F.gelu(self.conv1(x.transpose(-1, 1)))).transpose(-1, 1)
        x = self.n2(x + y)
        return self.pool(self.activation(self.norm(self.down(x.permute(0, 2, 1))))).transpose(1, 2)


class DLRM(nn.Module):
    def __init__(self, m=4):
        super().__init__()
        self.emb_l = nn.ModuleList([nn.EmbeddingBag(n, m, mode="sum", sparse=False) for n in (10, 7)])
        self.bot_l, self.top_l = self.mlp([5, 8, m]), self.mlp([m + 3, 8, 1], 1)

    def mlp(self, ln, sig=-1):
        layers = nn.ModuleList()
        for i in range(len(ln) - 1):
            layers.append(nn.Linear(int(ln[i]), int(ln[i + 1]), bias=True))
            layers.append(nn.Sigmoid() if i == sig else nn.ReLU())
        return torch.nn.Sequential(*layers)

    def forward(self, dense, idx, off):
        x = self.bot_l(dense)
        ly = [e(idx[k], off[k]) for k, e in enumerate(self.emb_l)]
        T = torch.cat([x] + ly, dim=1).view((x.shape[0], -1, x.shape[1]))
        Z = torch.bmm(T, torch.transpose(T, 1, 2))
        li = torch.tensor([i for i in range(3) for j in range(i)])
        lj = torch.tensor([j for i in range(3) for j in range(i)])
        z = self.top_l(torch.cat([x, Z[:, li, lj]], dim=1))
        return torch.clamp(z, min=0.1, max=0.9)


class DeepFM(nn.Module):
    def __init__(self, fields=(5, 6, 7), d=4):
        super().__init__()
        self.linear, self.emb, self.bias = nn.Embedding(sum(fields), 1), nn.Embedding(sum(fields), d), nn.Parameter(torch.zeros((1,)))
        self.offsets = np.array((0, *np.cumsum(fields)[:-1]), dtype=np.int64)
        self.mlp = nn.Sequential(*[m for i, o in ((12, 8), (8, 8)) for m in (nn.Linear(i, o), nn.BatchNorm1d(o), nn.ReLU(), nn.Dropout(0.2))], nn.Linear(8, 1))
        self.cross_w = nn.ParameterList([nn.Parameter(torch.randn(12, 12)) for _ in range(2)])
        self.cross_b = nn.ParameterList([nn.Parameter(torch.zeros(12)) for _ in range(2)])

    def forward(self, x):
        x = x + x.new_tensor(self.offsets).unsqueeze(0)
        e = self.emb(x)
        sq = torch.sum(e, dim=1) ** 2
        fm = 0.5 * torch.sum(sq - torch.sum(e**2, dim=1), dim=1, keepdim=True)
        flat = e.view(-1, 12)
        c = flat
        for w, b in zip(self.cross_w, self.cross_b):
            c = flat * (torch.matmul(c, w) + b) + c
        return torch.sigmoid((torch.sum(self.linear(x), dim=1) + self.bias + fm + self.mlp(flat)).squeeze(1)) + c.sum(1)


class DIN(nn.Module):
    class Dice(nn.Module):
        def __init__(self, d):
            super().__init__()
            self.bn, self.sigmoid, self.alpha = nn.BatchNorm1d(d, eps=1e-9), nn.Sigmoid(), nn.Parameter(torch.zeros((d, 1)))

        def forward(self, x):
            x = torch.transpose(x, 1, 2)
            p = self.sigmoid(self.bn(x))
            out = self.alpha * (1 - p) * x + p * x
            return torch.transpose(out, 1, 2)

    def __init__(self, d=4):
        super().__init__()
        self.emb = nn.Embedding(20, d, padding_idx=0)
        self.att = nn.Sequential(OrderedDict(fc1=nn.Linear(4 * d, 6), act=DIN.Dice(6), fc2=nn.Linear(6, 1)))
        self.gru, self.out = nn.GRU(d, d, batch_first=True), nn.Linear(3 * d, 2)

    def forward(self, hist, target):
        k, q = self.emb(hist), self.emb(target).unsqueeze(1).expand(-1, hist.size(1), -1)
        s = self.att(torch.cat([q, k, q - k, q * k], dim=-1))
        s = torch.where((hist > 0).unsqueeze(-1), s, torch.ones_like(s) * (-(2**32) + 1)).softmax(1)
        u = torch.matmul(s.transpose(1, 2), k).squeeze(1)
        _, h = self.gru(k)
        return F.softmax(self.out(torch.cat([u, q[:, 0], h.squeeze(0)], dim=-1)), dim=-1)


class MMoE(nn.Module):
    def __init__(self, d=6, e=3):
        super().__init__()
        self.w = nn.Parameter(torch.rand(d, 8, e))
        self.gates = nn.ParameterList([nn.Parameter(torch.rand(d, e)) for _ in range(2)])
        self.towers = nn.ModuleList([nn.Linear(8, 1) for _ in range(2)])

    def forward(self, x):
        ex = torch.relu(torch.einsum("ij,jkl->ikl", x, self.w))
        outs = []
        for g, t in zip(self.gates, self.towers):
            gate = F.softmax(torch.einsum("ab,bc->ac", (x, g)), -1)
            outs.append(t(torch.sum(ex * gate.unsqueeze(1).expand(-1, 8, -1), dim=2)))
        w = torch.tensordot(x, self.w, dims=([1], [0]))
        return outs, w


class CRF(nn.Module):
    def __init__(self, k=4):
        super().__init__()
        self.emb, self.lstm, self.h2t = nn.Embedding(20, 6), nn.LSTM(6, 4, num_layers=1, bidirectional=True), nn.Linear(8, k)
        self.transitions, self.k = nn.Parameter(torch.randn(k, k)), k

    def forward(self, sent):
        e = self.emb(sent).view(len(sent), 1, -1)
        out, _ = self.lstm(e, (torch.zeros(2, 1, 4), torch.zeros(2, 1, 4)))
        feats = self.h2t(out.view(len(sent), 8))
        alpha = torch.full((1, self.k), -10000.0)
        back = []
        for feat in feats:
            nxt = []
            for tag in range(self.k):
                nxt.append(torch.logsumexp(alpha + feat[tag].view(1, -1).expand(1, self.k) + self.transitions[tag].view(1, -1), dim=1).view(1))
            alpha = torch.cat(nxt).view(1, -1)
            back.append(torch.max(alpha + self.transitions, dim=1)[1])
        return torch.logsumexp(alpha, -1), torch.stack(back)


class CRNN(nn.Module):
    def __init__(self):
        super().__init__()
        cnn = nn.Sequential()
        for i, (a, b) in enumerate([(1, 4), (4, 8)]):
            cnn.add_module(f"conv{i}", nn.Conv2d(a, b, 3, 1, 1))
            cnn.add_module("batchnorm{0}".format(i), nn.BatchNorm2d(b))
            cnn.add_module(f"relu{i}", nn.ReLU(True))
            cnn.add_module(f"pooling{i}", nn.MaxPool2d((2, 2), (2, 1), (0, 1)))
        self.cnn = cnn
        self.rnn = nn.Sequential(CRNN.BiLSTM(16, 6, 6), CRNN.BiLSTM(6, 6, 5))
        self.loss = nn.CTCLoss(blank=0, zero_infinity=True)

    class BiLSTM(nn.Module):
        def __init__(self, i, h, o):
            super().__init__()
            self.rnn, self.embedding = nn.LSTM(i, h, bidirectional=True), nn.Linear(2 * h, o)

        def forward(self, x):
            rec, _ = self.rnn(x)
            T, b, h = rec.size()
            return self.embedding(rec.view(T * b, h)).view(T, b, -1)

    def forward(self, x):
        conv = self.cnn(x)
        b, c, h, w = conv.size()
        conv = conv.reshape(b, c * h, w).permute(2, 0, 1)
        return F.log_softmax(self.rnn(conv), dim=2)


class PointerNet(nn.Module):
    def __init__(self, d=8):
        super().__init__()
        self.embed, self.enc, self.dec = nn.Linear(2, d), nn.LSTM(d, d, batch_first=True), nn.LSTMCell(d, d)
        self.W1, self.W2, self.vt = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False), nn.Parameter(torch.randn(d))

    def forward(self, x):
        e = self.embed(x)
        out, (h, c) = self.enc(e)
        h, c, inp = h[-1], c[-1], e.mean(1)
        mask, ps = torch.zeros(x.shape[:2], dtype=torch.bool), []
        for _ in range(x.shape[1]):
            h, c = self.dec(inp, (h, c))
            u = torch.tanh(self.W1(out) + self.W2(h).unsqueeze(1)) @ self.vt
            p = F.log_softmax(u.masked_fill(mask, -1e9), -1)
            i = p.argmax(-1)
            ps.append(p)
            mask = mask.scatter(1, i[:, None], True)
            inp = e[torch.arange(x.shape[0]), i]
        return torch.stack(ps, 1)


class Bahdanau(nn.Module):
    def __init__(self, v=20, d=8):
        super().__init__()
        self.ee, self.de, self.d = nn.Embedding(v, d), nn.Embedding(v, d), d
        self.enc, self.dec = nn.GRU(d, d, bidirectional=True), nn.GRU(3 * d, d)
        self.fc, self.attn, self.v, self.out = nn.Linear(2 * d, d), nn.Linear(3 * d, d), nn.Linear(d, 1, bias=False), nn.Linear(4 * d, v)

    def forward(self, src, trg):
        enc, hid = self.enc(self.ee(src))
        hid = torch.tanh(self.fc(torch.cat((hid[-2, :, :], hid[-1, :, :]), dim=1)))
        outputs = torch.zeros(trg.shape[0], trg.shape[1], 20)
        inp = trg[0, :]
        for t in range(1, trg.shape[0]):
            emb = self.de(inp.unsqueeze(0))
            h = hid.unsqueeze(1).repeat(1, src.shape[0], 1)
            en = torch.tanh(self.attn(torch.cat((h, enc.permute(1, 0, 2)), dim=2)))
            a = F.softmax(self.v(en).squeeze(2), dim=1).unsqueeze(1)
            w = torch.bmm(a, enc.permute(1, 0, 2)).permute(1, 0, 2)
            o, hid = self.dec(torch.cat((emb, w), dim=2), hid.unsqueeze(0))
            hid = hid.squeeze(0)
            pred = self.out(torch.cat((o.squeeze(0), w.squeeze(0), emb.squeeze(0)), dim=1))
            outputs[t] = pred
            inp = trg[t]
        return outputs


class RNNs(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.LSTM(5, 6, num_layers=3, dropout=0.2, bias=False, batch_first=True)
        self.b = nn.GRU(6, 4, 2, bidirectional=True, batch_first=True, dropout=0.1)
        self.c = nn.RNN(8, 3, nonlinearity="relu")
        self.e = nn.LSTM(8, 6, proj_size=2, bidirectional=True, num_layers=2)
        self.cells = nn.ModuleList([nn.GRUCell(8, 5), nn.RNNCell(5, 5, nonlinearity="relu"), nn.LSTMCell(5, 4)])

    def forward(self, x):
        y, (h, c) = self.a(x)
        y, h = self.b(y)
        z, _ = self.c(y[0])
        w, _ = self.e(y.transpose(0, 1))
        s = [torch.zeros(y.shape[0], 5), torch.zeros(y.shape[0], 5), None]
        for t in range(2):
            s[0] = self.cells[0](y[:, t], s[0])
            s[1] = self.cells[1](s[0], s[1])
            s[2] = self.cells[2](s[1], s[2])
        u, _ = self.b(y[0, :, :6])
        return z, w, s[2][0], u


class Zoneout(nn.Module):
    def __init__(self, d=6):
        super().__init__()
        self.w_ih, self.w_hh = nn.Parameter(torch.randn(4 * d, d)), nn.Parameter(torch.randn(4 * d, d))
        self.b_ih, self.b_hh, self.ln = nn.Parameter(torch.zeros(4 * d)), nn.Parameter(torch.zeros(4 * d)), nn.LayerNorm(d)

    def forward(self, x):
        h = c = x.new_zeros(x.shape[1], 6)
        for x_t in x.unbind(0):
            gates = F.linear(x_t, self.w_ih, self.b_ih) + F.linear(h, self.w_hh, self.b_hh)
            i, f, g, o = gates.chunk(4, 1)
            cn = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            c = 0.1 * c + 0.9 * cn
            h = torch.sigmoid(o) * torch.tanh(self.ln(c))
        y = torch._VF.lstm_cell(x[0], (h, c), self.w_ih, self.w_hh, self.b_ih, self.b_hh)
        return y[0]


class Convs(nn.Module):
    def __init__(self):
        super().__init__()
        self.t1, self.t2, self.t3 = nn.ConvTranspose1d(4, 6, 5, 3, 1, output_padding=1, groups=2), nn.ConvTranspose2d(4, 4, (3, 5), (1, 2), bias=False, dilation=(2, 1)), nn.ConvTranspose3d(2, 4, 2, 2)
        self.d1, self.d2, self.d3 = nn.Conv1d(6, 12, 3, padding="same", groups=6, dilation=2), nn.Conv2d(4, 8, (1, 5), padding=(0, 2), padding_mode="replicate", groups=4), nn.Conv3d(4, 4, (1, 3, 3), padding=(0, 1, 1), padding_mode="zeros", groups=2)
        self.r = nn.Conv2d(4, 4, 3, padding=(1, 2), padding_mode="reflect")
        self.un = nn.PixelUnshuffle(2)

    def forward(self, x, y, z):
        x = self.d1(self.t1(x))
        y = self.d2(self.t2(y))
        y2 = F.conv_transpose2d(y, self.t2.weight.transpose(0, 1).repeat(1, 2, 1, 1).transpose(0, 1), stride=2, padding=1)
        return x, y2, self.d3(self.t3(z)), self.t2(self.r(y2)), self.t1(x[:, :4], output_size=[x.shape[-1] * 3 + 2])


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.deconv = nn.Conv2d(3, 6, 4, 2, 1, bias=False), nn.ConvTranspose2d(6, 3, 4, 2, 1, bias=False)
        self.deconv.weight = self.conv.weight
        self.bias, self.scale = nn.Parameter(torch.zeros(3)), torch.ones(1)
        self.again = self.conv
        self.register_module("alias", self.deconv)
        self.l1, self.l2 = nn.Linear(4, 8), nn.Linear(8, 4, bias=False)
        self.l2.weight = nn.Parameter(self.l1.weight.t())

    def forward(self, x):
        y = self.alias(torch.tanh(self.conv(x))) + self.bias[:, None, None]
        z = self.again(y)
        return F.conv_transpose2d(z, self.conv.weight, stride=2, padding=1), self.l2(self.l1(z[:, :, 0, :4])), F.linear(z[:, :, 0, :4], self.l1.weight, self.l1.bias)


class EDSR(nn.Module):
    class CA(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.avg_pool, self.conv_du = nn.AdaptiveAvgPool2d(1), nn.Sequential(nn.Conv2d(c, c // 4, 1, padding=0, bias=True), nn.ReLU(inplace=True), nn.Conv2d(c // 4, c, 1), nn.Sigmoid())

        def forward(self, x):
            return x * self.conv_du(self.avg_pool(x))

    class MeanShift(nn.Conv2d):
        def __init__(self, sign=-1):
            super().__init__(3, 3, kernel_size=1)
            self.weight.data = torch.eye(3).view(3, 3, 1, 1)
            self.bias.data = sign * torch.tensor([0.4, 0.4, 0.4])
            for p in self.parameters():
                p.requires_grad = False

    def __init__(self, c=8):
        super().__init__()
        self.sub, self.add, self.head = EDSR.MeanShift(), EDSR.MeanShift(1), nn.Conv2d(3, c, 3, padding=1)
        self.body = nn.ModuleList(nn.Sequential(nn.Conv2d(c, c, 3, padding=1), nn.PReLU(c), nn.Conv2d(c, c, 3, padding=1), EDSR.CA(c)) for _ in range(2))
        self.up = nn.Sequential(nn.Conv2d(c, 4 * c, 3, padding=1), nn.PixelShuffle(2), nn.Conv2d(c, 3, 3, padding=1))

    def forward(self, x):
        x = self.head(self.sub(x))
        res = x
        for b in self.body:
            res = b(res).mul(0.1) + res
        res += x
        lr = F.pixel_unshuffle(res, 2)
        return self.add(self.up(res)), F.pixel_shuffle(lr, 2), torch.channel_shuffle(res, 4)


class DCNv2(nn.Module):
    def __init__(self, i=4, o=6):
        super().__init__()
        self.conv_offset_mask, self.weight, self.bias = nn.Conv2d(i, 27, 3, 1, 1), nn.Parameter(torch.randn(o, i, 3, 3)), nn.Parameter(torch.zeros(o))

    def forward(self, x):
        o1, o2, m = torch.chunk(self.conv_offset_mask(x), 3, dim=1)
        return torchvision.ops.deform_conv2d(x, torch.cat((o1, o2), dim=1), self.weight, self.bias, padding=(1, 1), mask=torch.sigmoid(m))


class Lazy(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.LazyConv2d(8, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.LazyConvTranspose2d(4, 2, 2), nn.LazyInstanceNorm2d(affine=True), nn.Flatten(), nn.LazyLinear(5))
        self.net(torch.randn(1, 3, 10, 10).expand(2, -1, -1, -1))

    def forward(self, x):
        return self.net(x)


class Transformers(nn.Module):
    def __init__(self, d=8):
        super().__init__()
        layer = nn.TransformerEncoderLayer(d, 2, 16, activation="gelu", norm_first=True, batch_first=True, bias=False)
        self.enc = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(d), enable_nested_tensor=False)
        self.dec = nn.TransformerDecoder(nn.TransformerDecoderLayer(d, 2, 16, activation=F.silu, batch_first=True), 2)
        self.pos = nn.Parameter(torch.randn(1, 10, d))

    def forward(self, src, tgt):
        m = nn.Transformer.generate_square_subsequent_mask(tgt.size(1))
        mem = self.enc(src + self.pos[:, : src.size(1)], src_key_padding_mask=torch.zeros(src.shape[:2], dtype=torch.bool))
        return self.dec(tgt, mem, tgt_mask=m, tgt_is_causal=True)


class MHAModes(nn.Module):
    def __init__(self, d=8):
        super().__init__()
        self.a = nn.MultiheadAttention(d, 2)
        self.b = nn.MultiheadAttention(d, 2, kdim=6, vdim=5, batch_first=True, bias=False)
        self.c = nn.MultiheadAttention(d, 4, add_bias_kv=True, add_zero_attn=True, batch_first=True)
        self.e = nn.MultiheadAttention(d, 1, dropout=0.1, batch_first=True)

    def forward(self, x, k, v):
        a, _ = self.a(x, x, x, need_weights=False)
        b, w = self.b(a, k, v, average_attn_weights=False)
        c, _ = self.c(b, b, b, key_padding_mask=torch.zeros(b.shape[:2], dtype=torch.bool), need_weights=False)
        e, _ = self.e(query=c, key=c, value=c, attn_mask=torch.zeros(c.shape[1], c.shape[1]), need_weights=True)
        f, _ = self.e(c, a, a, need_weights=False)
        g, _ = self.a(x[0], x[0], x[0])
        return e + f, w, g


class Symmetric(nn.Module):
    def forward(self, X):
        return X.triu() + X.triu(1).transpose(-1, -2)

    def right_inverse(self, A):
        return A.triu()


class MatrixExp(nn.Module):
    def forward(self, X):
        return torch.matrix_exp(X - X.t())


class Rank1(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.u, self.v = nn.Parameter(torch.randn(o, 2)), nn.Parameter(torch.randn(2, i))

    def forward(self, W):
        return W + self.u @ self.v


class Parametrised(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 6), nn.Linear(6, 6), nn.Conv2d(2, 2, 3)
        parametrize.register_parametrization(self.a, "weight", Symmetric())
        parametrize.register_parametrization(self.a, "weight", MatrixExp())
        parametrize.register_parametrization(self.b, "weight", Rank1(6, 6))
        self.p = nn.Linear(6, 4)
        prune.l1_unstructured(self.p, name="weight", amount=0.5)
        self.q = nn.Conv2d(2, 2, 3)
        prune.random_structured(self.q, "weight", amount=1, dim=0)
        prune.remove(self.q, "weight")

    def forward(self, x, y):
        with parametrize.cached():
            x = self.b(self.a(self.a(x)))
        return self.p(x), self.q(self.c(y))


class Buffers(nn.Module):
    def __init__(self):
        super().__init__()
        k = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
        self.register_buffer("sobel", torch.stack([k, k.t()])[:, None])
        self.register_buffer("mel", torch.rand(5, 9))
        self.window = torch.hann_window(16)
        self.register_buffer("dct", torch.randn(16, 8), persistent=False)
        self.ema = nn.Linear(5, 3)
        for p in self.ema.parameters():
            p.requires_grad_(False)

    def forward(self, img, wav):
        b, c, h, w = img.shape
        g = F.conv2d(img.reshape(b * c, 1, h, w), self.sobel, padding=1).reshape(b, c, 2, h, w).norm(dim=2)
        s = torch.stft(wav, 16, hop_length=8, window=self.window, return_complex=True).abs().pow(2)
        m = torch.log(torch.matmul(self.mel, s).clamp_min(1e-5))
        fr = wav.unfold(-1, 16, 8) @ self.dct
        return g, self.ema(m.transpose(1, 2)), fr, F.linear(fr, self.dct)


class BYOL(nn.Module):
    def __init__(self):
        super().__init__()
        self.online = nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 8))
        self.target = copy.deepcopy(self.online)
        self.target.requires_grad_(False)
        self.pred = nn.Sequential(nn.Linear(8, 8), nn.ReLU(True), nn.Linear(8, 8))
        self.register_buffer("queue", F.normalize(torch.randn(8, 12), dim=0))

    @torch.no_grad()
    def teacher(self, x):
        return F.normalize(self.target(x), dim=1)

    def forward(self, a, b):
        p = F.normalize(self.pred(self.online(a)), dim=1)
        t = self.teacher(b).detach()
        pos = torch.einsum("nc,nc->n", [p, t]).unsqueeze(-1)
        neg = torch.einsum("nc,ck->nk", [p, self.queue.clone().detach()])
        return torch.cat([pos, neg], dim=1) / 0.07, 2 - 2 * (p * t).sum(dim=-1)


class Tensorised(nn.Module):
    def __init__(self):
        super().__init__()
        self.cores = nn.ParameterList([torch.randn(1, 2, 3, 4), torch.randn(4, 3, 2, 4), torch.randn(4, 2, 2, 1)])
        self.U = nn.Parameter(torch.randn(5, 12, 12))

    def forward(self, x):
        b = x.shape[0]
        t = x.view(b, 2, 3, 2)
        y = torch.einsum("bijk,aixp,pjyq,qkzc->bxyz", t, *self.cores).reshape(b, -1)
        z = torch.einsum("bi,oij,bj->bo", x, self.U, x)
        k = torch.kron(self.cores[0][0, :, :, 0], torch.eye(2))
        d = torch.linalg.multi_dot([x, self.U[0], self.U[1]])
        return y, z, F.bilinear(x, x, self.U), k, d, torch.chain_matmul(x, self.U[2]), torch.inner(x, x), torch.outer(x[0], x[1]), x[0].dot(x[1]), torch.mv(self.U[0], x[0]), torch.addmv(x[0], self.U[1], x[1]), torch.baddbmm(self.U, self.U, self.U), torch.addbmm(self.U[0], self.U, self.U), torch.vdot(x[0], x[1])


class ComplexNet(nn.Module):
    class CConv(nn.Module):
        def __init__(self, i, o):
            super().__init__()
            self.re, self.im = nn.Conv2d(i, o, 3, padding=1), nn.Conv2d(i, o, 3, padding=1)

        def forward(self, x):
            return torch.complex(self.re(x.real) - self.im(x.imag), self.re(x.imag) + self.im(x.real))

    def __init__(self):
        super().__init__()
        self.c1, self.w = ComplexNet.CConv(2, 3), nn.Parameter(torch.randn(3, 4, dtype=torch.cfloat))
        self.lin = nn.Linear(4, 3, dtype=torch.cfloat)

    def forward(self, x):
        z = self.c1(torch.fft.fft2(x, norm="ortho"))
        z = torch.einsum("bchw,cd->bdhw", z, self.w)
        y = self.lin(z.permute(0, 2, 3, 1))
        return torch.fft.ifft2(z).abs(), torch.angle(y), (y @ y.mH).real, torch.fft.irfft2(torch.fft.rfft2(x) * 0.5, s=x.shape[-2:])


class LSQ(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, s):
        ctx.save_for_backward(x, s)
        return torch.clamp(torch.round(x / s), -8, 7) * s

    @staticmethod
    def backward(ctx, g):
        return g, None


class SwishFn(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(x)
        return g * (s * (1 + x * (1 - s)))


class MatMulFn(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x.matmul(w.t())

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        return g @ w, g.t() @ x


class Functions(nn.Module):
    def __init__(self):
        super().__init__()
        self.w, self.s, self.conv = nn.Parameter(torch.randn(4, 6)), nn.Parameter(torch.tensor(0.1)), nn.Conv1d(4, 4, 1)

    def forward(self, x):
        y = SwishFn.apply(MatMulFn.apply(x, self.w))
        w = LSQ.apply(self.conv.weight, self.s)
        return F.conv1d(y[..., None], w, self.conv.bias)


class QuantStubs(nn.Module):
    def __init__(self):
        super().__init__()
        tq = torch.ao.quantization
        self.quant, self.dequant = tq.QuantStub(), tq.DeQuantStub()
        self.conv, self.bn, self.relu = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()
        self.fq, self.ff = tq.FakeQuantize(), torch.ao.nn.quantized.FloatFunctional()
        self.fq.disable_observer()
        self.fused = fuse_conv_bn_eval(nn.Conv2d(4, 4, 1).eval(), nn.BatchNorm2d(4).eval())

    def forward(self, x):
        x = self.relu(self.bn(self.conv(self.quant(x))))
        x = self.ff.add(self.fused(x), x)
        x = self.ff.mul_scalar(x, 0.5)
        return self.dequant(torch.fake_quantize_per_tensor_affine(x, 0.1, 0, -128, 127))


class FoldAttention(nn.Module):
    def __init__(self, d=8):
        super().__init__()
        self.unfold, self.fold, self.v, self.a = nn.Unfold(3, padding=1, stride=2), nn.Fold((8, 8), 3, padding=1, stride=2), nn.Linear(d, d, bias=False), nn.Linear(d, 81)
        self.pool = nn.AvgPool2d(2, 2, ceil_mode=True)

    def forward(self, x):
        B, H, W, C = x.shape
        v = self.unfold(self.v(x).permute(0, 3, 1, 2)).reshape(B, 1, C, 9, -1).permute(0, 1, 4, 3, 2)
        a = self.a(self.pool(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)).reshape(B, -1, 1, 9, 9).permute(0, 2, 1, 3, 4).softmax(dim=-1)
        y = (a @ v).permute(0, 1, 4, 3, 2).reshape(B, C * 9, -1)
        return self.fold(y)


class Warp(nn.Module):
    def __init__(self):
        super().__init__()
        self.f, self.flow = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(9, 2, 3, padding=1)
        self.convz, self.convr, self.convq = nn.Conv2d(6, 4, (1, 5), padding=(0, 2)), nn.Conv2d(6, 4, (5, 1), padding=(2, 0)), nn.Conv2d(6, 4, 3, padding=1)

    def warp(self, x, flo):
        B, C, H, W = x.size()
        yy, xx = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
        grid = torch.stack((xx, yy), 0).float()[None].repeat(B, 1, 1, 1) + flo
        g = torch.stack([2.0 * grid[:, 0] / max(W - 1, 1) - 1.0, 2.0 * grid[:, 1] / max(H - 1, 1) - 1.0], dim=-1)
        out = F.grid_sample(x, g, align_corners=True)
        mask = F.grid_sample(torch.ones(x.size()), g, mode="nearest")
        return out * (mask > 0.999).float()

    def forward(self, a, b):
        fa, fb = self.f(a), self.f(b)
        pad = F.pad(fb, [1] * 4)
        H, W = fa.shape[2:]
        cv = torch.cat([torch.mean(fa * pad[:, :, i : i + H, j : j + W], dim=1, keepdim=True) for i in range(3) for j in range(3)], 1)
        flow = self.flow(cv)
        h = torch.tanh(self.warp(fb, flow))
        for _ in range(2):
            hx = torch.cat([h, flow], dim=1)
            z, r_ = torch.sigmoid(self.convz(hx)), torch.sigmoid(self.convr(hx))
            q = torch.tanh(self.convq(torch.cat([r_ * h, flow], dim=1)))
            h = (1 - z) * h + z * q
        corr = torch.matmul(fa.view(1, 4, -1).transpose(1, 2), fb.view(1, 4, -1)).view(1, H, W, 1, H, W) / 2.0
        return h, corr


class Octave(nn.Module):
    def __init__(self):
        super().__init__()
        self.l2l, self.l2h, self.h2l, self.h2h = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(4))
        self.downsample, self.upsample = nn.AvgPool2d(2), nn.Upsample(scale_factor=2, mode="nearest")

    def forward(self, x):
        h, l = x
        return self.h2h(h) + self.upsample(self.l2h(l)), self.l2l(l) + self.h2l(self.downsample(h))


class OctaveNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.net, self.coord = nn.Sequential(Octave(), Octave()), nn.Conv2d(6, 4, 1)

    def forward(self, x):
        b, _, h, w = x.shape
        xx = torch.linspace(-1, 1, w).expand(b, 1, h, w)
        yy = torch.linspace(-1, 1, h).view(1, 1, h, 1).expand(b, 1, h, w)
        x = self.coord(torch.cat([x, xx, yy], 1))
        h, l = self.net((x, F.avg_pool2d(x, 2)))
        return h, l


class CondConv(nn.Module):
    def __init__(self, i=4, o=6, e=3):
        super().__init__()
        self.routing, self.weight, self.o, self.i = nn.Linear(i, e), nn.Parameter(torch.randn(e, o * i * 9)), o, i
        self.k = nn.Sequential(nn.Conv2d(i, 2, 1), nn.BatchNorm2d(2), nn.Mish(), nn.Conv2d(2, 9, 1))
        self.ghost_p, self.ghost_c = nn.Conv2d(i, 3, 1, bias=False), nn.Conv2d(3, 3, 3, 1, 1, groups=3, bias=False)

    def forward(self, x):
        B, C, H, W = x.shape
        rt = torch.sigmoid(self.routing(F.adaptive_avg_pool2d(x, 1).flatten(1)))
        w = torch.matmul(rt, self.weight).view(B * self.o, self.i, 3, 3)
        out = F.conv2d(x.contiguous().view(1, B * C, H, W), w, None, 1, 1, groups=B).permute([1, 0, 2, 3]).view(B, self.o, H, W)
        k = self.k(x).view(B, 1, 9, H, W)
        inv = (F.unfold(x, 3, padding=1).view(B, C, 9, H, W) * k).sum(dim=2)
        g = self.ghost_p(x)
        return out, inv, torch.cat([g, self.ghost_c(g)], 1)[:, :5]


class VideoNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.t = nn.Conv3d(3, 4, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False), nn.Conv3d(4, 4, (5, 1, 1), padding=(2, 0, 0), groups=4, bias=False)
        self.bn, self.fast, self.lat = nn.BatchNorm3d(4), nn.Conv3d(3, 2, 3, (1, 2, 2), 1), nn.Conv3d(2, 4, (3, 1, 1), stride=(2, 1, 1), padding=(1, 0, 0))
        self.head = nn.Sequential(nn.AdaptiveAvgPool3d((1, None, None)), nn.Dropout3d(0.1))
        self.fc, self.q = nn.Linear(8, 3), nn.Conv2d(8, 4, 1)

    def shift(self, x):
        n, c, t, h, w = x.size()
        out = torch.zeros_like(x)
        out[:, :1, :-1] = x[:, :1, 1:]
        out[:, 1:2, 1:] = x[:, 1:2, :-1]
        out[:, 2:] = x[:, 2:]
        return out

    def forward(self, x):
        slow = F.relu(self.bn(self.t(self.stem(x[:, :, ::2]))))
        fast = F.relu(self.fast(x))
        y = torch.cat([self.shift(slow), self.lat(fast)], 1)
        y = self.head(F.max_pool3d(y, (1, 3, 3), (1, 2, 2), (0, 1, 1))).squeeze(2)
        q = self.q(y)
        return torch.einsum("nchw,nc->nhw", y, y.mean((2, 3))), self.fc(y.mean([-1, -2])), q


class LoRALinear(nn.Linear):
    def __init__(self, i, o, rank=2):
        nn.Linear.__init__(self, i, o)
        self.lora_A, self.lora_B, self.merged = nn.Parameter(self.weight.new_zeros((rank, i))), nn.Parameter(self.weight.new_zeros((o, rank))), False
        self.weight.requires_grad = False

    def forward(self, x):
        result = F.linear(x, self.weight, bias=self.bias)
        result += (nn.Identity()(x) @ self.lora_A.transpose(0, 1) @ self.lora_B.transpose(0, 1)) * 2.0
        return result


class Prefix(nn.Module):
    def __init__(self, d=8):
        super().__init__()
        self.prefix, self.lora = nn.Embedding(3, d), LoRALinear(d, d)
        self.adapter = nn.Sequential(nn.Linear(d, 2), nn.GELU("tanh"), nn.Linear(2, d))
        self.mha, self.norm = nn.MultiheadAttention(d, 2, batch_first=True), nn.LayerNorm((d,))
        self.cls = nn.Parameter(torch.zeros(1, 1, d))

    def forward(self, x):
        B = x.shape[0]
        p = self.prefix(torch.arange(3)).unsqueeze(0).expand(B, -1, -1)
        x = torch.column_stack([self.cls.expand(B, -1, -1), p, x])
        h = self.norm(x)
        x = x + self.mha(h, h, h)[0]
        return (x + self.adapter(self.lora(x)))[:, 0].contiguous()


@torch.jit.script
def swish_jit(x: Tensor, beta: float):
    return x * torch.sigmoid(x * beta)


class Scripted(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.fc2 = nn.Linear(6, 6), nn.Linear(6, 6)
        self.bn = nn.SyncBatchNorm(6)
        self.compiled = torch.compile(nn.Linear(6, 6), disable=True)

    def forward(self, x):
        x = swish_jit(self.fc(x), 1.5)
        with torch.no_grad():
            s = self.fc2(x)
        with torch.enable_grad(), torch.autocast("cpu", enabled=False):
            y = self.compiled(x + s)
        return self.bn(y).type(torch.float64).float()


class LocalNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 5, 2), nn.ReLU(inplace=True), nn.LocalResponseNorm(size=5), nn.MaxPool2d(3, 2, return_indices=False), nn.LPPool2d(2, 2), nn.CELU(), nn.Softplus(), nn.Hardtanh(), nn.RReLU(), nn.Threshold(0.1, 20), nn.Softsign(), nn.Tanhshrink(), nn.LogSigmoid())
        self.pool, self.unpool = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)
        self.alpha = nn.AlphaDropout(0.1)

    def forward(self, x):
        y = self.features(x)
        p, i = self.pool(y)
        return self.unpool(p, i, output_size=y.size()), self.alpha(F.selu(p)), F.fractional_max_pool2d(y, 2, output_size=1, _random_samples=torch.full((1, 8, 2), 0.5))


class Loss(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb, self.gru, self.adaptive = nn.Embedding(30, 8), nn.GRU(8, 8, batch_first=True), nn.AdaptiveLogSoftmaxWithLoss(8, 30, [10, 20], div_value=2.0)
        self.ce, self.proj, self.cos = nn.CrossEntropyLoss(label_smoothing=0.1), nn.Linear(8, 30), nn.CosineSimilarity(-1)
        self.proj.weight = self.emb.weight

    def forward(self, ids):
        h, _ = self.gru(self.emb(ids))
        lp = self.adaptive.log_prob(h.flatten(0, 1))
        loss = self.ce(self.proj(h[:, :-1]).reshape(-1, 30), ids[:, 1:].reshape(-1))
        return loss + F.mse_loss(h, h.detach()), lp, self.cos(h[:, 0], h[:, 1]), F.pairwise_distance(h[:, 0], h[:, 1]), F.triplet_margin_loss(h[:, 0], h[:, 1], h[:, 2])


class State(NamedTuple):
    h: Tensor
    c: Tensor


class GatedGraph(nn.Module):
    """Message passing with a GRU cell, a set2set readout and outputs of a named tuple."""

    def __init__(self, d=6):
        super().__init__()
        self.msg, self.cell, self.lstm = nn.Parameter(torch.randn(3, d, d)), nn.GRUCell(d, d), nn.LSTM(2 * d, d)
        self.head = nn.Linear(2 * d, 2)

    def forward(self, x, adj):
        for i in range(3):
            m = torch.matmul(x, self.msg[i])
            m = adj @ m
            x = self.cell(m, x)
        q_star, h = x.new_zeros(1, 12), (x.new_zeros((1, 1, 6)), x.new_zeros((1, 1, 6)))
        for _ in range(2):
            q, h = self.lstm(q_star.unsqueeze(0), h)
            q = q.view(1, 6)
            e = (x * q).sum(dim=-1, keepdim=True)
            a = torch.softmax(e, 0)
            rd = torch.sum(a * x, 0, keepdim=True)
            q_star = torch.cat([q, rd], dim=-1)
        return State(self.head(q_star), h[1])


class HRNetLike(nn.Module):
    def __init__(self):
        super().__init__()
        self.b = nn.ModuleList(nn.Sequential(nn.Conv2d(c, c, 3, padding=1, bias=False), nn.BatchNorm2d(c, momentum=0.01), nn.ReLU(False)) for c in (4, 8))
        self.t = nn.Conv2d(4, 8, 3, 2, 1)
        self.fuse = nn.ModuleList([nn.ModuleList([None, nn.Sequential(nn.Conv2d(8, 4, 1, bias=False), nn.BatchNorm2d(4))]), nn.ModuleList([nn.Sequential(nn.Conv2d(4, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)), None])])
        self.stem, self.heat = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(12, 5, 1)

    def forward(self, x):
        x = self.stem(x)
        xs = [self.b[0](x), self.b[1](self.t(x))]
        out = []
        for i in range(2):
            y = xs[0] if i == 0 else self.fuse[i][0](xs[0])
            for j in range(1, 2):
                if i == j:
                    y = y + xs[j]
                elif j > i:
                    y = y + F.interpolate(self.fuse[i][j](xs[j]), size=[xs[i].shape[-2], xs[i].shape[-1]], mode="bilinear", align_corners=True)
            out.append(F.relu(y))
        up = F.interpolate(out[1], scale_factor=2, mode="bicubic", antialias=True)
        h = self.heat(torch.cat([out[0], up], 1))
        idx = h.flatten(2).argmax(-1)
        return h, torch.stack([idx % h.shape[-1], idx // h.shape[-1]], -1)


class Diffusion3(nn.Module):
    """A 1D diffusion U-Net in the style of decision diffusers, with FiLM and a sampling loop under no_grad."""

    def __init__(self, d=8):
        super().__init__()
        self.mish = nn.Mish()
        self.time = nn.Sequential(nn.Linear(d, 4 * d), nn.Mish(), nn.Linear(4 * d, d))
        self.blocks = nn.ModuleList([nn.ModuleList([nn.Sequential(nn.Conv1d(i, o, 5, padding=2), Rearrange("b c h -> b c 1 h"), nn.GroupNorm(2, o), Rearrange("b c 1 h -> b c h"), nn.Mish()), nn.Linear(d, o)]) for i, o in ((3, 8), (8, 8), (16, 4))])
        self.down, self.up = nn.Conv1d(8, 8, 3, 2, 1), nn.ConvTranspose1d(8, 8, 4, 2, 1)

    def net(self, x, t):
        t = self.time(t)
        a, l = self.blocks[0]
        h1 = a(x) + l(t)[..., None]
        b, l = self.blocks[1]
        h2 = b(self.down(h1)) + rearrange(l(t), "b c -> b c 1")
        c, l = self.blocks[2]
        return (c(torch.cat((h1, self.up(h2)), dim=1)) + l(t).unsqueeze(-1))[:, :3]

    def forward(self, x):
        for i in reversed(range(2)):
            t = torch.full((x.shape[0],), i, dtype=torch.long)
            with torch.no_grad():
                eps = self.net(x, timestep_embedding(t, 8))
            x = (x - 0.1 * eps) / 0.99
        return self.net(x, timestep_embedding(t, 8))


class Inception(nn.Module):
    def __init__(self):
        super().__init__()
        self.branches = nn.ModuleDict({"a": nn.Conv2d(4, 2, 1), "pool": nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), nn.Conv2d(4, 2, 1)), "asym": nn.Sequential(nn.Conv2d(4, 3, (1, 7), padding=(0, 3)), nn.Conv2d(3, 2, (7, 1), padding=(3, 0)))})
        self.maxout, self.aux = nn.Conv2d(6, 8, 1), nn.Linear(6, 3)
        self.dropblock = nn.Identity()

    def forward(self, x):
        y = torch.cat([m(x) for _, m in self.branches.items()], 1)
        m = self.maxout(self.dropblock(y))
        m = m.view(m.size(0), 4, 2, *m.shape[2:]).amax(2)
        a = None
        if self.training:
            a = self.aux(y.mean((2, 3)))
        return m, a


class AuxTrain(nn.Module):
    """Branches by type, *args and **kwargs, a property, and a child called by its forward()."""

    def __init__(self):
        super().__init__()
        self.fc, self.act = nn.Linear(6, 6), {"relu": nn.ReLU(), "id": lambda t: t}
        self.layers = nn.ModuleList([nn.Linear(6, 6) for _ in range(2)])
        self.norm = partial(F.layer_norm, normalized_shape=[6])
        self.frozen = nn.Linear(6, 6).requires_grad_(False)

    @property
    def first(self):
        return self.layers[0]

    def run(self, *args, **kwargs):
        return freduce(lambda h, l: l(h), self.layers, *args, **kwargs)

    def forward(self, x, y=None):
        x = self.act["relu"](self.fc.forward(x))
        x = self.first(x) if y is None else self.first(x + y)
        x = self.norm(self.run(x))
        return self.frozen(x), torch.add(input=x, other=x, alpha=2), torch.Tensor.matmul(x, self.fc.weight), self.fc.__call__(x), torch.nn.Linear.forward(self.fc, x)


MODELS = {
    "arch/ldm": (LDM, rr((2, 4, 8, 8), ints(100, 2), (2, 5, 12))),
    "arch/dit": (DiT, rr((2, 4, 8, 8), ints(100, 2), ints(10, 2))),
    "arch/mmdit": (MMDiT, rr((2, 9, 16), (2, 4, 16))),
    "arch/vqgan": (VQGAN, r(1, 3, 16, 16)),
    "arch/cyclegan": (CycleGAN, r(1, 3, 32, 32)),
    "arch/upfirdn": (lambda: UpFir(4), rr((2, 4, 6, 6), (2, 6))),
    "arch/hifigan": (HiFi, r(1, 10, 9)),
    "arch/demucs": (Demucs, r(1, 2, 84)),
    "arch/tacotron": (Tacotron, lambda: (torch.randint(0, 20, (2, 7)),)),
    "arch/einmixer": (EinMixer, r(2, 3, 16, 16)),
    "arch/fnet": (FNet, r(2, 6, 8)),
    "arch/hyena": (Hyena, r(2, 12, 8)),
    "arch/retnet": (RetNet, r(2, 6, 16)),
    "arch/rwkv": (RWKV, r(2, 5, 8)),
    "arch/performer": (Performer, r(2, 7, 16)),
    "arch/linformer": (Linformer, r(2, 12, 16)),
    "arch/gshard": (GShard, r(10, 8)),
    "arch/softmoe": (SoftMoE, r(2, 7, 8)),
    "arch/meta_llama": (MetaLlama, lambda: (torch.randint(0, 30, (2, 5)),)),
    "arch/gemma": (GemmaLike, lambda: (torch.randint(0, 20, (2, 5)),)),
    "arch/t5_attention": (T5Attention, r(2, 9, 16)),
    "arch/alibi": (Alibi, lambda: (torch.randn(2, 6, 16), torch.zeros(2, 6, dtype=torch.bool))),
    "arch/detr": (DETR, r(1, 3, 24, 24)),
    "arch/yolo_head": (YoloHead, r(1, 3, 32, 32)),
    "arch/deeplab": (DeepLab, r(1, 3, 24, 24)),
    "arch/u2": (U2Block, r(1, 3, 15, 15)),
    "arch/swinunet": (SwinLike, r(1, 8, 8, 8)),
    "arch/dgcnn": (DGCNN, r(2, 3, 10)),
    "arch/pointnet2": (PointNet2, rr((2, 16, 3), (2, 16, 3))),
    "arch/gcn": (GCN, rr((6, 5), (6, 6))),
    "arch/egnn": (EGNN, lambda: (torch.randn(5, 6), torch.randn(5, 3), torch.randint(0, 5, (2, 12)))),
    "arch/hashgrid": (HashGrid, lambda: (torch.rand(7, 3), torch.randn(7, 3))),
    "arch/siren": (Siren, rr((2, 9, 2), (2, 4))),
    "arch/tcn": (TCN, r(2, 4, 12)),
    "arch/nbeats": (NBeats, r(2, 10)),
    "arch/tft": (TFT, rr((2, 5, 3), ints(4, 2))),
    "arch/informer": (Informer, r(2, 8, 3)),
    "arch/dlrm": (DLRM, lambda: (torch.randn(2, 5), torch.randint(0, 7, (2, 4)), torch.tensor([[0, 2], [0, 1]]))),
    "arch/deepfm": (DeepFM, lambda: (torch.randint(0, 5, (4, 3)),)),
    "arch/din": (DIN, rr(ints(20, 3, 5), ints(20, 3))),
    "arch/mmoe": (MMoE, r(4, 6)),
    "arch/crf": (CRF, lambda: (torch.randint(0, 20, (4,)),)),
    "arch/crnn": (CRNN, r(2, 1, 8, 10)),
    "arch/pointer": (PointerNet, r(2, 4, 2)),
    "arch/bahdanau": (Bahdanau, rr(ints(20, 5, 2), ints(20, 4, 2))),
    "arch/rnns": (RNNs, r(2, 6, 5)),
    "arch/zoneout": (Zoneout, r(4, 2, 6)),
    "arch/convs": (Convs, rr((2, 4, 7), (1, 4, 6, 6), (1, 2, 3, 4, 4))),
    "arch/tied": (Tied, r(1, 3, 8, 8)),
    "arch/edsr": (EDSR, r(1, 3, 8, 8)),
    "arch/dcnv2": (DCNv2, r(1, 4, 8, 8)),
    "arch/lazy": (Lazy, r(2, 3, 10, 10)),
    "arch/transformers": (Transformers, rr((2, 6, 8), (2, 4, 8))),
    "arch/mha_modes": (MHAModes, rr((3, 4, 8), (3, 5, 6), (3, 5, 5))),
    "arch/parametrised": (Parametrised, rr((2, 6), (1, 2, 8, 8))),
    "arch/buffers": (Buffers, rr((2, 3, 6, 6), (2, 64))),
    "arch/byol": (BYOL, rr((2, 3, 8, 8), (2, 3, 8, 8))),
    "arch/tensorised": (Tensorised, r(2, 12)),
    "arch/complex": (ComplexNet, r(1, 2, 6, 4)),
    "arch/functions": (Functions, r(3, 6)),
    "arch/quantstubs": (QuantStubs, r(1, 3, 8, 8)),
    "arch/fold": (FoldAttention, r(1, 8, 8, 8)),
    "arch/warp": (Warp, rr((1, 3, 6, 6), (1, 3, 6, 6))),
    "arch/octave": (OctaveNet, r(1, 4, 8, 8)),
    "arch/condconv": (CondConv, r(2, 4, 6, 6)),
    "arch/video": (VideoNet, r(1, 3, 4, 8, 8)),
    "arch/prefix": (Prefix, r(2, 4, 8)),
    "arch/scripted": (Scripted, r(3, 6)),
    "arch/localnorm": (LocalNorm, r(1, 3, 32, 32)),
    "arch/loss": (Loss, lambda: (torch.randint(0, 30, (2, 5)),)),
    "arch/gatedgraph": (GatedGraph, rr((5, 6), (5, 5))),
    "arch/hrnet": (HRNetLike, r(1, 3, 16, 16)),
    "arch/diffuser1d": (Diffusion3, r(2, 3, 8)),
    "arch/inception": (Inception, r(1, 4, 9, 9)),
    "arch/auxtrain": (AuxTrain, rr((2, 6), (2, 6))),
}
