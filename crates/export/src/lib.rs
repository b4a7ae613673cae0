//! PyTorch exported programs and checkpoints.
