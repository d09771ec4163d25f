// SPDX-License-Identifier: GPL-2.0-only

//! Tests the samples for user space: a script that prints metrics, and units of systemd.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Result, ensure};
use tempfile::TempDir;

use super::Report;
use crate::command::{command, silent};
use crate::layout::Layout;

/// Their directory in the overlay.
pub const FOLDER: &str = "samples/kexec";
const SCRIPT: &str = "kexec-metrics.sh";

const METRICS: &str = "samples/kexec-metrics";
const UNITS: &str = "samples/units";

/// The files in /sys/kernel/kexec of a kernel that was entered directly. It has a normal image,
/// with quotes in its decision, and no crash image.
const FILES: &[(&str, &str)] = &[
    ("verify_policy", "policy: kexec_purgatory_verify"),
    ("verify_loaded", "verified: policy of \"a\\b\""),
    ("verify_loaded_engine", "shani-x4"),
    ("verify_loaded_regions", "3"),
    ("verify_loaded_bytes", "46002176"),
    ("check_loaded", "damaged: kernel, initramfs"),
    ("check_loaded_time", "1795795200"),
    ("verify_crash", "none"),
    ("verify_crash_engine", "none"),
    ("verify_crash_regions", "0"),
    ("verify_crash_bytes", "0"),
    ("check_crash", "none"),
    ("check_crash_time", "0"),
    ("entered_by", "7.3.4"),
    ("entered_decision", "direct: KEXEC_PURGATORY_VERIFY=n"),
    ("entered_engine", "none"),
    ("entered_mismatch", "none"),
    ("entered_copy_ns", "5012345"),
    ("entered_verify_ns", "-1"),
    ("entered_handoff_ns", "-1"),
    ("entered_total_ns", "1128300000"),
];

/// The values that must be printed for these files.
const VALUES: &str = r#"kexec_image_loaded{image="normal"} 1
kexec_image_loaded{image="crash"} 0
kexec_image_verified{image="normal"} 1
kexec_image_verified{image="crash"} 0
kexec_image_verified_regions{image="normal"} 3
kexec_image_verified_regions{image="crash"} 0
kexec_image_verified_bytes{image="normal"} 46002176
kexec_image_verified_bytes{image="crash"} 0
kexec_image_damaged{image="normal"} 1
kexec_image_damaged{image="crash"} 0
kexec_image_check_timestamp_seconds{image="normal"} 1795795200
kexec_image_check_timestamp_seconds{image="crash"} 0
kexec_image_info{image="normal",decision="verified: policy of \"a\\b\"",engine="shani-x4",check="damaged: kernel, initramfs"} 1
kexec_image_info{image="crash",decision="none",engine="none",check="none"} 1
kexec_verify_policy_info{policy="policy: kexec_purgatory_verify"} 1
kexec_entered_seconds{part="copy"} 0.005012345
kexec_entered_seconds{part="total"} 1.128300000
kexec_entered_info{by="7.3.4",decision="direct: KEXEC_PURGATORY_VERIFY=n",engine="none",mismatch="none"} 1
"#;

pub fn names() -> Vec<String> {
    [METRICS, UNITS].map(str::to_owned).to_vec()
}

pub fn run(layout: &Layout, report: &mut Report) -> Result<()> {
    let folder = layout.overlay.join(FOLDER);
    report.test(METRICS, || metrics(&folder.join(SCRIPT)));
    report.test(UNITS, || units(&folder));
    Ok(())
}

/// Runs the script on files in a temporary directory.
fn metrics(script: &Path) -> Result<()> {
    let sysfs = sysfs()?;
    let run = |arguments: &[&Path]| -> Result<Output> {
        Ok(Command::new(script)
            .env("KEXEC_SYSFS", sysfs.path())
            .args(arguments)
            .output()?)
    };

    let printed = succeeded(run(&[])?)?;
    check_text(&printed)?;

    let folder = tempfile::tempdir()?;
    let file = folder.path().join("kexec.prom");
    fs::write(&file, "what was there before")?;
    ensure!(
        succeeded(run(&[&file])?)?.is_empty(),
        "something is printed"
    );
    ensure!(
        fs::read_to_string(&file)? == printed,
        "the file has something else"
    );
    ensure!(
        fs::read_dir(folder.path())?.count() == 1,
        "another file is left"
    );

    ensure!(
        succeeded(run(&["--help".as_ref()])?)?.starts_with("Usage: "),
        "--help has no usage"
    );
    ensure!(
        run(&["--no-option".as_ref()])?.status.code() == Some(2),
        "a bad option is taken"
    );
    ensure!(
        run(&["/dev/null".as_ref()])?.status.code() == Some(2) && !Path::new("/dev/null").is_file(),
        "a device is replaced"
    );
    fs::remove_file(sysfs.path().join("entered_by"))?;
    ensure!(
        !succeeded(run(&[])?)?.contains("kexec_entered"),
        "a kernel that was entered by none tells of it"
    );
    fs::remove_file(sysfs.path().join("verify_loaded"))?;
    ensure!(
        run(&[])?.status.code() == Some(1),
        "a kernel without the files is taken"
    );
    ensure!(
        run(&[&file])?.status.code() == Some(1) && !file.exists(),
        "what another kernel had stays"
    );
    Ok(())
}

/// A directory with the [`FILES`].
fn sysfs() -> Result<TempDir> {
    let sysfs = tempfile::tempdir()?;
    for (name, line) in FILES {
        fs::write(sysfs.path().join(name), format!("{line}\n"))?;
    }
    Ok(sysfs)
}

/// What the script prints for a damaged normal image.
pub fn printed_metrics(layout: &Layout) -> Result<String> {
    let sysfs = sysfs()?;
    succeeded(
        Command::new(layout.overlay.join(FOLDER).join(SCRIPT))
            .env("KEXEC_SYSFS", sysfs.path())
            .output()?,
    )
}

fn succeeded(output: Output) -> Result<String> {
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success() && errors.is_empty(),
        "{}: {errors}",
        output.status
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// Checks that the values are these, and that each metric has its type and its help before it.
fn check_text(text: &str) -> Result<()> {
    let (comments, values): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.starts_with('#'));
    let wanted: Vec<&str> = VALUES.lines().collect();
    ensure!(values == wanted, "{values:#?}\nin place of {wanted:#?}");

    let mut described = Vec::new();
    for pair in comments.chunks(2) {
        let [help, kind] = pair else {
            anyhow::bail!("a metric without a type: {pair:?}");
        };
        let name = kind
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.strip_suffix(" gauge"));
        let Some(name) = name.filter(|name| help.starts_with(&format!("# HELP {name} "))) else {
            anyhow::bail!("{help:?} and {kind:?} do not describe a metric");
        };
        described.push(name);
    }
    let mut named: Vec<&str> = values
        .iter()
        .filter_map(|line| Some(line.split_once('{')?.0))
        .collect();
    named.dedup();
    ensure!(
        named == described,
        "described are {described:?}, printed {named:?}"
    );
    Ok(())
}

/// Makes systemd verify the units.
fn units(folder: &Path) -> Result<()> {
    let mut verify = command("systemd-analyze");
    verify.arg("verify");
    for unit in ["kexec-check-crash.service", "kexec-check-crash.timer"] {
        verify.arg(folder.join(unit));
    }
    silent(&mut verify)
}
