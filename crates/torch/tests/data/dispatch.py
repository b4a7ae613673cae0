"""Records what operators dispatch to: python tests/data/dispatch.py > tests/data/dispatch.txt

One call a line: operator, arguments (a tensor is `[sizes]`, with `g` if it requires a gradient and
`/[strides]` if it is not contiguous), its output, and what a TorchDispatchMode saw below it.
"""

import itertools
import os
import sys

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from torch.utils._python_dispatch import TorchDispatchMode

SEEN = {
    "mm": 2, "addmm": 3, "bmm": 2, "mv": 2, "dot": 2, "_trilinear": 3, "convolution": 3,
    "_scaled_dot_product_flash_attention_for_cpu": 3, "mkldnn_rnn_layer": 1,
}


class Log(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.lines = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.__name__.split(".")[0]
        out = func(*args, **(kwargs or {}))
        if name in SEEN:
            shapes = [list(a.shape) for a in args[: SEEN[name]] if isinstance(a, torch.Tensor)]
            self.lines.append(f"{name}({', '.join(map(str, shapes))})")
        return out


def show(value):
    if isinstance(value, torch.Tensor):
        text = str(list(value.shape)).replace(" ", "")
        if not value.is_contiguous():
            text += "/" + str(list(value.stride())).replace(" ", "")
        return ("b" if value.dtype == torch.bool else "t") + text + ("g" if value.requires_grad else "")
    if isinstance(value, (list, tuple)):
        return "(" + ";".join(show(item) for item in value) + ")"
    return str(value)


def record(op, **kwargs):
    packet = getattr(torch.ops.aten, op)
    with Log() as log:
        if op == "conv2d" and isinstance(kwargs.get("padding"), str):
            out = packet.padding(**kwargs)
        elif op in ("lstm", "gru", "rnn_tanh", "rnn_relu"):
            out = packet.input(**kwargs)
        else:
            out = packet(*[], **kwargs) if op != "linalg_multi_dot" else packet(kwargs["tensors"])
    first = out[0] if isinstance(out, (list, tuple)) else out
    arguments = " ".join(f"{name}={show(value)}".replace(" ", "") for name, value in kwargs.items())
    print(f"{op} {arguments} -> {show(first.detach().contiguous())} : {' '.join(log.lines)}")


def t(*shape, g=False):
    return torch.randn(*shape, requires_grad=g)


def view(g, shape, a, b):
    """A tensor of this shape that is not contiguous: dimensions a and b are swapped in memory."""
    swapped = list(shape)
    swapped[a], swapped[b] = swapped[b], swapped[a]
    return torch.randn(*swapped).transpose(a, b).requires_grad_(g)


torch.manual_seed(0)
for g, bias in itertools.product((True, False), (True, False)):
    for shape in ((3,), (2, 3), (4, 2, 3), (5, 4, 2, 3), (1, 1, 3)):
        record("linear", input=t(*shape), weight=t(6, 3, g=g), bias=t(6, g=g) if bias else None)
    record("linear", input=view(False, (4, 2, 3), 0, 1), weight=t(6, 3, g=g), bias=t(6, g=g) if bias else None)
    record("linear", input=view(False, (4, 1, 3), 0, 1), weight=t(6, 3, g=g), bias=t(6, g=g) if bias else None)
    record("linear", input=view(False, (4, 2, 3), 1, 2), weight=t(6, 3, g=g), bias=t(6, g=g) if bias else None)
    record("linear", input=view(False, (2, 3), 0, 1), weight=t(6, 3, g=g), bias=t(6, g=g) if bias else None)
for a, b in [
    ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 2)), ((4, 2, 3), (3,)), ((4, 2, 3), (3, 5)),
    ((2, 3), (4, 3, 5)), ((3,), (4, 3, 5)), ((4, 2, 3), (4, 3, 5)), ((7, 4, 2, 3), (4, 3, 5)),
    ((7, 1, 2, 3), (4, 3, 5)), ((7, 4, 2, 3), (3, 5)), ((2, 3), (7, 4, 3, 5)), ((1, 4, 2, 3), (7, 1, 3, 5)),
]:
    for ga, gb in itertools.product((False, True), repeat=2):
        record("matmul", self=t(*a, g=ga), other=t(*b, g=gb))
