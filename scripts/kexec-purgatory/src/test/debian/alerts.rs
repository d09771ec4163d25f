// SPDX-License-Identifier: GPL-2.0-only

//! Tests the sample's alerts with Prometheus' own tool.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::command::output;
use crate::layout::Layout;
use crate::root::Root;
use crate::test::samples::{FOLDER, printed_metrics};

const RULES: &str = "kexec-alerts.yml";

/// What node_exporter says of the unit after a check that found damage.
const FAILED_UNIT: &str =
    r#"node_systemd_unit_state{name="kexec-check-crash.service",state="failed"}"#;

/// The host that all metrics are of.
const HOST: &str = "host:9100";

/// Checks that the metrics are in the form that Prometheus reads, and that the alerts fire on a
/// damaged image and on a failed check, and on nothing else.
pub fn run(layout: &Layout) -> Result<()> {
    let root = Root::with_prometheus(layout)?;
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

/// Three hosts in the form of promtool's tests, of which JSON is a subset: one with the metrics of
/// a damaged image, one where all images are intact, and one whose check failed.
fn test_file(metrics: &str) -> Result<Value> {
    let damaged = series(metrics)?;
    let intact: Vec<Value> = damaged
        .iter()
        .map(|series| match series["series"].as_str() {
            Some(name) if name.starts_with("kexec_image_damaged") => constant(name, "0"),
            _ => series.clone(),
        })
        .chain([one_series(FAILED_UNIT, "0")])
        .collect();
    let failed = [one_series(FAILED_UNIT, "1")];

    let expect = |alert: &str, expected: Value| {
        json!({
            "eval_time": "5m",
            "alertname": alert,
            "exp_alerts": expected,
        })
    };
    let test = |series: &[Value], image: Value, unit: Value| {
        json!({
            "interval": "1m",
            "input_series": series,
            "alert_rule_test": [
                expect("KexecImageDamaged", image),
                expect("KexecCrashImageWasDamaged", unit),
            ],
        })
    };
    let on_image = json!([{
        "exp_labels": {"severity": "critical", "image": "normal", "instance": HOST},
        "exp_annotations": {
            "summary": format!("The normal kexec image of {HOST} is damaged"),
            "description": "Load it again. Until then a crash leaves no dump, or a kexec stops.",
        },
    }]);
    let on_unit = json!([{
        "exp_labels": {
            "severity": "warning",
            "name": "kexec-check-crash.service",
            "state": "failed",
            "instance": HOST,
        },
        "exp_annotations": {
            "summary": format!("The check of the crash image of {HOST} failed"),
            "description": "The image was damaged or could not be checked; \
                            the journal of the unit says which.",
        },
    }]);
    Ok(json!({
        "rule_files": [RULES],
        "tests": [
            test(&damaged, on_image, json!([])),
            test(&intact, json!([]), json!([])),
            test(&failed, json!([]), on_unit),
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
            Ok(one_series(name, value))
        })
        .collect()
}

/// A series of the host, whose name does not have the host yet.
fn one_series(name: &str, value: &str) -> Value {
    constant(
        &name.replacen('{', &format!("{{instance=\"{HOST}\","), 1),
        value,
    )
}

fn constant(series: &str, value: &str) -> Value {
    json!({"series": series, "values": format!("{value}x10")})
}
