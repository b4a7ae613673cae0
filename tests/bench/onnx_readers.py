#!/usr/bin/env python3
"""modelcost beside other readers of ONNX, each as a whole process on the same files in one run.

    python tests/bench/onnx_readers.py --modelcost target/release/modelcost --work /tmp/bench

Prints the median and the least wall time and the peak resident memory of each, and time and memory
as multiples of modelcost's. The files are made on the first run, with weights of random values inside them:
ResNet-50 (torchvision) and BERT-base (transformers), written by PyTorch's older exporter, and chains
of 100 to 100,000 nodes. Peers that are not installed are left out: the onnx, onnx-tool and tract
packages of this Python (with an empty program, for what Python itself takes), tract's command line
(cargo install tract-cli) and `cat` on the path. Nothing is asserted: times depend on the machine.
"""

import argparse
import importlib.util
import os
import pathlib
import shutil
import statistics
import sys
import time

INFER = """
import sys, onnx
onnx.shape_inference.infer_shapes(onnx.load(sys.argv[1]), data_prop=True)
"""
TRACT = """
import sys, tract
tract.onnx().load(sys.argv[1]).analyse()
"""
ONNX_TOOL = """
import sys, onnx_tool
model = onnx_tool.Model(sys.argv[1])
model.graph.shape_infer()
model.graph.profile()
"""


def resnet50(path: pathlib.Path) -> None:
    import torch
    import torchvision

    model = torchvision.models.resnet50().eval()
    torch.onnx.export(model, torch.randn(1, 3, 224, 224), str(path), dynamo=False)


def bert_base(path: pathlib.Path) -> None:
    import torch
    import transformers

    class Encoder(torch.nn.Module):
        """Takes embeddings of tokens, for which the exporter needs no masks."""

        def __init__(self):
            super().__init__()
            model = transformers.BertModel(transformers.BertConfig(attn_implementation="eager"))
            self.embeddings, self.layers = model.embeddings, model.encoder.layer

        def forward(self, ids):
            hidden = self.embeddings(input_ids=ids)
            for layer in self.layers:
                hidden = layer(hidden)
                hidden = hidden[0] if isinstance(hidden, tuple) else hidden
            return hidden

    ids = torch.randint(0, 1000, (1, 128))
    torch.onnx.export(Encoder().eval(), (ids,), str(path), dynamo=False)


def chain(path: pathlib.Path, nodes: int) -> None:
    import onnx
    from onnx import TensorProto, helper

    made = [
        helper.make_node("Relu" if at % 2 else "Neg", [f"v{at}"], [f"v{at + 1}"], name=f"n{at}")
        for at in range(nodes)
    ]
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 64])
    graph = helper.make_graph(made, "chain", [value("v0")], [value(f"v{nodes}")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]), path)


def run(command: list[str]) -> tuple[float, int, bool]:
    """Seconds, peak resident bytes, and whether it went well."""
    quiet = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
    begin = time.perf_counter()
    # Not fork: copying this interpreter's page tables would be counted as the peer's time.
    child = os.posix_spawnp(command[0], command, os.environ, file_actions=quiet)
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - begin
    unit = 1 if sys.platform == "darwin" else 1024
    return seconds, usage.ru_maxrss * unit, os.waitstatus_to_exitcode(status) == 0


def measure(command: list[str], runs: int) -> tuple[float, float, int] | None:
    """Median and least seconds, and peak bytes."""
    results = [run(command) for _ in range(runs)]
    if not all(well for *_, well in results):
        return None
    times = [seconds for seconds, *_ in results]
    return statistics.median(times), min(times), max(memory for _, memory, _ in results)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--modelcost", default="target/release/modelcost")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("target/bench"))
    parser.add_argument("--runs", type=int, default=9)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    has = lambda name: importlib.util.find_spec(name) is not None
    peers = [("modelcost", lambda path: [options.modelcost, "--convention", "thop", path])]
    peers.append(("modelcost shapes", lambda path: [options.modelcost, "shapes", path]))
    peers.append(("python, doing nothing", lambda path: [sys.executable, "-c", "", path]))
    if has("onnx"):
        peers.append(("onnx.shape_inference", lambda path: [sys.executable, "-c", INFER, path]))
    if has("onnx_tool"):
        peers.append(("onnx-tool", lambda path: [sys.executable, "-c", ONNX_TOOL, path]))
    if has("tract"):
        peers.append(("tract (Python)", lambda path: [sys.executable, "-c", TRACT, path]))
    if shutil.which("tract"):
        peers.append(("tract (command line)", lambda path: ["tract", path, "--pass", "analyse", "dump", "--cost"]))
    if shutil.which("cat"):
        peers.append(("cat", lambda path: ["cat", path]))
    for name, make in [("resnet50", resnet50), ("bert_base", bert_base)]:
        path = options.work / f"{name}.onnx"
        if not path.exists():
            try:
                make(path)
            except ImportError as error:
                print(f"{name}: not made ({error})")
                continue
        print(f"\n{path.name}, {path.stat().st_size / 1e6:.1f} MB")
        base = None
        for peer, command in peers:
            slow = any(word in peer for word in ("onnx", "tract"))
            result = measure(command(str(path)), 3 if slow else options.runs)
            if result is None:
                print(f"  {peer:<22} fails on it")
                continue
            median, least, memory = result
            base = base or result
            print(
                f"  {peer:<22} {1e3 * median:9.1f} ms (least {1e3 * least:7.1f}) {memory / 1e6:8.1f} MB"
                f"   {median / base[0]:7.1f} x {memory / base[2]:6.1f} x"
            )
    if not has("onnx"):
        return
    print("\nchains of nodes")
    for nodes in [100, 1_000, 10_000, 100_000]:
        path = options.work / f"chain_{nodes}.onnx"
        if not path.exists():
            chain(path, nodes)
        result = measure(peers[0][1](str(path)), 5)
        if result is None:
            print(f"  {nodes:>7} nodes: fails")
            continue
        _, seconds, memory = result
        print(
            f"  {nodes:>7} nodes {1e3 * seconds:9.1f} ms {1e6 * seconds / nodes:9.2f} us a node"
            f" {memory / 1e6:9.1f} MB"
        )


if __name__ == "__main__":
    main()