record("matmul", self=view(False, (4, 2, 3), 0, 1), other=t(3, 5))
record("matmul", self=view(False, (4, 2, 3), 0, 1), other=t(3, 5, g=True))
record("matmul", self=view(False, (4, 2, 3), 1, 2), other=t(3))
record("tensordot", self=t(2, 3, 4), other=t(3, 4, 5), dims_self=[1, 2], dims_other=[0, 1])
record("tensordot", self=t(2, 3, 4), other=t(4, 2, 5), dims_self=[0], dims_other=[1])
record("inner", self=t(2, 3), other=t(5, 3))
record("inner", self=t(7, 2, 3), other=t(5, 3))
record("linalg_multi_dot", tensors=[t(2, 3), t(3, 4)])
record("linalg_multi_dot", tensors=[t(20, 3), t(3, 40), t(40, 5)])
record("linalg_multi_dot", tensors=[t(2, 30), t(30, 4), t(4, 50), t(50, 6)])
record("linalg_multi_dot", tensors=[t(3), t(3, 4), t(4)])
record("bilinear", input1=t(7, 3), input2=t(7, 4), weight=t(5, 3, 4), bias=t(5))
record("bilinear", input1=t(7, 2, 3), input2=t(7, 2, 4), weight=t(5, 3, 4), bias=None)
record("conv1d", input=t(2, 3, 9), weight=t(4, 3, 3), bias=None)
record("conv1d", input=t(3, 9), weight=t(4, 3, 3), bias=t(4))
record("conv2d", input=t(3, 9, 9), weight=t(4, 3, 3, 3), bias=t(4), stride=[2, 2])
record("conv2d", input=t(1, 3, 9, 9), weight=t(4, 3, 4, 4), bias=t(4), padding="same")
record("conv2d", input=t(1, 3, 9, 9), weight=t(4, 3, 3, 5), bias=t(4), padding="same", dilation=[2, 1])
record("conv2d", input=t(1, 3, 9, 9), weight=t(4, 3, 4, 4), bias=t(4), padding="valid")
record("conv2d", input=t(2, 4, 9, 9), weight=t(4, 2, 3, 3), bias=t(4), groups=2)
record("conv3d", input=t(1, 3, 9, 9, 9), weight=t(4, 3, 3, 3, 3), bias=t(4), stride=[2])
record("conv_transpose2d", input=t(1, 3, 9, 9), weight=t(3, 4, 4, 4), bias=t(4), stride=[2, 2])
record("conv_transpose1d", input=t(3, 9), weight=t(3, 4, 4), bias=None)

for g in (False, True):
    for shape in ((2, 4, 5, 8), (4, 5, 8), (5, 8), (3, 2, 4, 5, 8), (1, 1, 1, 8)):
        record("scaled_dot_product_attention", query=t(*shape, g=g), key=t(*shape, g=g), value=t(*shape, g=g))
qkv = lambda *shape: dict(zip(("query", "key", "value"), (t(*shape) for _ in range(3))))
base = (2, 4, 5, 8)
record("scaled_dot_product_attention", **qkv(*base), dropout_p=0.1)
record("scaled_dot_product_attention", **qkv(*base), is_causal=True)
for mask in ((5, 5), (1, 5), (2, 1, 5, 5), (4, 5, 5)):
    record("scaled_dot_product_attention", **qkv(*base), attn_mask=torch.ones(*mask, dtype=torch.bool))
    record("scaled_dot_product_attention", **qkv(*base), attn_mask=torch.zeros(*mask))
record("scaled_dot_product_attention", **qkv(*base), attn_mask=torch.zeros(1, 4, 5, 5, requires_grad=True))
record("scaled_dot_product_attention", query=t(*base), key=t(2, 4, 9, 8), value=t(2, 4, 9, 8))
record("scaled_dot_product_attention", query=t(*base), key=t(*base), value=t(2, 4, 5, 6))
record("scaled_dot_product_attention", query=t(*base), key=t(2, 2, 5, 8), value=t(2, 2, 5, 8), enable_gqa=True)
record("scaled_dot_product_attention", query=t(*base), key=t(1, 4, 5, 8), value=t(1, 4, 5, 8))
record("scaled_dot_product_attention", query=t(*base), key=t(2, 1, 5, 8), value=t(2, 1, 5, 8))
record("scaled_dot_product_attention", query=view(False, base, 1, 2), key=t(*base), value=t(*base))
record("scaled_dot_product_attention", query=view(False, base, 2, 3), key=t(*base), value=t(*base))
record("scaled_dot_product_attention", query=t(2, 2, 5, 8), key=t(2, 2, 7, 8), value=t(2, 2, 7, 6), enable_gqa=True)
record("scaled_dot_product_attention", query=t(2, 4, 5, 8), key=t(2, 2, 7, 8), value=t(2, 2, 7, 6), enable_gqa=True)

