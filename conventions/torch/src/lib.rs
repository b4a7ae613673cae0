//! Convention: torch.utils.flop_counter of PyTorch 2.15.
