"""Regenerates the corpus from the tools themselves: their numbers as JSON lines, the models as files.

    python tests/corpus/regenerate.py OUT                                    the whole corpus
    python tests/corpus/regenerate.py OUT --only 'mod/*' --no-files          the numbers of some models
    python tests/corpus/regenerate.py OUT --zoo mine.py                      a zoo of your own
    python tests/corpus/regenerate.py OUT --only 'mod/*' --check mod.jsonl   and what differs from before
    python tests/corpus/regenerate.py OUT --tools --formats pt2              only programs, with torch alone

Each tool runs in a process of its own, because several patch torch or share a package name (three releases
answer to `import thop`), and each model in a fork of that process, because some tools do not clean up after an
error. Releases that clash are unpacked below OUT and put first on PYTHONPATH; the others are in requirements.txt.
"""

import argparse
import collections.abc
import contextlib
import fnmatch
import importlib
import importlib.util
import inspect
import io
import json
import multiprocessing
import os
import re
import subprocess
import sys
import tarfile
import warnings
import zipfile
from pathlib import Path

# ---- The tools: each takes (model, inputs, are layers wanted), and returns what it says, and what it says per layer.


def params(model, inputs, layers):
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return {
        "total": sum(numel for numel, _ in sizes),
        "trainable": sum(numel for numel, requires_grad in sizes if requires_grad),
        "buffers": sum(b.numel() for b in model.buffers()),
    }, None


def thop(model, inputs, layers):
    import thop

    if not layers:
        ops, params = thop.profile(model, inputs=inputs, verbose=False)
        return {"count": int(ops), "params": int(params)}, None
    ops, params, tree = thop.profile(model, inputs=inputs, verbose=False, ret_layer_info=True)
    rows = {}

    def flatten(tree, prefix):
        for name, (ops, params, children) in tree.items():
            rows[prefix + name] = [ops, params]
            flatten(children, prefix + name + ".")

    flatten(tree, "")
    return {"count": int(ops), "params": int(params)}, rows


def thop_without_layers(model, inputs, layers):
    return thop(model, inputs, False)


def ptflops(model, inputs, layers, backend="pytorch"):
    """An input constructor may return a tensor, or a dict of keyword arguments, which `forward` needs for several."""
    made = inputs[0] if len(inputs) == 1 else named(model, inputs)
    return ask_ptflops(model, (1,), input_constructor=lambda _: made, backend=backend)


def ptflops_aten(model, inputs, layers):
    return ptflops(model, inputs, layers, "aten")


def ptflops_old(model, inputs, layers):
    """In 0.6.9 a constructor returns keyword arguments only; without one, ptflops makes a batch of one."""
    x = inputs[0]
    if len(inputs) == 1 and x.shape[0] == 1 and x.is_floating_point():
        return ask_ptflops(model, tuple(x.shape[1:]))
    return ask_ptflops(model, (1,), input_constructor=lambda _: named(model, inputs))


def ask_ptflops(model, *args, **kwargs):
    from ptflops import get_model_complexity_info

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        macs, params = get_model_complexity_info(
            model, *args, as_strings=False, print_per_layer_stat=False, **kwargs
        )
    if macs is None:  # 0.7.5 prints what the model raised, and returns None
        raise RuntimeError(printed.getvalue().partition("exception: \n")[2].strip())
    return {"count": int(macs), "params": int(params)}, None


def named(model, inputs):
    return dict(zip(inspect.signature(model.forward).parameters, inputs))


def torchinfo(model, inputs, layers):
    from torchinfo import summary

    stats = summary(model, input_data=inputs[0] if len(inputs) == 1 else list(inputs), verbose=0)
    answer = {
        "count": stats.total_mult_adds,
        "params": stats.total_params,
        "trainable": stats.trainable_params,
        "input_bytes": stats.total_input,
        "output_bytes": stats.total_output_bytes,
        "param_bytes": stats.total_param_bytes,
    }
    return answer, [
        [i.depth, i.var_name, i.class_name, i.num_params, i.macs, i.output_size, i.is_recursive]
        for i in stats.summary_list
    ]


def fvcore(model, inputs, layers):
    from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis

    flops = FlopCountAnalysis(model, inputs)
    answer = {
        "count": int(flops.total()),
        "by_operator": dict(flops.by_operator()),
        "activations": ActivationCountAnalysis(model, inputs).total(),
        "unsupported": dict(flops.unsupported_ops()),
    }
    return answer, dict(flops.by_module())


