//! What an excerpt says is what the whole says: over edits of many kinds, in many places, under every convention.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::ops::Range;

use modelcost_core::convention;
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

use crate::analysis::Dims;
use crate::config::HintSettings;
use crate::document::Document;
use crate::hints;

/// A network with most of what can stand between one layer and another: names from far above, parts of a tuple, other
/// shapes, other orders of the dimensions in memory, blocks, tables, functions, a module that is called again.
fn network() -> String {
    let mut out = String::from(
        "[model]\nname = \"mixed\"\ninput = [\"batch=2\", 3, 64, 64]\noutput = \"fc\"\n\n[variables]\nwidth = 16\n\n\
         [block.Residual]\nargs = \"w\"\n[block.Residual.layers]\nconv = \"Conv2d(w, w, 3, padding=1)\"\n\
         bn = \"BatchNorm2d(w)\"\nsum = \"bn + input\"\n\n[layers]\nstem = \"Conv2d(3, width, 3, padding=1)\"\n",
    );
    for at in 0..6 {
        let _ = write!(
            out,
            "conv{at} = \"Conv2d(16, 16, 3, padding=1)\"\nbn{at} = \"BatchNorm2d(16)\" # as always\nact{at} = \"ReLU()\"\n\
             more{at} = [\n  \"Residual(width)\",\n  \"Conv2d(16, 16, 1)\",\n]\nsum{at} = \"more{at} + conv{at}\"\n\
             far{at} = \"F.relu(sum{at} + stem)\"\npair{at} = \"torch.cat([far{at}, act{at}], 1)\"\n\
             down{at} = {{ module = \"Conv2d(32, 16, 1)\", from = \"pair{at}\" }}\n\
             \"left{at}, right{at}\" = \"torch.chunk(down{at}, 2, 1)\"\nagain{at} = \"right{at} * left{at}\"\n\
             wide{at} = \"torch.cat([again{at}, left{at}], dim=1)\"\n\
             last{at} = \"wide{at}.permute(0, 2, 3, 1)\"\nnorm{at} = \"LayerNorm(16)\"\nproj{at} = \"Linear(16, 16)\"\n\
             back{at} = \"proj{at}.permute(0, 3, 1, 2)\"\n"
        );
    }
    out + "pool = \"AdaptiveAvgPool2d(1)\"\nflat = \"torch.flatten(pool, 1)\"\nfc = \"Linear(16, 10)\"\n"
}

fn below(random: &mut TestRng, bound: usize) -> usize {
    random.next_u32() as usize % bound.max(1)
}

/// An edit somewhere in a text: a number, a line more, a line less, another name.
fn edit(text: &str, random: &mut TestRng) -> (Range<usize>, String) {
    let lines: Vec<Range<usize>> = text
        .split_inclusive('\n')
        .scan(0, |at, line| {
            *at += line.len();
            Some(*at - line.len()..*at)
        })
        .collect();
    let first = text[..text.find("[layers]").unwrap()].lines().count();
    let line = lines[first + below(random, lines.len() - first)].clone();
    match below(random, 8) {
        0 => (
            line.start..line.start,
            format!("new{} = \"Dropout(0.5)\"\n", below(random, 1000)),
        ),
        1 => (line, String::new()),
        2 => (
            line.end..line.end,
            format!("extra{} = \"ReLU()\"\n", below(random, 1000)),
        ),
        _ => {
            let digits: Vec<usize> = line
                .filter(|at| text.as_bytes()[*at].is_ascii_digit())
                .collect();
            match digits.as_slice() {
                [] => (0..0, String::new()),
                digits => {
                    let at = digits[below(random, digits.len())];
                    (at..at + 1, below(random, 4).to_string())
                }
            }
        }
    }
}

/// How many lines an excerpt told, and how often there was one, over edits of a text.
fn compare(text: &str, edits: usize) -> (usize, usize) {
    modelcost_conventions::link();
    let (settings, dims) = (HintSettings::default(), Dims::new());
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let (mut lines, mut times) = (0, 0);
    for _ in 0..edits {
        let mut document = Document::new(None, 1, text.into());
        assert!(document.state(&dims).unwrap().content.is_complete());
        let (range, with) = edit(text, &mut random);
        let line = document.buffer().line_of(range.start);
        document.edit(2, Some(range), &with);
        // Half of the time another edit nearby, before anyone asks.
        let view = |document: &Document| {
            let buffer = document.buffer();
            buffer.line(line.saturating_sub(20)).start..buffer.line(line + 5).end
        };
        if below(&mut random, 2) == 0 {
            let at = document.buffer().line(line + below(&mut random, 4)).start;
            document.edit(3, Some(at..at), "between = \"Identity()\"\n");
        }
        let mut fresh = Document::new(None, 1, document.buffer().text().into());
        let Some(state) = fresh.state(&dims) else {
            continue;
        };
        let is_complete = state.content.is_complete();
        let view = view(&document);
        for registration in convention::all() {
            let convention = (registration.load)();
            let Some(seen) = document.excerpt(&settings, convention, &view) else {
                continue;
            };
            if !is_complete {
                continue;
            }
            let read = seen.lines.clone();
            let mut told = hints::early(&document, Some(seen), &settings, convention, &view);
            let mut whole = hints::current(&fresh, &settings, convention, &view);
            told.retain(|hint| !hint.stale);
            // Beside the lines that were read nothing is left out; beside others, what is said is right.
            whole.retain(|hint| {
                read.contains(&fresh.buffer().line_of(hint.offset))
                    || told.iter().any(|told| told.offset == hint.offset)
            });
            assert_eq!(
                told,
                whole,
                "{} in\n{}",
                registration.identity(),
                fresh.buffer().text()
            );
            lines += whole.len();
            times += 1;
        }
    }
    (lines, times)
}

#[test]
fn what_an_excerpt_says_is_what_the_whole_says() {
    let (lines, times) = compare(&network(), 60);
    // Some edits leave an error, and not every layer has no more than a tensor above it.
    assert!(
        times > 200 && lines > 2_000,
        "{times} excerpts, {lines} lines"
    );
}
