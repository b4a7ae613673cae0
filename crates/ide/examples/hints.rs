//! Prints a spec with its hints.
use modelcost_ide::{Buffer, analysis::Analysis, config::HintSettings, hints};
use std::time::Instant;
fn main() {
    modelcost_conventions::link();
    let path = std::env::args().nth(1).unwrap();
    let conv = std::env::args().nth(2).unwrap_or("torchinfo".into());
    let text = std::fs::read_to_string(&path).unwrap();
    let convention = modelcost_core::convention::find(&conv).unwrap();
    for round in 0..5 {
        let t = Instant::now();
        let (document, _) = modelcost_spec::Document::parse(&text);
        let a = t.elapsed();
        let traced = document.trace_partial(&Default::default());
        let b = t.elapsed();
        let n = modelcost_ide::numbers::Numbers::new(convention, &traced.trace);
        let c = t.elapsed();
        if round > 2 {
            eprintln!(
                "parse {a:?} trace {:?} count {:?} layers {} calls {} entries {}",
                b - a,
                c - b,
                document.layers.len(),
                traced.trace.calls.len(),
                n.report.as_ref().map_or(0, |r| r.entries.len())
            );
        }
    }
    let analysis = Analysis::new(&text, &modelcost_ide::config::Settings::default().dims);
    for d in &analysis.diagnostics {
        eprintln!("{d:?}");
    }
    let buffer = Buffer::new(text.clone());
    let t = Instant::now();
    let numbers = analysis.numbers(convention);
    let anchors = hints::Anchors::new(&analysis, &buffer);
    eprintln!("count+anchors {:?}", t.elapsed());
    let t = Instant::now();
    let all: Vec<_> = anchors
        .all()
        .iter()
        .filter_map(|(o, s)| {
            Some((
                *o,
                hints::label(&analysis, Some(&numbers), &HintSettings::default(), *s)?,
            ))
        })
        .collect();
    eprintln!("labels {:?}", t.elapsed());
    if text.len() > 30000 {
        return;
    }
    for line in 0..buffer.line_count() {
        let range = buffer.line(line);
        let hint = all
            .iter()
            .find(|(o, _)| range.start <= *o && *o <= range.end)
            .map(|(_, l)| l.as_str())
            .unwrap_or("");
        println!("{:70} {hint}", &text[range]);
    }
}
