//! The JSON Schema of the format, generated from the types below; `docs/spec.schema.json` is kept
//! equal to it.
//!
//! `UPDATE_EXPECT=1 cargo test -p modelcost-spec --test schema` writes it. The reader itself does not
//! use these types, because they keep no places in the text; the tests hold the two together.

#![allow(dead_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, schema_for};
use serde::Deserialize;
use serde_json::Value;

/// A network, written as in PyTorch.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Spec {
    model: Option<Model>,
    /// Names that are visible in the whole file.
    variables: Option<BTreeMap<String, Value>>,
    /// Classes of modules that the file defines.
    block: Option<BTreeMap<String, Block>>,
    /// Limits that are checked: `count = "600M"`, `params = "5M"`, or under a convention's name.
    budget: Option<BTreeMap<String, Value>>,
    /// The model's modules that are made first and called only where a layer says so.
    modules: Option<BTreeMap<String, Layer>>,
    /// The model's layers.
    layers: Option<Layers>,
    /// Parameters that the model holds itself.
    parameters: Option<BTreeMap<String, Tensor>>,
    /// Buffers that the model holds itself.
    buffers: Option<BTreeMap<String, Tensor>>,
    /// Parameters that are the same: `"head.weight" = "emb.weight"`.
    tie: Option<BTreeMap<String, Tie>>,
    /// Paths of parameters and modules that are not trained.
    freeze: Option<Vec<String>>,
}

/// The model.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Model {
    /// Its name.
    name: Option<String>,
    /// The class that tools see.
    class: Option<String>,
    /// The class it derives from.
    base: Option<String>,
    /// The shape of its input, or the shapes of its inputs by name.
    input: Option<Inputs>,
    /// What it returns, if not the value of its last layer.
    output: Option<String>,
    modules: Option<BTreeMap<String, Layer>>,
    layers: Option<Layers>,
    parameters: Option<BTreeMap<String, Tensor>>,
    buffers: Option<BTreeMap<String, Tensor>>,
    tie: Option<BTreeMap<String, Tie>>,
    freeze: Option<Vec<String>>,
    /// What its forward computes with sizes, which some tools count: `"x.view(b * h, -1)"`.
    sizes: Option<Vec<String>>,
    /// The layers that run without gradients, as under `torch.no_grad()`.
    no_grad: Option<Vec<String>>,
    /// What was put back when the spec was written from another file, a sentence each.
    reconstructed: Option<Vec<String>>,
    /// What the spec does not say of the model, a sentence each.
    partial: Option<Vec<String>>,
}

/// A class of modules.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Block {
    /// The parameters of its constructor: `"width, stride=1"`.
    args: Option<String>,
    /// The class that tools see.
    class: Option<String>,
    /// The class it derives from.
    base: Option<String>,
    /// The parameters of its forward: `"x, mask=None"`; `input` where it is left out.
    input: Option<String>,
    /// What it returns, if not the value of its last layer.
    output: Option<String>,
    modules: Option<BTreeMap<String, Layer>>,
    layers: Option<Layers>,
    parameters: Option<BTreeMap<String, Tensor>>,
    buffers: Option<BTreeMap<String, Tensor>>,
    tie: Option<BTreeMap<String, Tie>>,
    freeze: Option<Vec<String>>,
    /// What its forward computes with sizes, which some tools count: `"x.view(b * h, -1)"`.
    sizes: Option<Vec<String>>,
    /// The layers that run without gradients, as under `torch.no_grad()`.
    no_grad: Option<Vec<String>>,
}

/// Layers by name, in an array (a Sequential), or one module.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum Layers {
    Named(BTreeMap<String, Layer>),
    Sequence(Vec<Layer>),
    Single(String),
}

/// One layer.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum Layer {
    /// `"Conv2d(3, 64, 7)"`, `"F.relu(x)"`.
    Expression(String),
    /// A number or a truth that later layers use by name.
    Number(Number),
    /// A Sequential.
    Sequence(Vec<Layer>),
    /// A container, or a module with a condition.
    Long(Box<Long>),
    /// A module with named children.
    Named(BTreeMap<String, Layer>),
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum Number {
    Integer(i64),
    Float(f64),
    Boolean(bool),
}

