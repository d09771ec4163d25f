// SPDX-License-Identifier: GPL-2.0-only

//! Configuration fragments, and the check that a configuration has what they ask for.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::files;
use crate::layout::Layout;

/// One symbol and the line that a configuration should have for it.
pub struct Setting {
    symbol: String,
    line: String,
    off: bool,
}

impl Setting {
    /// The symbol, which begins with CONFIG_.
    pub fn symbol(&self) -> &str {
        &self.symbol
    }

    /// Whether an option is on: built in, or a module.
    pub fn is_on(&self) -> bool {
        self.line.ends_with("=y") || self.line.ends_with("=m")
    }

    /// Whether it is about the same symbol.
    pub fn replaces(&self, other: &Setting) -> bool {
        self.symbol == other.symbol
    }
}

/// Reads fragments of the tool's `config` directory; a later setting of a symbol replaces an
/// earlier one.
pub fn read(layout: &Layout, fragments: &[&str]) -> Result<Vec<Setting>> {
    let mut settings: Vec<Setting> = Vec::new();
    for fragment in fragments {
        let path = layout.tool(&format!("config/{fragment}.config"));
        let text = files::read_text(&path)?;
        for line in text.lines().map(str::trim) {
            if let Some(setting) = parse(line) {
                settings.retain(|earlier| !setting.replaces(earlier));
                settings.push(setting);
            } else if !line.is_empty() && !line.starts_with('#') {
                bail!("{}: not a setting: {line}", path.display());
            }
        }
    }
    Ok(settings)
}

/// Parses settings, each written as in a configuration.
pub fn parse_all(lines: &[&str]) -> Result<Vec<Setting>> {
    lines
        .iter()
        .map(|line| parse(line).with_context(|| format!("not a setting: {line}")))
        .collect()
}

/// Parses a line of a configuration; None if it is no setting.
pub fn parse(line: &str) -> Option<Setting> {
    let off = line
        .strip_prefix("# ")
        .and_then(|rest| rest.strip_suffix(" is not set"));
    let on = line.split_once('=').map(|(symbol, _)| symbol);
    let symbol = off.or(on).filter(|name| name.starts_with("CONFIG_"))?;
    Some(Setting {
        symbol: symbol.to_owned(),
        line: line.to_owned(),
        off: off.is_some(),
    })
}

/// The settings in the form of a configuration.
pub fn text(settings: &[Setting]) -> String {
    settings
        .iter()
        .map(|setting| format!("{}\n", setting.line))
        .collect()
}

/// Adds settings at the end of a configuration, where they override earlier ones.
pub fn append(config: &Path, settings: &[Setting]) -> Result<()> {
    let mut file = OpenOptions::new().append(true).open(config)?;
    file.write_all(text(settings).as_bytes())?;
    Ok(())
}

/// The settings that a configuration lacks.
pub fn missing(settings: &[Setting], config: &str) -> Vec<String> {
    settings
        .iter()
        .filter(|setting| {
            let assigned = format!("{}=", setting.symbol);
            match setting.off {
                // A symbol that cannot be set is not written at all.
                true => config.lines().any(|line| line.starts_with(&assigned)),
                false => !config.lines().any(|line| line == setting.line),
            }
        })
        .map(|setting| setting.line.clone())
        .collect()
}

/// Fails unless the configuration in `file` has these settings.
pub fn check(settings: &[Setting], file: &Path) -> Result<()> {
    let missing = missing(settings, &files::read_text(file)?);
    ensure!(
        missing.is_empty(),
        "{} is not as asked:\n  {}",
        file.display(),
        missing.join("\n  ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{missing, parse};

    const CONFIG: &str = "CONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\n";

    fn lacks(line: &str) -> bool {
        !missing(&[parse(line).unwrap()], CONFIG).is_empty()
    }

    #[test]
    fn a_value_must_be_the_one_asked_for() {
        assert!(!lacks("CONFIG_A=y"));
        assert!(lacks("CONFIG_B=y"));
        assert!(lacks("CONFIG_D=y"));
    }

    #[test]
    fn off_is_the_same_as_absent() {
        assert!(!lacks("# CONFIG_C is not set"));
        assert!(!lacks("# CONFIG_D is not set"));
        assert!(lacks("# CONFIG_A is not set"));
    }
}
