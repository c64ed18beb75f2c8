//! The SBOM of a program: the crates whose code is in it, as CycloneDX 1.5 (https://cyclonedx.org/docs/1.5/json/). It has
//! neither a time nor a random number, so the same dependencies give the same bytes.

use super::crates::{Crate, linked};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::error::Error;

/// `lock` is the text of Cargo.lock, which has the checksums of the crates.
pub fn of(metadata: &Value, lock: &str, program: &str, version: &str) -> Result<Value, Box<dyn Error>> {
    let checksums = checksums(lock);
    let components: Vec<_> = linked(metadata)?.iter().map(|one| component(one, &checksums)).collect();
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "name": program,
                "version": version,
                "bom-ref": program,
                "licenses": [{ "expression": "MIT OR Apache-2.0" }],
            },
        },
        "components": components,
    }))
}

fn component(one: &Crate<'_>, checksums: &BTreeMap<(String, String), String>) -> Value {
    let purl = format!("pkg:cargo/{}@{}", one.name, one.version);
    let mut component = json!({
        "type": "library",
        "name": one.name,
        "version": one.version,
        "bom-ref": purl,
        "purl": purl,
    });
    if let Some(licence) = one.licence {
        // Older crates separate alternatives by a slash, which SPDX does not know.
        component["licenses"] = json!([{ "expression": licence.replace('/', " OR ") }]);
    }
    if let Some(sum) = checksums.get(&(one.name.to_owned(), one.version.to_owned())) {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": sum }]);
    }
    component
}

/// By name and version. Cargo writes each value on a line of its own, the name first.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let (mut name, mut version, mut sums) = (String::new(), String::new(), BTreeMap::new());
    for line in lock.lines() {
        let Some((key, value)) = line.split_once(" = ") else { continue };
        let value = value.trim_matches('"').to_owned();
        match key {
            "name" => name = value,
            "version" => version = value,
            "checksum" => drop(sums.insert((name.clone(), version.clone()), value)),
            _ => {}
        }
    }
    sums
}
