//! Convention: The forward-hook counter that many posts print.
