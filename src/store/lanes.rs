//! Requests that come at the same time are answered by one statement.
//!
//! A statement costs Postgres and this program far more than a row of it does: the round trip,
//! the commit, waking up on both sides. So each kind of request has a few lanes. One that finds
//! a lane free takes it, lets those who come at the same moment join, and runs its own plain
//! statement if nobody does. One that finds all of them taken waits, and the next lane that comes
//! free answers all that wait in one statement. Under load batches grow by themselves.
//!
//! A lane that is free waits too while the others answer more than a few at a time: two statements of
//! eight are cheaper than one of twelve, one of three and one of one. Each lane then gets ready
//! while another's statement runs.

use std::collections::VecDeque;
use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgRow;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::debug;

use super::AnswerTooLarge;
use super::pool::{Connection, Pool};
use crate::meters::SharedStatements;

/// Most requests that one statement answers.
const MOST_TOGETHER: usize = 128;
/// A statement for so many costs each of them little more than a larger one would.
const WORTHWHILE: usize = 8;
/// Most requests of one kind that wait. Those beyond are answered with 503.
const MOST_WAITING: usize = 10_000;

/// How long a request that is answered alone may keep a lane: one that waits for a stranger's lock
/// must not hold up the others.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long a statement may take before the other lanes stop waiting for more requests.
const SOON: Duration = Duration::from_millis(5);

/// A request that can share a statement with others of its kind.
pub(super) trait Job: Sized + Send + Sync + 'static {
    /// What its caller gets.
    type Answer: Send + 'static;
    /// What its caller gets otherwise.
    type Error: From<sqlx::Error> + Send + 'static;
    /// What this kind of request is called in metrics.
    const KIND: &'static str;
    /// What requests must have in common to share a statement.
    type Key: Clone + PartialEq + Send + Sync;

    /// What this one has in common with others.
    fn key(&self) -> Self::Key;

    /// Answers this one, by a statement of its own.
    fn alone(&self, pool: &Pool) -> impl Future<Output = Result<Self::Answer, Self::Error>> + Send;

    /// Answers these in one statement, in their order. `None` is for one that has to be answered
    /// alone, of which nothing may have been done.
    ///
    /// If the statement fails nothing of it has been done.
    fn together(
        connection: &mut Connection,
        key: &Self::Key,
        jobs: &[Self],
    ) -> impl Future<Output = Result<Answers<Self>, sqlx::Error>> + Send;

    /// What is left to do once it counts.
    fn committed(&self, _answer: &Outcome<Self>) {}
}

/// What one request came to.
type Outcome<J> = Result<<J as Job>::Answer, <J as Job>::Error>;
/// What several came to, in their order. `None`: to be answered alone.
pub(super) type Answers<J> = Vec<Option<Outcome<J>>>;

/// The lanes of one kind of request.
pub(super) struct Lanes<J: Job>(Arc<Shared<J>>);

struct Shared<J: Job> {
    pool: Pool,
    queue: Mutex<Queue<J>>,
    meters: SharedStatements,
}

struct Queue<J: Job> {
    free: usize,
    /// Whether the last lane that was taken has not begun yet. Until then nobody takes another.
    is_gathering: bool,
    waiting: VecDeque<Waiting<J>>,
    /// Statements that are expected to end soon.
    statements: usize,
    /// Requests that they answer.
    answered: usize,
}

impl<J: Job> Queue<J> {
    fn has_free_lane(&self) -> bool {
        self.free > 0 && !self.is_gathering
    }

    /// Whether so many requests should get a statement now. If not, one that ends soon looks again.
    fn is_worthwhile(&self, requests: usize) -> bool {
        let usual = self.answered.checked_div(self.statements).unwrap_or(0);
        requests >= usual.min(WORTHWHILE)
    }
}

struct Waiting<J: Job> {
    key: J::Key,
    job: J,
    caller: oneshot::Sender<Outcome<J>>,
}

