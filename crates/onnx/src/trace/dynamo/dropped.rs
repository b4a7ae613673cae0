//! What the exporter left out because nothing reads it, though the model computes it. Most of that
//! leaves no trace. Where the last round of a loop lacks the lines that rounds before it end with,
//! it may be what only a next round would read: `b = b + hat @ v` of a routing loop.

use modelcost_core::fidelity::{Layer, Level};
use modelcost_core::trace::TraceBuilder;
use modelcost_fx::{Entry, Flat, Stacks};

/// A line of a forward: its number and its code.
type Line<'a> = (u32, &'a str);

/// One call of a module, and the lines of its forward that made something, in order.
struct Call<'a> {
    entry: Entry<'a>,
    lines: Vec<Line<'a>>,
}

/// Notes the first such loop.
pub(super) fn note<'a>(builder: &mut TraceBuilder, flats: &[Flat<'a>], stacks: &Stacks<'a>) {
    let mut open: Vec<Call<'_>> = Vec::new();
    let mut found = None;
    let mut before: &str = "";
    for flat in flats {
        let Some(stack) = flat.stack else { continue };
        let entries = stacks.get(stack);
        let same = |(call, entry): &(&Call<'_>, &Entry<'_>)| {
            call.entry.key == entry.key && call.entry.path == entry.path
        };
        let mut common = open.iter().zip(entries).take_while(same).count();
        let frame: &str = &flat.frame;
        if common == entries.len() && std::ptr::eq(frame, before) {
            continue;
        }
        before = frame;
        let lines = lines(frame);
        // One forward for each call, unless one hands on to that of a base class.
        if lines.len() != entries.len() {
            continue;
        }
        // Another line of the caller is another call.
        let callers = open.iter().zip(&lines).take(common);
        let goes_on = |(call, line): &(&Call<'_>, &Line<'_>)| call.lines.last() == Some(line);
        common = common.min(callers.take_while(goes_on).count() + 1);
        for call in open.drain(common..) {
            found = found.or_else(|| missing(&call.lines));
        }
        for entry in &entries[common..] {
            open.push(Call {
                entry: entry.clone(),
                lines: Vec::new(),
            });
        }
        for (call, line) in open.iter_mut().zip(lines) {
            if call.lines.last() != Some(&line) {
                call.lines.push(line);
            }
        }
    }
    for call in &open {
        found = found.or_else(|| missing(&call.lines));
    }
    if let Some(line) = found {
        builder.trace_mut().fidelity.doubt(
            &[Layer::Modules, Layer::Functions, Layer::Operators],
            Level::Reconstructed,
            format!(
                "the last round of a loop does not come to `{line}`; the exporter leaves out what nothing reads, and it is not counted"
            ),
        );
    }
}

/// The lines of a stack trace, outermost first: `File "net.py", line 9, in forward` and the code.
fn lines(trace: &str) -> Vec<Line<'_>> {
    let mut out = Vec::new();
    let mut lines = trace.lines().map(str::trim);
    while let Some(place) = lines.next() {
        let number = place
            .strip_prefix("File \"")
            .and_then(|place| place.rsplit_once(", line "))
            .and_then(|(_, rest)| rest.split(',').next()?.parse().ok());
        if let (Some(number), Some(code)) = (number, lines.next()) {
            out.push((number, code));
        }
    }
    out
}

/// The first line that rounds of a loop have and the last one lacks at its end.
fn missing<'a>(lines: &[Line<'a>]) -> Option<&'a str> {
    for at in 1..lines.len() {
        let first = lines[at];
        if first.0 >= lines[at - 1].0 {
            continue;
        }
        let Some(start) = lines[..at].iter().rposition(|line| *line == first) else {
            continue;
        };
        let round = &lines[start..at];
        let same = round.iter().zip(&lines[at..]).take_while(|(a, b)| a == b);
        let same = same.count();
        let past = round.iter().map(|line| line.0).max().unwrap_or(0);
        let ends = lines.get(at + same).is_none_or(|next| next.0 > past);
        if ends && let Some(line) = round.get(same) {
            return Some(line.1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(numbers: &[u32]) -> Option<&'static str> {
        let code = ["0", "1", "2", "3", "4", "5", "6"];
        let lines: Vec<Line<'_>> = numbers.iter().map(|n| (*n, code[*n as usize])).collect();
        missing(&lines)
    }

    #[test]
    fn the_end_of_the_last_round() {
        assert_eq!(of(&[1, 2, 3, 4, 2, 3, 5]), Some("4"));
        assert_eq!(of(&[1, 2, 3, 4, 2, 3, 4, 2, 3]), Some("4"));
        // Whole rounds, a statement over several lines, another branch.
        assert_eq!(of(&[1, 2, 3, 4, 2, 3, 4, 5]), None);
        assert_eq!(of(&[3, 2, 4, 5]), None);
        assert_eq!(of(&[1, 2, 3, 5, 2, 4, 5, 6]), None);
    }

    #[test]
    fn lines_of_a_trace() {
        let trace = "File \"a.py\", line 7, in forward\n    x = self.a(x)\n  File \"b, line 2.py\", line 12, in forward\n    return x";
        assert_eq!(lines(trace), [(7, "x = self.a(x)"), (12, "return x")]);
    }
}