def torch_counter(model, inputs, layers, after=lambda out: None):
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        after(model(*inputs))
    total = counter.get_total_flops()
    return {"count": total}, {path: sum(ops.values()) for path, ops in counter.get_flop_counts().items()}


def torch_fused(model, inputs, layers):
    import torch

    with torch.no_grad():
        return torch_counter(model, inputs, layers)


def torch_train(model, inputs, layers):
    from torch.utils._pytree import tree_leaves

    def backward(out):
        sum(t.sum() for t in tree_leaves(out) if getattr(t, "requires_grad", False)).backward()

    return torch_counter(model, inputs, layers, backward)[0], None


def calflops(model, inputs, layers):
    from calflops import calculate_flops

    flops, macs, params = calculate_flops(
        model, args=list(inputs), print_results=False, output_as_string=False
    )
    return {"count": int(flops), "macs": int(macs), "params": int(params)}, None


def deepspeed(model, inputs, layers):
    from deepspeed.profiling.flops_profiler import get_model_profile

    flops, macs, params = get_model_profile(model, args=list(inputs), print_profile=False, as_string=False)
    return {"count": int(flops), "macs": int(macs), "params": int(params)}, None


def torchprofile(model, inputs, layers):
    from torchprofile import profile_macs

    return {"count": int(profile_macs(model, inputs))}, None


def pytorch_model_summary(model, inputs, layers):
    from pytorch_model_summary import summary

    table = summary(model, *inputs)
    total, trainable, rest = (
        int(re.search(label + r" params: ([\d,]+)", table)[1].replace(",", ""))
        for label in ("Total", "Trainable", "Non-trainable")
    )
    return {"params": total, "trainable": trainable, "non_trainable": rest}, table


def hook(model, inputs, layers):
    """The counter that many posts print. It forgets groups and the batch."""
    from torch import nn

    count = 0

    def add(module, inputs, output):
        nonlocal count
        if isinstance(module, nn.Conv2d):
            kh, kw = module.kernel_size
            count += output.shape[2] * output.shape[3] * module.in_channels * kh * kw * module.out_channels
        elif isinstance(module, nn.Linear):
            count += module.in_features * module.out_features
        elif isinstance(module, nn.BatchNorm2d):
            count += 2 * inputs[0].numel()

    for module in model.modules():
        module.register_forward_hook(add)
    model(*inputs)
    return {"count": count}, None


# key in the corpus -> (how to ask, what it imports, the release to unpack in front of what is installed)
TOOLS = {
    "params": (params, "torch", None),
    "thop@0.1.1": (thop, "thop", "thop==0.1.1.post2209072238"),
    "ptflops@0.7.5/pytorch": (ptflops, "ptflops", None),
    "ptflops@0.7.5/aten": (ptflops_aten, "ptflops", None),
    "torchinfo@1.8.0": (torchinfo, "torchinfo", None),
    "fvcore@0.1.5": (fvcore, "fvcore.nn", None),
    "torch@2.15.0": (torch_counter, "torch.utils.flop_counter", None),
    "torch@2.15.0/fused": (torch_fused, "torch.utils.flop_counter", None),
    "torch@2.15.0/train": (torch_train, "torch.utils.flop_counter", None),
    "calflops@0.3.2": (calflops, "calflops", None),
    "deepspeed@0.19.8": (deepspeed, "deepspeed.profiling.flops_profiler", "deepspeed==0.19.8"),
    "torchprofile@0.1.0": (torchprofile, "torchprofile", None),
    "pytorch_model_summary@0.1.2": (pytorch_model_summary, "pytorch_model_summary", None),
    "hook": (hook, "torch", None),
    "ptflops@0.6.9": (ptflops_old, "ptflops", "ptflops==0.6.9"),
    "thop@0.0.31": (thop_without_layers, "thop", "thop==0.0.31.post2005241907"),
    "thop@0.0.31.post2001170342": (thop_without_layers, "thop", "thop==0.0.31.post2001170342"),
    "thop@0.0.30": (thop_without_layers, "thop", "thop==0.0.30.post1908302010"),
    "ultralytics-thop@2.2.3": (thop_without_layers, "thop", "ultralytics-thop==2.2.3"),
}

# ---- The files.


def export_program(model, inputs, path, dynamic=None):
    import torch

    torch.export.save(torch.export.export(model, inputs, dynamic_shapes=dynamic), path)
    strip_program(path)


def export_onnx(model, inputs, path, dynamic=None, **kwargs):
    import torch

    if dynamic and kwargs["dynamo"]:
        kwargs["dynamic_shapes"] = dynamic

    torch.onnx.export(model, inputs, str(path), **kwargs)
    strip_onnx(path)


