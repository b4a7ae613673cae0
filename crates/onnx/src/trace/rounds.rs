//! Which call of a module a node belongs to, and the order in which modules were registered.

use std::collections::hash_map::Entry;

use modelcost_fx::State;
use rustc_hash::FxHashMap;
use smol_str::SmolStr;

/// Counts the calls of modules: the exporter keeps the path of each call, not which one it is.
/// A `Sequential` runs its children in order, so that an earlier child begins another call, and so does another line.
#[derive(Default)]
pub(super) struct Rounds<'a> {
    open: Vec<Open<'a>>,
    totals: FxHashMap<&'a str, usize>,
}

struct Open<'a> {
    path: &'a str,
    /// Where it is called, if that is known.
    line: &'a str,
    call: usize,
    child: Option<usize>,
}

impl<'a> Rounds<'a> {
    /// The number of the call of each module of a stack; `lines` says where each is called, as far as that is known.
    pub fn enter(&mut self, paths: &[&'a str], classes: &[&str], lines: &[&'a str]) -> Vec<usize> {
        let mut out = Vec::with_capacity(paths.len());
        for (at, path) in paths.iter().enumerate() {
            let child = paths
                .get(at + 1)
                .and_then(|child| child.rsplit('.').next()?.parse::<usize>().ok());
            let sequential = classes[at].ends_with(".Sequential");
            let line = lines.get(at).copied().unwrap_or_default();
            let again = self.open.get(at).is_none_or(|open| {
                open.path != *path
                    || !line.is_empty() && !open.line.is_empty() && open.line != line
                    || sequential && child.zip(open.child).is_some_and(|(new, old)| new < old)
            });
            if again {
                self.open.truncate(at);
                let total = self.totals.entry(path).or_insert(0);
                self.open.push(Open {
                    path,
                    line,
                    call: *total,
                    child: None,
                });
                *total += 1;
            }
            let open = &mut self.open[at];
            open.child = child.or(open.child);
            out.push(open.call);
        }
        self.open.truncate(paths.len());
        out
    }
}

/// Paths in the order of registration, parents first, as far as the file tells: the signature
/// lists parameters in that order, numbered children are in order, and what has no parameters
/// comes after what is called before it.
pub(super) fn registered(paths: &[SmolStr], states: &[State<'_>]) -> Vec<SmolStr> {
    let mut rank: FxHashMap<&str, usize> = FxHashMap::default();
    for (at, state) in states.iter().enumerate() {
        let mut path = state.owner.as_str();
        // Above a path that was met before all were.
        while let Entry::Vacant(new) = rank.entry(path) {
            new.insert(at);
            match path.rsplit_once('.') {
                Some((parent, _)) => path = parent,
                None => break,
            }
        }
    }
    let mut children: FxHashMap<&str, Vec<&SmolStr>> = FxHashMap::default();
    for path in paths.iter().filter(|path| !path.is_empty()) {
        let parent = path.rsplit_once('.').map_or("", |(parent, _)| parent);
        children.entry(parent).or_default().push(path);
    }
    for siblings in children.values_mut() {
        let number = |path: &str| {
            path.rsplit('.')
                .next()
                .and_then(|name| name.parse::<usize>().ok())
        };
        if siblings.iter().all(|path| number(path).is_some()) {
            siblings.sort_by_key(|path| number(path));
            continue;
        }
        let mut order: Vec<(usize, &SmolStr)> = Vec::new();
        let mut last = 0;
        for path in siblings.iter() {
            // Without parameters of its own: right after its predecessor in the calls.
            last = rank.get(path.as_str()).copied().unwrap_or(last);
            order.push((last, path));
        }
        order.sort_by_key(|(rank, _)| *rank);
        *siblings = order.into_iter().map(|(_, path)| path).collect();
    }
    let mut out = Vec::with_capacity(paths.len());
    let root = SmolStr::default();
    let mut open = vec![&root];
    while let Some(path) = open.pop() {
        out.push(path.clone());
        if let Some(inside) = children.get(path.as_str()) {
            open.extend(inside.iter().rev());
        }
    }
    out
}
