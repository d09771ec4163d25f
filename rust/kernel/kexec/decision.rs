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

/// The decision about an image, and its reason.
///
/// It is taken once, when the image is loaded, and stays with the image.
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
    /// Direct: kexec handover is on, see [`handover_is_on`](super::handover_is_on).
    DirectKho = 5,
    /// Direct: every segment was loaded to its final place in CMA.
    DirectCma = 6,
    /// Verified: `KEXEC_PURGATORY_VERIFY=m`, and the policy of a module decided so.
    VerifiedPolicy = 7,
    /// Direct: `KEXEC_PURGATORY_VERIFY=m`, and the policy of a module decided so.
    DirectPolicy = 8,
}

impl Decision {
    const ALL: [Decision; 8] = [
        Decision::VerifiedCrash,
        Decision::VerifiedConfig,
        Decision::DirectConfig,
        Decision::DirectNoPolicy,
        Decision::DirectKho,
        Decision::DirectCma,
        Decision::VerifiedPolicy,
        Decision::DirectPolicy,
    ];

    /// The decision with this value, if there is one. 0 is no decision.
    pub fn from_raw(raw: u8) -> Option<Decision> {
        Self::ALL.into_iter().find(|d| *d as u8 == raw)
    }

    /// Whether the purgatory checks the image before the next kernel is entered.
    pub fn is_verified(self) -> bool {
        match self {
            Decision::VerifiedCrash | Decision::VerifiedConfig | Decision::VerifiedPolicy => true,
            Decision::DirectConfig
            | Decision::DirectNoPolicy
            | Decision::DirectKho
            | Decision::DirectCma
            | Decision::DirectPolicy => false,
        }
    }

    /// Whether the policy of a module decided.
    pub fn is_by_policy(self) -> bool {
        matches!(self, Decision::VerifiedPolicy | Decision::DirectPolicy)
    }

    /// The decision and its reason, as in the log and in sysfs. Both append the name of the module
    /// if one decided.
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
            Decision::VerifiedPolicy => c"verified: policy of",
            Decision::DirectPolicy => c"direct: policy of",
        }
    }
}

/// The reason not to verify a normal image unless a policy asks for it. The reasons are those of
/// mainline's `kexec_calculate_store_digests()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spared {
    /// Kexec handover is on, see [`Decision::DirectKho`].
    Handover,
    /// Every segment lies in CMA, see [`Decision::DirectCma`].
    Cma,
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
    /// The state that the kernel was configured with.
    pub state: State,
}

impl Circumstances {
    /// The reason not to verify the image unless a policy asks for it, if there is one.
    pub fn spared(self) -> Option<Spared> {
        match self {
            Circumstances { crash: true, .. } => None,
            Circumstances { kho: true, .. } => Some(Spared::Handover),
            Circumstances { all_cma: true, .. } => Some(Spared::Cma),
            _ => None,
        }
    }
}

/// Decides whether an image is verified.
///
/// A crash image always is. For a normal image with [`State::Module`], `ask` is called: it returns
/// the answer of the registered policy, or `None` if there is none. A [spared](Spared) image is
/// verified only if the policy says so, whatever the state is.
pub fn decide(c: Circumstances, ask: impl FnOnce() -> Option<bool>) -> Decision {
    if c.crash {
        return Decision::VerifiedCrash;
    }

    let said = match c.state {
        State::Module => ask(),
        State::Yes | State::No => None,
    };

    match (said, c.spared(), c.state) {
        (Some(true), _, _) => Decision::VerifiedPolicy,
        (_, Some(Spared::Handover), _) => Decision::DirectKho,
        (_, Some(Spared::Cma), _) => Decision::DirectCma,
        (Some(false), None, _) => Decision::DirectPolicy,
        (None, None, State::Yes) => Decision::VerifiedConfig,
        (None, None, State::Module) => Decision::DirectNoPolicy,
        (None, None, State::No) => Decision::DirectConfig,
    }
}

