//! A probe: does a pool that went down serve again? A full login and a first job, over a blocking socket with deadlines.
//!
//! It runs on a thread of its own, far from the shards. A pool that only connects, or answers and gives no job, is not back.
//! Not here: when a pool is probed, and what follows from the answer ([`super::control`]).

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use adit_protocol::limits::POOL_LINE_BYTES_MAX;
use serde_json::{Value, json};
use thiserror::Error;

/// Bytes read before a probe is given up: a pool that sends so much and no job has none.
const BYTES_MAX: usize = 4 * POOL_LINE_BYTES_MAX;
/// Bytes of the pool's words that are kept for the operator.
const WORDS_BYTES_MAX: usize = 120;
/// What the probe calls itself.
const USER_AGENT: &str = concat!("adit/", env!("CARGO_PKG_VERSION"));

const SUBSCRIBE_ID: u64 = 1;
const AUTHORIZE_ID: u64 = 2;

/// Whom to probe, as whom, and how long to wait for what.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where it may be, in the order to try.
    pub addresses: Arc<[SocketAddr]>,
    /// A name that the pool should know, and the password for it. Without one the probe can only subscribe, and is content
    /// with that.
    pub login: Option<Login>,
    /// For the connection.
    pub connect: Duration,
    /// For each answer.
    pub reply: Duration,
    /// For the first job, once the name is accepted.
    pub first_job: Duration,
}

/// A name and a password, both as they stand between the quotes of a JSON string.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The name that the pool is told.
    pub name: Box<[u8]>,
    /// The password.
    pub password: Box<str>,
    /// Whether a pool accepted a miner by this name. One that is only a guess may be refused by a pool that works.
    pub is_known: bool,
}

/// How far a probe came with a pool that does what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reached {
    /// It took a name, and gave a job.
    Job,
    /// It answered. More cannot be asked for without a name.
    Answer,
    /// It answered, and refused a name that was only a guess, with these words.
    AnswerToGuess(String),
}

impl std::fmt::Display for Reached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Job => f.write_str("it took a name and gave a job"),
            Self::Answer => f.write_str("it answered; no name is known yet to log in with"),
            Self::AnswerToGuess(words) => write!(
                f,
                "it answered; no miner's name is known yet to log in with, and the account alone was refused: {words}"
            ),
        }
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("name", &String::from_utf8_lossy(&self.name)).finish_non_exhaustive()
    }
}

