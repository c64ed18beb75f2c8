//! The dependencies whose code is in a program, from cargo's metadata.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::Path;

/// A dependency.
pub struct Crate<'a> {
    pub name: &'a str,
    pub version: &'a str,
    /// An SPDX expression.
    pub licence: Option<&'a str>,
    pub authors: String,
    pub sources: &'a Path,
}

/// The dependencies whose code is in the program: without those of tests and build scripts, and without procedural macros.
pub fn linked(metadata: &Value) -> Result<Vec<Crate<'_>>, Box<dyn Error>> {
    let packages: BTreeMap<&str, &Value> =
        list(&metadata["packages"]).filter_map(|package| Some((package["id"].as_str()?, package))).collect();
    let nodes: BTreeMap<&str, &Value> =
        list(&metadata["resolve"]["nodes"]).filter_map(|node| Some((node["id"].as_str()?, node))).collect();
    let root = metadata["resolve"]["root"].as_str().ok_or("cargo metadata names no root")?;
    let (mut left, mut seen) = (vec![root], BTreeSet::from([root]));
    while let Some(id) = left.pop() {
        for dependency in list(&nodes[id]["deps"]) {
            let normal = list(&dependency["dep_kinds"]).any(|kind| kind["kind"].is_null());
            let Some(id) = dependency["pkg"].as_str().filter(|_| normal) else { continue };
            if !in_compiler(packages[id]) && seen.insert(id) {
                left.push(id);
            }
        }
    }
    seen.remove(root);
    let mut crates: Vec<_> = seen.iter().filter_map(|id| read(packages[id])).collect();
    crates.sort_by(|one, other| (one.name, one.version).cmp(&(other.name, other.version)));
    Ok(crates)
}

fn in_compiler(package: &Value) -> bool {
    list(&package["targets"]).any(|target| list(&target["kind"]).any(|kind| kind == "proc-macro"))
}

fn read(package: &Value) -> Option<Crate<'_>> {
    let authors: Vec<_> = list(&package["authors"]).filter_map(Value::as_str).collect();
    Some(Crate {
        name: package["name"].as_str()?,
        version: package["version"].as_str()?,
        licence: package["license"].as_str(),
        authors: if authors.is_empty() { String::new() } else { format!("; {}", authors.join(", ")) },
        sources: Path::new(package["manifest_path"].as_str()?).parent()?,
    })
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