/// Requests that share a statement.
struct Batch<J: Job> {
    key: J::Key,
    jobs: Vec<J>,
    callers: Vec<oneshot::Sender<Outcome<J>>>,
    under_way: UnderWay<J>,
}

/// A statement that is expected to end soon, until this is dropped.
struct UnderWay<J: Job> {
    shared: Arc<Shared<J>>,
    requests: usize,
}

enum Entered<J: Job> {
    Lane(Lane<J>, J),
    Queue(oneshot::Receiver<Outcome<J>>),
}

/// Who else is there when a lane begins.
enum Gathered<J: Job> {
    Nobody(J, UnderWay<J>),
    Others(oneshot::Receiver<Outcome<J>>),
}

impl<J: Job> Lanes<J> {
    pub(super) fn new(pool: Pool, lanes: usize) -> Lanes<J> {
        let queue = Mutex::new(Queue {
            free: lanes,
            is_gathering: false,
            waiting: VecDeque::new(),
            statements: 0,
            answered: 0,
        });
        Lanes(Arc::new(Shared { pool, queue, meters: SharedStatements::of(J::KIND) }))
    }

    /// Answers a request. If the caller goes away meanwhile, a request that waits is dropped.
    pub(super) async fn answer(&self, job: J) -> Outcome<J> {
        let (lane, job) = match self.enter(job)? {
            Entered::Lane(lane, job) => (lane, job),
            Entered::Queue(answer) => return received::<J>(answer).await,
        };
        // What has arrived by now gets to its statement too, and shares this one.
        tokio::task::yield_now().await;
        match lane.gathered(job) {
            Gathered::Others(answer) => {
                drop(lane);
                received::<J>(answer).await
            }
            Gathered::Nobody(job, under_way) => {
                // In a box of its own: most requests of a busy server do not need the room.
                let mut answer = Box::pin(answer_alone(&job, &self.0.pool));
                if let Ok(answer) = timeout(PATIENCE, &mut answer).await {
                    drop(under_way);
                    return answer;
                }
                drop(under_way);
                drop(lane);
                answer.await
            }
        }
    }

    fn enter(&self, job: J) -> Result<Entered<J>, J::Error> {
        let mut queue = self.0.queue();
        if queue.has_free_lane() && queue.is_worthwhile(queue.waiting.len() + 1) {
            queue.free -= 1;
            queue.is_gathering = true;
            let lane = Lane { shared: Arc::clone(&self.0), is_gathering: AtomicBool::new(true) };
            return Ok(Entered::Lane(lane, job));
        }
        if queue.waiting.len() >= MOST_WAITING {
            return Err(unavailable("too many requests wait for the database").into());
        }
        let (waiting, answer) = Waiting::of(job);
        queue.waiting.push_back(waiting);
        Ok(Entered::Queue(answer))
    }
}

impl<J: Job> Waiting<J> {
    fn of(job: J) -> (Waiting<J>, oneshot::Receiver<Outcome<J>>) {
        let (caller, answer) = oneshot::channel();
        (Waiting { key: job.key(), job, caller }, answer)
    }
}

/// What becomes of a request that waits.
async fn received<J: Job>(answer: oneshot::Receiver<Outcome<J>>) -> Outcome<J> {
    // The sender is dropped without a word only if answering panicked.
    let broke = |_| Err(unavailable("a request that was answered together broke").into());
    answer.await.unwrap_or_else(broke)
}

