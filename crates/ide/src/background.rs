//! A thread that reads large specs while the documents answer from what they know, and that throws away what nobody
//! needs any more.
//!
//! Everything here is a matter of when, never of what: whoever needs an answer that is right waits for the reading, and
//! gets what reading in place would have given.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use modelcost_core::convention::Convention;
use modelcost_spec::Memo;

use crate::analysis::{Analysis, Dims};
use crate::content::Content;

/// What is called when a reading is there.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// The thread. It ends when this is dropped.
#[derive(Debug)]
pub struct Background {
    jobs: Sender<Job>,
}

enum Job {
    Read(Request),
    Discard(Vec<Content>),
}

struct Request {
    text: String,
    dims: Dims,
    convention: &'static dyn Convention,
    superseded: Arc<AtomicBool>,
    reply: Sender<Read>,
}

/// Enough for the deepest specs.
const STACK: usize = 64 << 20;

/// How much may wait to be thrown away while there is something to read.
const MAX_WAITING: usize = 4;

impl Background {
    /// Starts the thread; nothing where the system has none to give.
    pub fn start(wake: Option<Wake>) -> Option<Background> {
        let (jobs, received) = channel();
        let thread = std::thread::Builder::new().name("modelcost-read".into());
        let thread = thread.stack_size(STACK);
        thread.spawn(move || work(&received, wake)).ok()?;
        Some(Background { jobs })
    }

    /// Begins to read a text, and to count it by a convention.
    pub fn read(&self, text: &str, dims: &Dims, convention: &'static dyn Convention) -> Reading {
        let (reply, answer) = channel();
        let superseded = Arc::new(AtomicBool::new(false));
        let request = Request {
            text: text.into(),
            dims: dims.clone(),
            convention,
            superseded: superseded.clone(),
            reply,
        };
        // A thread that is gone is noticed where its answer is waited for.
        let _ = self.jobs.send(Job::Read(request));
        Reading {
            dims: dims.clone(),
            answer,
            here: None,
            superseded,
        }
    }

    /// Throws something away when there is nothing to read.
    pub fn discard(&self, contents: Vec<Content>) {
        let _ = self.jobs.send(Job::Discard(contents));
    }
}

/// What came of a reading, and how long it took.
pub type Read = (Analysis, Duration);

/// A reading that was asked for. Dropping it ends the work.
#[derive(Debug)]
pub struct Reading {
    /// The sizes of free dimensions that it is for.
    pub dims: Dims,
    answer: Receiver<Read>,
    here: Option<Read>,
    superseded: Arc<AtomicBool>,
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.superseded.store(true, Ordering::Relaxed);
    }
}

impl Reading {
    /// Whether the answer is there before a time, or will never be.
    pub fn is_done(&mut self, until: Instant) -> bool {
        if self.here.is_some() {
            return true;
        }
        let left = until.saturating_duration_since(Instant::now());
        match self.answer.recv_timeout(left) {
            Ok(read) => {
                self.here = Some(read);
                true
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => true,
        }
    }

    /// Waits for the answer; nothing if the reading failed.
    pub fn wait(mut self) -> Option<Read> {
        self.here.take().or_else(|| self.answer.recv().ok())
    }
}

fn work(jobs: &Receiver<Job>, wake: Option<Wake>) {
    let mut waiting: Vec<Content> = Vec::new();
    let mut memo = Memo::default();
    loop {
        let job = match waiting.is_empty() {
            true => jobs.recv().ok(),
            // Nobody waits for what is thrown away: only once no one types.
            false => match jobs.recv_timeout(QUIET) {
                Ok(job) => Some(job),
                Err(RecvTimeoutError::Timeout) => {
                    waiting.pop();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => None,
            },
        };
        match job {
            None => return,
            Some(Job::Discard(contents)) => waiting.extend(contents),
            Some(Job::Read(request)) => {
                waiting.truncate(MAX_WAITING);
                read(request, &mut memo);
                if let Some(wake) = &wake {
                    wake();
                }
            }
        }
    }
}

/// When nothing has come in for so long, nothing is about to.
const QUIET: Duration = Duration::from_millis(100);

fn read(request: Request, memo: &mut Memo) {
    if request.superseded.load(Ordering::Relaxed) {
        return;
    }
    let (text, start) = (&request.text, Instant::now());
    // A bug in a reader must not end the thread; whoever waits reads for themselves and meets it again.
    let analysis = catch_unwind(AssertUnwindSafe(|| {
        let analysis = Analysis::until(text, &request.dims, memo, Some(request.superseded.clone()));
        if !request.superseded.load(Ordering::Relaxed) {
            analysis.count(request.convention);
        }
        analysis
    }));
    if let Ok(analysis) = analysis
        && !request.superseded.load(Ordering::Relaxed)
    {
        // Nobody waits any more: nothing to say it to.
        let _ = request.reply.send((analysis, start.elapsed()));
    }
}
