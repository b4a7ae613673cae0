//! Views at other sizes.
//!
//! A view groups and splits dimensions and keeps their order. The recorded sizes tell how: `[1, 768,
//! 14, 14]` as `[1, 768, 196]` merges the last two, so at `[8, 768, 16, 16]` it is `[8, 768, 256]`.
//! A dimension remembers what it was merged of, so that it can be taken apart again: a window
//! attention that merges the batch with 64 windows, and later splits 64 windows off, splits off the
//! same 64. What the order leaves open (to which side a batch of one belongs) the source may tell;
//! where it does not, there is no answer.

use modelcost_core::dim::Dim;

use crate::replay::source::Written;

/// A size as it was recorded, and what it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct Atom {
    /// When the program was exported.
    pub old: Dim,
    /// At the new inputs.
    pub new: Dim,
}

/// What a dimension is the product of, in order.
pub type Factors = Vec<Atom>;

impl Atom {
    /// A size that is what it was.
    pub fn same(size: &Dim) -> Atom {
        Atom {
            old: size.clone(),
            new: size.clone(),
        }
    }

    fn changed(&self) -> bool {
        self.old != self.new
    }
}

/// The new size of a dimension.
pub fn size(factors: &[Atom]) -> Dim {
    Dim::product(factors.iter().map(|atom| &atom.new))
}

/// Whether the first says the same of a dimension as the second, at least as finely.
pub fn refines(fine: &[Atom], coarse: &[Atom]) -> bool {
    let mut rest = fine.iter();
    let fits = coarse.iter().all(|whole| {
        let (mut old, mut new) = (Dim::ONE, Dim::ONE);
        loop {
            if old == whole.old && new == whole.new {
                return true;
            }
            let Some(part) = rest.next() else {
                return false;
            };
            old *= &part.old;
            new *= &part.new;
        }
    });
    fits && rest.next().is_none()
}

/// One size of a view.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// As recorded, with -1 found.
    pub old: Dim,
    /// Whether it is -1.
    pub free: bool,
    /// How the source has it.
    pub written: Written,
}

impl Wanted {
    /// Whether it is known how it is written.
    fn is_shown(&self) -> bool {
        self.free || self.written != Written::Unknown
    }

    /// Whether it can follow its input.
    fn follows(&self) -> bool {
        self.free || self.written != Written::Constant
    }
}

/// The dimensions of a view of what has the given factors; the error says what is open.
pub fn view(input: &[Atom], wanted: &[Wanted]) -> Result<Vec<Factors>, String> {
    let one = |atom: &&Atom| atom.old == Dim::ONE;
    let solid: Vec<&Atom> = input.iter().filter(|atom| !one(atom)).collect();
    let groups = groups(&solid, wanted)?;
    let mut out: Vec<Factors> = wanted
        .iter()
        .map(|wanted| vec![Atom::same(&wanted.old)])
        .collect();
    for group in &groups {
        group.fill(&solid, wanted, &mut out)?;
    }
    // Sizes that were 1 when the program was exported stand between the others. Where exactly is
    // known from how many of those come before.
    let mut before = 0;
    let mut waiting: Vec<(usize, &Atom)> = Vec::new();
    for (at, atom) in input.iter().enumerate() {
        // The first dimension, which is the batch, stays the first unless that is a number.
        let first = wanted
            .first()
            .filter(|_| at == 0 && atom.old == Dim::ONE && atom.changed());
        if first.is_some_and(|first| first.old == Dim::ONE && first.follows()) {
            out[0] = vec![atom.clone()];
            continue;
        }
        match one(&atom) {
            false => before += 1,
            true if atom.changed() => waiting.push((before, atom)),
            true => {}
        }
    }
    let mut rest = waiting.as_slice();
    while let Some((place, _)) = rest.first() {
        let run = rest.iter().take_while(|(other, _)| other == place).count();
        let atoms: Vec<&Atom> = rest[..run].iter().map(|(_, atom)| *atom).collect();
        settle(*place, &atoms, &groups, wanted, &mut out)?;
        rest = &rest[run..];
    }
    Ok(out)
}

