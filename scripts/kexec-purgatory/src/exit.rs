// SPDX-License-Identifier: GPL-2.0-only

//! What the tool's exit status tells.

use std::fmt;
use std::process::ExitCode;

use anyhow::{Error, Result};

/// Why a command was not carried out, where that is not a failure of what it tries.
#[derive(Debug, PartialEq)]
pub enum Cause {
    /// It was asked for something that it cannot do; status 2, as for a bad option.
    Use(String),
    /// Something has to be installed first; status 3.
    Missing(String),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Use(text) | Self::Missing(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Cause {}

/// The status for what came of a command: whether all that it checked was as it should be, or why it
/// ended. It is 1 where something failed.
pub fn code(result: &Result<bool>) -> ExitCode {
    ExitCode::from(number(result))
}

fn number(result: &Result<bool>) -> u8 {
    match result {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(error) => match cause(error) {
            Some(Cause::Use(_)) => 2,
            Some(Cause::Missing(_)) => 3,
            None => 1,
        },
    }
}

fn cause(error: &Error) -> Option<&Cause> {
    error.chain().find_map(|error| error.downcast_ref())
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::{Cause, number};

    #[test]
    fn a_status_tells_why() {
        let text = || "text".to_owned();
        assert_eq!(number(&Ok(true)), 0);
        assert_eq!(number(&Ok(false)), 1);
        assert_eq!(number(&Err(anyhow!("text"))), 1);
        assert_eq!(number(&Err(Cause::Use(text()).into())), 2);
        assert_eq!(number(&Err(Cause::Missing(text()).into())), 3);
        let wrapped = Err::<bool, _>(Cause::Missing(text())).context("more");
        assert_eq!(number(&wrapped), 3);
    }
}
