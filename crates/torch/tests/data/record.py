"""Records what torch.export sees of modules and functions: the operators they call, the shapes
these return, and the parameters the modules own. Writes recorded.txt beside this file.

    python record.py            # torch 2.15.0, torchvision 0.29.2, einops 0.8.2, CPU

A case is an expression over the inputs x, y, z; in front of ` => ` stands a module m to call.
`raises` means that torch refuses the case, and so must we.
"""

import pathlib
import sys
import warnings

import einops
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision
from torchvision import ops
from torchvision.models.convnext import LayerNorm2d

warnings.filterwarnings("ignore")


def t(*shape, dtype=None):
    if dtype == "int64":
        return torch.zeros(shape, dtype=torch.int64)
    if dtype == "bool":
        return torch.zeros(shape, dtype=torch.bool)
    return torch.randn(shape)


HERE = pathlib.Path(__file__).parent


def cases():
    """Lines `expression ; shape shape`; a shape that starts with i is int64, with b bool."""
    for line in (HERE / "cases.txt").read_text().splitlines():
        line = line.split("#")[0].strip()
        if line:
            expression, shapes = line.rsplit(";", 1)
            yield expression.strip(), shapes.split()


def tensor(text):
    kind = {"i": torch.int64, "b": torch.bool}.get(text[0])
    sizes = [int(size) for size in text.lstrip("ib").split("x") if size != "s"]
    return torch.randn(sizes) if kind is None else torch.zeros(sizes, dtype=kind)


def show(value):
    if isinstance(value, torch.Tensor):
        return "x".join(str(int(size)) for size in value.shape) or "s"
    if isinstance(value, (tuple, list)):
        return "(" + " ".join(show(item) for item in value) + ")"
    return "None"


# What counting tools replace by name: ptflops 0.6.9 and 0.7.5, calflops 0.3.2, deepspeed 0.19.8.
PATCHED = [
    (F, "torch.nn.functional", """linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d
     conv_transpose3d relu prelu elu leaky_relu relu6 silu gelu batch_norm layer_norm instance_norm
     group_norm avg_pool1d avg_pool2d avg_pool3d max_pool1d max_pool2d max_pool3d
     adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d
     adaptive_max_pool2d adaptive_max_pool3d upsample interpolate softmax embedding
     scaled_dot_product_attention multi_head_attention_forward dropout"""),
    (torch, "torch", "matmul mm bmm addmm baddbmm mul add einsum"),
    (torch.Tensor, "torch.Tensor", "matmul __matmul__ mm bmm addmm baddbmm mul mul_ add add_"),
]


def patched_calls(wrapped, inputs):
    """The calls that replacing functions by name lets a tool see, in order."""
    seen, originals = [], []

    def replacement(original, name):
        def call(*args, **kwargs):
            seen.append(name)
            return original(*args, **kwargs)

        return call

    for owner, prefix, names in PATCHED:
        for name in names.split():
            originals.append((owner, name, getattr(owner, name)))
            setattr(owner, name, replacement(originals[-1][2], f"{prefix}.{name}"))
    try:
        wrapped(*inputs)
    finally:
        for owner, name, original in originals:
            setattr(owner, name, original)
    return seen


def hooked_calls(module, wrapped, inputs):
    """What forward hooks on every module are given: positional inputs and the output."""
    lines, order, handles = [], [], []
    for path, inner in module.named_modules():
        def before(inner, given, path=path):
            order.append(len(lines))
            lines.append(None)

        def after(inner, given, output, path=path):
            name = type(inner).__name__
            lines[order.pop()] = f"  module {path or '.'} {name} {show(given)} {show(output)}"

        handles += [inner.register_forward_pre_hook(before), inner.register_forward_hook(after)]
    wrapped(*inputs)
    for handle in handles:
        handle.remove()
    return lines


def class_name(cls):
    if getattr(nn, cls.__name__, None) is cls:
        return f"torch.nn.{cls.__name__}"
    return f"{cls.__module__}.{cls.__name__}"


def dtypes(value):
    """The element types of an output."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype).removeprefix("torch.")
    if isinstance(value, (tuple, list)):
        return " ".join(dtypes(item) for item in value)
    return "None"


class Call(nn.Module):
    def __init__(self, module, code):
        super().__init__()
        self.m = module
        self.code = compile(code, "case", "eval")

    def forward(self, *inputs):
        scope = dict(zip("xyz", inputs), m=self.m, F=F, torch=torch, torchvision=torchvision, einops=einops)
        return eval(self.code, scope)


def run(expression, shapes):
    module, _, call = expression.rpartition(" => ")
    made = eval(module) if module else None
    inputs = tuple(tensor(shape) for shape in shapes)
    wrapped = Call(made, call).eval()
    lines = []
    output = wrapped(*inputs)
    program = torch.export.export(wrapped, inputs)
    for node in program.graph.nodes:
        name = str(node.target)
        if node.op != "call_function" or name.startswith("<") or "sym_" in name or "_assert_" in name or "lift_fresh" in name:
            continue
        namespace, operator = name.split(".")[:2]
        lines.append(f"  {namespace}.{operator} {show(node.meta['val'])}")
    lines.append(f"  = {show(output)} {dtypes(output)}")
    lines += [f"  sees {name}" for name in patched_calls(wrapped, inputs)]
    if made is not None:
        mro = [cls for cls in type(made).__mro__ if cls not in (nn.Module, object)]
        lines.append("  class " + " ".join(class_name(cls) for cls in mro))
        for name, value in sorted(vars(made).items()):
            plain = isinstance(value, (int, float, str, tuple, type(None)))
            if plain and name[0] != "_" and name != "training":
                lines.append(f"  attribute {name} {value!r}")
        lines += hooked_calls(made, wrapped, inputs)
        for name, parameter in made.named_parameters():
            lines.append(f"  parameter {name} {show(parameter)}")
        for name, buffer in made.named_buffers():
            lines.append(f"  buffer {name} {show(buffer)}")
    return lines


def main():
    out = [f"# torch {torch.__version__.split('+')[0]}, torchvision {torchvision.__version__.split('+')[0]}"]
    for expression, shapes in cases():
        out.append(f"{expression} ; {' '.join(shapes)}")
        try:
            out += run(expression, shapes)
        except Exception as error:  # what torch refuses is recorded too
            if "--verbose" in sys.argv:
                print(expression, type(error).__name__, str(error)[:300], file=sys.stderr)
            out.append("  raises")
    (HERE / "recorded.txt").write_text("\n".join(out) + "\n")


main()
