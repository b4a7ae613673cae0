//! Programs that were exported at one size, run again at others.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use modelcost_core::convention::Options as CountOptions;
use modelcost_core::dim::Dim;
use modelcost_core::fidelity::Level;
use modelcost_core::trace::{Shape, Target, Trace};
use modelcost_reader::{Options, open};

fn file(name: &str) -> PathBuf {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    match name.starts_with("rel__") {
        true => corpus.join(format!("releases/2.15.0/{name}.pt2")),
        false => corpus.join(format!("small/{name}.pt2")),
    }
}

fn at(name: &str, sizes: &[i64]) -> Result<Trace, String> {
    let shape: Shape = sizes.iter().map(|size| Dim::from(*size)).collect();
    let options = Options {
        inputs: vec![(None, shape)],
        ..Options::default()
    };
    match open(&file(name), &options) {
        Ok(model) => Ok(model.trace),
        Err(error) => Err(error.to_string()),
    }
}

fn count(trace: &Trace, convention: &str) -> Dim {
    let convention = modelcost_conventions::find(convention).unwrap();
    let report = convention.count(trace, &CountOptions::default()).unwrap();
    report.count.unwrap().count().clone()
}

/// What torch 2.15.0's counter, torchinfo 1.8.0 and fvcore 0.1.5.post20221221 printed for the live
/// modules of `corpus/zoo.py` at these sizes. None of them is the one that the file has.
#[test]
fn the_tools_at_other_sizes() {
    let rows: &[(&str, &[i64], [i64; 3])] = &[
        (
            "mod__functional",
            &[8, 3, 32, 32],
            [3_539_584, 1_835_368, 1_786_176],
        ),
        (
            "mod__functional",
            &[1, 3, 20, 24],
            [207_440, 107_565, 104_680],
        ),
        (
            "mod__simple_model",
            &[8, 3, 28, 28],
            [5_920_768, 3_061_072, 3_161_088],
        ),
        (
            "mod__encoder_6",
            &[4, 9, 64],
            [14_653_440, 403_968, 7_216_128],
        ),
        ("mod__upsample_bilinear", &[4, 8, 14, 10], [0, 0, 71_680]),
        ("mod__matmul", &[3, 7, 64], [553_728, 37_440, 276_864]),
        ("mod__sdpa", &[5, 10, 64], [1_356_800, 62_400, 614_400]),
        (
            "mod__depthwise_separable",
            &[2, 32, 30, 30],
            [8_409_600, 4_377_600, 4_204_800],
        ),
    ];
    for (name, sizes, counts) in rows {
        let trace = at(name, sizes).unwrap();
        assert_eq!(trace.fidelity.level, Level::Reconstructed, "{name}");
        let note = trace.fidelity.notes.join("; ");
        assert!(note.contains("was run again at"), "{name}: {note}");
        for (convention, expected) in ["torch", "torchinfo", "fvcore"].iter().zip(counts) {
            let found = count(&trace, convention);
            assert_eq!(found, Dim::from(*expected), "{convention} on {name}");
        }
    }
}

/// A program that was exported with a free batch, given its size, has the shapes of one that was
/// exported with a fixed batch and is run again.
#[test]
fn as_if_the_batch_had_been_free() {
    let shapes = |trace: &Trace| -> Vec<String> {
        let operators = trace
            .calls()
            .filter(|(_, call)| matches!(call.target, Target::Operator(_)));
        let shapes = operators.map(|(_, call)| {
            let made = call.output.tensors();
            let made = made.iter().map(|id| trace.tensor(*id).shape.clone());
            format!("{:?} {:?}", call.target, made.collect::<Vec<_>>())
        });
        shapes.collect()
    };
    let fixed = at("rel__residual", &[7, 3, 32, 32]).unwrap();
    let free = at("rel__residual_batch", &[7, 3, 32, 32]).unwrap();
    assert_eq!(free.fidelity.level, Level::Exact);
    assert_eq!(shapes(&fixed), shapes(&free));
    // A free batch is bound, and the sides that are fixed are changed.
    let both = at("rel__residual_batch", &[7, 3, 40, 40]).unwrap();
    let fixed = at("rel__residual", &[7, 3, 40, 40]).unwrap();
    assert_eq!(both.fidelity.level, Level::Reconstructed);
    assert_eq!(shapes(&fixed), shapes(&both));
}

/// The size that the file has needs no second run.
#[test]
fn the_same_size_is_exact() {
    let trace = at("mod__functional", &[2, 3, 16, 16]).unwrap();
    assert_eq!(trace.fidelity.level, Level::Exact);
}

/// Where PyTorch would raise, or a number in the code does not tell what it was, there is no answer.
#[test]
fn what_cannot_be_run_says_where() {
    for (name, sizes, expected) in [
        // `Linear(3136, 10)` after a flatten.
        ("mod__simple_model", &[1, 3, 32, 32][..], "linear in fc"),
        // `self.q(x).view(2, 10, 4, 16)`: RuntimeError: shape '[2, 10, 4, 16]' is invalid.
        (
            "mod__einsum",
            &[3, 7, 64],
            "cannot make 2×10×4×16 of 3×7×64",
        ),
        ("mod__conv2d_3_64", &[1, 4, 8, 8], "conv2d"),
        ("mod__functional", &[3, 16, 16], "does not fit"),
    ] {
        let error = at(name, sizes).unwrap_err();
        assert!(error.contains(expected), "{name}: {error}");
    }
}
