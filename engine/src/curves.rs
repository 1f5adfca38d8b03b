//! Figures over time, and pools' words for rejects, out of the ledger: read by one thread of low priority, so that no
//! operator's question takes longer than the time it is given, however much there is to read.
//!
//! An answer that comes too late for its asker is kept, so that whoever asks again has it.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use adit_admin::view::{Counts, Series, Span, Subject};
use adit_store::reader::{ReadError, Reader, Span as LedgerSpan};
use adit_store::series::Of;
use crossbeam::channel::{self, Receiver, Sender};
use parking_lot::Mutex;

/// Questions that may wait; further ones go unanswered.
const WAITING_COUNT_MAX: usize = 2_048;
/// Answers that are kept.
const KEPT_COUNT_MAX: usize = 8 * 1024;
/// How old a kept answer may be: this part of its steps, between the two bounds below.
const AGE_PER_STEP: u64 = 10;
const AGE_MS_MIN: u64 = 5_000;
const AGE_MS_MAX: u64 = 60_000;
/// Words for rejects that are told apart per pool; the others are summed up.
const WORDS_COUNT_MAX: usize = 20;
/// The label of the others.
const OTHER_WORDS: &str = "other";
/// Whatever it reads, shards come first.
const NICENESS: i32 = 10;

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Question {
    /// A series; from, to and step in milliseconds.
    Series(Subject, u64, u64, u64),
    /// Words for rejects since this time, µs since 1970.
    Words(u64),
}

#[derive(Clone, Debug)]
enum Answer {
    Series(Option<Arc<Series>>),
    /// By pool.
    Words(Arc<HashMap<String, Counts>>),
}

struct Asked {
    question: Question,
    /// Given back with the answer.
    number: usize,
    reply: Sender<(usize, Answer)>,
}

type Kept = Arc<Mutex<HashMap<Question, (Instant, Answer)>>>;

/// The way to the reading thread. It ends when this is dropped.
#[derive(Debug)]
pub struct Curves {
    questions: Sender<Asked>,
    kept: Kept,
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.question.fmt(f)
    }
}

impl Curves {
    /// Starts the thread that reads the ledger at `path`.
    pub fn start(path: &Path) -> io::Result<Self> {
        let (questions, asked) = channel::bounded(WAITING_COUNT_MAX);
        let kept = Kept::default();
        let mut work = Work { path: path.to_owned(), reader: None, asked, kept: kept.clone() };
        thread::Builder::new().name("adit-curves".into()).spawn(move || {
            if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
                log::debug!("the priority of the ledger's reader stays as it is: {error}");
            }
            work.run();
        })?;
        Ok(Self { questions, kept })
    }

    /// The series of each subject, as far as they can be had within the time.
    pub fn series(&self, subjects: &[Subject], span: Span, within: Duration) -> Vec<Option<Series>> {
        let question =
            |subject: &Subject| Question::Series(subject.clone(), span.from_ms, span.to_ms, span.step_ms);
        let answers = self.ask(subjects.iter().map(question), subjects.len(), within);
        let series = |answer: Option<Answer>| match answer {
            Some(Answer::Series(series)) => series.as_deref().cloned(),
            _ => None,
        };
        answers.into_iter().map(series).collect()
    }

    /// The words with which each pool rejected since `since_us`, as far as they can be had within the time.
    pub fn words(&self, since_us: u64, within: Duration) -> Arc<HashMap<String, Counts>> {
        let answers = self.ask(std::iter::once(Question::Words(since_us)), 1, within);
        match answers.into_iter().next() {
            Some(Some(Answer::Words(words))) => words,
            _ => Arc::default(),
        }
    }

    fn ask(
        &self,
        questions: impl Iterator<Item = Question>,
        count: usize,
        within: Duration,
    ) -> Vec<Option<Answer>> {
        let deadline = Instant::now() + within;
        let mut answers = vec![None; count];
        // Room for all of them: the reader never waits for an asker.
        let (reply, replies) = channel::bounded(count);
        let mut under_way = 0;
        for (number, question) in questions.enumerate() {
            if let Some(answer) = fresh(&self.kept, &question)
                && let Some(place) = answers.get_mut(number)
            {
                *place = Some(answer);
            } else if self.questions.try_send(Asked { question, number, reply: reply.clone() }).is_ok() {
                under_way += 1;
            }
        }
        while under_way > 0
            && let Ok((number, answer)) = replies.recv_deadline(deadline)
        {
            under_way -= 1;
            if let Some(place) = answers.get_mut(number) {
                *place = Some(answer);
            }
        }
        answers
    }
}

