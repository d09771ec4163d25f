// SPDX-License-Identifier: GPL-2.0-only

//! Jobs that do not depend on each other, several at a time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use anyhow::Result;

/// Does jobs, as many at a time as there are processors, and says which one ended with what; the
/// results are in the order of the jobs. None starts after one has failed.
pub fn in_parallel<J: Sync, R: Send>(
    jobs: &[J],
    work: impl Fn(&J) -> Result<R> + Sync,
    mut ended: impl FnMut(usize, &R),
) -> Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let (sender, results) = mpsc::channel();
    let mut ordered = BTreeMap::new();
    thread::scope(|scope| -> Result<()> {
        for _ in 0..thread::available_parallelism()?.get() {
            let (next, work, sender) = (&next, &work, sender.clone());
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(number) else {
                        break;
                    };
                    let result = work(job);
                    if result.is_err() {
                        next.store(jobs.len(), Ordering::Relaxed);
                    }
                    if sender.send((number, result)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for (number, result) in results {
            let result = result?;
            ended(number, &result);
            ordered.insert(number, result);
        }
        Ok(())
    })?;
    Ok(ordered.into_values().collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use anyhow::ensure;

    use super::*;

    #[test]
    fn results_are_in_the_order_of_the_jobs() {
        let jobs: Vec<u64> = (0..20).collect();
        let mut ended = 0;
        let work = |job: &u64| {
            thread::sleep(Duration::from_millis(20 - job));
            Ok(2 * job)
        };
        let results = in_parallel(&jobs, work, |number, result| {
            assert_eq!(*result, 2 * jobs[number]);
            ended += 1;
        });
        assert!(results.unwrap().into_iter().eq((0..20).map(|job| 2 * job)));
        assert_eq!(ended, 20);
    }

    #[test]
    fn none_starts_after_one_has_failed() {
        let jobs: Vec<usize> = (0..1000).collect();
        let started = AtomicUsize::new(0);
        let work = |job: &usize| {
            started.fetch_add(1, Ordering::Relaxed);
            ensure!(*job > 0, "job {job}");
            thread::sleep(Duration::from_millis(1));
            Ok(())
        };
        let error = in_parallel(&jobs, work, |_, ()| {}).unwrap_err();
        assert_eq!(error.to_string(), "job 0");
        assert!(started.into_inner() < jobs.len());
    }
}
