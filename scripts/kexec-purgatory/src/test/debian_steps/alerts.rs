// SPDX-License-Identifier: GPL-2.0-only

//! Tests the sample's alerts with Prometheus' own tool.

use std::fmt::Display;
use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::DIRECT;
use crate::command::output;
use crate::layout::Layout;
use crate::root::Root;
use crate::test::samples::{FOLDER, printed_metrics};

const RULES: &str = "kexec-alerts.yml";

const ALERTS: [&str; 6] = [
    "KexecImageDamaged",
    "KexecCrashImageCheckFailed",
    "KexecCrashImageNotChecked",
    "KexecCrashImageMissing",
    "KexecImageNotVerified",
    "KexecPolicyMissing",
];

/// What node_exporter says of the unit after a check that found damage.
const FAILED_UNIT: &str =
    r#"node_systemd_unit_state{name="kexec-check-crash.service",state="failed"}"#;

const CRASH_LOADED: &str = r#"kexec_image_loaded{image="crash"}"#;
const CRASH_CHECKED: &str = r#"kexec_image_check_timestamp_seconds{image="crash"}"#;

/// How long each host runs.
const DAYS: u64 = 4;
/// A day in minutes.
const DAY: u64 = 24 * 60;

/// After how many minutes the alert fires on an image that was checked when the host started: the
/// check counts for six hours, and the alert waits for two days.
const NOT_CHECKED: u64 = 6 * 60 + 1 + 2 * DAY;

/// The host that all metrics are of.
const HOST: &str = "host:9100";

/// Checks that the metrics are in the form that Prometheus reads, and that the alerts fire on a
/// damaged image, on a failed or missing check, without a crash image, and where images are not
/// verified.
pub fn run(layout: &Layout) -> Result<()> {
    // Has promtool, which tests alerts.
    let root = Root::of_package(layout, "prometheus")?;
    let folder = tempfile::tempdir_in(&layout.build)?;
    let path = |name: &str| folder.path().join(name);
    let promtool = |arguments: &[&str], file: &Path| {
        let mut promtool = root.command(&[folder.path()], "promtool")?;
        output(promtool.args(arguments).arg(file)).map(drop)
    };

    let metrics = printed_metrics(layout)?;
    fs::write(path("metrics"), &metrics)?;
    let mut check = root.command(&[folder.path()], "promtool")?;
    check
        .args(["check", "metrics"])
        .stdin(File::open(path("metrics"))?);
    output(&mut check).context("promtool check metrics")?;

    let sample = layout.overlay.join(FOLDER).join(RULES);
    fs::copy(sample, path(RULES))?;
    promtool(&["check", "rules"], &path(RULES))?;

    fs::write(path("tests"), test_file(&metrics)?.to_string())?;
    promtool(&["test", "rules"], &path("tests"))
}

