// SPDX-License-Identifier: GPL-2.0-only

//! The decisions that a kernel can take about an image, as the tests expect to read them.

use anyhow::{Context, Result, ensure};

use crate::files;
use crate::layout::Layout;

/// The source with the decisions, in the overlay.
const SOURCE: &str = "rust/kernel/kexec/decision.rs";

/// The beginning of the enumeration there.
const ENUM: &str = "pub enum Decision {";

/// A decision, with the kernel's name for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arm {
    VerifiedCrash,
    VerifiedConfig,
    DirectConfig,
    DirectNoPolicy,
    DirectKho,
    DirectCma,
    VerifiedPolicy,
    DirectPolicy,
}

impl Arm {
    /// The text in the log and in sysfs. For a policy, it ends with the name of the policy's
    /// module.
    pub const fn text(self) -> &'static str {
        match self {
            Self::VerifiedCrash => "verified: crash image",
            Self::VerifiedConfig => "verified: KEXEC_PURGATORY_VERIFY=y",
            Self::DirectConfig => "direct: KEXEC_PURGATORY_VERIFY=n",
            Self::DirectNoPolicy => {
                "direct: KEXEC_PURGATORY_VERIFY=m and no policy module is loaded"
            }
            Self::DirectKho => "direct: kexec handover is on",
            Self::DirectCma => "direct: every segment is in CMA",
            Self::VerifiedPolicy => "verified: policy of kexec_purgatory_verify",
            Self::DirectPolicy => "direct: policy of rust_kexec_policy",
        }
    }

    pub fn is_verified(self) -> bool {
        self.outcome() == "verified"
    }

    /// The first word of the text: `verified` or `direct`.
    pub fn outcome(self) -> &'static str {
        self.text().split(':').next().unwrap_or_default()
    }
}

/// Fails unless every decision that the kernel can take is in `booted`.
pub fn all_booted(layout: &Layout, booted: &[Arm]) -> Result<()> {
    let text = files::read_text(&layout.overlay.join(SOURCE))?;
    let mut missing = variants(&text).with_context(|| format!("{SOURCE} has no '{ENUM}'"))?;
    missing.retain(|name| !booted.iter().any(|arm| format!("{arm:?}") == *name));
    ensure!(
        missing.is_empty(),
        "no kernel is booted that decides {missing:?}"
    );
    Ok(())
}

/// The names of the decisions in the kernel's source.
fn variants(source: &str) -> Option<Vec<&str>> {
    let (_, body) = source.split_once(ENUM)?;
    let (body, _) = body.split_once('}')?;
    let names: Vec<&str> = body
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('/') && !line.starts_with('#'))
        .filter_map(|line| line.split([' ', ',', '=', '(']).next())
        .filter(|name| !name.is_empty())
        .collect();
    (!names.is_empty()).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::variants;

    const SOURCE: &str = "
#[repr(u8)]
pub enum Decision {
    /// Verified: so it is.
    One = 1,
    Two,
}
enum Other { Three }
";

    #[test]
    fn the_variants_of_one_enumeration_are_read() {
        assert_eq!(variants(SOURCE).unwrap(), ["One", "Two"]);
        assert_eq!(variants("enum Other {}"), None);
    }
}