/// A layer that is a table with `layers` or `module`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Long {
    /// One constructor: `"Conv2d(3, 64, 7)"`.
    module: Option<String>,
    /// What it is applied to, if not the layer before it.
    from: Option<String>,
    /// It is there only when this holds.
    when: Option<Condition>,
    /// It is there so many times.
    repeat: Option<Size>,
    class: Option<String>,
    base: Option<String>,
    input: Option<String>,
    output: Option<String>,
    modules: Option<BTreeMap<String, Layer>>,
    layers: Option<Layers>,
    parameters: Option<BTreeMap<String, Tensor>>,
    buffers: Option<BTreeMap<String, Tensor>>,
    tie: Option<BTreeMap<String, Tie>>,
    freeze: Option<Freeze>,
    sizes: Option<Vec<String>>,
    /// The layers that run without gradients, as under `torch.no_grad()`.
    no_grad: Option<Vec<String>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum Condition {
    Expression(String),
    Boolean(bool),
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum Freeze {
    All(bool),
    Paths(Vec<String>),
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum Tie {
    Source(String),
    Nested(BTreeMap<String, Tie>),
}

/// The input, or the inputs by name.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum Inputs {
    One(Tensor),
    Named(BTreeMap<String, Tensor>),
}

/// A tensor: its shape, or a table with more.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum Tensor {
    Shape(Vec<Size>),
    Full(FullTensor),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FullTensor {
    shape: Vec<Size>,
    /// PyTorch's name: `int64`.
    dtype: Option<String>,
    requires_grad: Option<bool>,
    persistent: Option<bool>,
}

/// A size: a number, a name (`"batch"`, `"batch=1"`), or an expression.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum Size {
    Number(u64),
    Expression(String),
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

fn schema() -> Value {
    serde_json::to_value(schema_for!(Spec)).expect("a schema")
}

#[test]
fn is_current() {
    let text = serde_json::to_string_pretty(&schema()).expect("text") + "\n";
    let path = repository("docs/spec.schema.json");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &text).expect("written");
    }
    let kept = std::fs::read_to_string(&path).expect("docs/spec.schema.json");
    assert!(
        kept == text,
        "run with UPDATE_EXPECT=1 and commit docs/spec.schema.json"
    );
}

/// The types have the keys that the reader knows, and no others.
#[test]
fn has_the_keys_of_the_reader() {
    let schema = schema();
    let keys = |place: &Value| {
        let mut keys: Vec<String> = place["properties"]
            .as_object()
            .expect("properties")
            .keys()
            .cloned()
            .collect();
        keys.sort();
        keys
    };
    let known = |lists: &[&[&str]]| {
        let mut keys: Vec<String> = lists.concat().iter().map(|key| key.to_string()).collect();
        keys.sort();
        keys
    };
    use modelcost_spec::keys::{BLOCK, BODY, LAYER, MODEL, TOP};
    assert_eq!(keys(&schema), known(&[TOP]));
    assert_eq!(keys(&schema["$defs"]["Model"]), known(&[MODEL, BODY]));
    assert_eq!(keys(&schema["$defs"]["Block"]), known(&[BLOCK, BODY]));
    assert_eq!(keys(&schema["$defs"]["Long"]), known(&[LAYER, BODY]));
}

/// Every spec of the repository fits the types.
#[test]
fn fits_every_spec() {
    let mut count = 0;
    for folder in ["examples", "tests/specs"] {
        for entry in std::fs::read_dir(repository(folder)).expect(folder) {
            let path = entry.expect("an entry").path();
            if path
                .extension()
                .is_some_and(|extension| extension == "toml")
            {
                let text = std::fs::read_to_string(&path).expect("text");
                if let Err(error) = toml::from_str::<Spec>(&text) {
                    panic!("{}: {error}", path.display());
                }
                count += 1;
            }
        }
    }
    assert!(count >= 70);
    assert!(toml::from_str::<Spec>("[model]\nnmae = \"x\"\n").is_err());
}
