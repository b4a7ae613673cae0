//! TOML specs of networks, with source spans.
