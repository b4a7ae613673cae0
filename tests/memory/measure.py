"""Writes peak.csv: how much memory the tensors of a forward pass take at most, as PyTorch itself runs them.

    OMP_NUM_THREADS=1 python measure.py ../corpus/zoo.py mod/lstm tv/resnet18 … > peak.csv

Each exported program is run node by node (torch.fx.Interpreter) on the CPU without gradients. A value is dropped after
the last node that reads it. After each node the bytes of all distinct storages are added up: those of the values that
are still there and of the inputs, but not of parameters, buffers and constants. The largest sum is the peak; the bytes
of all storages that were ever made, with the inputs, are `all`.
"""

import importlib.util
import sys
from pathlib import Path

import torch
from torch.fx import Interpreter
from torch.utils._pytree import tree_leaves


def storages(values):
    tensors = [v for v in tree_leaves(values) if isinstance(v, torch.Tensor)]
    return {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in tensors}


class Meter(Interpreter):
    def __init__(self, program, inputs):
        super().__init__(program.module(), garbage_collect_values=True)
        self.inputs = storages(inputs)
        held = [*self.module.parameters(), *self.module.buffers(), *vars(self.module).values()]
        self.held = set(storages(held))
        self.made, self.kept = {}, []
        self.peak = sum(self.inputs.values())

    def run_node(self, node):
        for unread in [n for n in self.env if not n.users]:
            del self.env[unread]
        result = super().run_node(node)
        if node.op == "get_attr":
            self.held |= set(storages(result))
        alive = {**self.inputs, **storages(list(self.env.values())), **storages(result)}
        alive = {key: size for key, size in alive.items() if key not in self.held}
        self.peak = max(self.peak, sum(alive.values()))
        for tensor in tree_leaves(result):
            # An address is taken again by the next tensor unless the storage is kept.
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage()._cdata in alive:
                self.made[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
                self.kept.append(tensor.untyped_storage())
        return result


def main():
    spec = importlib.util.spec_from_file_location("zoo", sys.argv[1])
    zoo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(zoo)
    print("model,inputs,peak,all")
    for name in sys.argv[2:]:
        factory, inputs = zoo.MODELS[name]
        model, inputs = factory().eval(), inputs()
        with torch.no_grad():
            program = torch.export.export(model, inputs)
            meter = Meter(program, inputs)
            meter.run(*inputs)
        everything = {**meter.inputs, **meter.made}
        print(f"{name},{sum(meter.inputs.values())},{meter.peak},{sum(everything.values())}", flush=True)


if __name__ == "__main__":
    main()
