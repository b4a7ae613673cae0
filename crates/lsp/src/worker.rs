//! The thread that owns the documents, and its queue.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use modelcost_ide::Wake;
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

    /// Waits until there is something to do.
    fn wait(&self) {
        let is_idle = |jobs: &mut Jobs| jobs.waiting.is_empty() && !jobs.closed;
        drop(self.wake.wait_while(self.lock(), is_idle));
    }
}

/// Enough for the deepest specs and programs that readers accept.
const STACK: usize = 64 << 20;

impl Queue {
    /// Starts the thread. The state is given a way to have it look for something to do.
    pub fn start(state: impl FnOnce(Wake) -> State + Send + 'static) -> Queue {
        let shared = Arc::new(Shared {
            jobs: Mutex::default(),
            wake: Condvar::new(),
        });
        let own = shared.clone();
        let queue = Arc::downgrade(&shared);
        let wake: Wake = Arc::new(move || {
            if let Some(shared) = queue.upgrade() {
                Queue(shared).tell(|_| {});
            }
        });
        let thread = std::thread::Builder::new()
            .name("modelcost".into())
            .stack_size(STACK);
        let started = thread.spawn(move || work(&own, state(wake)));
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
        let (job, closed) = {
            let mut jobs = shared.lock();
            (jobs.waiting.pop_front(), jobs.closed)
        };
        if job.is_none() && closed {
            return;
        }
        // A bug in an answer must not take the documents with it: edits that come later have to find them.
        let done = catch_unwind(AssertUnwindSafe(|| match job {
            Some(job) => {
                job(&mut state);
                true
            }
            None => state.spare_work(),
        }));
        match done {
            Ok(true) => {}
            Ok(false) => shared.wait(),
            Err(_) => {
                log(format_args!(
                    "a request failed; what was worked out is thrown away, the documents are kept"
                ));
                state.forget_analyses();
            }
        }
    }
}
