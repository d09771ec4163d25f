// SPDX-License-Identifier: GPL-2.0-only

//! The configuration of the packages: Debian's own, with the few settings of
//! `config/debian.config`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use super::packages::Profile;
use crate::command::logged;
use crate::fetch;
use crate::files;
use crate::kernel::config::{self, Setting};
use crate::layout::Layout;
use crate::progress::Step;

/// The names of the modules that the test guest needs, one per line.
const GUEST_MODULES: &str = "config/debian-guest.modules";

/// Makes the configuration. Checks that it has everything of Debian's except what was replaced, and
/// every replacement. Returns whether it differs from that of the last build.
pub fn configure(
    layout: &Layout,
    profile: Profile,
    objects: &Path,
    make: &dyn Fn() -> Result<Command>,
) -> Result<bool> {
    let mut step = Step::start(format!("configure packages, profile {}", profile.name()));
    let log = layout.log(&format!("config-debian-{}", profile.name()))?;
    let debian = fetch::distribution_config(layout)?;
    let ours = config::read(layout, profile.fragments())?;
    let modules = guest_modules(layout)?;
    let file = objects.join(".config");
    // What the configuration was last made from. If that is unchanged, the configuration is only
    // updated.
    let stamp = objects.join(".made-from");
    let before = fs::read_to_string(&file).unwrap_or_default();
    let mut made_from = format!("{debian}{}", config::text(&ours));
    if profile == Profile::Guest {
        made_from += &modules.join("\n");
    }

    if !file.is_file() || fs::read_to_string(&stamp).unwrap_or_default() != made_from {
        // If this is interrupted, the configuration is made again.
        files::remove(&stamp)?;
        fs::write(&file, &debian)?;
        config::append(&file, &ours)?;
        logged(make()?.arg("olddefconfig"), &log, &mut step)?;
        check_config(&debian, &ours, &fs::read_to_string(&file)?)?;
        if profile == Profile::Guest {
            let list = objects.join("guest.lsmod");
            // The form of lsmod's output, which localmodconfig reads.
            let mut lsmod = "Module Size Used by\n".to_owned();
            for name in &modules {
                lsmod += &format!("{name} 1 0\n");
            }
            fs::write(&list, lsmod)?;
            logged(
                make()?
                    .arg(format!("LSMOD={}", list.display()))
                    .arg("localmodconfig"),
                &log,
                &mut step,
            )?;
            // It knows only the modules of files named Makefile and Kbuild.
            config::append(&file, &ours)?;
        }
    }
    logged(make()?.arg("olddefconfig"), &log, &mut step)?;
    config::check(&ours, &file)?;
    fs::write(&stamp, made_from)?;
    step.done();
    Ok(fs::read_to_string(&file)? != before)
}

/// Fails if the configuration lacks an option that is on in Debian's, or one of the overlay's.
fn check_config(debian: &str, ours: &[Setting], config: &str) -> Result<()> {
    let debian: Vec<Setting> = debian
        .lines()
        .filter_map(config::parse)
        .filter(|setting| setting.is_on() && !ours.iter().any(|other| other.replaces(setting)))
        .collect();
    let mut missing = config::missing(&debian, config);
    missing.extend(config::missing(ours, config));
    ensure!(
        missing.is_empty(),
        "this kernel's configuration lacks what Debian's has:\n  {}",
        missing.join("\n  ")
    );
    Ok(())
}

/// The modules that the test guest needs.
fn guest_modules(layout: &Layout) -> Result<Vec<String>> {
    let text = files::read_text(&layout.tool(GUEST_MODULES))?;
    Ok(text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect())
}

/// Fails unless the modules that the test guest needs were built, or are part of the kernel.
pub fn check_modules(layout: &Layout, objects: &Path) -> Result<()> {
    let mut built = String::new();
    for list in ["modules.order", "modules.builtin"] {
        built += &fs::read_to_string(objects.join(list))?;
    }
    let built: Vec<String> = built
        .lines()
        .filter_map(|path| Path::new(path).file_stem()?.to_str())
        .map(|name| name.replace('-', "_"))
        .collect();
    let mut missing = guest_modules(layout)?;
    missing.retain(|name| !built.contains(name));
    ensure!(
        missing.is_empty(),
        "{GUEST_MODULES} names what was not built: {}",
        missing.join(", ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{check_config, config};

    const DEBIAN: &str = "CONFIG_A=y\nCONFIG_B=m\nCONFIG_C=\"text\"\n# CONFIG_D is not set\n";

    fn check(ours: &[&str], config: &str) -> Result<(), String> {
        check_config(DEBIAN, &config::parse_all(ours).unwrap(), config)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_debian_has_on_stays() {
        assert_eq!(check(&[], "CONFIG_A=y\nCONFIG_B=m\nCONFIG_D=y\n"), Ok(()));
        let error = check(&[], "CONFIG_A=y\n").unwrap_err();
        assert!(error.contains("CONFIG_B=m") && !error.contains("CONFIG_A"));
    }

    #[test]
    fn what_is_replaced_may_go_and_the_new_must_come() {
        let ours = ["# CONFIG_B is not set", "CONFIG_C=\"new\""];
        assert_eq!(check(&ours, "CONFIG_A=y\nCONFIG_C=\"new\"\n"), Ok(()));
        assert!(check(&ours, "CONFIG_A=y\nCONFIG_C=\"text\"\n").is_err());
    }
}
