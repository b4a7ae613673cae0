//! Convention: torchinfo 1.8.0.
