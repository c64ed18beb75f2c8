//! Which file uses items of which other file, and the cycles among them.

use crate::source::{File, group_length};
use crate::tokens::Token;
use std::collections::{BTreeMap, BTreeSet};

/// `from` uses an item that `to` defines, first in `line`. Files are indices.
pub type Edges = BTreeMap<(usize, usize), usize>;

/// Re-exports of re-exports; more would be a loop.
const MAX_DEPTH: usize = 8;

/// The root of the library among the files.
const LIBRARY: usize = 0;

/// What one file declares and imports.
#[derive(Debug, Default)]
struct Scope {
    children: BTreeMap<String, usize>,
    items: BTreeSet<String>,
    uses: Vec<Use>,
}

/// One leaf of a `use` declaration.
#[derive(Debug, Clone)]
struct Use {
    path: Vec<String>,
    /// The name it has here; `*` for a glob.
    name: String,
    line: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Module(usize),
    ItemOf(usize),
}

struct Scopes<'a> {
    files: &'a [File],
    scopes: Vec<Scope>,
}

/// All imports between files, tests excluded: `use` declarations and paths in code. A re-export is followed to the
/// file that defines the item; `mod x;` alone and an imported module name are no import.
pub fn edges(files: &[File]) -> Edges {
    let mut scopes: Vec<_> = files.iter().map(|file| scope(&file.production)).collect();
    for (index, file) in files.iter().enumerate().filter(|(_, file)| !file.is_test) {
        if let Some(parent) = file.parent {
            scopes[parent].children.insert(file.name.clone(), index);
        }
    }
    let all = Scopes { files, scopes };
    let mut edges = Edges::new();
    for from in 0..files.len() {
        for (path, line) in all.paths(from) {
            let to = match all.resolve(from, &path, 0) {
                Some(Target::ItemOf(to)) => to,
                Some(Target::Module(to)) if path.last().is_some_and(|name| name == "*") => to,
                _ => continue,
            };
            if to != from {
                edges.entry((from, to)).or_insert(line);
            }
        }
    }
    edges
}

/// The edges that are part of a cycle, as sets of files that reach each other.
pub fn cycles(edges: &Edges, count: usize) -> Vec<Vec<(usize, usize)>> {
    let reach: Vec<BTreeSet<usize>> = (0..count).map(|from| reachable(edges, from)).collect();
    let mut groups: BTreeMap<usize, Vec<(usize, usize)>> = BTreeMap::new();
    for &(from, to) in edges.keys().filter(|(from, to)| reach[*to].contains(from)) {
        let first = reach[from].iter().copied().find(|other| reach[*other].contains(&from));
        groups.entry(first.unwrap_or(from)).or_default().push((from, to));
    }
    groups.into_values().collect()
}

fn reachable(edges: &Edges, from: usize) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut open = vec![from];
    while let Some(file) = open.pop() {
        for (_, to) in edges.range((file, 0)..=(file, usize::MAX)).map(|(edge, _)| edge) {
            if found.insert(*to) {
                open.push(*to);
            }
        }
    }
    found
}