/// Why a pool is not back.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// Its name could not be looked up yet.
    #[error("its name has no address")]
    NoAddress,
    /// Nobody is there.
    #[error("connecting: {0}")]
    Connect(#[source] io::Error),
    /// It went away in the middle.
    #[error("it closed the connection before {0}")]
    Closed(&'static str),
    /// It said nothing.
    #[error("{0} did not come in time")]
    Silent(&'static str),
    /// It took the name and gave no job.
    #[error("a job did not come in time")]
    NoJob,
    /// It refused to be subscribed to.
    #[error("it refused the subscription: {0}")]
    Refused(String),
    /// It refused the name.
    #[error("it refused the name: {0}")]
    NameRefused(String),
    /// It does not speak Stratum.
    #[error("it does not speak Stratum")]
    Garbage,
}

/// Logs in and waits for a job.
pub fn probe(target: &Target) -> Result<Reached, ProbeError> {
    let mut talk = Talk::connect(target)?;
    talk.send(&json!({"id": SUBSCRIBE_ID, "method": "mining.subscribe", "params": [USER_AGENT]}).to_string());
    talk.await_answer(SUBSCRIBE_ID, "its answer to subscribe", target.reply)?;
    let Some(Login { name, password, is_known }) = &target.login else { return Ok(Reached::Answer) };
    let name = String::from_utf8_lossy(name);
    talk.send(&format!(
        r#"{{"id":{AUTHORIZE_ID},"method":"mining.authorize","params":["{name}","{password}"]}}"#
    ));
    match talk.await_answer(AUTHORIZE_ID, "its answer to authorize", target.reply) {
        Err(ProbeError::NameRefused(words)) if !is_known => return Ok(Reached::AnswerToGuess(words)),
        answer => answer?,
    }
    talk.await_job(target.first_job)?;
    Ok(Reached::Job)
}

/// One connection, line by line.
struct Talk {
    stream: TcpStream,
    buffer: Vec<u8>,
    read_bytes: usize,
    has_job: bool,
}

impl Talk {
    fn connect(target: &Target) -> Result<Self, ProbeError> {
        let deadline = Instant::now() + target.connect;
        let mut last = ProbeError::NoAddress;
        for (tried, address) in target.addresses.iter().enumerate() {
            // What is left, shared among those that are left.
            let left = deadline.saturating_duration_since(Instant::now());
            let addresses_left = u32::try_from(target.addresses.len() - tried).unwrap_or(u32::MAX);
            let share = left / addresses_left;
            if share.is_zero() {
                break;
            }
            match TcpStream::connect_timeout(address, share) {
                Ok(stream) => return Self::over(stream, target.reply).map_err(ProbeError::Connect),
                Err(error) => last = ProbeError::Connect(error),
            }
        }
        Err(last)
    }

    fn over(stream: TcpStream, write: Duration) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(write))?;
        Ok(Self { stream, buffer: Vec::new(), read_bytes: 0, has_job: false })
    }

    fn send(&mut self, line: &str) {
        // A connection that takes nothing has ended, and says so when it is read.
        let _ = self.stream.write_all(format!("{line}\n").as_bytes());
    }

    /// Waits for the answer to our request of this number. Jobs that come before it count.
    fn await_answer(&mut self, id: u64, what: &'static str, within: Duration) -> Result<(), ProbeError> {
        let deadline = Instant::now() + within;
        loop {
            let message = self.message(what, deadline)?;
            if message.get("method").is_some() || message.get("id").and_then(Value::as_u64) != Some(id) {
                continue;
            }
            let result = message.get("result").unwrap_or(&Value::Null);
            let error = message.get("error").unwrap_or(&Value::Null);
            let is_no = matches!(result, Value::Null | Value::Bool(false));
            return match id {
                _ if !is_no => Ok(()),
                AUTHORIZE_ID => Err(ProbeError::NameRefused(words(error))),
                _ => Err(ProbeError::Refused(words(error))),
            };
        }
    }

    fn await_job(&mut self, within: Duration) -> Result<(), ProbeError> {
        let deadline = Instant::now() + within;
        while !self.has_job {
            self.message("a job", deadline).map_err(|error| match error {
                ProbeError::Silent(_) => ProbeError::NoJob,
                error => error,
            })?;
        }
        Ok(())
    }

    /// The next message, and whether a job was among them is noted.
    fn message(&mut self, what: &'static str, deadline: Instant) -> Result<Value, ProbeError> {
        loop {
            if let Some(line) = self.take_line() {
                if line.trim_ascii().is_empty() {
                    continue;
                }
                let message: Value = serde_json::from_slice(&line).map_err(|_| ProbeError::Garbage)?;
                self.has_job |= message.get("method").and_then(Value::as_str) == Some("mining.notify");
                return Ok(message);
            }
            self.read(what, deadline)?;
        }
    }

    fn take_line(&mut self) -> Option<Vec<u8>> {
        let end = self.buffer.iter().position(|&byte| byte == b'\n')?;
        Some(self.buffer.drain(..=end).collect())
    }

    fn read(&mut self, what: &'static str, deadline: Instant) -> Result<(), ProbeError> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ProbeError::Silent(what));
        }
        if self.buffer.len() > POOL_LINE_BYTES_MAX || self.read_bytes > BYTES_MAX {
            return Err(ProbeError::Garbage);
        }
        let mut piece = [0; 4096];
        let read = self.stream.set_read_timeout(Some(left)).and_then(|()| self.stream.read(&mut piece));
        match read {
            Ok(0) => Err(ProbeError::Closed(what)),
            Ok(count) => {
                self.read_bytes += count;
                self.buffer.extend_from_slice(piece.get(..count).unwrap_or_default());
                Ok(())
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => Ok(()),
                _ => Err(ProbeError::Closed(what)),
            },
        }
    }
}

/// The pool's reason as one short line.
fn words(error: &Value) -> String {
    let text = match error {
        Value::Array(parts) => parts.get(1).and_then(Value::as_str).map(str::to_owned),
        Value::Object(members) => members.get("message").and_then(Value::as_str).map(str::to_owned),
        Value::String(text) => Some(text.clone()),
        _ => None,
    };
    let mut words: String = text.unwrap_or_else(|| "no reason given".to_owned());
    words.retain(|c| !c.is_control());
    while words.len() > WORDS_BYTES_MAX {
        words.pop();
    }
    words
}

#[cfg(test)]
mod tests {
    use std::io::BufRead;
    use std::net::{Ipv4Addr, TcpListener};
    use std::thread::{self, JoinHandle};

    use super::*;

    /// Longer than anything here takes; only a failure waits for it.
    const LIMIT: Duration = Duration::from_secs(20);
    /// For what is meant to run out.
    const SHORT: Duration = Duration::from_millis(50);

    const JOB: &str = r#"{"id":null,"method":"mining.notify","params":["1"]}"#;
    const SUBSCRIBED: &str = r#"{"id":1,"result":[[],"f0",4],"error":null}"#;
    const AUTHORISED: &str = r#"{"id":2,"result":true,"error":null}"#;

