// SPDX-License-Identifier: GPL-2.0-only

//! Whether an image is verified.

use crate::str::CStr;

/// `CONFIG_KEXEC_PURGATORY_VERIFY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Normal images are verified.
    Yes,
    /// A module decides about normal images.
    Module,
    /// Normal images are not verified.
    No,
}

/// The state that this kernel was configured with.
pub const fn current_state() -> State {
    if cfg!(CONFIG_KEXEC_PURGATORY_VERIFY = "y") {
        State::Yes
    } else if cfg!(CONFIG_KEXEC_PURGATORY_VERIFY = "m") {
        State::Module
    } else {
        State::No
    }
}

/// What was decided about an image, and why.
///
/// Taken once, when the image is loaded; it stays with the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Decision {
    /// Verified: it is a crash image.
    VerifiedCrash = 1,
    /// Verified: `KEXEC_PURGATORY_VERIFY=y`.
    VerifiedConfig = 2,
    /// Direct: `KEXEC_PURGATORY_VERIFY=n`.
    DirectConfig = 3,
    /// Direct: `KEXEC_PURGATORY_VERIFY=m`, and no module has registered a policy.
    DirectNoPolicy = 4,
    /// Direct: KHO is on, so that the destinations lie in KHO scratch memory, which no device of
    /// this kernel writes to.
    DirectKho = 5,
    /// Direct: every segment was loaded to its final place in CMA.
    DirectCma = 6,
}

impl Decision {
    const ALL: [Decision; 6] = [
        Decision::VerifiedCrash,
        Decision::VerifiedConfig,
        Decision::DirectConfig,
        Decision::DirectNoPolicy,
        Decision::DirectKho,
        Decision::DirectCma,
    ];

    /// The decision with this value, if there is one. 0 is none.
    pub fn from_raw(raw: u8) -> Option<Decision> {
        Self::ALL.into_iter().find(|d| *d as u8 == raw)
    }

    /// Whether the purgatory checks the image before the next kernel is entered.
    pub fn is_verified(self) -> bool {
        matches!(self, Decision::VerifiedCrash | Decision::VerifiedConfig)
    }

    /// The decision and its reason, as in the log and in sysfs.
    pub fn as_c_str(self) -> &'static CStr {
        match self {
            Decision::VerifiedCrash => c"verified: crash image",
            Decision::VerifiedConfig => c"verified: KEXEC_PURGATORY_VERIFY=y",
            Decision::DirectConfig => c"direct: KEXEC_PURGATORY_VERIFY=n",
            Decision::DirectNoPolicy => {
                c"direct: KEXEC_PURGATORY_VERIFY=m and no policy module is loaded"
            }
            Decision::DirectKho => c"direct: kexec handover is on",
            Decision::DirectCma => c"direct: every segment is in CMA",
        }
    }
}

/// What a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// The image was loaded with `KEXEC_FILE_ON_CRASH`.
    pub crash: bool,
    /// Kexec handover is on.
    pub kho: bool,
    /// Every segment lies in CMA.
    pub all_cma: bool,
    /// How the kernel was configured.
    pub state: State,
}

/// Decides whether an image is verified.
///
/// A crash image always is. A normal image is not where mainline's
/// `kexec_calculate_store_digests()` skips its checksum, whatever `state` is.
pub fn decide(c: Circumstances) -> Decision {
    if c.crash {
        return Decision::VerifiedCrash;
    }
    if c.kho {
        return Decision::DirectKho;
    }
    if c.all_cma {
        return Decision::DirectCma;
    }
    match c.state {
        State::Yes => Decision::VerifiedConfig,
        State::Module => Decision::DirectNoPolicy,
        State::No => Decision::DirectConfig,
    }
}

#[cfg(CONFIG_KEXEC_PURGATORY_KUNIT_TEST)]
#[macros::kunit_tests(rust_kexec_decision)]
mod tests {
    use super::*;

    const STATES: [State; 3] = [State::Yes, State::Module, State::No];
    const BOOLS: [bool; 2] = [false, true];

    #[test]
    fn crash_images_are_always_verified() {
        for state in STATES {
            for kho in BOOLS {
                for all_cma in BOOLS {
                    let decision = decide(Circumstances {
                        crash: true,
                        kho,
                        all_cma,
                        state,
                    });

                    assert_eq!(decision, Decision::VerifiedCrash);
                    assert!(decision.is_verified());
                }
            }
        }
    }

    #[test]
    fn handover_and_cma_come_before_the_configuration() {
        for state in STATES {
            for all_cma in BOOLS {
                let decision = decide(Circumstances {
                    crash: false,
                    kho: true,
                    all_cma,
                    state,
                });
                assert_eq!(decision, Decision::DirectKho);
            }

            let decision = decide(Circumstances {
                crash: false,
                kho: false,
                all_cma: true,
                state,
            });
            assert_eq!(decision, Decision::DirectCma);
        }
    }

    #[test]
    fn the_configuration_decides_about_normal_images() {
        let normal = |state| {
            decide(Circumstances {
                crash: false,
                kho: false,
                all_cma: false,
                state,
            })
        };

        assert_eq!(normal(State::Yes), Decision::VerifiedConfig);
        assert!(normal(State::Yes).is_verified());
        assert_eq!(normal(State::Module), Decision::DirectNoPolicy);
        assert!(!normal(State::Module).is_verified());
        assert_eq!(normal(State::No), Decision::DirectConfig);
        assert!(!normal(State::No).is_verified());
    }

    #[test]
    fn a_decision_says_what_it_is() {
        for decision in Decision::ALL {
            let text = decision.as_c_str().to_bytes();

            assert_eq!(text.starts_with(b"verified: "), decision.is_verified());
            assert_eq!(text.starts_with(b"direct: "), !decision.is_verified());
            assert_eq!(Decision::from_raw(decision as u8), Some(decision));
        }
        assert_eq!(Decision::from_raw(0), None);
    }
}
