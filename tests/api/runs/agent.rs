//! An agent that writes down the bytes that it hears, and answers with bytes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::support::deadline::PATIENCE;

/// A step of an answer.
#[derive(Clone)]
pub(crate) enum Step {
    /// These bytes are sent.
    Send(Vec<u8>),
    /// Nothing, until the test says so.
    Until(Arc<Notify>),
    /// Nothing, for so long.
    Silence(Duration),
    /// The connection is closed.
    Close,
    /// The connection is reset.
    Reset,
}

/// A request as it was heard.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    /// Request line and headers, as they were sent.
    pub(crate) head: String,
    pub(crate) body: String,
    /// When the other side has closed the connection.
    left: watch::Receiver<bool>,
}

impl Heard {
    /// `POST /threads/...`
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap().strip_suffix(" HTTP/1.1").unwrap()
    }

    pub(crate) fn path(&self) -> &str {
        self.line().split(' ').nth(1).unwrap()
    }

    /// The values of all headers that a careless framework takes for this one.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        let headers = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        let spelled = |text: &str| text.to_ascii_lowercase().replace('_', "-");
        let headers = headers.filter(|(other, _)| spelled(other) == spelled(name));
        headers.map(|(_, value)| value.trim().to_owned()).collect()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Waits until the other side has left.
    pub(crate) async fn left(&self) {
        let mut left = self.left.clone();
        let left = left.wait_for(|left| *left);
        tokio::time::timeout(PATIENCE, left).await.unwrap().unwrap();
    }

    pub(crate) fn has_left(&self) -> bool {
        *self.left.borrow()
    }
}

type Answers = Arc<dyn Fn(&Heard) -> Vec<Step> + Send + Sync>;

/// A running agent.
pub(crate) struct Agent {
    pub(crate) url: String,
    heard: Arc<Mutex<Vec<Heard>>>,
    news: Arc<Notify>,
    running: JoinHandle<()>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Agent {
    pub(crate) async fn start(
        answers: impl Fn(&Heard) -> Vec<Step> + Send + Sync + 'static,
    ) -> Agent {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Agent::on(listener, answers)
    }

    pub(crate) fn on(
        listener: TcpListener,
        answers: impl Fn(&Heard) -> Vec<Step> + Send + Sync + 'static,
    ) -> Agent {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (heard, news) = (Arc::<Mutex<Vec<Heard>>>::default(), Arc::<Notify>::default());
        let answers: Answers = Arc::new(answers);
        let (list, told) = (Arc::clone(&heard), Arc::clone(&news));
        let running = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (list, told, answers) = (list.clone(), told.clone(), answers.clone());
                connections.spawn(async move { serve(stream, &list, &told, &answers).await });
            }
        });
        Agent { url, heard, news, running }
    }

    /// Everything that was heard so far.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// Waits for the request of this number, from 0.
    pub(crate) async fn request(&self, number: usize) -> Heard {
        let wait = async {
            loop {
                let news = self.news.notified();
                if let Some(heard) = self.heard().get(number) {
                    return heard.clone();
                }
                news.await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap()
    }
}

async fn serve(mut stream: TcpStream, list: &Mutex<Vec<Heard>>, told: &Notify, answers: &Answers) {
    stream.set_nodelay(true).unwrap();
    let mut unread = Vec::new();
    loop {
        let Some((head, body)) = request(&mut stream, &mut unread).await else { return };
        let (leave, left) = watch::channel(false);
        let asked = Heard { head, body, left };
        list.lock().unwrap().push(asked.clone());
        told.notify_waiters();
        for step in answers(&asked) {
            let mut byte = [0];
            // Nothing more is sent on a connection while an answer is under way, so anything that is
            // readable is its end.
            let is_left = tokio::select! {
                is_left = take(step, &stream) => is_left,
                read = stream.readable() => {
                    read.unwrap();
                    !matches!(stream.try_read(&mut byte), Ok(1..))
                }
            };
            if is_left {
                let _ = leave.send(true);
                return;
            }
        }
        if !matches!(stream.read_buf(&mut unread).await, Ok(1..)) {
            let _ = leave.send(true);
            return;
        }
    }
}

/// Whether the connection has ended.
async fn take(step: Step, stream: &TcpStream) -> bool {
    match step {
        Step::Send(bytes) => {
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                stream.writable().await.unwrap();
                match stream.try_write(rest) {
                    Ok(written) => rest = &rest[written..],
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(_) => return true,
                }
            }
            false
        }
        Step::Until(notify) => {
            notify.notified().await;
            false
        }
        Step::Silence(time) => {
            tokio::time::sleep(time).await;
            false
        }
        Step::Close => true,
        Step::Reset => {
            #[expect(deprecated, reason = "a linger of 0 s does not block")]
            stream.set_linger(Some(Duration::ZERO)).unwrap();
            true
        }
    }
}

