//! The signature of the call that is being typed.

use crate::analysis::Analysis;
use crate::completion::callee_signature;
use crate::hover::{argument_doc, python};
use crate::lexical;

/// A signature with the parameter that the cursor is at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureHelp {
    /// `Conv2d(in_channels, out_channels, kernel_size, stride=1, …)`
    pub label: String,
    /// Each parameter's bytes in the label, and what it means.
    pub parameters: Vec<(std::ops::Range<usize>, Option<&'static str>)>,
    /// The parameter that the cursor is at.
    pub active: Option<usize>,
    /// What is called.
    pub doc: Option<String>,
}

/// The signature of the innermost call that is open at an offset.
pub fn signature_help(analysis: &Analysis, text: &str, offset: usize) -> Option<SignatureHelp> {
    let string = lexical::string_at(text, offset)?;
    let call = lexical::open_call(string.before, string.after)?;
    let signature = callee_signature(analysis, call.callee)?;
    let mut label = format!("{}(", call.callee);
    let mut parameters = Vec::new();
    for (index, parameter) in signature.parameters.iter().enumerate() {
        if index > 0 {
            label.push_str(", ");
        }
        let start = label.len();
        if parameter.kind == modelcost_torch::Kind::Variadic {
            label.push('*');
        }
        label.push_str(&parameter.name);
        if let Some(default) = &parameter.default {
            label.push('=');
            label.push_str(&python(default));
        }
        parameters.push((
            start..label.len(),
            argument_doc(call.callee, &parameter.name),
        ));
    }
    label.push(')');
    let active = match call.keyword {
        Some(name) => signature
            .parameters
            .iter()
            .position(|parameter| parameter.name == name),
        None => (call.index < signature.parameters.len()).then_some(call.index),
    };
    let doc = modelcost_torch::class(call.callee)
        .map(|class| class.doc().to_string())
        .or_else(|| Some(modelcost_torch::function(call.callee)?.doc().to_string()));
    Some(SignatureHelp {
        label,
        parameters,
        active,
        doc,
    })
}
