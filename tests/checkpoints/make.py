#!/usr/bin/env python3
"""Writes the checkpoints that tests read, with the torch that runs it, and what torch says of them.

    python make.py OUTPUT            # once with torch 2.15, once with torch 2.5.1

Files are named after the release (`state_dict-2.15.pt`). `expected-2.15.json` holds, for each of
them, the parameters and buffers of the model that was saved, counted by torch.
"""

import collections
import json
import pathlib
import pickle
import sys

import torch
from torch import nn

RELEASE = ".".join(torch.__version__.split("+")[0].split(".")[:2])


class Net(nn.Module):
    """Convolution and BatchNorm, tied weights, a buffer of its own, a frozen layer."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.blocks = nn.Sequential(*[nn.Linear(4, 4) for _ in range(11)])
        self.embed = nn.Embedding(6, 4)
        self.head = nn.Linear(4, 6, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("position_ids", torch.arange(5))
        self.register_buffer("cache", torch.zeros(2), persistent=False)
        self.scale = nn.Parameter(torch.ones(()))
        self.blocks[0].requires_grad_(False)


# Pickles name classes by module; the model's module does not exist where it is read.
Net.__module__ = "mynet.models"
sys.modules["mynet"] = sys.modules["mynet.models"] = sys.modules[__name__]


def said(model: nn.Module) -> dict:
    """What torch counts."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    persistent = dict(model.state_dict())
    buffers = {name: b for name, b in model.named_buffers() if name in persistent}
    statistics = sum(m.running_mean.numel() + m.running_var.numel() for m in norms)
    return {
        "params": sum(p.numel() for p in model.parameters()),
        "trainable_params": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "norm_layers": len(norms),
        "norm_statistics": statistics,
        "norm_counters": len(norms),
        "buffers": sum(b.numel() for b in buffers.values()) - statistics - len(norms),
        "bytes": sum(t.nbytes for t in list(model.parameters()) + list(buffers.values())),
    }


def main(folder: pathlib.Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    expected = {}
    model = Net()

    def put(name: str, value, about: dict | None = None, **options) -> None:
        file = f"{name}-{RELEASE}.pt"
        torch.manual_seed(0)
        torch.save(value, folder / file, **options)
        expected[file] = about

    net = said(model)
    legacy = {"_use_new_zipfile_serialization": False}
    put("state_dict", model.state_dict(), net)
    put("state_dict_legacy", model.state_dict(), net, **legacy)
    put("state_dict_protocol4", model.state_dict(), net, pickle_protocol=4)
    put("keep_vars", model.state_dict(keep_vars=True), net)
    put("module", model, net)
    put("module_legacy", model, net, **legacy)

    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad])
    model.embed(torch.tensor([1])).sum().backward()
    optimizer.step()
    parallel = collections.OrderedDict((f"module.{k}", v) for k, v in model.state_dict().items())
    put(
        "training",
        {
            "epoch": 3,
            "best_acc1": torch.tensor(0.5),
            "state_dict": parallel,
            "state_dict_ema": collections.OrderedDict(
                (k, v.clone()) for k, v in parallel.items()
            ),
            "optimizer": optimizer.state_dict(),
            "rng_state": torch.arange(8, dtype=torch.uint8),
            "arch": "net",
        },
        net,
    )
    models = {"generator": nn.Linear(2, 3), "discriminator": nn.Linear(3, 1)}
    put("two_models", {name: model.state_dict() for name, model in models.items()})

    float8 = torch.zeros(4, 4).to(torch.float8_e4m3fn)
    types = {
        "half.weight": torch.zeros(2, 3, dtype=torch.float16),
        "brain.weight": torch.zeros(2, 3, dtype=torch.bfloat16),
        "eight.weight": float8,
        "eight.weight_scale": torch.ones(()),
        "wide.weight": torch.zeros(3, dtype=torch.float64),
        "waves.weight": torch.zeros(3, dtype=torch.complex64),
        "table.index": torch.zeros(3, 2, dtype=torch.int64),
        "mask": torch.zeros(7, dtype=torch.bool),
        "quant.weight": torch.quantize_per_tensor(torch.zeros(3, 3), 0.1, 0, torch.qint8),
        "sparse.weight": torch.eye(4).to_sparse(),
    }
    if RELEASE != "2.5":  # which cannot save them
        types["wide_int.bias"] = torch.zeros(3, dtype=torch.uint16)
    put("types", types)
    whole = torch.arange(24.0)
    first, second = whole[:6].view(2, 3), whole[6:12].view(2, 3)
    put("views", {"q.weight": first, "k.weight": second, "tied.weight": first.t()})
    put("tensor", torch.zeros(2, 3))
    put("list", [torch.zeros(2), torch.zeros(3)])
    put("nothing", {"epoch": 3, "name": "x"})
    script = torch.jit.script(nn.Sequential(nn.Linear(2, 2)))
    torch.jit.save(script, str(folder / f"torchscript-{RELEASE}.pt"))
    with open(folder / f"plain-{RELEASE}.pkl", "wb") as file:
        pickle.dump({"weight": torch.zeros(2, 3), "bias": torch.zeros(2)}, file)

    # Shards with an index, as transformers writes them.
    state = {k: v for k, v in model.state_dict().items() if k != "head.weight"}
    half = len(state) // 2
    shards = [dict(list(state.items())[:half]), dict(list(state.items())[half:])]
    index = {"metadata": {"total_size": sum(t.nbytes for t in state.values())}, "weight_map": {}}
    for number, shard in enumerate(shards, 1):
        file = f"sharded-{RELEASE}-{number:05}-of-00002.bin"
        torch.save(shard, folder / file)
        index["weight_map"].update(dict.fromkeys(shard, file))
    name = f"sharded-{RELEASE}.bin.index.json"
    (folder / name).write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")
    expected[name] = net

    try:
        from safetensors.torch import save_file
    except ImportError:
        save_file = None
    if save_file:
        save_file(state, folder / "net.safetensors", metadata={"format": "pt"})
        expected["net.safetensors"] = net
        for number, shard in enumerate(shards, 1):
            file = f"net-{number:05}-of-00002.safetensors"
            save_file(shard, folder / file, metadata={"format": "pt"})
            index["weight_map"].update(dict.fromkeys(shard, file))
        name = "net.safetensors.index.json"
        (folder / name).write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")
        expected[name] = net

    text = json.dumps({k: v for k, v in expected.items() if v}, indent=1)
    (folder / f"expected-{RELEASE}.json").write_text(text + "\n")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
