//! Convention: fvcore 0.1.5.
