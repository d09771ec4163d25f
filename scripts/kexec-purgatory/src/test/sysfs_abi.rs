// SPDX-License-Identifier: GPL-2.0-only

//! The descriptions of files in sysfs in `Documentation/ABI/`, and the files that the code creates.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::overlay;
use crate::debian::guide;
use crate::layout::Layout;

/// The fields of a sysfs file's description, in this order.
const FIELDS: &[&str] = &["Date", "KernelVersion", "Contact", "Description"];

/// The header of the guide's table of sysfs files.
const TABLE: &str = "\nfile  ";

/// Every description of a sysfs file has its fields. The files that the code creates are those that
/// have a description, and those in the table of the administrator's guide.
pub fn check(layout: &Layout) -> Result<()> {
    let mut described = BTreeSet::new();
    for path in overlay::files(layout)? {
        if path.starts_with("Documentation/ABI/") {
            let text = fs::read_to_string(layout.overlay.join(&path))?;
            described.extend(entries(&text).with_context(|| path)?);
        }
    }
    let files = sysfs_files(&layout.overlay)?;
    let made: BTreeSet<String> = files
        .iter()
        .map(|name| format!("/sys/kernel/kexec/{name}"))
        .collect();
    let differ: Vec<&String> = described.symmetric_difference(&made).collect();
    ensure!(differ.is_empty(), "described or made, not both: {differ:?}");
    let page = fs::read_to_string(layout.overlay.join(guide::PAGE))?;
    in_table(&page, &files).context(guide::PAGE)
}

/// The table of a page has each of these files and no others. An asterisk in a name stands for
/// several words.
fn in_table(page: &str, files: &[String]) -> Result<()> {
    let table = page
        .split("\n\n")
        .find(|paragraph| paragraph.contains(TABLE))
        .context("no table of sysfs files")?;
    let listed: BTreeSet<String> = table
        .lines()
        .filter(|line| line.starts_with("``"))
        .filter_map(|line| line.split("  ").next())
        .flat_map(|cell| cell.split(", "))
        .map(|code| code.trim_matches('`'))
        .flat_map(|name| {
            let words: &[&str] = match name.contains('*') {
                false => &[""],
                true if name.starts_with("entered_") => &["copy", "verify", "handoff", "total"],
                true => &["loaded", "crash"],
            };
            words.iter().map(|word| name.replace('*', word))
        })
        .collect();
    let made = files.iter().cloned().collect();
    let differ: Vec<&String> = listed.symmetric_difference(&made).collect();
    ensure!(
        differ.is_empty(),
        "in the table or made, not both: {differ:?}"
    );
    Ok(())
}

/// The names of the sysfs files that arch/x86/kexec of a tree creates.
pub fn sysfs_files(tree: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for source in ["sysfs.c", "entered.c"] {
        let path = Path::new("arch/x86/kexec").join(source);
        let found = attributes(&fs::read_to_string(tree.join(&path))?);
        ensure!(!found.is_empty(), "{} makes no file", path.display());
        files.extend(found);
    }
    Ok(files)
}

fn attributes(source: &str) -> Vec<String> {
    const MACROS: &[&str] = &[
        "IMAGE_ATTR(",
        "ENTERED_ATTR(",
        "__ATTR(",
        "__ATTR_RO(",
        "__ATTR_RW(",
    ];
    source
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            MACROS
                .iter()
                .find_map(|name| Some(line.split_once(name)?.1))
        })
        .filter_map(|arguments| Some(arguments.split_once([',', ')'])?.0.to_owned()))
        // The parameter of a macro.
        .filter(|name| !name.starts_with('_'))
        .collect()
}

/// The sysfs files that a file of descriptions is about.
fn entries(text: &str) -> Result<Vec<String>> {
    const WHAT: &str = "What:";
    let mut found = Vec::new();
    for entry in text.split("\n\n") {
        let (files, fields): (Vec<&str>, Vec<&str>) =
            entry.lines().partition(|line| line.starts_with(WHAT));
        let paths: Vec<&str> = files
            .iter()
            .filter_map(|line| line.split_whitespace().nth(1))
            .collect();
        ensure!(paths.len() == files.len(), "What: without a path");
        // A paragraph of the description above.
        if files.is_empty() {
            continue;
        }
        let fields = fields.join("\n");
        let mut from = 0;
        for field in FIELDS {
            let at = fields[from..]
                .find(&format!("{field}:"))
                .with_context(|| format!("{} has no {field}:", paths.join(", ")))?;
            from += at;
        }
        found.extend(paths.into_iter().map(str::to_owned));
    }
    ensure!(!found.is_empty(), "no What:");
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::{attributes, entries, in_table};

    #[test]
    fn a_table_has_the_files_and_no_others() {
        let page =
            "Text.\n\n==  ==\nfile  contents\n==  ==\n``a``, ``b``  x\n``c_*``  ``y``\n==  ==\n";
        let check = |files: &[&str]| {
            let files: Vec<String> = files.iter().map(|&file| file.to_owned()).collect();
            in_table(page, &files)
        };
        assert!(check(&["a", "b", "c_loaded", "c_crash"]).is_ok());
        assert!(check(&["a", "b", "c_loaded", "c_crash", "d"]).is_err());
        assert!(check(&["a", "b", "c_loaded"]).is_err());
        assert!(check(&["a", "c_loaded", "c_crash"]).is_err());
    }

    #[test]
    fn a_description_needs_all_fields() {
        let whole = "What:\t/sys/a\nDate:\tx\nKernelVersion:\t7\nContact:\tx\nDescription:\tx\n";
        assert_eq!(entries(whole).unwrap(), ["/sys/a"]);
        let two = format!("What:\t/sys/b\n{whole}\n\t\tMore of it.\n\n{whole}");
        assert_eq!(entries(&two).unwrap(), ["/sys/b", "/sys/a", "/sys/a"]);
        assert!(entries(&whole.replace("Contact:", "")).is_err());
        assert!(entries("").is_err());
    }

    #[test]
    fn files_are_found_where_they_are_made() {
        let source = "#define IMAGE_ATTR(_name, _mode) {\n\t.attr = __ATTR(_name, _mode, s, NULL)\n\
                      \tIMAGE_ATTR(one, 0444),\n\t.attr = __ATTR(three, 0644, s, NULL),\n\
                      static struct kobj_attribute two_attr = __ATTR_RW(two);\n";
        assert_eq!(attributes(source), ["one", "three", "two"]);
    }
}
