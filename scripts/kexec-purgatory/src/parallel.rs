// SPDX-License-Identifier: GPL-2.0-only

//! Runs independent jobs, several at a time.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::num::NonZero;
use std::sync::mpsc;
use std::{fs, thread};

use anyhow::Result;
use rayon::iter::{ParallelBridge, ParallelIterator};
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Runs jobs, as many at a time as there are processors. Calls `ended` with the number and result
/// of each job that ends, and returns the results in the order of the jobs. No job starts after one
/// has failed.
pub fn in_parallel<J: Sync, R: Send>(
    jobs: &[J],
    work: impl Fn(&J) -> Result<R> + Sync,
    ended: impl FnMut(usize, &R),
) -> Result<Vec<R>> {
    in_parallel_in(None, jobs, work, ended)
}

/// [`in_parallel`] in a thread pool, or in the default one.
fn in_parallel_in<J: Sync, R: Send>(
    pool: Option<&ThreadPool>,
    jobs: &[J],
    work: impl Fn(&J) -> Result<R> + Sync,
    mut ended: impl FnMut(usize, &R),
) -> Result<Vec<R>> {
    let mut ordered = BTreeMap::new();
    run(pool, jobs, work, |number, result| {
        ended(number, &result);
        ordered.insert(number, result);
    })?;
    Ok(ordered.into_values().collect())
}

/// Runs jobs in a thread pool, or in the default one. Calls `ended` with the number and result of
/// each job that ends. No job starts after one has failed.
fn run<J: Sync, R: Send, E: Send>(
    pool: Option<&ThreadPool>,
    jobs: &[J],
    work: impl Fn(&J) -> Result<R, E> + Sync,
    mut ended: impl FnMut(usize, R),
) -> Result<(), E> {
    let (sender, results) = mpsc::channel();
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            // Starts the jobs in their order; an iterator that rayon can split would not.
            let all = || {
                jobs.iter().enumerate().par_bridge().try_for_each_with(
                    sender,
                    |sender, (number, job)| {
                        let result = work(job)?;
                        // The receiver lives until all jobs have ended.
                        let _ = sender.send((number, result));
                        Ok(())
                    },
                )
            };
            match pool {
                Some(pool) => pool.install(all),
                None => all(),
            }
        });
        for (number, result) in results {
            ended(number, result);
        }
        worker
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
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
    each: impl FnMut(&J, R),
) {
    let pool = ThreadPoolBuilder::new().num_threads(at_a_time()).build();
    in_order_in(pool.ok().as_ref(), jobs, work, each);
}

/// [`in_order`] in a thread pool, or in the default one.
fn in_order_in<J: Sync, R: Send>(
    pool: Option<&ThreadPool>,
    jobs: &[J],
    work: impl Fn(&J) -> R + Sync,
    mut each: impl FnMut(&J, R),
) {
    let work = |job: &J| Ok::<_, Infallible>(work(job));
    let mut early = BTreeMap::new();
    let mut next = jobs.iter().enumerate();
    let mut wanted = next.next();
    let Ok(()) = run(pool, jobs, work, |number, result| {
        early.insert(number, result);
        while let Some((number, job)) = wanted
            && let Some(result) = early.remove(&number)
        {
            each(job, result);
            wanted = next.next();
        }
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use anyhow::ensure;

    use super::*;

    const JOBS: usize = 20;

    fn pool(threads: usize) -> ThreadPool {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build();
        pool.unwrap()
    }

    /// Work for jobs with these numbers: the first one ends only after the last one has started.
    /// Of two threads, the other one does all jobs in between.
    fn first_ends_late() -> impl Fn(&usize) -> usize + Sync {
        let (sender, receiver) = mpsc::channel();
        let receiver = Mutex::new(receiver);
        move |job: &usize| {
            if *job == 0 {
                receiver.lock().unwrap().recv().unwrap();
            } else if *job == JOBS - 1 {
                sender.send(()).unwrap();
            }
            2 * job
        }
    }

    #[test]
    fn results_are_in_the_order_of_the_jobs() {
        let jobs: Vec<usize> = (0..JOBS).collect();
        let work = first_ends_late();
        let mut ended = Vec::new();
        let results = in_parallel_in(
            Some(&pool(2)),
            &jobs,
            |job| Ok(work(job)),
            |number, result| {
                assert_eq!(*result, 2 * jobs[number]);
                ended.push(number);
            },
        );
        let doubled = jobs.iter().map(|job| 2 * job);
        assert!(results.unwrap().into_iter().eq(doubled));
        assert_eq!(ended[..JOBS - 2], jobs[1..JOBS - 1]);
        ended.sort_unstable();
        assert_eq!(ended, jobs);
    }

    #[test]
    fn none_starts_after_one_has_failed() {
        let jobs: Vec<usize> = (0..JOBS).collect();
        let started = AtomicUsize::new(0);
        let work = |job: &usize| {
            started.fetch_add(1, Ordering::Relaxed);
            ensure!(*job < 2, "job {job}");
            Ok(())
        };
        // With more threads, another job may start before the failure is seen.
        let error = in_parallel_in(Some(&pool(1)), &jobs, work, |_, ()| {}).unwrap_err();
        assert_eq!(error.to_string(), "job 2");
        assert_eq!(started.into_inner(), 3);
    }

    #[test]
    fn results_are_handed_over_in_the_order_of_the_jobs() {
        let jobs: Vec<usize> = (0..JOBS).collect();
        let mut seen = Vec::new();
        in_order_in(Some(&pool(2)), &jobs, first_ends_late(), |job, result| {
            assert_eq!(result, 2 * job);
            seen.push(*job);
        });
        assert_eq!(seen, jobs);
    }
}
