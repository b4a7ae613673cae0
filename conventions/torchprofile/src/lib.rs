//! Convention: torchprofile 0.1.0.