/// Hosts in the form of promtool's tests, of which JSON is a subset: the one with the metrics,
/// whose normal image is damaged, and others that differ from it or from one where all is well.
/// After four days, each has its alert and no other. A minute before its time, the alert does not
/// fire yet.
fn test_file(metrics: &str) -> Result<Value> {
    let mut metrics = series(metrics)?;
    metrics.retain(|one| one["series"] != with_host(CRASH_CHECKED));
    let with = |series: &[Value], values: &[(&str, &str)]| {
        let mut changed = series.to_vec();
        for (name, value) in values {
            let name = with_host(name);
            changed.retain(|one| one["series"] != name);
            changed.push(constant(&name, value));
        }
        changed
    };
    let damaged = with(
        &metrics,
        &[
            (CRASH_LOADED, "1"),
            (r#"kexec_image_verified{image="crash"}"#, "1"),
        ],
    );
    let mut well = with(
        &damaged,
        &[
            (r#"kexec_image_damaged{image="normal"}"#, "0"),
            (FAILED_UNIT, "0"),
        ],
    );
    // Loaded at the start, and checked after each day.
    let checked: Vec<String> = (0..=DAYS)
        .map(|day| format!("{}x{}", day * DAY * 60, DAY - 1))
        .collect();
    well.push(json!({"series": with_host(CRASH_CHECKED), "values": checked.join(" ")}));
    let no_policy: Vec<Value> = well
        .iter()
        .map(|one| match one["series"].as_str() {
            Some(name) if name.starts_with("kexec_verify_policy_info") => constant(
                &with_host(&format!("kexec_verify_policy_info{{policy=\"{DIRECT}\"}}")),
                1,
            ),
            _ => one.clone(),
        })
        .collect();

    // With the alert that is expected, and after how many minutes.
    let test = |series: &[Value], expected: Option<(&str, u64, Value)>| {
        let at = |minutes: u64, alert: &str, expected: &[&Value]| {
            json!({
                "eval_time": format!("{minutes}m"),
                "alertname": alert,
                "exp_alerts": expected,
            })
        };
        let mut alerts = Vec::new();
        for alert in ALERTS {
            match &expected {
                Some((name, minutes, expected)) if *name == alert => {
                    if let Some(before) = minutes.checked_sub(1) {
                        alerts.push(at(before, alert, &[]));
                    }
                    alerts.push(at(*minutes, alert, &[expected]));
                    alerts.push(at(DAYS * DAY, alert, &[expected]));
                }
                _ => alerts.push(at(DAYS * DAY, alert, &[])),
            }
        }
        json!({"interval": "1m", "input_series": series, "alert_rule_test": alerts})
    };
    let alert = |severity: &str, mut labels: Value, summary: String, description: &str| {
        labels["severity"] = severity.into();
        labels["instance"] = HOST.into();
        json!({
            "exp_labels": labels,
            "exp_annotations": {"summary": summary, "description": description},
        })
    };
    let on_damage = alert(
        "critical",
        json!({"image": "normal"}),
        format!("The normal kexec image of {HOST} is damaged"),
        "Load it again. Until then a crash leaves no dump, or a kexec stops.",
    );
    let on_unit = alert(
        "warning",
        json!({"name": "kexec-check-crash.service", "state": "failed"}),
        format!("The check of the crash image of {HOST} failed"),
        "The image was damaged or could not be checked; the journal of the unit says which.",
    );
    let not_checked = alert(
        "warning",
        json!({"image": "crash"}),
        format!("The crash image of {HOST} was not checked for two days"),
        "kexec-check-crash.timer does not run, or the metrics are old.",
    );
    let missing = alert(
        "warning",
        json!({"image": "crash"}),
        format!("{HOST} has no crash image"),
        "A crash leaves no dump. A mismatch stops the host, or resets it.",
    );
    let not_verified = |image: &str| {
        alert(
            "warning",
            json!({"image": image}),
            format!("The {image} kexec image of {HOST} is not verified"),
            "verify_loaded and verify_crash in /sys/kernel/kexec/ have the reason.",
        )
    };
    let would_not_verify = alert(
        "warning",
        json!({"policy": DIRECT}),
        format!("{HOST} would not verify a normal image"),
        DIRECT,
    );
    Ok(json!({
        "rule_files": [RULES],
        "evaluation_interval": "1m",
        "tests": [
            test(&well, None),
            test(&damaged, Some((ALERTS[0], 0, on_damage))),
            test(&with(&well, &[(FAILED_UNIT, "1")]), Some((ALERTS[1], 0, on_unit))),
            test(&with(&well, &[(CRASH_CHECKED, "0")]), Some((ALERTS[2], NOT_CHECKED, not_checked))),
            test(
                &with(
                    &well,
                    &[(CRASH_LOADED, "0"), (r#"kexec_image_verified{image="crash"}"#, "0")],
                ),
                Some((ALERTS[3], 30, missing)),
            ),
            test(
                &with(&well, &[(r#"kexec_image_verified{image="crash"}"#, "0")]),
                Some((ALERTS[4], 30, not_verified("crash"))),
            ),
            test(
                &with(&well, &[(r#"kexec_image_verified{image="normal"}"#, "0")]),
                Some((ALERTS[4], 30, not_verified("normal"))),
            ),
            test(&no_policy, Some((ALERTS[5], 10, would_not_verify))),
        ],
    }))
}

/// The metrics as series whose value stays the same.
fn series(metrics: &str) -> Result<Vec<Value>> {
    metrics
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').context("a metric without a value")?;
            Ok(constant(&with_host(name), value))
        })
        .collect()
}

/// The name of a series with the host as one of its labels.
fn with_host(name: &str) -> String {
    name.replacen('{', &format!("{{instance=\"{HOST}\","), 1)
}

/// A series whose value stays the same.
fn constant(series: &str, value: impl Display) -> Value {
    json!({"series": series, "values": format!("{value}x{}", DAYS * DAY)})
}
