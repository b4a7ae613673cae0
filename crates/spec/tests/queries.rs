//! What an editor asks of a document.

use modelcost_spec::{DefinitionKind, Document, Options};

const TEXT: &str = include_str!("../../../examples/resnet18.toml");

#[test]
fn what_a_layer_became() {
    let (document, _) = Document::parse(TEXT);
    let traced = document.trace_partial(&Options::default());
    let offset = TEXT.find("layer2").expect("layer2");
    let layer = document.layer_at(offset).expect("a layer");
    let made = traced.made_by(layer.id);
    assert_eq!(made.len(), 1);
    let module = made[0].module.expect("a module");
    let path = traced
        .trace
        .named_modules()
        .into_iter()
        .find(|(_, id)| *id == module);
    assert_eq!(path.expect("named").0, "layer2");
    // A line of a block became something in each of its eight instances.
    let offset = TEXT.find("conv2 = ").expect("conv2");
    let conv2 = document.layer_at(offset).expect("a layer");
    let made = traced.made_by(conv2.id);
    assert_eq!(made.len(), 8);
    for made in made {
        let first = traced.trace.call(made.calls.start);
        assert_eq!(first.span, Some(conv2.span));
        assert!(made.calls.end > made.calls.start);
        assert_eq!(made.output.tensors().len(), 1);
    }
    // An item of an array knows its own call.
    let offset = TEXT.find("\"BasicBlock(256)\"").expect("an item");
    let item = document.layer_at(offset).expect("a layer");
    assert_eq!(traced.made_by(item.id).len(), 1);
    assert!(!traced.made_by(item.id)[0].calls.is_empty());
}

#[test]
fn names() {
    let (document, _) = Document::parse(TEXT);
    let names = document.names();
    let at = |needle: &str| {
        names
            .at(TEXT.find(needle).expect("found"))
            .expect("a definition")
    };
    let block = at("BasicBlock(64)");
    assert_eq!(names.definitions[block].kind, DefinitionKind::Block);
    assert_eq!(names.uses(block).count(), 7);
    let width = at("width, 3, stride");
    assert_eq!(names.definitions[width].kind, DefinitionKind::Argument);
    assert_eq!(&TEXT[names.definitions[width].span.range()], "width");
    let relu = names
        .uses(at("relu  = \"ReLU(inplace=True)\"\nconv2"))
        .count();
    assert_eq!(relu, 1);
}

/// While a line is half typed, the rest of the model is still there.
#[test]
fn what_is_left_after_an_error() {
    let broken = TEXT.replace(
        "fc      = \"Linear(512, 1000)\"",
        "fc      = \"Linear(512, \"",
    );
    let (document, diagnostics) = Document::parse(&broken);
    assert!(!diagnostics.is_empty());
    let traced = document.trace_partial(&Options::default());
    assert!(!traced.is_complete());
    let paths: Vec<String> = traced
        .trace
        .named_modules()
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    assert!(paths.contains(&"layer4.1.bn2".to_string()));
    let wrong = TEXT.replace("64, 7, stride=2", "64, 7, strde=2");
    let (document, _) = Document::parse(&wrong);
    let traced = document.trace_partial(&Options::default());
    // Nothing is called behind the error, but what needs no input to be made is made.
    let paths: Vec<String> = traced
        .trace
        .named_modules()
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    assert!(paths.contains(&"layer4.1.bn2".to_string()));
    assert_eq!(traced.diagnostics.len(), 1);
}

#[test]
fn other_files_are_not_specs() {
    let (document, diagnostics) = Document::parse("[package]\nname = \"x\"\n");
    assert!(!document.is_spec() && diagnostics.is_empty());
}