impl Scopes<'_> {
    /// Each path of two names or more in `file`, with its line.
    fn paths(&self, file: usize) -> Vec<(Vec<String>, usize)> {
        let uses = self.scopes[file].uses.iter().map(|leaf| (leaf.path.clone(), leaf.line));
        uses.chain(code_paths(&self.files[file].production)).collect()
    }

    fn resolve(&self, file: usize, path: &[String], depth: usize) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        let start = match first.as_str() {
            "crate" => Target::Module(self.root(file)),
            "heartbeat_daemon" => Target::Module(LIBRARY),
            "self" => Target::Module(file),
            "super" => Target::Module(self.files[file].parent?),
            name => self.lookup(file, name, depth)?,
        };
        let is_ours = matches!(first.as_str(), "crate" | "heartbeat_daemon" | "self" | "super");
        self.descend(start, rest, is_ours, depth)
    }

    /// The root of the library or of the program that this file belongs to.
    fn root(&self, file: usize) -> usize {
        self.files[file].parent.map_or(file, |parent| self.root(parent))
    }

    fn descend(&self, start: Target, rest: &[String], is_ours: bool, depth: usize) -> Option<Target> {
        let mut at = start;
        for name in rest {
            let Target::Module(module) = at else { break };
            at = match name.as_str() {
                "self" | "*" => break,
                "super" => Target::Module(self.files[module].parent?),
                name => match self.lookup(module, name, depth) {
                    Some(target) => target,
                    // A macro defines it.
                    None => return is_ours.then_some(Target::ItemOf(module)),
                },
            };
        }
        Some(at)
    }

    fn lookup(&self, module: usize, name: &str, depth: usize) -> Option<Target> {
        let scope = &self.scopes[module];
        if let Some(child) = scope.children.get(name) {
            return Some(Target::Module(*child));
        }
        if scope.items.contains(name) {
            return Some(Target::ItemOf(module));
        }
        if depth == MAX_DEPTH {
            return None;
        }
        let named = |leaf: &&Use| leaf.name == name && leaf.path.first().is_some_and(|first| first != name);
        if let Some(leaf) = scope.uses.iter().find(named) {
            return self.resolve(module, &leaf.path, depth + 1);
        }
        let mut globs = scope.uses.iter().filter(|leaf| leaf.name == "*");
        globs.find_map(|glob| match self.resolve(module, &glob.path, depth + 1)? {
            Target::Module(other) if other != module => self.lookup(other, name, depth + 1),
            _ => None,
        })
    }
}

fn scope(tokens: &[Token]) -> Scope {
    const ITEMS: [&str; 8] = ["struct", "enum", "trait", "type", "fn", "const", "static", "union"];
    let mut scope = Scope::default();
    for (at, token) in tokens.iter().enumerate() {
        let Some(next) = tokens.get(at + 1).filter(|next| next.is_name()) else {
            continue;
        };
        if ITEMS.contains(&token.text.as_str()) {
            scope.items.insert(next.text.clone());
        } else if token.is("use") {
            use_tree(&tokens[at + 1..], &[], &mut scope.uses);
        }
    }
    scope
}

/// Adds the leaves of one use tree; returns its number of tokens.
fn use_tree(tokens: &[Token], prefix: &[String], leaves: &mut Vec<Use>) -> usize {
    let mut path = prefix.to_vec();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "::" => at += 1,
            "{" => {
                let end = at + group_length(&tokens[at..]);
                at += 1;
                while at + 1 < end {
                    at += use_tree(&tokens[at..end - 1], &path, leaves);
                    at += usize::from(tokens[at].is(","));
                }
                return end;
            }
            "," | ";" => break,
            "as" => {
                let name = tokens[at + 1].text.clone();
                leaves.push(Use { path, name, line: token.line });
                return at + 2;
            }
            name => {
                path.push(name.to_owned());
                at += 1;
            }
        }
    }
    let line = tokens.get(at.saturating_sub(1)).map_or(0, |token| token.line);
    if path.last().is_some_and(|name| name == "self") {
        path.pop();
    }
    if let Some(name) = path.last().cloned() {
        leaves.push(Use { path, name, line });
    }
    at
}

/// Paths in code, `use` declarations excluded.
fn code_paths(tokens: &[Token]) -> Vec<(Vec<String>, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at].is("use") && tokens.get(at + 1).is_some_and(Token::is_name) {
            at += tokens[at..].iter().take_while(|token| !token.is(";")).count();
            continue;
        }
        let mut path = Vec::new();
        let line = tokens[at].line;
        while tokens.get(at).is_some_and(Token::is_name) {
            path.push(tokens[at].text.clone());
            let goes_on = tokens.get(at + 1).is_some_and(|token| token.is("::"));
            at += if goes_on { 2 } else { 1 };
            if !goes_on {
                break;
            }
        }
        if path.is_empty() {
            at += 1;
        } else if path.len() > 1 {
            found.push((path, line));
        }
    }
    found
}

#[test]
fn a_use_tree_has_one_leaf_per_import() {
    let tokens = crate::tokens::tokens("super::{self, a::B as C, d::{E, *}};");
    let mut leaves = Vec::new();
    use_tree(&tokens, &[], &mut leaves);
    let shown: Vec<_> =
        leaves.iter().map(|leaf| format!("{} = {}", leaf.name, leaf.path.join("::"))).collect();
    assert_eq!(shown, ["super = super", "C = super::a::B", "E = super::d::E", "* = super::d::*"]);
}
