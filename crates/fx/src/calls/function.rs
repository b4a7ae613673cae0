//! The calls of functions, and of operators in them.

use modelcost_core::trace::{CallId, Class, Origin, Target};
use smol_str::SmolStr;

use super::Emitter;
use crate::arguments::{bind, complete};
use crate::doubts::Doubt;
use crate::flat::Flat;
use crate::function::{self, Source};
use crate::kept::{Seen, seen};
use crate::operators::{self, Call};
use crate::written;

impl<'e, 'a> Emitter<'e, 'a> {
    pub(super) fn function(
        &mut self,
        frame: usize,
        class: &Class,
        group: &[usize],
        first: &'e Flat<'a>,
    ) {
        let nodes = self.nodes;
        let (line, stack_trace): (&'e str, &'e str) = (&first.line, &first.frame);
        let function_name = first.torch_fn.split_once(';').map_or("", |(_, name)| name);
        let statement = Some((frame, stack_trace));
        if self.statement != statement {
            let next = CallId::new(self.builder.trace().calls.len());
            self.builder.trace_mut().lines.push((next, line.into()));
            self.statement = statement;
        }
        let key = (frame, function_name, stack_trace);
        let count = self.lines.entry(key).or_insert(0);
        let source = Source {
            line,
            frame: stack_trace,
            class: &class.name,
            occurrence: *count,
        };
        let occurrence = *count;
        *count += 1;
        let named = function::name(&first.torch_fn, first.source_fn, &first.op, &source);
        let named = named.filter(|named| self.is_seen(frame, class, named, line, stack_trace));
        let calls = group.iter().map(|index| operators::call(&nodes[*index]));
        let calls: Vec<Call<'_>> = calls.collect();
        let Some(named) = named else {
            calls.iter().for_each(|call| self.operator(call));
            return;
        };
        if named.guessed {
            self.doubts.add(Doubt::Infix, || example(&named.name, line));
        }
        // A function of torch.nn.functional that hands on to another one of them.
        let outer = operators::caller(&named.name, line);
        let mut arguments = operators::function_arguments(self, &named.name, &calls);
        if !class.is("torch.nn.Upsample")
            && let Some(doubt) =
                written::amend(&named.name, &calls[0].op, line, occurrence, &mut arguments)
        {
            self.doubts
                .add(Doubt::Arguments, || format!("in `{line}`: {doubt}"));
        }
        let output = operators::function_output(&named.name, &calls);
        if let Some(outer) = &outer {
            let target = Target::Function(outer.clone());
            let given = bind(outer, &calls[0].op, &calls[0].arguments);
            self.builder.begin(target, given, None);
        }
        self.builder
            .begin(Target::Function(named.name.clone()), arguments, None);
        for (at, call) in calls.iter().enumerate() {
            let before = calls[..at].iter().filter(|other| other.op == call.op);
            match operators::inner_function(&named.name, &call.op, before.count()) {
                Some(inner) if inner != named.name => {
                    let arguments = bind(&inner, &call.op, &call.arguments);
                    self.builder.begin(Target::Function(inner), arguments, None);
                    self.operator(call);
                    self.builder.end(call.output.as_ref().clone());
                }
                _ => self.operator(call),
            }
        }
        self.builder.end(output.clone());
        if outer.is_some() {
            self.builder.end(output);
        }
    }

    /// Whether a tool that replaces functions sees this call.
    fn is_seen(
        &mut self,
        frame: usize,
        class: &Class,
        named: &function::Named,
        line: &str,
        trace: &str,
    ) -> bool {
        let path = &self.frames[frame].entry.path;
        let is_module = |name: &str| {
            let child = match path.as_str() {
                "" => SmolStr::new(name),
                path => format!("{path}.{name}").into(),
            };
            self.tree.by_path.contains_key(&child)
        };
        match seen(class, &named.name, line, trace, is_module) {
            Seen::Yes => true,
            Seen::No => false,
            Seen::Perhaps(seen, doubt) => {
                self.doubts.add(doubt, || example(&named.name, line));
                seen
            }
        }
    }

    fn operator(&mut self, call: &Call<'_>) {
        let arguments = complete(
            modelcost_torch::operators::signature(&call.op),
            &call.arguments,
        );
        let target = Target::Operator(call.op.clone());
        let id = self.builder.begin(target, Vec::new(), None);
        modelcost_torch::dispatch::expand(self.builder, &call.op, &arguments, &call.output);
        let trace = self.builder.trace_mut();
        trace.calls[id.index()].arguments = arguments;
        call.output.each_tensor(&mut |tensor| {
            let origin = &mut trace.tensors[tensor.index()].origin;
            if *origin == Origin::Constant {
                *origin = Origin::Call(id);
            }
        });
        self.builder.end(call.output.as_ref().clone());
    }
}

fn example(name: &str, line: &str) -> String {
    format!("{name} in `{line}`")
}
