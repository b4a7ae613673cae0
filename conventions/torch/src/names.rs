//! The names under which the counter lists modules.

use modelcost_core::trace::{ModuleId, Trace};

/// The path of every module from the root, as `torch.utils.module_tracker.ModuleTracker` names them
/// after the root's class: a module that several others hold has the last of its places, and the
/// modules inside it the names that they got at the first. `None` for one that the root does not hold.
pub fn paths(trace: &Trace) -> Vec<Option<String>> {
    let mut paths = vec![None; trace.modules.len()];
    if let Some(root) = paths.first_mut() {
        *root = Some(String::new());
        name_children(
            trace,
            Trace::ROOT,
            &mut vec![false; trace.modules.len()],
            &mut paths,
        );
    }
    paths
}

fn name_children(trace: &Trace, id: ModuleId, seen: &mut [bool], paths: &mut [Option<String>]) {
    if std::mem::replace(&mut seen[id.index()], true) {
        return;
    }
    let own = paths[id.index()].clone().unwrap_or_default();
    for (name, child) in trace.named_children(id) {
        paths[child.index()] = Some(match own.as_str() {
            "" => name.to_string(),
            own => format!("{own}.{name}"),
        });
        name_children(trace, child, seen, paths);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use modelcost_core::trace::{Class, Module, TraceBuilder};

    #[test]
    fn a_shared_module_has_its_last_place() {
        let mut builder = TraceBuilder::new("test", "test");
        let class = |name: &str| Module {
            class: Class::new(name),
            ..Module::default()
        };
        let [root, a, b, shared, inner] =
            ["Root", "A", "B", "S", "I"].map(|name| builder.module(class(name)));
        builder.add_child(root, "a", a);
        builder.add_child(root, "b", b);
        builder.add_child(a, "shared", shared);
        builder.add_child(shared, "inner", inner);
        builder.add_child(b, "again", shared);
        let paths = paths(&builder.finish());
        let paths: Vec<_> = paths.iter().map(|path| path.as_deref().unwrap()).collect();
        assert_eq!(paths, ["", "a", "b", "b.again", "a.shared.inner"]);
    }
}