/// Neighbouring dimensions before and after that hold the same elements.
struct Group {
    /// Which of the dimensions that are not 1.
    from: std::ops::Range<usize>,
    /// Which of the wanted ones; the first and the last are not 1.
    to: Vec<usize>,
}

fn groups(solid: &[&Atom], wanted: &[Wanted]) -> Result<Vec<Group>, String> {
    let torn = || "its recorded sizes do not fit together".to_owned();
    let mut targets = (0..wanted.len()).filter(|at| wanted[*at].old != Dim::ONE);
    let mut out = Vec::new();
    let mut at = 0;
    while at < solid.len() {
        let mut group = Group {
            from: at..at + 1,
            to: vec![targets.next().ok_or_else(torn)?],
        };
        let mut from = solid[at].old.clone();
        let mut to = wanted[group.to[0]].old.clone();
        while from != to {
            if is_smaller(&from, &to) {
                let next = solid.get(group.from.end).ok_or_else(torn)?;
                from *= &next.old;
                group.from.end += 1;
            } else {
                let next = targets.next().ok_or_else(torn)?;
                to *= &wanted[next].old;
                group.to.push(next);
            }
        }
        at = group.from.end;
        out.push(group);
    }
    match targets.next() {
        None => Ok(out),
        Some(_) => Err(torn()),
    }
}

/// Whether `a` has to grow to become `b`.
fn is_smaller(a: &Dim, b: &Dim) -> bool {
    match (a.as_const(), b.as_const()) {
        (Some(a), Some(b)) => a < b,
        _ => b.exact_div(a).is_some(),
    }
}

impl Group {
    fn fill(&self, solid: &[&Atom], wanted: &[Wanted], out: &mut [Factors]) -> Result<(), String> {
        let atoms: Factors = solid[self.from.clone()]
            .iter()
            .map(|atom| (*atom).clone())
            .collect();
        if let [only] = self.to[..] {
            out[only] = atoms;
            return Ok(());
        }
        if !atoms.iter().any(Atom::changed) {
            return Ok(());
        }
        let sizes = self.to.iter().map(|at| &wanted[*at].old);
        if let Some(parts) = regroup(&atoms, sizes) {
            for (at, factors) in self.to.iter().zip(parts) {
                out[*at] = factors;
            }
            return Ok(());
        }
        let total = size(&atoms);
        let carrier = self.carrier(wanted).ok_or_else(|| {
            let sizes: Vec<String> = self
                .to
                .iter()
                .map(|at| wanted[*at].old.to_string())
                .collect();
            let before = Dim::product(atoms.iter().map(|atom| &atom.old));
            format!(
                "a dimension that was {before} and is now {total} is split into {}, and which of \
                 these follows is not in the program",
                sizes.join(" × ")
            )
        })?;
        let others = Dim::product(
            self.to
                .iter()
                .filter(|at| **at != carrier)
                .map(|at| &wanted[*at].old),
        );
        let new = total
            .exact_div(&others)
            .ok_or_else(|| format!("{total} cannot be split by {others}"))?;
        out[carrier] = vec![Atom {
            old: wanted[carrier].old.clone(),
            new,
        }];
        Ok(())
    }

    /// Which part of a split takes what has changed.
    fn carrier(&self, wanted: &[Wanted]) -> Option<usize> {
        let single = |test: &dyn Fn(&Wanted) -> bool| {
            let mut found = self.to.iter().copied().filter(|at| test(&wanted[*at]));
            found.next().filter(|_| found.next().is_none())
        };
        single(&|wanted| wanted.free)
            .or_else(|| single(&Wanted::follows))
            .or_else(|| single(&|wanted| wanted.written == Written::Quotient))
    }
}

