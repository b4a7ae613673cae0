//! The thread that owns the documents, and its queue.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tower_lsp::jsonrpc::{Error, ErrorCode, Result};

use crate::state::State;
use crate::transport::log;

type Job = Box<dyn FnOnce(&mut State) + Send>;

/// The queue of the worker. Dropping the last one ends the thread.
#[derive(Clone)]
pub struct Queue(Arc<Shared>);

struct Shared {
    jobs: Mutex<Jobs>,
    wake: Condvar,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        // A panic while the lock is held cannot leave a queue half changed.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When nothing has come in for so long, nothing is about to.
const QUIET: Duration = Duration::from_millis(200);

/// Enough for the deepest specs and programs that readers accept.
const STACK: usize = 64 << 20;

impl Queue {
    /// Starts the thread.
    pub fn start(state: impl FnOnce() -> State + Send + 'static) -> Queue {
        let shared = Arc::new(Shared {
            jobs: Mutex::default(),
            wake: Condvar::new(),
        });
        let own = shared.clone();
        let thread = std::thread::Builder::new()
            .name("modelcost".into())
            .stack_size(STACK);
        let started = thread.spawn(move || work(&own, state()));
        if let Err(error) = started {
            log(format_args!("no thread could be started: {error}"));
            shared.lock().closed = true;
        }
        Queue(shared)
    }

    /// Queues work that nobody waits for.
    pub fn tell(&self, job: impl FnOnce(&mut State) + Send + 'static) {
        let mut jobs = self.0.lock();
        if !jobs.closed {
            jobs.waiting.push_back(Box::new(job));
            self.0.wake.notify_one();
        }
    }

    /// Queues a question, before it returns; the future waits for the answer. Work whose future is dropped (the request
    /// was cancelled) before its turn is left out.
    pub fn ask<T, Q>(&self, question: Q) -> impl Future<Output = Result<T>> + Send + use<T, Q>
    where
        T: Send + 'static,
        Q: FnOnce(&mut State) -> T + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.tell(move |state| {
            if !reply.is_closed() {
                // Nobody waits any more: nothing to say it to.
                let _ = reply.send(question(state));
            }
        });
        async move {
            answer.await.map_err(|_| Error {
                code: ErrorCode::InternalError,
                message: "this could not be answered; the server's log says more".into(),
                data: None,
            })
        }
    }

    /// Ends the thread once the queue is empty.
    pub fn close(&self) {
        self.0.lock().closed = true;
        self.0.wake.notify_one();
    }
}

fn work(shared: &Shared, mut state: State) {
    loop {
        let job = {
            let mut jobs = shared.lock();
            loop {
                if let Some(job) = jobs.waiting.pop_front() {
                    break Some(job);
                }
                if jobs.closed {
                    return;
                }
                if state.has_spare_work() {
                    break None;
                }
                if state.workspace.has_discarded() {
                    // Only once nobody types.
                    let waited = shared.wake.wait_timeout(jobs, QUIET);
                    let (after, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                    jobs = after;
                    if timeout.timed_out() && jobs.waiting.is_empty() {
                        state.workspace.throw_away();
                    }
                    continue;
                }
                jobs = shared
                    .wake
                    .wait(jobs)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        };
        // A bug in an answer must not take the documents with it: edits that come later have to find them.
        let done = catch_unwind(AssertUnwindSafe(|| match job {
            Some(job) => job(&mut state),
            None => state.spare_work(),
        }));
        if done.is_err() {
            log(format_args!(
                "a request failed; what was worked out is thrown away, the documents are kept"
            ));
            state.forget_analyses();
        }
    }
}
