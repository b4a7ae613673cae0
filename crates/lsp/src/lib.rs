//! The language server: a thin layer over `modelcost-ide`.
