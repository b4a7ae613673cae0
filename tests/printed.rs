//! What tools print, line by line: `corpus/small/printed/TOOL/FAMILY__NAME.txt` holds the tool's own text.

use std::path::Path;

use modelcost_core::convention::find;
use modelcost_tests::layers;

#[test]
fn tables_are_the_tools_own() {
    modelcost_conventions::link();
    let small = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/small");
    let mut seen = 0;
    for tool in std::fs::read_dir(small.join("printed")).unwrap() {
        let tool = tool.unwrap();
        let name = tool.file_name().into_string().unwrap();
        let convention = find(&name).unwrap();
        for text in std::fs::read_dir(tool.path()).unwrap() {
            let text = text.unwrap().path();
            let model = text.file_stem().unwrap().to_str().unwrap();
            let expected = std::fs::read_to_string(&text).unwrap();
            let options = modelcost_reader::Options::default();
            let file = small.join(format!("{model}.pt2"));
            let trace = modelcost_reader::open(&file, &options).unwrap().trace;
            let misses = layers::printed(convention, &trace, &expected);
            assert!(misses.is_empty(), "{name} on {model}: {misses:#?}");
            seen += 1;
        }
    }
    assert!(seen > 0);
}