/// A kept answer that is not too old.
fn fresh(kept: &Kept, question: &Question) -> Option<Answer> {
    let age_ms = match question {
        Question::Series(_, _, _, step_ms) => (step_ms / AGE_PER_STEP).clamp(AGE_MS_MIN, AGE_MS_MAX),
        Question::Words(_) => AGE_MS_MIN,
    };
    let kept = kept.lock();
    let (at, answer) = kept.get(question)?;
    (at.elapsed() < Duration::from_millis(age_ms)).then(|| answer.clone())
}

/// The reading thread's own.
struct Work {
    path: PathBuf,
    /// Opened when it is first needed, and again after an error.
    reader: Option<Reader>,
    asked: Receiver<Asked>,
    kept: Kept,
}

impl Work {
    fn run(&mut self) {
        while let Ok(Asked { question, number, reply }) = self.asked.recv() {
            let answer = fresh(&self.kept, &question).unwrap_or_else(|| {
                let answer = self.read(&question).unwrap_or_else(|error| {
                    log::debug!("{error}");
                    self.reader = None;
                    nothing(&question)
                });
                self.keep(question, answer.clone());
                answer
            });
            // An asker that waits no more does not want it.
            let _ = reply.try_send((number, answer));
        }
    }

    fn read(&mut self, question: &Question) -> Result<Answer, ReadError> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(Reader::open(&self.path)?),
        };
        match question {
            Question::Series(subject, from_ms, to_ms, step_ms) => {
                let span = Span { from_ms: *from_ms, to_ms: *to_ms, step_ms: *step_ms };
                match read_series(reader, subject, span) {
                    // Nobody of that name was ever seen.
                    Err(ReadError::NoWorker(_) | ReadError::NoPool(_)) => Ok(nothing(question)),
                    series => Ok(Answer::Series(Some(Arc::new(series?)))),
                }
            }
            Question::Words(since_us) => Ok(Answer::Words(Arc::new(read_words(reader, *since_us)?))),
        }
    }

    fn keep(&self, question: Question, answer: Answer) {
        let mut kept = self.kept.lock();
        if kept.len() >= KEPT_COUNT_MAX {
            kept.retain(|_, (at, _)| at.elapsed() < Duration::from_millis(AGE_MS_MAX));
        }
        if kept.len() < KEPT_COUNT_MAX {
            kept.insert(question, (Instant::now(), answer));
        }
    }
}

fn nothing(question: &Question) -> Answer {
    match question {
        Question::Series(..) => Answer::Series(None),
        Question::Words(_) => Answer::Words(Arc::default()),
    }
}

fn read_series(reader: &Reader, subject: &Subject, span: Span) -> Result<Series, ReadError> {
    let of = match subject {
        Subject::Fleet => Of::All,
        Subject::Pool(name) => Of::Pool(name),
        Subject::Worker(name) => Of::Worker(name),
    };
    let step_minutes = u32::try_from(span.step_ms / 60_000).unwrap_or(u32::MAX).max(1);
    let within =
        LedgerSpan { from_us: span.from_ms.saturating_mul(1_000), to_us: span.to_ms.saturating_mul(1_000) };
    let step_ms = u64::from(step_minutes) * 60_000;
    let count = usize::try_from(span.to_ms.saturating_sub(span.from_ms) / step_ms).unwrap_or_default();
    let mut series = Series {
        from_ms: span.from_ms,
        step_ms,
        hashrate: vec![0.0; count],
        accepted: vec![0; count],
        rejected: vec![0; count],
    };
    for point in reader.series(of, within, step_minutes)? {
        let Some(after_ms) = (point.start_us / 1_000).checked_sub(span.from_ms) else { continue };
        let step = usize::try_from(after_ms / step_ms).unwrap_or(usize::MAX);
        let tally = &point.tally;
        if let (Some(hashrate), Some(accepted), Some(rejected)) =
            (series.hashrate.get_mut(step), series.accepted.get_mut(step), series.rejected.get_mut(step))
        {
            *hashrate = point.hashes_per_second();
            *accepted = tally.accepted;
            *rejected = tally.outcomes().total().saturating_sub(tally.accepted);
        }
    }
    Ok(series)
}

fn read_words(reader: &Reader, since_us: u64) -> Result<HashMap<String, Counts>, ReadError> {
    let mut words: HashMap<String, Counts> = HashMap::new();
    // Most frequent first, so that the rare ones are those that are summed up.
    for rejects in reader.rejects(LedgerSpan { from_us: since_us, ..LedgerSpan::ALL })? {
        let of_pool = words.entry(rejects.pool).or_default();
        let text = if rejects.reason.is_empty() { rejects.class.to_owned() } else { rejects.reason };
        let has_room = of_pool.0.len() < WORDS_COUNT_MAX || of_pool.0.contains_key(text.as_str());
        of_pool.add(if has_room { text } else { OTHER_WORDS.to_owned() }, rejects.count);
    }
    Ok(words)
}
