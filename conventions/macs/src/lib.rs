//! Convention: Ideal multiply-accumulates of matrix products and convolutions.