impl<J: Job> Shared<J> {
    fn queue(&self) -> MutexGuard<'_, Queue<J>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that has waited longest, with others that can share its statement. Callers who
    /// have gone are left out.
    fn next(self: &Arc<Self>) -> Option<Batch<J>> {
        let mut queue = self.queue();
        if !queue.is_worthwhile(queue.waiting.len()) {
            return None;
        }
        let (mut jobs, mut callers, mut others) = (Vec::new(), Vec::new(), Vec::new());
        let mut shared = None;
        while jobs.len() < MOST_TOGETHER
            && let Some(waiting) = queue.waiting.pop_front()
        {
            if waiting.caller.is_closed() {
                continue;
            }
            if *shared.get_or_insert_with(|| waiting.key.clone()) == waiting.key {
                jobs.push(waiting.job);
                callers.push(waiting.caller);
            } else {
                others.push(waiting);
            }
        }
        for other in others.into_iter().rev() {
            queue.waiting.push_front(other);
        }
        let key = shared?;
        let under_way = self.begins(&mut queue, jobs.len());
        // Those that cannot share it may be worth a statement of their own.
        self.go_on(&mut queue);
        Some(Batch { key, jobs, callers, under_way })
    }

    fn begins(self: &Arc<Self>, queue: &mut Queue<J>, requests: usize) -> UnderWay<J> {
        queue.statements += 1;
        queue.answered += requests;
        UnderWay { shared: Arc::clone(self), requests }
    }

    /// Lets a free lane answer those that wait, if it is worthwhile.
    fn go_on(self: &Arc<Self>, queue: &mut Queue<J>) {
        let waiting = queue.waiting.len();
        if waiting > 0
            && queue.has_free_lane()
            && queue.is_worthwhile(waiting)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            queue.free -= 1;
            let shared = Arc::clone(self);
            // Not a lane before it runs: a runtime that shuts down drops it here and now, and to end
            // a lane takes the queue.
            runtime.spawn(async move {
                Lane { shared, is_gathering: AtomicBool::new(false) }.run().await;
            });
        }
    }
}

impl<J: Job> Drop for UnderWay<J> {
    fn drop(&mut self) {
        let mut queue = self.shared.queue();
        queue.statements -= 1;
        queue.answered -= self.requests;
    }
}

/// The right to run a statement. Whoever drops it hands it to those that wait.
struct Lane<J: Job> {
    shared: Arc<Shared<J>>,
    is_gathering: AtomicBool,
}

impl<J: Job> Lane<J> {
    /// Begins. If others wait meanwhile, the request joins them.
    fn gathered(&self, job: J) -> Gathered<J> {
        let mut queue = self.shared.queue();
        self.begin(&mut queue);
        if queue.waiting.is_empty() {
            return Gathered::Nobody(job, self.shared.begins(&mut queue, 1));
        }
        // Behind those who wait already: the first one says who can share the next statement.
        let (waiting, answer) = Waiting::of(job);
        queue.waiting.push_back(waiting);
        Gathered::Others(answer)
    }

    fn begin(&self, queue: &mut Queue<J>) {
        if self.is_gathering.swap(false, Ordering::Relaxed) {
            queue.is_gathering = false;
        }
    }

    /// Answers those that wait until there are none.
    async fn run(self) {
        let mut connection = None;
        while let Some(batch) = self.shared.next() {
            self.answer(batch, &mut connection).await;
            // Those who were answered may have something new to ask.
            tokio::task::yield_now().await;
        }
    }

    /// `kept` is the connection of the batch before.
    async fn answer(&self, batch: Batch<J>, kept: &mut Option<Connection>) {
        let Batch { key, jobs, callers, under_way } = batch;
        let answers = match jobs.as_slice() {
            [_] => Ok(vec![None]),
            jobs => {
                self.shared.meters.statements.increment(1);
                self.shared.meters.requests.increment(jobs.len() as u64);
                self.together(&key, jobs, kept, under_way).await
            }
        };
        let answers = match answers {
            Ok(answers) => answers,
            Err(error) if is_rolled_back(&error) || AnswerTooLarge::is(&error) => {
                debug!(%error, "{} requests are answered one by one", jobs.len());
                jobs.iter().map(|_| None).collect()
            }
            Err(error) => jobs.iter().map(|_| Some(Err(shared(&error).into()))).collect(),
        };
        let mut alone = JoinSet::new();
        for ((job, caller), answer) in jobs.into_iter().zip(callers).zip(answers) {
            if let Some(answer) = answer {
                let _ = caller.send(answer);
                continue;
            }
            let pool = self.shared.pool.clone();
            alone.spawn(async move { drop(caller.send(answer_alone(&job, &pool).await)) });
        }
        if alone.is_empty() {
            return;
        }
        // They need connections too: nobody waits for one while holding another. And nobody waits for
        // them.
        *kept = None;
        self.shared.go_on(&mut self.shared.queue());
        let all = async { while alone.join_next().await.is_some() {} };
        if timeout(PATIENCE, all).await.is_err() {
            alone.detach_all();
        }
    }

