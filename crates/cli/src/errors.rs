//! Errors as people see them: the file, the place underlined, what is wrong, and the mend.

use std::io::Write as _;
use std::ops::Range;
use std::path::Path;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use modelcost_reader::{Diagnostic, OpenError, Severity};

/// Why a command gave no plain answer.
#[derive(Debug)]
pub enum Failed {
    /// Bad input or usage: the rendered messages, status 2.
    Input(String),
    /// A check that failed: its verdicts, which are an answer as well, status 1.
    Check(String),
}

impl Failed {
    /// Bad input or usage: a sentence, status 2.
    pub fn input(message: impl Into<String>) -> Failed {
        let report = &[Level::ERROR
            .primary_title(message.into())
            .elements(std::iter::empty::<annotate_snippets::Element>())];
        Failed::Input(Renderer::styled().render(report))
    }

    /// Bad input with a place in a text.
    pub fn at(message: &str, path: &Path, text: &str, span: Range<usize>) -> Failed {
        let diagnostic = Diagnostic::error(message, span);
        Failed::Input(render(&diagnostic, path, Some(text)))
    }

    /// A sentence about a file, without a place in it.
    pub fn in_file(path: &Path, error: impl std::fmt::Display) -> Failed {
        Failed::about(path, &Diagnostic::without_place(error.to_string()))
    }

    /// A message about a file.
    pub fn about(path: &Path, diagnostic: &Diagnostic) -> Failed {
        Failed::Input(render(diagnostic, path, None))
    }

    /// A file that could not be read.
    pub fn open(error: &OpenError) -> Failed {
        let messages: Vec<String> = error
            .diagnostics
            .iter()
            .map(|diagnostic| render(diagnostic, &error.path, error.text.as_deref()))
            .collect();
        Failed::Input(messages.join("\n\n"))
    }
}

/// Says something on standard error, if anybody listens.
pub fn say(message: &str) {
    let _ = writeln!(anstream::stderr(), "{}", message.trim_end());
}

/// One message with its place in the text.
pub fn render(diagnostic: &Diagnostic, path: &Path, text: Option<&str>) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Information => Level::INFO,
    };
    let title = level.primary_title(diagnostic.message.as_str());
    let origin = path.display().to_string();
    let mut group = match (text, &diagnostic.span) {
        (Some(text), Some(span)) => {
            let mut snippet = Snippet::source(text)
                .path(origin.as_str())
                .annotation(AnnotationKind::Primary.span(clamp(span.clone(), text)));
            for (span, label) in &diagnostic.related {
                snippet = snippet.annotation(
                    AnnotationKind::Context
                        .span(clamp(span.clone(), text))
                        .label(label.as_str()),
                );
            }
            title.element(snippet)
        }
        _ => title.element(annotate_snippets::Origin::path(origin.as_str())),
    };
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    Renderer::styled().render(&[group])
}

/// Inside the text and on character boundaries, whatever the reader said.
fn clamp(span: Range<usize>, text: &str) -> Range<usize> {
    let at = |offset: usize| {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    };
    let (start, end) = (at(span.start), at(span.end));
    start..end.max(start)
}
