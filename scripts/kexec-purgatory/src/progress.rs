// SPDX-License-Identifier: GPL-2.0-only

//! Shows that long steps are alive.

use std::io::{IsTerminal, stderr};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Without a terminal, how often a long step prints a line.
const PLAIN_INTERVAL: Duration = Duration::from_secs(30);

/// The steps that are shown, one below the other.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Prints a line on standard output, even while steps are shown.
pub fn print(line: &str) {
    BARS.suspend(|| println!("{line}"));
}

/// One step, shown on standard error from its start to its end.
pub struct Step {
    label: String,
    started: Instant,
    printed: Instant,
    lines: u64,
    spinner: Option<ProgressBar>,
}

impl Step {
    /// Starts a step.
    pub fn start(label: impl Into<String>) -> Self {
        let label = label.into();
        let spinner = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {prefix} [{elapsed}] {wide_msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = BARS.add(
                ProgressBar::new_spinner()
                    .with_style(style)
                    .with_prefix(label.clone()),
            );
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if spinner.is_none() {
            eprintln!("{label} ...");
        }
        Self {
            label,
            started: Instant::now(),
            printed: Instant::now(),
            lines: 0,
            spinner,
        }
    }

    /// Shows the last line that the step's program printed.
    pub fn line(&mut self, line: &str) {
        self.lines += 1;
        let message = format!("{}: {}", self.lines, line.trim());
        match &self.spinner {
            Some(bar) => bar.set_message(message),
            None if self.printed.elapsed() >= PLAIN_INTERVAL => {
                eprintln!("{} [{} s] {message}", self.label, self.seconds());
                self.printed = Instant::now();
            }
            None => {}
        }
    }

    /// Ends a step that succeeded.
    pub fn done(self) {
        let line = format!("{}: {} s", self.label, self.seconds());
        drop(self);
        BARS.suspend(|| eprintln!("{line}"));
    }

    fn seconds(&self) -> u64 {
        self.started.elapsed().as_secs()
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(bar) = &self.spinner {
            bar.finish_and_clear();
        }
    }
}
