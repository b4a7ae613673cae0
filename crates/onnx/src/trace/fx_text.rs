//! The text of an FX node, as the exporter leaves it in a node's metadata:
//! `%relu : [num_users=1] = call_function[target=torch.ops.aten.relu.default](args = (%x,), kwargs = {})`.

/// An FX node.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FxNode<'a> {
    /// Its name: `relu`.
    pub name: &'a str,
    /// How many other nodes used its result.
    pub users: usize,
    /// What it calls: `torch.ops.aten.relu.default`.
    pub target: &'a str,
    pub args: Vec<FxArg<'a>>,
    pub kwargs: Vec<(&'a str, FxArg<'a>)>,
}

/// An argument of an FX node.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum FxArg<'a> {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// Another node: `%x`.
    Node(&'a str),
    /// A list or a tuple.
    List(Vec<FxArg<'a>>),
    /// A string, which is written without quotes, or something else.
    Text(&'a str),
}

/// No argument nests deeper.
const MAX_DEPTH: usize = 16;

/// Reads the text of a call. Placeholders and outputs give `None`.
pub(super) fn parse(text: &str) -> Option<FxNode<'_>> {
    let text = text.trim();
    let rest = text.strip_prefix('%')?;
    let (name, rest) = rest.split_once(' ')?;
    let (head, rest) = rest.split_once("call_function[target=")?;
    let users = head
        .split_once("num_users=")
        .and_then(|(_, count)| count.split_once(']')?.0.parse().ok())
        .unwrap_or(0);
    let (target, rest) = rest.split_once("](args = ")?;
    let mut reader = Reader { text: rest, at: 0 };
    let args = if target.contains("einsum") {
        reader.einsum()?
    } else {
        match reader.value(0)? {
            FxArg::List(args) => args,
            _ => return None,
        }
    };
    let mut kwargs = Vec::new();
    if reader.eat(", kwargs = {") {
        while !reader.eat("}") {
            let key_end = reader.rest().find(": ")?;
            let key = &reader.rest()[..key_end];
            reader.at += key_end + 2;
            kwargs.push((key, reader.value(1)?));
            reader.eat(", ");
            if reader.rest().is_empty() {
                break;
            }
        }
    }
    Some(FxNode {
        name,
        users,
        target,
        args,
        kwargs,
    })
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn eat(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    /// `(equation, [%a, %b])`: the equation has commas of its own.
    fn einsum(&mut self) -> Option<Vec<FxArg<'a>>> {
        if !self.eat("(") {
            return None;
        }
        let end = self.rest().find(", [%")?;
        let equation = &self.rest()[..end];
        self.at += end + 2;
        let operands = self.value(1)?;
        let close = self.rest().find(')')?;
        self.at += close + 1;
        Some(vec![FxArg::Text(equation), operands])
    }

    fn value(&mut self, depth: usize) -> Option<FxArg<'a>> {
        if depth > MAX_DEPTH {
            return None;
        }
        for (open, close) in [("[", "]"), ("(", ")")] {
            if self.eat(open) {
                let mut items = Vec::new();
                while !self.eat(close) {
                    if self.rest().is_empty() {
                        return None;
                    }
                    let before = self.at;
                    items.push(self.value(depth + 1)?);
                    // One element of a tuple is followed by a comma.
                    let _ = self.eat(", ") || self.eat(",");
                    if self.at == before {
                        return None;
                    }
                }
                return Some(FxArg::List(items));
            }
        }
        let end = self
            .rest()
            .find([',', ')', ']', '}'])
            .unwrap_or(self.rest().len());
        let word = self.rest()[..end].trim();
        self.at += end;
        Some(match word {
            "None" => FxArg::None,
            "True" => FxArg::Bool(true),
            "False" => FxArg::Bool(false),
            _ if word.starts_with('%') => FxArg::Node(&word[1..]),
            _ => {
                if let Ok(int) = word.parse() {
                    FxArg::Int(int)
                } else if let Ok(float) = word.parse() {
                    FxArg::Float(float)
                } else {
                    FxArg::Text(word)
                }
            }
        })
    }
}

/// A Python list of strings: `['', 'layer1', 'layer1.0']`.
pub(super) fn strings(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = text.trim().trim_start_matches('[').trim_end_matches(']');
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        let Some(quote) = rest.chars().next().filter(|c| matches!(c, '\'' | '"')) else {
            return out;
        };
        let Some(end) = rest[1..].find(quote) else {
            return out;
        };
        out.push(&rest[1..=end]);
        rest = &rest[end + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes() {
        let text = "%conv2d : [num_users=1] = call_function[target=torch.ops.aten.conv2d.default](args = (%x, %p_w, None, [2, 2], [1, 1]), kwargs = {groups: 2, mode: same, eps: 1e-05})";
        let node = parse(text).unwrap();
        assert_eq!(node.name, "conv2d");
        assert_eq!(node.target, "torch.ops.aten.conv2d.default");
        assert_eq!(node.args[0], FxArg::Node("x"));
        assert_eq!(
            node.args[3],
            FxArg::List(vec![FxArg::Int(2), FxArg::Int(2)])
        );
        assert_eq!(node.kwargs[0], ("groups", FxArg::Int(2)));
        assert_eq!(node.kwargs[2], ("eps", FxArg::Float(1e-5)));
        let relu = "%relu : [num_users=1] = call_function[target=torch.ops.aten.relu.default](args = (%x,), kwargs = {})";
        assert_eq!(parse(relu).unwrap().args, [FxArg::Node("x")]);
        let einsum = "%e : [num_users=1] = call_function[target=torch.ops.aten.einsum.default](args = (B G I D, B G J D -> B G I J, [%a, %b]), kwargs = {})";
        let einsum = parse(einsum).unwrap();
        assert_eq!(einsum.args[0], FxArg::Text("B G I D, B G J D -> B G I J"));
        assert_eq!(einsum.args.len(), 2);
        assert!(parse("%x : [num_users=1] = placeholder[target=x]").is_none());
        assert!(
            parse(&format!(
                "%x : = call_function[target=t](args = {}",
                "(".repeat(100)
            ))
            .is_none()
        );
    }

    #[test]
    fn lists() {
        assert_eq!(strings("['', 'a.0', \"b\"]"), ["", "a.0", "b"]);
        assert_eq!(strings("[]"), [""; 0]);
        assert_eq!(strings("['open"), [""; 0]);
    }
}