for equation, *shapes in [
    ("bnhd,bmhd->bhnm", (2, 10, 4, 16), (2, 12, 4, 16)), ("ij,jk->ik", (2, 3), (3, 4)),
    ("bij,jk->bik", (5, 2, 3), (3, 4)), ("i,i->", (3,), (3,)), ("i,j->ij", (3,), (4,)), ("ii->i", (3, 3)),
    ("bythwc,hkc->bythwk", (2, 3, 4, 5, 6, 7), (5, 8, 7)), ("b...d,ed->b...e", (2, 3, 4, 5), (6, 5)),
    ("ijk,jil,kl->il", (2, 3, 4), (3, 2, 5), (4, 5)), ("ij,jk,kl->il", (2, 3), (3, 4), (4, 5)),
    ("ij,ij->i", (3, 4), (3, 4)), ("ij,ij->ij", (3, 4), (3, 4)), ("abc,abd->cd", (2, 3, 4), (2, 3, 5)),
    ("ij,j->i", (3, 4), (4,)), ("bchw,kc->bkhw", (2, 3, 4, 5), (6, 3)), ("nchw,ck->nkhw", (1, 3, 4, 5), (3, 6)),
    ("bij,bi->bj", (2, 3, 4), (2, 3)), ("ij,jk->k", (2, 3), (3, 4)), ("ij,kj->", (2, 3), (4, 3)),
    ("iij,jk->ik", (2, 2, 3), (3, 4)), ("...ij,...jk->...ik", (2, 5, 3, 4), (2, 5, 4, 6)),
    ("...ij,...jk->...ik", (5, 3, 4), (2, 5, 4, 6)), ("bij,bjk->bik", (1, 2, 3), (5, 3, 4)),
    ("b,bij->bij", (5,), (5, 2, 3)), ("ab,bc,cd,de->ae", (2, 30), (30, 4), (4, 50), (50, 6)),
    ("bhij,bhjd->bhid", (2, 1, 3, 1), (2, 1, 1, 5)), ("ij,ji->", (2, 3), (3, 2)),
    ("bnd,hdk->bhnk", (2, 10, 16), (4, 16, 8)), ("ij,jk", (2, 3), (3, 4)), ("...ij,jk", (7, 2, 3), (3, 4)),
    ("ijk,ij,ik->i", (2, 3, 4), (2, 3), (2, 4)), ("ab,cd,bd->ac", (2, 3), (4, 5), (3, 5)),
]:
    record("einsum", equation=equation, tensors=[t(*shape) for shape in shapes])


def recurrent(op, gates, inputs, hidden, layers, bidirectional, batch_first, biases, shape, project=0):
    state = project or hidden
    params, directions = [], 2 if bidirectional else 1
    for layer in range(layers):
        for _ in range(directions):
            width = inputs if layer == 0 else state * directions
            params += [t(gates * hidden, width, g=True), t(gates * hidden, state, g=True)]
            params += [t(gates * hidden, g=True), t(gates * hidden, g=True)] if biases else []
            params += [t(project, hidden, g=True)] if project else []
    batch = shape[0] if batch_first else shape[1]
    hx = t(layers * directions, batch, state)
    if op == "lstm":
        hx = [hx, t(layers * directions, batch, hidden)]
    record(
        op, input=t(*shape), hx=hx, params=params, has_biases=biases, num_layers=layers, dropout=0.0,
        train=False, bidirectional=bidirectional, batch_first=batch_first,
    )


recurrent("lstm", 4, 8, 16, 2, True, True, True, (3, 5, 8))
recurrent("lstm", 4, 8, 16, 1, False, False, False, (5, 3, 8))
recurrent("lstm", 4, 8, 16, 2, True, True, True, (3, 2, 8), project=4)
recurrent("lstm", 4, 8, 16, 1, False, False, False, (2, 3, 8), project=4)
for first, biases, both in itertools.product((False, True), repeat=3):
    recurrent("gru", 3, 8, 16, 2, both, first, biases, (2, 3, 8))
recurrent("gru", 3, 8, 16, 1, False, True, True, (1, 3, 8))
recurrent("rnn_tanh", 1, 8, 16, 2, False, False, True, (2, 3, 8))
recurrent("rnn_relu", 1, 8, 16, 1, True, True, False, (2, 3, 8))
for op, gates in (("lstm_cell", 4), ("gru_cell", 3), ("rnn_tanh_cell", 1), ("rnn_relu_cell", 1)):
    for biases in (True, False):
        hx = t(3, 16)
        record(
            op, input=t(3, 8), hx=[hx, t(3, 16)] if op == "lstm_cell" else hx, w_ih=t(gates * 16, 8, g=True),
            w_hh=t(gates * 16, 16, g=True), b_ih=t(gates * 16, g=True) if biases else None,
            b_hh=t(gates * 16, g=True) if biases else None,
        )