EXPORTERS = {
    "pt2": export_program,
    "raw.onnx": lambda *args: export_onnx(*args, dynamo=True, optimize=False),
    "dyn.onnx": lambda *args: export_onnx(*args, dynamo=True),
    "leg.onnx": lambda *args: export_onnx(*args, dynamo=False),
}


def strip_program(path):
    """Leaves out weights, constants and sample inputs; what the program says of them stays."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            data = "/data/" in name and not name.endswith("_config.json")
            if not data and not name.endswith(".pt"):
                archive.writestr(zipfile.ZipInfo(name), without_paths(part.decode()), zipfile.ZIP_DEFLATED)


def strip_onnx(path):
    """Points initializers of more than 64 elements to a file that is not there."""
    import onnx

    model = onnx.load(path)
    path.with_name(path.name + ".data").unlink(missing_ok=True)
    offset = 0
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if array.size <= 64:
            continue
        for field in ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
            tensor.ClearField(field)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        del tensor.external_data[:]
        for key, value in {"location": "weights.bin", "offset": offset, "length": array.nbytes}.items():
            tensor.external_data.add(key=key, value=str(value))
        offset += array.nbytes
    for node in nodes(model.graph):
        if node.doc_string:
            node.doc_string = without_paths(node.doc_string)
        for entry in node.metadata_props:
            entry.value = without_paths(entry.value)
    path.write_bytes(model.SerializeToString())


def nodes(graph):
    """A graph's nodes, and those of the bodies of its loops and branches."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            yield from nodes(attribute.g)


def without_paths(text):
    """Stack traces name files by their paths here: only what is below a folder of Python's is worth keeping."""
    for folder in sorted({sys.prefix, sys.base_prefix, *sys.path}, key=len, reverse=True):
        if len(folder) > 1 and folder not in (sys.prefix + "/lib", sys.base_prefix + "/lib"):
            keep = "lib/" + folder.partition("/lib/")[2] + "/" if folder.startswith(sys.prefix) else ""
            keep = "" if folder == sys.prefix else keep
            text = text.replace(folder + "/", keep)
    return text


# ---- One process per tool, one fork per model.


def load_zoo(path):
    """As a module of its own name, because the names of a model's classes are in the exported files."""
    path = Path(path).resolve()
    sys.path.insert(0, str(path.parent))
    return importlib.import_module(path.stem)


def build(zoo, name):
    import torch

    torch.manual_seed(0)
    factory, inputs = zoo.MODELS[name]
    return factory().eval(), inputs()


def ask(tool, zoo, name):
    layers = name in getattr(zoo, "LAYERS", ())
    try:
        answer, per_layer = TOOLS[tool][0](*build(zoo, name), layers)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}, None
    return answer, per_layer if layers else None


def export(zoo, name, out, formats):
    errors = {}
    dynamic = getattr(zoo, "DYNAMIC", {}).get(name)
    for extension in formats:
        path = out / f"{name.replace('/', '__')}.{extension}"
        try:
            EXPORTERS[extension](*build(zoo, name), path, dynamic)
        except Exception as error:
            path.unlink(missing_ok=True)
            errors[extension] = f"{type(error).__name__}: {error}"
    return errors


def worker(job, zoo, names, out, formats):
    """Writes one line a model to the job's log; what the tool prints goes to standard output."""
    warnings.simplefilter("ignore")
    collections.Iterable = collections.abc.Iterable  # thop 0.0.31 was written for Python before 3.10
    zoo = load_zoo(zoo)
    onnx = job == "export" and formats != ["pt2"]
    importlib.import_module("onnxscript" if onnx else TOOLS.get(job, TOOLS["params"])[1])
    fork = multiprocessing.get_context("fork")
    with open(log(out, job), "w") as lines:
        for name in names:
            receive, send = fork.Pipe(duplex=False)
            if job == "export":
                child = fork.Process(target=lambda: send.send(export(zoo, name, out, formats)))
            else:
                child = fork.Process(target=lambda: send.send(ask(job, zoo, name)))
            child.start()
            send.close()
            try:
                said = receive.recv()
            except EOFError:  # killed, for want of memory perhaps
                died = {"error": "the process died"}
                said = died if job == "export" else (died, None)
            child.join()
            print(json.dumps([name, said], separators=(",", ":")), file=lines, flush=True)


def log(out, job):
    return out / "log" / (job.replace("/", "_") + ".jsonl")


