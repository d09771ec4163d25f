// SPDX-License-Identifier: GPL-2.0-only

//! Runs independent jobs, several at a time.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::mpsc;
use std::{fs, thread};

use anyhow::Result;
use rayon::ThreadPoolBuilder;
use rayon::iter::{ParallelBridge, ParallelIterator};

/// Runs jobs, as many at a time as there are processors. Calls `ended` with the number and result
/// of each job that ends, and returns the results in the order of the jobs. No job starts after one
/// has failed.
pub fn in_parallel<J: Sync, R: Send>(
    jobs: &[J],
    work: impl Fn(&J) -> Result<R> + Sync,
    mut ended: impl FnMut(usize, &R),
) -> Result<Vec<R>> {
    let (sender, results) = mpsc::channel();
    let mut ordered = BTreeMap::new();
    thread::scope(|scope| -> Result<()> {
        let worker = scope.spawn(|| {
            // Starts the jobs in their order; an iterator that rayon can split would not.
            jobs.iter().enumerate().par_bridge().try_for_each_with(
                sender,
                |sender, (number, job)| {
                    let result = work(job)?;
                    // The receiver lives until all jobs have ended.
                    let _ = sender.send((number, result));
                    anyhow::Ok(())
                },
            )
        });
        for (number, result) in results {
            ended(number, &result);
            ordered.insert(number, result);
        }
        worker
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    Ok(ordered.into_values().collect())
}

/// How many jobs with a machine to run at a time.
fn at_a_time() -> usize {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available: Option<u64> = meminfo
        .lines()
        .find_map(|line| {
            line.strip_prefix("MemAvailable:")?
                .trim()
                .strip_suffix(" kB")
        })
        .and_then(|kilobytes| kilobytes.trim().parse().ok());
    let room = available.map_or(1, |kilobytes| (kilobytes << 10) / MACHINE);
    processors.min(usize::try_from(room).unwrap_or(processors).max(1))
}

/// Maximum memory that a machine in [`in_order`] is expected to take, in bytes.
const MACHINE: u64 = 8 << 30;

/// Runs jobs, as many at a time as there are processors and room for machines in memory. Hands each
/// job with its result to `each` in the order of the jobs, as soon as all earlier jobs have ended.
/// A failed job does not stop the others.
pub fn in_order<J: Sync, R: Send>(
    jobs: &[J],
    work: impl Fn(&J) -> R + Sync,
    mut each: impl FnMut(&J, R),
) {
    let (sender, results) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            let all = || {
                jobs.iter().enumerate().par_bridge().for_each_with(
                    sender,
                    |sender, (number, job)| {
                        let _ = sender.send((number, work(job)));
                    },
                );
            };
            match ThreadPoolBuilder::new().num_threads(at_a_time()).build() {
                Ok(pool) => pool.install(all),
                // Uses the default thread pool.
                Err(_) => all(),
            }
        });
        let mut early = BTreeMap::new();
        let mut next = jobs.iter().enumerate();
        let mut wanted = next.next();
        for (number, result) in results {
            early.insert(number, result);
            while let Some((number, job)) = wanted
                && let Some(result) = early.remove(&number)
            {
                each(job, result);
                wanted = next.next();
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
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

    #[test]
    fn results_are_handed_over_in_the_order_of_the_jobs() {
        let jobs: Vec<u64> = (0..20).collect();
        let mut seen = Vec::new();
        in_order(
            &jobs,
            |job| {
                thread::sleep(Duration::from_millis(20 - job));
                2 * job
            },
            |job, result| {
                assert_eq!(result, 2 * job);
                seen.push(*job);
            },
        );
        assert_eq!(seen, jobs);
    }
}
