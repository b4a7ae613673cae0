//! Convention: The textbook count: 2k-1 operations a dot product.