    /// A pool that answers each line with these lines, and then goes on as `rest` says.
    fn pool(answers: &'static [&'static [&'static str]], stays: bool) -> (Target, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let thread = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(LIMIT)).unwrap();
            let mut reader = io::BufReader::new(stream.try_clone().unwrap());
            let mut seen = Vec::new();
            for answer in answers {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    return seen;
                }
                seen.push(line.trim_end().to_owned());
                answer.iter().for_each(|line| stream.write_all(format!("{line}\n").as_bytes()).unwrap());
            }
            if stays {
                // Until the probe has gone.
                let _ = reader.read_line(&mut String::new());
            }
            seen
        });
        let login = Login { name: b"acc.rig"[..].into(), password: "x".into(), is_known: true };
        let target = Target {
            addresses: Arc::new([address]),
            login: Some(login),
            connect: LIMIT,
            reply: LIMIT,
            first_job: LIMIT,
        };
        (target, thread)
    }

    #[test]
    fn a_pool_is_back_when_it_took_the_name_and_gave_a_job() {
        let (target, pool) = pool(&[&[SUBSCRIBED], &[AUTHORISED, JOB]], true);
        assert_eq!(probe(&target).unwrap(), Reached::Job);
        let seen = pool.join().unwrap();
        assert!(seen[0].contains("mining.subscribe"), "{seen:?}");
        assert_eq!(seen[1], r#"{"id":2,"method":"mining.authorize","params":["acc.rig","x"]}"#);
    }

    #[test]
    fn a_job_before_the_authorize_counts() {
        let (target, pool) = pool(&[&[SUBSCRIBED, JOB], &[AUTHORISED]], true);
        probe(&target).unwrap();
        pool.join().unwrap();
    }

    #[test]
    fn without_a_name_a_subscription_is_all_that_can_be_asked() {
        let (mut target, pool) = pool(&[&[SUBSCRIBED]], true);
        target.login = None;
        assert_eq!(probe(&target).unwrap(), Reached::Answer);
        pool.join().unwrap();
    }

    #[test]
    fn a_pool_that_refuses_a_guess_works_and_one_that_takes_it_must_give_a_job() {
        const REFUSED: &str = r#"{"id":2,"result":false,"error":[24,"no rig",null]}"#;
        let guess = |(mut target, pool): (Target, JoinHandle<Vec<String>>)| {
            target.login.as_mut().unwrap().is_known = false;
            target.first_job = SHORT;
            let result = probe(&target);
            pool.join().unwrap();
            result
        };
        let refused = guess(pool(&[&[SUBSCRIBED], &[REFUSED]], true)).unwrap();
        assert!(refused.to_string().ends_with("the account alone was refused: no rig"), "{refused}");
        assert!(matches!(guess(pool(&[&[SUBSCRIBED], &[AUTHORISED]], true)), Err(ProbeError::NoJob)));
        assert_eq!(guess(pool(&[&[SUBSCRIBED], &[AUTHORISED, JOB]], true)).unwrap(), Reached::Job);
    }

    #[test]
    fn every_way_of_not_being_back_is_told() {
        type Case = (&'static [&'static [&'static str]], bool, &'static str);
        const REFUSED: &str = r#"{"id":2,"result":null,"error":[24,"who are you",null]}"#;
        let cases: &[Case] = &[
            (&[], false, "it closed the connection before its answer to subscribe"),
            (&[&[]], true, "its answer to subscribe did not come in time"),
            (&[&["hello"]], true, "it does not speak Stratum"),
            (&[&[SUBSCRIBED], &[REFUSED]], true, "it refused the name: who are you"),
            (&[&[SUBSCRIBED], &[AUTHORISED]], true, "a job did not come in time"),
            (&[&[SUBSCRIBED], &[AUTHORISED]], false, "it closed the connection before a job"),
        ];
        for &(answers, stays, told) in cases {
            let (mut target, pool) = pool(answers, stays);
            if told.ends_with("in time") {
                (target.reply, target.first_job) = (SHORT, SHORT);
                if answers.len() > 1 {
                    target.reply = LIMIT;
                }
            }
            let error = probe(&target).unwrap_err();
            assert_eq!(error.to_string(), told);
            pool.join().unwrap();
        }
    }

    #[test]
    fn nobody_at_any_address_is_told() {
        let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let (mut target, pool) = pool(&[&[SUBSCRIBED], &[AUTHORISED, JOB]], true);
        let good = target.addresses[0];
        target.addresses = Arc::new([closed]);
        assert!(matches!(probe(&target), Err(ProbeError::Connect(_))));
        target.addresses = Arc::new([]);
        assert!(matches!(probe(&target), Err(ProbeError::NoAddress)));
        target.addresses = Arc::new([closed, good]);
        probe(&target).unwrap();
        pool.join().unwrap();
    }
}