async fn request(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<(String, String)> {
    let end = loop {
        if let Some(end) = unread.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(unread).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(unread.drain(..end).collect()).unwrap();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
    });
    assert!(!head.to_lowercase().contains("transfer-encoding"), "{head}");
    while unread.len() < length.unwrap_or(0) {
        if stream.read_buf(unread).await.ok()? == 0 {
            return None;
        }
    }
    let body = String::from_utf8(unread.drain(..length.unwrap_or(0)).collect()).unwrap();
    Some((head, body))
}

/// The thread in a path.
fn thread_in(path: &str) -> &str {
    path.strip_prefix("/threads/").map_or("", |rest| rest.split('/').next().unwrap())
}

/// A head with these lines and a chunked body that is to follow.
pub(crate) fn head(status: &str, lines: &[&str]) -> Step {
    let first = format!("HTTP/1.1 {status}");
    let lines = [&[first.as_str()], lines, &["", ""]].concat();
    Step::Send(lines.join("\r\n").into_bytes())
}

/// The head of a stream of events of a run.
pub(crate) fn events_head(heard: &Heard, run_id: &str) -> Step {
    let place = format!("/threads/{}/runs/{run_id}", thread_in(heard.path()));
    head(
        "200 OK",
        &[
            "Content-Type: text/event-stream; charset=utf-8",
            &format!("Content-Location: {place}"),
            &format!("Location: {place}/stream"),
            "Cache-Control: no-store",
            "Connection: keep-alive",
            "X-Accel-Buffering: no",
            "Transfer-Encoding: chunked",
        ],
    )
}

/// A chunk of a body.
pub(crate) fn chunk(text: &str) -> Step {
    Step::Send(format!("{:x}\r\n{text}\r\n", text.len()).into_bytes())
}

/// The end of a chunked body.
pub(crate) fn last() -> Step {
    Step::Send(b"0\r\n\r\n".to_vec())
}

/// A whole answer.
pub(crate) fn json(status: &str, lines: &[&str], body: &str) -> Vec<Step> {
    let length = format!("Content-Length: {}", body.len());
    let lines: Vec<_> = ["Content-Type: application/json", &length]
        .into_iter()
        .chain(lines.iter().copied())
        .collect();
    vec![head(status, &lines), Step::Send(body.as_bytes().to_vec())]
}

/// What an ordinary agent answers: each run is another one, with two events.
pub(crate) fn ordinary(heard: &Heard) -> Vec<Step> {
    let path = heard.path().split('?').next().unwrap();
    let run_id = uuid::Uuid::now_v7().to_string();
    if heard.line().starts_with("POST ") && path.ends_with("/runs/stream") {
        return vec![
            events_head(heard, &run_id),
            chunk(&format!("event: metadata\r\ndata: {{\"run_id\":\"{run_id}\"}}\r\n\r\n")),
            chunk("event: values\r\ndata: {\"messages\":[]}\r\n\r\n"),
            last(),
        ];
    }
    let place = format!("Content-Location: /threads/{}/runs/{run_id}", thread_in(path));
    json("200 OK", &[&place], &format!("{{\"run_id\":\"{run_id}\"}}"))
}