def unpacked(requirement, out):
    """The folder that holds the release, downloaded once."""
    folder = out / "packages" / requirement
    if not folder.exists() or not any(folder.iterdir()):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation"]
        environment = {**os.environ, "DS_BUILD_OPS": "0"}
        subprocess.run([*command, "--dest", str(folder), requirement], check=True, env=environment)
        (archive,) = folder.iterdir()
        with tarfile.open(archive) if archive.suffix == ".gz" else zipfile.ZipFile(archive) as opened:
            opened.extractall(folder)
    return next((setup.parent for setup in folder.glob("*/setup.py")), folder)


def run(job, args, names):
    """Starts the process of a tool (or of the exporters), and reads what it wrote."""
    release = None if job == "export" else TOOLS[job][2]
    path = [str(unpacked(release, args.out))] if release else []
    path += filter(None, [os.environ.get("PYTHONPATH")])
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path),
        "OMP_NUM_THREADS": "1",  # a fork of a process with OpenMP threads hangs
        "DS_ACCELERATOR": "cpu",  # deepspeed looks for a GPU
    }
    command = [sys.executable, __file__, str(args.out), "--zoo", str(args.zoo), "--job", job]
    command += ["--formats", *args.formats]
    with open(log(args.out, job).with_suffix(".txt"), "w") as printed:
        subprocess.run([*command, "--names", *names], env=environment, stdout=printed, stderr=printed, check=True)
    return dict(map(json.loads, open(log(args.out, job))))


def regenerate(args, names):
    zoo = load_zoo(args.zoo)
    records = {}
    for name in names:
        shapes = [list(x.shape) for x in zoo.MODELS[name][1]()]
        records[name] = {"model": name, "inputs": shapes, "tools": {}, "layers": {}}
    for tool in args.tools:
        print(tool, flush=True)
        for name, (answer, layers) in run(tool, args, names).items():
            records[name]["tools"][tool] = answer
            if layers is not None:
                records[name]["layers"][tool] = layers
    for record in records.values():
        if not record["layers"]:
            del record["layers"]
    for family in {name.split("/")[0] for name in names} if args.tools else ():
        with open(args.out / f"{family}.jsonl", "w") as lines:
            for name in names:
                if name.startswith(family + "/"):
                    print(json.dumps(records[name], separators=(",", ":")), file=lines)
    if args.files:
        print("files", flush=True)
        for name, errors in run("export", args, names).items():
            for extension, error in errors.items():
                print(f"  {name} has no .{extension}: {error.splitlines()[0]}")
    return records


def check(records, path):
    """Prints what differs from the numbers of a file, and returns how many answers do."""
    before = {line["model"]: line for line in map(json.loads, open(path))}
    pairs = [
        (f"{name} {tool} ({part})", before[name].get(part, {}).get(tool), json.loads(json.dumps(answer)))
        for name, record in records.items()
        if name in before
        for part in ("tools", "layers")
        for tool, answer in record.get(part, {}).items()
    ]
    differ = [pair for pair in pairs if pair[1] != pair[2]]
    for what, old, new in differ:
        print(f"{what}\n  before {json.dumps(old)}\n  now    {json.dumps(new)}")
    print(f"{len(pairs)} answers compared, {len(differ)} differ")
    return len(differ)


def main():
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the folder to write to")
    parser.add_argument("--zoo", type=Path, default=here / "zoo.py", help="a Python file with a dict MODELS")
    parser.add_argument("--only", default="*", help="a pattern of model names, such as 'mod/lstm*'")
    parser.add_argument("--tools", nargs="*", choices=TOOLS, default=list(TOOLS), help="all, if not given")
    parser.add_argument("--formats", nargs="+", choices=EXPORTERS, default=list(EXPORTERS), help="all, if not given")
    parser.add_argument("--no-files", dest="files", action="store_false", help="only the numbers")
    parser.add_argument("--check", type=Path, help="a .jsonl of the same models to compare with")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    parser.add_argument("--names", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.out, args.zoo = args.out.resolve(), args.zoo.resolve()
    (args.out / "log").mkdir(parents=True, exist_ok=True)
    if args.job:
        return worker(args.job, args.zoo, args.names, args.out, args.formats)
    names = [name for name in load_zoo(args.zoo).MODELS if fnmatch.fnmatch(name, args.only)]
    if not names:
        sys.exit(f"{args.zoo}: no model's name matches {args.only}")
    records = regenerate(args, names)
    if args.check and check(records, args.check):
        sys.exit(1)


if __name__ == "__main__":
    main()