    async fn together(
        &self,
        key: &J::Key,
        jobs: &[J],
        kept: &mut Option<Connection>,
        under_way: UnderWay<J>,
    ) -> Result<Answers<J>, sqlx::Error> {
        let connection = kept.take();
        let answering = async {
            let mut connection = match connection {
                Some(connection) => connection,
                None => self.shared.pool.acquire().await?,
            };
            let answers = J::together(&mut connection, key, jobs).await?;
            Ok::<_, sqlx::Error>((answers, connection.kept().await?))
        };
        let mut answering = pin!(answering);
        let soon = timeout(SOON, &mut answering).await;
        drop(under_way);
        let answered = if let Ok(answered) = soon {
            answered
        } else {
            self.shared.go_on(&mut self.shared.queue());
            answering.await
        };
        let (answers, connection) = answered?;
        *kept = connection;
        for (job, answer) in jobs.iter().zip(&answers) {
            if let Some(answer) = answer {
                job.committed(answer);
            }
        }
        Ok(answers)
    }
}

async fn answer_alone<J: Job>(job: &J, pool: &Pool) -> Outcome<J> {
    let answer = job.alone(pool).await;
    job.committed(&answer);
    answer
}

impl<J: Job> Drop for Lane<J> {
    fn drop(&mut self) {
        let mut queue = self.shared.queue();
        self.begin(&mut queue);
        queue.free += 1;
        self.shared.go_on(&mut queue);
    }
}

impl<J: Job> Clone for Lanes<J> {
    fn clone(&self) -> Self {
        Lanes(Arc::clone(&self.0))
    }
}

impl<J: Job> fmt::Debug for Lanes<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = self.0.queue();
        f.debug_struct("Lanes")
            .field("free", &queue.free)
            .field("waiting", &queue.waiting.len())
            .finish_non_exhaustive()
    }
}

/// Which request a row of such a statement belongs to, from the column that numbers them from 1.
pub(super) fn place(row: &PgRow, column: usize) -> Result<usize, sqlx::Error> {
    let number: i64 = row.try_get(column)?;
    usize::try_from(number - 1).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// Whether the statement has certainly done nothing, and the database goes on working. Then one of
/// the requests may be the reason, and the others must not suffer for it.
fn is_rolled_back(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    // Not if the connection, the disk or the server is the trouble.
    let trouble = ["08", "53", "57P", "58"];
    code.is_some_and(|code| !trouble.iter().any(|class| code.starts_with(class)))
}

/// A fault of a statement, for each of those that it was to answer.
fn shared(error: &sqlx::Error) -> sqlx::Error {
    match error {
        sqlx::Error::PoolTimedOut => sqlx::Error::PoolTimedOut,
        sqlx::Error::PoolClosed => sqlx::Error::PoolClosed,
        sqlx::Error::WorkerCrashed => sqlx::Error::WorkerCrashed,
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Database(_) => {
            unavailable(error.to_string())
        }
        error => sqlx::Error::Protocol(error.to_string()),
    }
}

fn unavailable(cause: impl Into<String>) -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::other(cause.into()))
}