#[cfg(CONFIG_KEXEC_PURGATORY_KUNIT_TEST)]
#[macros::kunit_tests(rust_kexec_decision)]
mod tests {
    use super::*;

    const STATES: [State; 3] = [State::Yes, State::Module, State::No];
    const POLICIES: [Option<bool>; 3] = [None, Some(false), Some(true)];

    /// Calls `f` with every combination of what a decision depends on, and with that decision and
    /// whether the policy was asked.
    fn for_each(mut f: impl FnMut(Circumstances, Option<bool>, Decision, bool)) {
        for state in STATES {
            for policy in POLICIES {
                for bits in 0..8 {
                    let c = Circumstances {
                        crash: bits & 1 != 0,
                        kho: bits & 2 != 0,
                        all_cma: bits & 4 != 0,
                        state,
                    };
                    let mut asked = false;
                    let decision = decide(c, || {
                        asked = true;
                        policy
                    });

                    f(c, policy, decision, asked);
                }
            }
        }
    }

    #[test]
    fn crash_images_are_always_verified() {
        for_each(|c, _, decision, asked| {
            if c.crash {
                assert_eq!(decision, Decision::VerifiedCrash);
                assert!(decision.is_verified());
                assert!(!asked);
            }
        });
    }

    #[test]
    fn handover_and_cma_spare_what_no_policy_wants_verified() {
        for_each(|c, policy, decision, _| {
            let wanted = c.state == State::Module && policy == Some(true);

            if !c.crash && !wanted && (c.kho || c.all_cma) {
                let expected = if c.kho {
                    Decision::DirectKho
                } else {
                    Decision::DirectCma
                };

                assert_eq!(decision, expected);
                assert!(!decision.is_verified());
            }
        });
    }

    #[test]
    fn state_and_policy_decide_about_other_images() {
        for_each(|c, policy, decision, _| {
            if !c.crash && !c.kho && !c.all_cma {
                let (expected, verified) = match (c.state, policy) {
                    (State::Yes, _) => (Decision::VerifiedConfig, true),
                    (State::No, _) => (Decision::DirectConfig, false),
                    (State::Module, None) => (Decision::DirectNoPolicy, false),
                    (State::Module, Some(true)) => (Decision::VerifiedPolicy, true),
                    (State::Module, Some(false)) => (Decision::DirectPolicy, false),
                };

                assert_eq!(decision, expected);
                assert_eq!(decision.is_verified(), verified);
            }
        });
    }

    #[test]
    fn a_policy_is_asked_about_every_normal_image() {
        for_each(|c, policy, decision, asked| {
            let module = c.state == State::Module && !c.crash;
            let wanted = module && policy == Some(true);
            let by_policy = decision == Decision::VerifiedPolicy;

            assert_eq!(asked, module);
            assert_eq!(by_policy, wanted);
            assert!(module || !decision.is_by_policy());
        });
    }

    #[test]
    fn a_policy_is_told_why_an_image_is_spared() {
        for_each(|c, _, _, _| {
            let expected = match (c.crash, c.kho, c.all_cma) {
                (false, true, _) => Some(Spared::Handover),
                (false, false, true) => Some(Spared::Cma),
                _ => None,
            };

            assert_eq!(c.spared(), expected);
        });
    }

    #[test]
    fn a_decision_says_what_it_is() {
        for decision in Decision::ALL {
            let text = decision.as_c_str().to_bytes();

            assert_eq!(text.starts_with(b"verified: "), decision.is_verified());
            assert_eq!(text.starts_with(b"direct: "), !decision.is_verified());
            assert_eq!(Decision::from_raw(decision as u8), Some(decision));
        }
        for raw in [0, Decision::ALL.len() as u8 + 1, u8::MAX] {
            assert_eq!(Decision::from_raw(raw), None);
        }
    }
}
