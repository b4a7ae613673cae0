//! Symbolic sweeps say at every point what the model says when it is read at that size.

use std::path::{Path, PathBuf};

use modelcost_analysis::growth::growth;
use modelcost_analysis::sweep::{Axis, sweep};
use modelcost_core::SmolStr;
use modelcost_core::convention::{Convention, Options as CountOptions};
use modelcost_core::dim::Dim;
use modelcost_core::trace::Trace;
use modelcost_reader::{Model, Options, open};
use modelcost_tests::corpus::Corpus;
use modelcost_tests::parallel;

/// A model, the dimension that is swept, its sizes, and the power with which the cost must grow.
struct Case {
    path: PathBuf,
    axis: &'static str,
    sizes: &'static [u64],
    degree: u32,
}

/// An image's side, where the file has no name for it.
const SIDE: &str = "side of the image";

const SIDES: &[u64] = &[64, 96, 127, 128, 160, 200, 224, 256, 299, 384];
const PATCHES: &[u64] = &[64, 96, 128, 160, 224, 256, 384];
const LENGTHS: &[u64] = &[1, 2, 17, 64, 128, 333, 512];

fn cases() -> Vec<Case> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let corpus = Corpus::find().files;
    let spec = |name: &str| examples.join(format!("{name}.toml"));
    let case = |path: PathBuf, axis, sizes, degree| Case {
        path,
        axis,
        sizes,
        degree,
    };
    let mut out = vec![
        case(spec("resnet18"), SIDE, SIDES, 2),
        case(spec("mobilenet_v2"), SIDE, SIDES, 2),
        case(spec("yolov8n"), SIDE, &[64, 128, 160, 320, 640], 2),
        // Attention is quadratic in the patches, which are quadratic in the side.
        case(spec("vit_b_16"), SIDE, PATCHES, 4),
        case(spec("deit_tiny"), "side", PATCHES, 4),
        case(spec("bert_base"), "seq", LENGTHS, 2),
        case(spec("bert_base"), "batch", &[1, 2, 3, 8], 1),
        case(spec("lstm_lm"), "seq", LENGTHS, 1),
        case(
            corpus.join("dynamic__mod__encoder_6.pt2"),
            "seq",
            LENGTHS,
            2,
        ),
        case(
            corpus.join("dynamic__tv__vit_b_16.pt2"),
            "batch",
            &[1, 2, 5, 8],
            1,
        ),
        case(
            corpus.join("dynamic__tv__resnet18.pt2"),
            "batch",
            &[1, 2, 5, 8],
            1,
        ),
    ];
    out.retain(|case| case.path.exists());
    out
}

/// The name of a dimension in the file: exported programs call a batch `s77`, so that it goes by its
/// place in the first input.
fn free(model: &Model, axis: &str) -> SmolStr {
    let (_, id) = model.trace.inputs[0];
    let shape = model.trace.tensor(id).shape.as_ref().expect("a shape");
    let is_named = shape.iter().any(|dim| dim.symbols().contains(axis));
    let place = usize::from(axis == "seq");
    match shape[place].symbols().into_iter().next() {
        Some(symbol) if !is_named => symbol,
        _ => axis.into(),
    }
}

/// The model at a size of the axis.
fn at(model: &Model, axis: &str, size: &Dim) -> Result<Trace, String> {
    let mut options = Options::default();
    if axis == SIDE {
        let (name, id) = model.trace.inputs[0].clone();
        let mut shape = model.trace.tensor(id).shape.clone().expect("a shape");
        shape[2..].fill(size.clone());
        options.inputs.push((Some(name), shape));
    } else {
        options.dims.insert(free(model, axis), size.clone());
    }
    let model = model.resized(&options).map_err(|error| error.to_string())?;
    Ok(model.trace)
}

fn total(trace: &Trace, convention: &dyn Convention) -> Option<Dim> {
    let report = convention.count(trace, &CountOptions::default()).ok()?;
    Some(report.count?.count().clone())
}

fn check(case: &Case) -> Vec<String> {
    let model = match open(&case.path, &Options::default()) {
        Ok(model) => model,
        Err(error) => return vec![error.to_string()],
    };
    let axis = Axis {
        name: case.axis.into(),
        sizes: case.sizes.to_vec(),
    };
    let mut wrong = Vec::new();
    let path = case.path.display();
    for name in ["torch", "macs", "thop", "torchinfo", "fvcore"] {
        let convention = modelcost_conventions::find(name).expect("a convention");
        let read = |sizes: &[(String, Dim)]| at(&model, case.axis, &sizes[0].1);
        let swept = sweep(std::slice::from_ref(&axis), &read, convention);
        for point in &swept.points {
            let trace = at(&model, case.axis, &Dim::from(point.at[0].1));
            let concrete = trace.ok().and_then(|trace| total(&trace, convention));
            if point.count.clone().ok() != concrete {
                let at = &point.at;
                wrong.push(format!(
                    "{path} {name} {at:?}: {:?}, not {concrete:?}",
                    point.count
                ));
            }
        }
        // torch's and the ideal count see all products; others may miss those that grow fastest.
        let degree = swept
            .polynomial()
            .and_then(|count| growth(count, case.axis))
            .map(|growth| growth.degree);
        let is_judged = name == "macs" || name == "torch" && degree.is_some();
        if is_judged && degree != Some(case.degree) {
            wrong.push(format!("{path} {name}: grows with the power {degree:?}"));
        }
    }
    wrong
}

#[test]
fn symbolic_and_concrete_agree() {
    modelcost_conventions::link();
    let cases = cases();
    assert!(cases.len() >= 8, "only {} models", cases.len());
    let wrong: Vec<String> = parallel::map(&cases, check).into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!(
        "sweeps: {} models agree with themselves at every size",
        cases.len()
    );
}
