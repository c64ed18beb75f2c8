//! A thread of its own for reads that may hang: while the server of a network file system is gone, a system call on
//! it does not return, and neither would the metrics thread.

use super::terms::Absent;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How long a sample waits for a worker that answered the time before. A local disk answers within microseconds, a
/// disk that has to spin up within seconds; later samples do not wait at all.
const WAIT: Duration = Duration::from_millis(100);
/// A value is kept for this many samples without an answer: from the third on it is absent.
const KEPT_SAMPLES: u32 = 2;
/// Threads in a process that may hang at once. Each reload starts new ones, while the old ones may never return.
const MOST_THREADS: usize = 8;

/// Permission to start worker threads, shared by all workers of the process. A thread holds a clone until it ends.
#[derive(Debug, Clone, Default)]
pub struct Budget(Arc<()>);

/// Reads values on a thread of its own, one after each call of [`Worker::read`]. The thread ends with the worker, or
/// as soon as its last read returns.
#[derive(Debug)]
pub struct Worker<T> {
    path: PathBuf,
    /// Absent if no thread could be started.
    thread: Option<Thread<T>>,
    /// The request that has no answer yet.
    pending: Option<Pending>,
    value: Option<Result<T, String>>,
}

#[derive(Debug)]
struct Thread<T> {
    requests: Sender<()>,
    answers: Receiver<Result<T, Absent>>,
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    since: Instant,
    samples: u32,
}

impl<T: Clone + Send + 'static> Worker<T> {
    /// `path` is what `read` may hang at, for messages.
    pub fn start(
        budget: &Budget,
        path: &Path,
        read: impl FnMut() -> Result<T, Absent> + Send + 'static,
    ) -> Worker<T> {
        Worker { path: path.to_owned(), thread: start_thread(budget, path, read), pending: None, value: None }
    }

    /// The value as it is now, or that of an earlier sample while the thread has not answered for less than three.
    ///
    /// # Errors
    /// What `read` said, or that it has not returned for three samples.
    pub fn read(&mut self, now: Instant) -> Result<T, Absent> {
        let Some(thread) = &self.thread else {
            return Err(Absent::because(format!("no thread to read {} with", self.path.display())));
        };
        let wait = if self.pending.is_some() { Duration::ZERO } else { WAIT };
        let pending = match self.pending {
            Some(pending) => pending,
            None => match thread.requests.try_send(()) {
                Ok(()) => Pending { since: now, samples: 0 },
                Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {
                    return Err(Absent::because(format!(
                        "the thread that reads {} has ended",
                        self.path.display()
                    )));
                }
            },
        };
        match thread.answers.recv_timeout(wait) {
            Ok(answer) => {
                self.pending = None;
                self.value = Some(answer.map_err(|absent| absent.to_string()));
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                self.pending = Some(Pending { samples: pending.samples + 1, ..pending });
            }
        }
        self.current(now)
    }

    fn current(&self, now: Instant) -> Result<T, Absent> {
        if self.is_unresponsive() {
            let since = self.pending.map_or(now, |pending| pending.since);
            let seconds = now.saturating_duration_since(since).as_secs();
            let path = self.path.display();
            return Err(Absent::because(format!(
                "{path} has not answered for {seconds} s (is its server gone?)"
            )));
        }
        match &self.value {
            Some(Ok(value)) => Ok(value.clone()),
            Some(Err(reason)) => Err(Absent::because(reason.clone())),
            None => Err(Absent::because(format!("{} has not answered yet", self.path.display()))),
        }
    }

    /// The path, if it has not answered for three samples.
    pub fn unresponsive(&self) -> Option<&Path> {
        self.is_unresponsive().then_some(&self.path)
    }

    fn is_unresponsive(&self) -> bool {
        self.pending.is_some_and(|pending| pending.samples > KEPT_SAMPLES)
    }
}

fn start_thread<T: Send + 'static>(
    budget: &Budget,
    path: &Path,
    mut read: impl FnMut() -> Result<T, Absent> + Send + 'static,
) -> Option<Thread<T>> {
    // One of the counted is the budget itself.
    if Arc::strong_count(&budget.0) > MOST_THREADS {
        log::warn!("{}: {MOST_THREADS} threads already hang at file systems; not read", path.display());
        return None;
    }
    let held = budget.clone();
    let (requests, orders) = bounded(1);
    let (replies, answers) = bounded(1);
    let work = move || {
        for () in orders {
            if replies.send(read()).is_err() {
                break;
            }
        }
        drop(held);
    };
    match thread::Builder::new().name("file-system".into()).spawn(work) {
        Ok(_) => Some(Thread { requests, answers }),
        Err(error) => {
            log::warn!("cannot start a thread to read {}: {error}", path.display());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A worker whose reads return what the test sends, and hang until then.
    fn worker(budget: &Budget) -> (Worker<u32>, Sender<u32>) {
        let (values, incoming) = bounded(8);
        let read = move || incoming.recv().map_err(|_| Absent::because("the test has ended"));
        (Worker::start(budget, Path::new("/mnt/nas"), read), values)
    }

    /// Reads until the thread's answer has arrived, for the thread may need longer than one sample.
    fn until(worker: &mut Worker<u32>, now: Instant, expected: u32) {
        while !matches!(worker.read(now), Ok(value) if value == expected) {
            thread::yield_now();
        }
    }

    #[test]
    fn a_value_is_kept_for_two_samples_without_an_answer_and_absent_from_the_third_on() {
        let (mut worker, values) = worker(&Budget::default());
        let begin = Instant::now();
        values.send(7).expect("a thread");
        until(&mut worker, begin, 7);
        for _ in 0..KEPT_SAMPLES {
            assert_eq!(worker.read(begin).expect("kept"), 7);
            assert_eq!(worker.unresponsive(), None);
        }
        let reason = worker.read(begin + Duration::from_secs(15)).expect_err("three samples").to_string();
        assert!(reason.starts_with("/mnt/nas has not answered for 15 s"), "{reason}");
        assert_eq!(worker.unresponsive(), Some(Path::new("/mnt/nas")));
        values.send(8).expect("a thread");
        values.send(8).expect("a thread");
        until(&mut worker, begin, 8);
        assert_eq!(worker.unresponsive(), None, "it answers again");
    }

    #[test]
    fn hanging_threads_are_bounded() {
        let budget = Budget::default();
        let workers: Vec<_> = (0..3 * MOST_THREADS).map(|_| worker(&budget)).collect();
        let running = workers.iter().filter(|(worker, _)| worker.thread.is_some()).count();
        assert_eq!(running, MOST_THREADS);
        drop(workers);
        while Arc::strong_count(&budget.0) > 1 {
            thread::yield_now();
        }
        assert!(worker(&budget).0.thread.is_some(), "the ended ones count no more");
    }
}
