//! Errors as people see them: the file, the place underlined, what is wrong, and the mend.

use std::ops::Range;
use std::path::Path;
use std::process::ExitCode;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use modelcost_reader::{Diagnostic, OpenError, Severity};

/// Why a command gave no answer.
#[derive(Debug)]
pub struct Failed {
    /// The rendered messages.
    message: String,
    status: u8,
}

impl Failed {
    /// Bad input or usage: a sentence, status 2.
    pub fn input(message: impl Into<String>) -> Failed {
        let report = &[Level::ERROR
            .primary_title(message.into())
            .elements(std::iter::empty::<annotate_snippets::Element>())];
        Failed {
            message: Renderer::styled().render(report),
            status: 2,
        }
    }

    /// Bad input with a place in a text.
    pub fn at(message: &str, path: &Path, text: &str, span: Range<usize>) -> Failed {
        let diagnostic = Diagnostic::error(message, span);
        Failed {
            message: render(&diagnostic, path, Some(text)),
            status: 2,
        }
    }

    /// A message about a file.
    pub fn about(path: &Path, diagnostic: &Diagnostic) -> Failed {
        Failed {
            message: render(diagnostic, path, None),
            status: 2,
        }
    }

    /// A file that could not be read.
    pub fn open(error: &OpenError) -> Failed {
        let messages: Vec<String> = error
            .diagnostics
            .iter()
            .map(|diagnostic| render(diagnostic, &error.path, error.text.as_deref()))
            .collect();
        Failed {
            message: messages.join("\n\n"),
            status: 2,
        }
    }

    /// A check that failed: its verdicts, on standard output, status 1.
    pub fn check(verdicts: impl Into<String>) -> Failed {
        Failed {
            message: verdicts.into(),
            status: 1,
        }
    }

    /// Writes the message: errors to standard error, verdicts to standard output.
    pub fn print(&self) {
        if self.status == 1 {
            anstream::print!("{}", self.message);
        } else {
            anstream::eprintln!("{}", self.message);
        }
    }

    /// The program's exit status.
    pub fn status(&self) -> ExitCode {
        ExitCode::from(self.status)
    }
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
