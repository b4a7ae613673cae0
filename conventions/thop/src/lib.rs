//! Convention: thop 0.1.1 and 0.0.31, ultralytics-thop 2.2.3.