/// Deals dimensions out to sizes in their order: `batch, 768` as `batch * 12, 64`. Only one that has
/// not changed can be split on the way.
fn regroup<'d>(atoms: &[Atom], sizes: impl Iterator<Item = &'d Dim>) -> Option<Vec<Factors>> {
    let mut atoms = atoms.iter();
    let mut rest: Option<Atom> = None;
    let mut out = Vec::new();
    for size in sizes {
        let mut needed = size.clone();
        let mut part = Factors::new();
        while needed != Dim::ONE {
            let atom = match rest.take() {
                Some(atom) => atom,
                None => atoms.next()?.clone(),
            };
            if let Some(left) = needed.exact_div(&atom.old) {
                needed = left;
                part.push(atom);
            } else if let Some(left) = atom.old.exact_div(&needed)
                && !atom.changed()
            {
                part.push(Atom::same(&needed));
                rest = Some(Atom::same(&left));
                needed = Dim::ONE;
            } else {
                return None;
            }
        }
        out.push(part);
    }
    (rest.is_none() && atoms.next().is_none()).then_some(out)
}

/// Places sizes that were 1 and are not any more: on sizes of 1 of the view at the same place, else
/// merged into a neighbour.
fn settle(
    place: usize,
    atoms: &[&Atom],
    groups: &[Group],
    wanted: &[Wanted],
    out: &mut [Factors],
) -> Result<(), String> {
    let unclear = || {
        let sizes: Vec<String> = atoms.iter().map(|atom| atom.new.to_string()).collect();
        let into: Vec<String> = wanted.iter().map(|wanted| wanted.old.to_string()).collect();
        format!(
            "a dimension that was 1 and is now {} has no certain place in {}",
            sizes.join(" × "),
            into.join("×")
        )
    };
    if let Some(inside) = groups
        .iter()
        .find(|group| group.from.start < place && place < group.from.end)
    {
        let [only] = inside.to[..] else {
            return Err(unclear());
        };
        let at = place - inside.from.start;
        let new = atoms.iter().map(|atom| (*atom).clone());
        out[only].splice(at..at, new);
        return Ok(());
    }
    let left = groups.iter().rfind(|group| group.from.end <= place);
    let right = groups.iter().find(|group| group.from.start >= place);
    let left = left.and_then(|group| group.to.last().copied());
    let right = right.and_then(|group| group.to.first().copied());
    let between = left.map_or(0, |at| at + 1)..right.unwrap_or(wanted.len());
    let ones: Vec<usize> = between.filter(|at| wanted[*at].follows()).collect();
    let sure = ones.iter().copied().filter(|at| wanted[*at].is_shown());
    let sure: Vec<usize> = sure.collect();
    for places in [&ones, &sure] {
        if places.len() == atoms.len() {
            for (at, atom) in places.iter().zip(atoms) {
                out[*at] = vec![(*atom).clone()];
            }
            return Ok(());
        }
    }
    if !ones.is_empty() {
        return Err(unclear());
    }
    let sides: Vec<usize> = [left, right]
        .into_iter()
        .flatten()
        .filter(|at| wanted[*at].follows())
        .collect();
    let single = |test: &dyn Fn(&Wanted) -> bool| {
        let mut found = sides.iter().copied().filter(|at| test(&wanted[*at]));
        found.next().filter(|_| found.next().is_none())
    };
    let side = single(&|_| true)
        .or_else(|| single(&|wanted| wanted.written == Written::Product))
        .or_else(|| single(&|wanted| wanted.free))
        .ok_or_else(unclear)?;
    let new = atoms.iter().map(|atom| (*atom).clone());
    match Some(side) == left {
        true => out[side].extend(new),
        false => {
            out[side].splice(0..0, new);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `1>8, 768, 14>16` as atoms.
    fn atoms(text: &str) -> Factors {
        let size = |text: &str| Dim::from(text.parse::<i64>().unwrap());
        let atom = |text: &str| match text.split_once('>') {
            Some((old, new)) => Atom {
                old: size(old),
                new: size(new),
            },
            None => Atom::same(&size(text)),
        };
        text.split(", ").map(atom).collect()
    }

    /// `196`, `=196` written as a number, `196*` as a product, `8/` as a quotient, `-196` for -1,
    /// `1!` known to be computed.
    fn wanted(text: &str) -> Vec<Wanted> {
        let one = |text: &str| {
            let written = match text.chars().last() {
                _ if text.starts_with('=') => Written::Constant,
                Some('*') => Written::Product,
                Some('/') => Written::Quotient,
                Some('!') => Written::Computed,
                _ => Written::Unknown,
            };
            let number = text.trim_matches(['=', '*', '/', '!', '-']);
            Wanted {
                old: Dim::from(number.parse::<i64>().unwrap()),
                free: text.starts_with('-'),
                written,
            }
        };
        text.split(", ").map(one).collect()
    }

    fn sizes(input: &str, to: &str) -> String {
        match view(&atoms(input), &wanted(to)) {
            Ok(out) => {
                let sizes: Vec<String> = out.iter().map(|dim| size(dim).to_string()).collect();
                sizes.join(", ")
            }
            Err(why) => why,
        }
    }

    #[test]
    fn merges_follow() {
        assert_eq!(
            sizes("1>8, 768, 14>16, 14>16", "1, 768, 196"),
            "8, 768, 256"
        );
        assert_eq!(sizes("2>8, 256, 6>8, 6>8", "2, 9216"), "8, 16384");
        assert_eq!(sizes("1>8, 512, 1, 1", "1!, -512"), "8, 512");
    }

    #[test]
    fn a_one_that_is_written_stays() {
        assert_eq!(sizes("1>8, 512, 1, 1", "=1, -512"), "1, 4096");
        assert_eq!(sizes("1>8, 512", "1!, =1, 512"), "8, 1, 512");
        assert_eq!(
            sizes("1>8, 1, 1, 49, 512", "1!, 1*, 49, 512"),
            "8, 1, 49, 512"
        );
        assert!(sizes("3, 1>8, 512", "3, 1, 1, 512").contains("no certain place"));
    }

    #[test]
    fn splits_need_to_know_what_follows() {
        assert_eq!(sizes("1, 768", "1, 12, 64"), "1, 12, 64");
        assert_eq!(
            sizes("1, 196>256, 768", "1, -196, 12, 64"),
            "1, 256, 12, 64"
        );
        assert!(sizes("56>64, 96", "8, 7, 96").contains("is not in the program"));
        assert_eq!(sizes("56>112, 96", "8/, 7, 96"), "16, 7, 96");
        assert_eq!(sizes("16>9, 2>4, 64", "16, 8, 16"), "9, 16, 16");
        assert_eq!(sizes("56>64, 96", "8/, 7, 96"), "64 cannot be split by 7");
    }

    #[test]
    fn a_batch_of_one_between_others() {
        let heads = "197!, 12*, 64!";
        assert_eq!(sizes("197, 1>8, 768", heads), "197, 96, 64");
        assert!(sizes("197, 1>8, 768", "197, 12, 64").contains("no certain place"));
    }

    #[test]
    fn what_was_merged_is_split_again() {
        let merged = view(&atoms("1>8, 8, 8, 49"), &wanted("64, 49")).unwrap();
        assert_eq!(size(&merged[0]), Dim::from(512));
        let flat: Factors = merged.into_iter().flatten().collect();
        let again = view(&flat, &wanted("1, 64, 49")).unwrap();
        let again: Vec<String> = again.iter().map(|dim| size(dim).to_string()).collect();
        assert_eq!(again, ["8", "64", "49"]);
    }

    #[test]
    fn finer_and_coarser() {
        assert!(refines(&atoms("1>8, 8, 8"), &atoms("1>8, 64")));
        assert!(refines(&atoms("1>8, 8, 8"), &atoms("64>512")));
        assert!(!refines(&atoms("1>8, 64"), &atoms("1>8, 8, 8")));
        assert!(!refines(&atoms("64, 1>8"), &atoms("1>8, 64")));
    }

    #[test]
    fn symbols_are_sizes() {
        let batch = Atom {
            old: Dim::symbol("n"),
            new: Dim::symbol("n"),
        };
        let mut input = vec![batch.clone()];
        input.extend(atoms("768, 14>16, 14>16"));
        let mut to = wanted("1, 768, 196");
        to[0].old = batch.old.clone();
        let out = view(&input, &to).unwrap();
        assert_eq!(out[0], [batch]);
        assert_eq!(size(&out[2]), Dim::from(256));
    }
}
